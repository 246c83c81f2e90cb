"""A search as a file."""
