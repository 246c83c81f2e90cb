"""Solved examples: playground links that were found by `neuronym-worker steer-test`, with what it measured."""

import json
from pathlib import Path
from typing import NamedTuple

from app import addresses
from app.catalog import LabelFile

FILE = Path(__file__).with_name("examples.json")


class Example(NamedTuple):
    """A link with what it shows and what was measured of it."""

    title: str
    measured: str
    address: str


def examples(labels: LabelFile, path: Path = FILE) -> list[Example]:
    """The examples whose model is mapped."""
    return [
        Example(one["title"], one["measured"], addresses.playground(**one["state"]))
        for one in json.loads(path.read_text())
        if one["state"]["model"] in labels.models
    ]
