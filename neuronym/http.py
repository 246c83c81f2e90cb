"""What every server here does: end work that nobody waits for, and say in sentences why a request is refused.

Knows a request and pydantic's errors; knows no question, no status line and no settings.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # the command line says sentences, too, and would take longer to start
    from starlette.requests import Request

T = TypeVar("T")
Place = tuple[int | str, ...]  # of a field in what was sent
CLIENT_GONE = 499  # the status of an answer that nobody reads; for the log

_MEMBER = re.compile(r"<\w+\.\w+: ('[^']*')>")  # how pydantic prints a member of an enumeration
_SUBJECTS = ("Input", "String", "List", "Value", "Number", "Dictionary")
_SHORT = 40  # characters of a value that are repeated to whoever sent it


class ClientGone(Exception):
    """Whoever asked has left."""


async def unless_gone(request: "Request", work: Awaitable[T]) -> T:
    """Wait for the result of `work`, and cancel it when the client leaves.

    Raises:
        ClientGone: it left.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone("The client left.")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait({working, leaving})


async def _disconnect(request: "Request") -> None:
    """Return when the client has left; its body has been read by then."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def dotted(place: Place) -> str:
    """A field as JSON and query parameters name it: clamps.0.layer."""
    return ".".join(map(str, place))


def as_variable(place: Place) -> str:
    """A setting as the environment names it; nothing for the settings as a whole."""
    return f"NEURONYM_{place[0]}".upper() if place else ""


def sentences(
    errors: Sequence[Mapping[str, Any]], skip: int = 0, *, named: Callable[[Place], str] = dotted, told: bool = True
) -> list[str]:
    """Say pydantic's errors, each once, in sentences that begin with the field and name what it may be.

    Args:
        skip: how many parts of an error's place are not the field's (FastAPI puts "query" in front).
        named: how whoever reads it knows a field; an empty name stands for the whole.
        told: whether what was sent is repeated. Not where it may be a secret.
    """
    return list(dict.fromkeys(_sentence(error, named(tuple(error["loc"][skip:])), told) for error in errors))


def _sentence(error: Mapping[str, Any], name: str, told: bool) -> str:
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
    return f"{said}{_given(error.get('input')) if told else ''}."


def _said_of(name: str, message: str) -> str:
    """Pydantic's `Input should be ...`, said of the field."""
    subject, _, rest = message.partition(" ")
    return f"{name} {rest}" if subject in _SUBJECTS and rest.startswith("should") else f"{name}: {message}"


def _given(value: Any) -> str:
    """What was sent instead, where that is short enough to be said."""
    if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= _SHORT):
        return f", not {value!r}"
    return ""
