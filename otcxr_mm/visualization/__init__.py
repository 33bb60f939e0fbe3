"""Pictures and figures of data, for people to look at; matplotlib, and nothing of it at import."""
