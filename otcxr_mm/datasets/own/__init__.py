"""Your own images: a folder, a table, or images with masks."""
