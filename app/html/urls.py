"""The addresses of pages, of their JSON twins and of static files.

A page has the path of its API twin without `/api/v1`. Parameters at their default are left out, so that one question
has one address.

"""

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from app.queries.params import Question
from neuronym.neuron_name import NeuronName
from neuronym.settings import ROOT

API = "/api/v1"
HOME = "/"
EXPORT = "/export/labels.{format}"
SEARCH = "/search"
TOKENS = "/tokens"
MODELS = "/models"
COMPARE = "/compare"
PLAYGROUND = "/playground"
METHOD = "/method"
DOCS = "/docs"
SIGN_IN = "/sign-in"
MAPPING = "/mapping"
NOTHING = "nothing"  # what a page has seen that waits for the first names
READABLE = ":,?/"  # characters a query may hold unescaped
TRUSTED_FIRST = {"sort": "trust"}  # how pages sort a search by default; the API sorts by z
LONGEST = 6_000  # characters; every browser, proxy and chat window carries an address as long


def _segment(value: object) -> str:
    return quote(str(value), safe="")


def with_query(path: str, parameters: Mapping[str, Any]) -> str:
    """`path` with the parameters that have a value; a list repeats its name, and may hold empty texts."""
    pairs: list[tuple[str, str]] = []
    for name, value in parameters.items():
        if isinstance(value, list | tuple):
            pairs += [(name, str(item)) for item in value]
        elif value is not None and value != "":
            pairs.append((name, str(value).lower() if isinstance(value, bool) else str(value)))
    query = urlencode(pairs, quote_via=quote, safe=READABLE)
    return f"{path}?{query}" if query else path


def question_address(path: str, question: Question, **changes: Any) -> str:
    """The address of a question with some of its parameters changed; None removes a parameter."""
    return with_query(path, question.model_dump(mode="json", exclude_defaults=True) | changes)


def sign_in(then: str | None = None) -> str:
    """The sign-in page, which leads on to `then` unless that address is too long to be carried."""
    return with_query(SIGN_IN, {"then": then if len(then or "") < LONGEST else None})


def mapping(seen: str, said: bool = False) -> str:
    """What is being mapped, for a page that shows the library in the state `seen`."""
    return with_query(MAPPING, {"seen": seen, "said": said or None})


def search(text: str = "", **parameters: Any) -> str:
    """Search results for a text of the search language, trusted labels first."""
    return with_query(SEARCH, {"q": text} | parameters | TRUSTED_FIRST)


def export(form: str, question: Question | None = None, **changes: Any) -> str:
    """All results of a question as a file of the format `form`, without the limits of a page."""
    path = EXPORT.format(format=form)
    return (
        question_address(path, question, limit=None, offset=None, **changes) if question else with_query(path, changes)
    )


def exactly(text: str, **parameters: Any) -> str:
    """Search results for exactly this token text, trusted labels first."""
    return search('"' + text.replace('"', '""') + '"', **parameters)


def model(name: str) -> str:
    """A model's page."""
    return f"{MODELS}/{_segment(name)}"


def neuron(model: str, layer: int, index: int) -> str:
    """A neuron's page."""
    return f"/neurons/{_segment(model)}/{layer}/{index}"


def named_neuron(model: str, name: str) -> str:
    """The page of a neuron whose name is written as `L22N57`."""
    parsed = _parse_name(name)
    return neuron(model, parsed.layer, parsed.index)


def layer(model: str, number: int, **parameters: Any) -> str:
    """A layer's page."""
    return with_query(f"/layers/{_segment(model)}/{number}", parameters)


def token(tokenizer: str, token_id: int) -> str:
    """A token's page."""
    return f"{TOKENS}/{_segment(tokenizer)}/{token_id}"


def compare(base: str, instruct: str) -> str:
    """The comparison of a base model with its instruct model."""
    return f"{COMPARE}/{_segment(base)}/{_segment(instruct)}"


def side_by_side(base: str, instruct: str, layer: int, index: int) -> str:
    """The page of one neuron in both models of a pair."""
    return f"{compare(base, instruct)}/{layer}/{index}"


def named_side_by_side(base: str, instruct: str, name: str) -> str:
    """The page of one neuron in both models of a pair; its name is written as `L22N57`."""
    parsed = _parse_name(name)
    return side_by_side(base, instruct, parsed.layer, parsed.index)


def _parse_name(name: str) -> NeuronName:
    """Read a name that the app itself wrote; any other is a bug."""
    parsed = NeuronName.read(name)
    assert parsed is not None, name
    return parsed


def changed(base: str, instruct: str, **parameters: Any) -> str:
    """The list of neurons whose label changed between the models of a pair."""
    return with_query(f"{compare(base, instruct)}/changed", parameters)


def concepts(base: str, instruct: str, **parameters: Any) -> str:
    """The list of tokens that the names of a pair gained and lost."""
    return with_query(f"{compare(base, instruct)}/concepts", parameters)


def playground(**parameters: Any) -> str:
    """The playground with its form filled in."""
    return with_query(PLAYGROUND, parameters)


def twin(address: str) -> str:
    """The JSON twin of a page address."""
    return API + address


@cache
def static(name: str) -> str:
    """A file of frontend/static; the address carries the content's hash so that browsers may cache it for good."""
    content = (ROOT / "frontend" / "static" / name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:10]}"


def htmx(name: str) -> str:
    """A file of the htmx package."""
    return f"/static/htmx/{name}"
