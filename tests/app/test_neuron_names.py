"""A neuron's name means the same wherever it is typed, whichever way it is spelled."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from bs4 import BeautifulSoup
from click import UsageError
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.testclient import TestClient

from app.cli.commands import sweep_body
from app.html import urls
from app.pages.playground.requests import to_request
from app.pages.playground.state import Composition, from_address, from_form
from app.queries.search.language import parse
from neuronym.neuron_name import NeuronName
from tests.app.spellings import SPELLINGS, Place

OPTIONS: dict[str, Any] = {
    "chat": False,
    "site": "up",
    "mode": "set",
    "watch": ["dog"],
    "values": "1,2",
} | dict.fromkeys(("start", "to", "steps"))


def in_the_search_box(text: str) -> Place | None:
    """The neuron that a search asks for."""
    return next(((name.layer, name.index) for name in parse(text).neurons), None)


def in_the_form(text: str) -> Place | None:
    """The neuron that the posted form of the playground clamps."""
    fields: list[tuple[str, str | UploadFile]] = [
        ("kind", "prompt"),
        ("text", "A"),
        ("neuron", text),
        ("site", "up"),
        ("mode", "set"),
        ("value", "1"),
    ]
    return clamped(from_form(FormData(fields)))


def in_a_link(text: str) -> Place | None:
    """The neuron that a link to the playground clamps."""
    return clamped(from_address(QueryParams({"prompt": "A", "clamp": f"{text}:up:set:1"}), {}))


def clamped(composition: Composition) -> Place | None:
    """The neuron that the form names, and the one the worker is asked to clamp: they are one."""
    name = composition.rows[0].neuron_name()
    if name is None:
        return None
    (clamp,) = to_request(composition, []).clamps
    assert (clamp.layer, clamp.index) == (name.layer, name.index)
    return clamp.layer, clamp.index


def on_the_command_line(text: str) -> Place | None:
    """The neuron that the command clamps."""
    try:
        (clamp,) = sweep_body(text, "A", **OPTIONS)["clamps"]
    except UsageError as error:
        assert error.message == f"“{text}” is not a neuron; write it as L29N808."
        return None
    return clamp["layer"], clamp["index"]


@pytest.mark.parametrize("read", [in_the_search_box, in_the_form, in_a_link, on_the_command_line])
@pytest.mark.parametrize(("text", "place"), SPELLINGS.items())
def test_a_name_is_read_alike(read: Callable[[str], Place | None], text: str, place: Place | None) -> None:
    assert read(text) == place


def test_the_form_takes_what_is_read(client: TestClient) -> None:
    page = BeautifulSoup(client.get("/playground").text, "html.parser")
    (field,) = page.select("#clamps input[name=neuron]")
    taken = {text for text in SPELLINGS if re.fullmatch(str(field["pattern"]), text)}
    assert taken == {text for text, place in SPELLINGS.items() if place}


def test_a_name_is_written_as_it_is_read() -> None:
    assert str(NeuronName(22, 57)) == "L22N57"
    assert NeuronName.read(str(NeuronName(0, 999_999_999))) == NeuronName(0, 999_999_999)
    assert urls.named_neuron("tiny", "L22N57") == "/neurons/tiny/22/57"
    assert urls.named_side_by_side("a", "b", "L22N57") == "/compare/a/b/22/57"
