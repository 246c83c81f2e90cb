"""The worker requests that the playground's form stands for, and refusals in the words of the form.

Knows the form's state and the contract; knows nothing of label files or of HTTP.

"""

import re
from collections.abc import Iterable
from itertools import cycle
from typing import Any, TypeVar

from pydantic import ValidationError

from app.errors import Unprocessable
from app.pages.playground.state import ClampRow, Composition, number_of
from neuronym.contract import ClampRequest, ErrorAnswer, SweepRequest, TokenizeRequest
from neuronym.http import FieldPath, dotted_name, sentences
from neuronym.neuron_name import EXAMPLE

RequestType = TypeVar("RequestType", ClampRequest, SweepRequest, TokenizeRequest)
ALTERNATIVES = 5  # likeliest tokens shown at each place
_CLAMP_FIELD = re.compile(r"clamps\.(\d+)(?:\.(\w+))?(:?) ")


def to_request(composition: Composition, watch: Iterable[int | str]) -> ClampRequest:
    """The clamp request of the form; Unprocessable names each field with an invalid value."""
    clamps = [clamp_body(row, number) for number, row in enumerate(composition.rows, 1) if row.neuron or row.value]
    body: dict[str, Any] = {
        "model": composition.model,
        "clamps": clamps,
        "top_logprobs": ALTERNATIVES,
        "watch": list(watch),
        **composition.knobs,
        **_model_input(composition),
    }
    return _validate(ClampRequest, body)


def to_sweep(composition: Composition, watch: Iterable[int | str]) -> SweepRequest:
    """The sweep request of the form; Unprocessable names each field with an invalid value."""
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
        "clamps": [clamp_body(row, number) for number, row in enumerate(rows, 1)],
        "clamp": place,
        "values": {
            name: composition.sweep[f"sweep_{name}"].replace("\N{MINUS SIGN}", "-") for name in ("from", "to", "steps")
        },
        "watch": tokens,
        "positions": composition.knobs["positions"],
        "pair": bool(composition.sweep["sweep_pair"]),
        **_model_input(composition),
    }
    return _validate(SweepRequest, body)


def to_tokenize(composition: Composition) -> TokenizeRequest:
    """The request for the tokens of the input, for which no model is loaded. Unprocessable: the input is too long."""
    model_input = _model_input(composition)
    return _validate(
        TokenizeRequest,
        {
            "model": composition.model,
            "text": model_input.get("prompt"),
            "messages": model_input.get("messages"),
            "load": False,
        },
    )


def _model_input(composition: Composition) -> dict[str, Any]:
    if composition.kind == "prompt":
        return {"prompt": composition.text}
    turns = zip(cycle(("user", "assistant")), (*composition.earlier, composition.text), strict=False)
    messages = [("system", composition.system), *turns] if composition.system else turns
    return {"messages": [{"role": role, "content": content} for role, content in messages]}


def _validate(kind: type[RequestType], body: dict[str, Any]) -> RequestType:
    """Check a request; Unprocessable has a sentence on each invalid field."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise Unprocessable(*sentences(error.errors(), field_name=_field_name)) from None


def clamp_body(row: ClampRow, number: int) -> dict[str, Any]:
    """The JSON of one clamp; Unprocessable names the row that is invalid."""
    name = row.neuron_name()
    if name is None:
        raise Unprocessable(f"Clamp {number}: “{row.neuron}” is not a neuron; write it as {EXAMPLE}.")
    value = number_of(row.value)
    if value is None:
        raise Unprocessable(f"Clamp {number}: give {row.neuron} a number as its value.")
    return {"layer": name.layer, "index": name.index, "site": row.site, "mode": row.mode, "value": value}


def reword_refusal(refusal: ErrorAnswer, composition: Composition) -> ErrorAnswer:
    """Reword a refusal in the names of the form's fields.

    The request leaves empty rows out: `clamps.0.layer` is the layer of the first row that is filled in.
    """
    filled = [number for number, row in enumerate(composition.rows, 1) if row.neuron or row.value]

    def name_clamp(match: re.Match[str]) -> str:
        place = int(match[1])
        clamp = f"Clamp {filled[place] if place < len(filled) else place + 1}"
        if not match[2]:
            return f"{clamp}{match[3]} "
        return f"{clamp}, {match[2]}: " if match[3] else f"{clamp}: {match[2]} "

    errors = [_CLAMP_FIELD.sub(name_clamp, error) for error in refusal.errors]
    errors = [error.replace("send `prompt`", "choose plain text") for error in errors]
    errors = [error[:1].upper() + error[1:] for error in errors]
    return refusal.model_copy(update={"errors": errors, "error": " ".join(errors)})


def _field_name(place: FieldPath) -> str:
    """The name of a field in a sentence: a clamp's as the API has it, for `reword_refusal`; any other in words."""
    if place[:1] == ("clamps",):
        return dotted_name(place)
    words = " ".join(str(part + 1) if isinstance(part, int) else part.replace("_", " ") for part in place)
    return words[:1].upper() + words[1:]
