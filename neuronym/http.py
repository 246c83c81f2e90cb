"""What app and worker share as servers: ending work when the client leaves, and pydantic's errors as sentences."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # the command line imports this module, too, and would take longer to start
    from starlette.requests import Request

T = TypeVar("T")
FieldPath = tuple[int | str, ...]  # the keys and indices that lead to a field of the input
CLIENT_GONE = 499  # the status, for the log, of a request whose client has left

_MEMBER = re.compile(r"<\w+\.\w+: ('[^']*')>")  # how pydantic prints a member of an enumeration
_SUBJECTS = ("Input", "String", "List", "Value", "Number", "Dictionary")
_LONGEST_REPEATED = 40  # characters of a value that a sentence repeats


class ClientGone(Exception):
    """The client left before it had its answer."""


async def cancel_if_client_leaves(request: "Request", work: Awaitable[T]) -> T:
    """Wait for the result of `work`, and cancel it when the client leaves.

    Raises:
        ClientGone: the client left; `work` has ended.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone("The client left.")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait({working, leaving})


async def _wait_for_disconnect(request: "Request") -> None:
    """Return when the client has left. The body of the request must have been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def dotted_name(path: FieldPath) -> str:
    """The name of a field in JSON and query parameters: clamps.0.layer."""
    return ".".join(map(str, path))


def variable_name(path: FieldPath) -> str:
    """The environment variable of a setting; empty for the settings as a whole."""
    return f"NEURONYM_{path[0]}".upper() if path else ""


def sentences(
    errors: Sequence[Mapping[str, Any]],
    skip: int = 0,
    *,
    field_name: Callable[[FieldPath], str] = dotted_name,
    repeat_input: bool = True,
) -> list[str]:
    """Write pydantic's errors, each once, as sentences that begin with the field and say what it may be.

    Args:
        skip: how many leading parts of an error's path are not the field's (FastAPI puts "query" in front).
        field_name: gives the name of a field as the reader knows it; an empty name stands for the whole input.
        repeat_input: whether sentences repeat the invalid value; False where it may be a secret.
    """
    return list(
        dict.fromkeys(_sentence(error, field_name(tuple(error["loc"][skip:])), repeat_input) for error in errors)
    )


def _sentence(error: Mapping[str, Any], name: str, repeat_input: bool) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "json_invalid":
        return f"The body is not JSON: {context['error']}."
    if kind in ("model_attributes_type", "model_type", "dict_type") and not name:
        return "The body should be a JSON object, sent with Content-Type: application/json."
    if kind == "value_error":
        message = str(context["error"])
        return f"{name}: {message}." if name else f"{message[:1].upper()}{message[1:]}."
    if kind == "missing":
        return f"{name or 'The body'} is missing."
    if kind == "extra_forbidden":
        return f"{name} is not known here; /docs lists what is."
    statement = _statement(name, _MEMBER.sub(r"\1", error["msg"]))
    return f"{statement}{_repeated(error.get('input')) if repeat_input else ''}."


def _statement(name: str, message: str) -> str:
    """Pydantic's message with the field as its subject: `Input should be ...` becomes `clamps should be ...`."""
    subject, _, rest = message.partition(" ")
    return f"{name} {rest}" if subject in _SUBJECTS and rest.startswith("should") else f"{name}: {message}"


def _repeated(value: Any) -> str:
    """The end of a sentence that repeats an invalid value; empty for long values and for objects."""
    if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= _LONGEST_REPEATED):
        return f", not {value!r}"
    return ""
