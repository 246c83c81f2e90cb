"""The command `neuronym`."""
