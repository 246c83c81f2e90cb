"""Solved examples are links that can be run, and only where their model is mapped."""

import json
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import QueryParams

from app.labelfile.library import Library
from app.pages.playground.context import FILE, examples
from app.pages.playground.requests import to_request
from app.pages.playground.state import from_address
from neuronym.contract import MAX_CLAMPS


def test_each_example_is_a_request() -> None:
    for example in json.loads(FILE.read_text()):
        assert set(example) >= {"title", "measured", "state"}
        assert ("says" in example) != ("silent" in example)
        assert 0 < len(example["state"]["clamp"]) <= MAX_CLAMPS


def test_an_example_is_shown_where_its_model_is_mapped(labels: Library, tmp_path: Path) -> None:
    assert examples(labels) == []
    state = json.loads(FILE.read_text())[0]["state"] | {"model": "tiny-chat"}
    file = tmp_path / "examples.json"
    file.write_text(json.dumps([{"title": "t", "measured": "m", "state": state}]))
    (example,) = examples(labels, file)
    request = to_request(from_address(QueryParams(urlsplit(example.address).query), labels.models), [])
    assert len(request.clamps) == len(state["clamp"])
    assert request.positions == state["positions"]
