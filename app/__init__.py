"""Neuronym's web server: reads the library, talks to the worker, never imports torch."""

__version__ = "0.1.0"
