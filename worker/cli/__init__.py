"""The command line `neuronym-worker`: one module for each command."""
