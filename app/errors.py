"""Refusals: an exception that carries whole sentences, a status and headers.

Raising a `Problem` anywhere below a route is how a request is refused; `app.web.error_pages` turns it into JSON or a
page. This module knows nothing of HTTP beyond the numbers.
"""

from collections.abc import Mapping

from neuronym.contract import ErrorAnswer


class Problem(Exception):
    """A refusal with its status and one sentence or more, each naming the mend where there is one."""

    status = 500

    def __init__(self, *errors: str, status: int | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(" ".join(errors))
        self.errors = list(errors)
        self.status = status or self.status
        self.headers = dict(headers or {})

    def answer(self) -> ErrorAnswer:
        """The wire form."""
        return ErrorAnswer(error=str(self), errors=self.errors, status=self.status)


class NotFound(Problem):
    """What was asked for is not there; the sentence names what is."""

    status = 404


class Conflict(Problem):
    """Things that are there do not fit each other; the sentence names what differs, or how to make them fit."""

    status = 409


class Unprocessable(Problem):
    """The request cannot be meant; the sentence names the field and what it may be."""

    status = 422


class Unavailable(Problem):
    """Something this needs is not there at the moment."""

    status = 503

    def __init__(self, *errors: str, retry_after: int = 5) -> None:
        super().__init__(*errors, headers={"Retry-After": str(retry_after)})


def clip(text: str, length: int = 80) -> str:
    """Text from outside, short enough to stand in a sentence."""
    return text if len(text) <= length else f"{text[:length]}…"
