"""The label file that is served: opened read-only, swapped for a newer one, closed when the last reader has left.

The only module of the app that opens a label file. It knows no question; `app.queries` asks them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, Request

from app.contract import ModelSummary
from app.errors import Unavailable
from app.settings import Settings


class NoLabelFile(Unavailable):
    """Nothing is mapped yet, or the file there is cannot be read by this version."""


class LabelFile:
    """One open label file."""

    run: str
    path: Path
    models: dict[str, ModelSummary]

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A read-only connection of this request alone."""
        raise NotImplementedError
        yield


class Catalog:
    """Serves the file that `data/current` points to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def current(self) -> LabelFile:
        """The newest label file that can be read; NoLabelFile when there is none."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file; running requests finish first."""


def served(request: Request) -> LabelFile:
    """The label file this request is answered from."""
    catalog: Catalog = request.app.state.catalog
    return catalog.current()


Labels = Annotated[LabelFile, Depends(served)]
