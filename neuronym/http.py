"""Validation errors as sentences that begin with the field and name what it may be.

Knows pydantic's errors; knows nothing of HTTP or of the command line.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_MEMBER = re.compile(r"<\w+\.\w+: ('[^']*')>")  # how pydantic prints a member of an enumeration
_SUBJECTS = ("Input", "String", "List", "Value", "Number", "Dictionary")
_SHORT = 40  # characters of a value that are repeated to whoever sent it


def sentences(errors: Sequence[Mapping[str, Any]], skip: int = 0) -> list[str]:
    """Each error once; `skip` is how many parts of its place are not the field's (FastAPI puts "query" in front)."""
    return list(dict.fromkeys(_sentence(error, skip) for error in errors))


def _sentence(error: Mapping[str, Any], skip: int) -> str:
    place = error["loc"]
    name = ".".join(map(str, place[skip:]))
    kind, context = error["type"], error.get("ctx", {})
    if kind == "json_invalid":
        return f"The body is not JSON: {context['error']}."
    if kind in ("model_attributes_type", "model_type", "dict_type") and not name:
        return "The body should be a JSON object, sent with Content-Type: application/json."
    if kind == "value_error":
        said = str(context["error"])
        return f"{name}: {said}." if name else f"{said[:1].upper()}{said[1:]}."
    if kind == "missing":
        return f"{name or 'The body'} is missing."
    if kind == "extra_forbidden":
        return f"{name} is not known here; /docs lists what is."
    said = _said_of(name, _MEMBER.sub(r"\1", error["msg"]))
    return f"{said}{_given(error.get('input'))}."


def _said_of(name: str, message: str) -> str:
    """Pydantic's `Input should be ...`, said of the field."""
    subject, _, rest = message.partition(" ")
    return f"{name} {rest}" if subject in _SUBJECTS and rest.startswith("should") else f"{name}: {message}"


def _given(value: Any) -> str:
    """What was sent instead, where that is short enough to be said."""
    if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= _SHORT):
        return f", not {value!r}"
    return ""
