"""Clamps and sweeps: requests of the app to the worker."""
