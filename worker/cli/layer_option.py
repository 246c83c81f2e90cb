"""The option `--layers`: which layers of a model a command takes, as one types them. Knows no model."""

import re
from collections.abc import Callable
from typing import Any

import click

_TYPED = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


def layers_option(help: str) -> Callable[[Any], Any]:
    """The option of a command, which gets a range of layers, or None for all of them."""
    return click.option("--layers", callback=_read, metavar="A-B", help=help)


def _read(_context: click.Context, _option: click.Parameter, text: str | None) -> range | None:
    if text is None:
        return None
    given = _TYPED.fullmatch(text)
    layers = range(int(given[1]), int(given[2] or given[1]) + 1) if given else range(0)
    if not layers:
        raise click.BadParameter("give a layer or the first and the last, such as 20-29")
    return layers
