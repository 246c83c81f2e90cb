"""Clamps and sweeps, asked of the worker."""
