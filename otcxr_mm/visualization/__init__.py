"""Pictures of data, features and transport plans, and reports that hold them."""
