"""What the tools call. Nothing heavy is imported before it is needed."""
