"""Published collections, one file each."""
