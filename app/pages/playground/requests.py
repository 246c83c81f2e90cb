"""What the playground's form asks of the worker: requests, or a refusal that names each field that cannot be meant.

Knows the form's state and the contract; knows nothing of label files or of HTTP.
"""

import re
from collections.abc import Iterable
from itertools import cycle
from typing import Any, TypeVar

from pydantic import ValidationError

from app.errors import Unprocessable
from app.pages.playground.state import Composition, Row, number_of
from neuronym.contract import ClampRequest, ErrorAnswer, SweepRequest, TokenizeRequest
from neuronym.http import Place, dotted, sentences
from neuronym.neuron_name import EXAMPLE

Asked = TypeVar("Asked", ClampRequest, SweepRequest, TokenizeRequest)
ALTERNATIVES = 5  # to each token
_OF_A_CLAMP = re.compile(r"clamps\.(\d+)(?:\.(\w+))?(:?) ")


def to_request(composition: Composition, watch: Iterable[int | str]) -> ClampRequest:
    """The clamp that is asked for; Unprocessable names each field that cannot be meant."""
    clamps = [clamp_of(row, number) for number, row in enumerate(composition.rows, 1) if row.neuron or row.value]
    body: dict[str, Any] = {
        "model": composition.model,
        "clamps": clamps,
        "top_logprobs": ALTERNATIVES,
        "watch": list(watch),
        **composition.knobs,
        **_input(composition),
    }
    return _valid(ClampRequest, body)


def to_sweep(composition: Composition, watch: Iterable[int | str]) -> SweepRequest:
    """The sweep that is asked for; Unprocessable names each field that cannot be meant."""
    rows = [row for row in composition.rows if row.neuron or row.value]
    chosen = composition.sweep["sweep_clamp"]
    if not rows:
        raise Unprocessable("Give a clamp to sweep.")
    if not chosen.isdecimal() or not 1 <= int(chosen) <= len(rows):
        raise Unprocessable(f"Sweep: “{chosen}” is no clamp; there are clamps 1 to {len(rows)}.")
    place = int(chosen) - 1
    rows[place] = rows[place]._replace(value="0")
    tokens = list(watch)
    if not tokens:
        raise Unprocessable("Give a token to watch; these neurons have no name to watch by themselves.")
    body = {
        "model": composition.model,
        "clamps": [clamp_of(row, number) for number, row in enumerate(rows, 1)],
        "clamp": place,
        "values": {
            name: composition.sweep[f"sweep_{name}"].replace("\N{MINUS SIGN}", "-") for name in ("from", "to", "steps")
        },
        "watch": tokens,
        "positions": composition.knobs["positions"],
        "pair": bool(composition.sweep["sweep_pair"]),
        **_input(composition),
    }
    return _valid(SweepRequest, body)


def to_tokenize(composition: Composition) -> TokenizeRequest:
    """The question for the tokens of the input; no model is loaded for it. Unprocessable: too long for any."""
    given = _input(composition)
    return _valid(
        TokenizeRequest,
        {
            "model": composition.model,
            "text": given.get("prompt"),
            "messages": given.get("messages"),
            "load": False,
        },
    )


def _input(composition: Composition) -> dict[str, Any]:
    if composition.kind == "prompt":
        return {"prompt": composition.text}
    turns = zip(cycle(("user", "assistant")), (*composition.earlier, composition.text), strict=False)
    said = [("system", composition.system), *turns] if composition.system else turns
    return {"messages": [{"role": role, "content": content} for role, content in said]}


def _valid(kind: type[Asked], body: dict[str, Any]) -> Asked:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise Unprocessable(*sentences(error.errors(), named=_named)) from None


def clamp_of(row: Row, number: int) -> dict[str, Any]:
    """One clamp of a request; Unprocessable names the row."""
    name = row.neuron_name()
    if name is None:
        raise Unprocessable(f"Clamp {number}: “{row.neuron}” is not a neuron; write it as {EXAMPLE}.")
    value = number_of(row.value)
    if value is None:
        raise Unprocessable(f"Clamp {number}: give {row.neuron} a number as its value.")
    return {"layer": name.layer, "index": name.index, "site": row.site, "mode": row.mode, "value": value}


def in_words(refusal: ErrorAnswer, composition: Composition) -> ErrorAnswer:
    """A refusal of the request as the form names its fields: `clamps.0.layer` is the first clamp that is filled in."""
    filled = [number for number, row in enumerate(composition.rows, 1) if row.neuron or row.value]

    def named(found: re.Match[str]) -> str:
        place = int(found[1])
        clamp = f"Clamp {filled[place] if place < len(filled) else place + 1}"
        if not found[2]:
            return f"{clamp}{found[3]} "
        return f"{clamp}, {found[2]}: " if found[3] else f"{clamp}: {found[2]} "

    errors = [_OF_A_CLAMP.sub(named, error).replace("send `prompt`", "choose plain text") for error in refusal.errors]
    errors = [error[:1].upper() + error[1:] for error in errors]
    return refusal.model_copy(update={"errors": errors, "error": " ".join(errors)})


def _named(place: Place) -> str:
    """A clamp's field as the API names it, so that `in_words` finds it; any other in words."""
    if place[:1] == ("clamps",):
        return dotted(place)
    words = " ".join(str(part + 1) if isinstance(part, int) else part.replace("_", " ") for part in place)
    return words[:1].upper() + words[1:]
