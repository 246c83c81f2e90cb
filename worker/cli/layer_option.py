"""The option `--layers` of several commands: a layer, or the first and last of a range. Knows no model."""

import re
from collections.abc import Callable
from typing import Any

import click

_LAYERS = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


def layers_option(help: str) -> Callable[[Any], Any]:
    """Add `--layers` to a command; its value is a range of layers, or None for all layers."""
    return click.option("--layers", callback=_read_layers, metavar="A-B", help=help)


def _read_layers(_context: click.Context, _option: click.Parameter, text: str | None) -> range | None:
    if text is None:
        return None
    match = _LAYERS.fullmatch(text)
    layers = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
    if not layers:
        raise click.BadParameter("give a layer or the first and the last, such as 20-29")
    return layers
