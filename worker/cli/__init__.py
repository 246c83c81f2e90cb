"""The command `neuronym-worker`: one module a command."""
