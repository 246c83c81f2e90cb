"""Wiring: settings in, a FastAPI application out. Nothing else."""

from fastapi import FastAPI

from app.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """The whole app; it opens the label file on the first request that needs it."""
    raise NotImplementedError
