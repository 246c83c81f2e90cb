"""Refusals: exceptions that carry whole sentences, a status and headers.

Code below a route refuses a request by raising a `Problem`; `app.web.error_pages` turns it into JSON or a page. Of
HTTP this module knows only the status codes and headers.
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
        """Return the refusal as the JSON body that is sent."""
        return ErrorAnswer(error=str(self), errors=self.errors, status=self.status)


class NotFound(Problem):
    """The requested thing does not exist; the sentence names those that do."""

    status = 404


class Conflict(Problem):
    """Two existing things do not fit each other; the sentence names what differs, or how to make them fit."""

    status = 409


class Unprocessable(Problem):
    """A value in the request is invalid; the sentence names the field and what it may be."""

    status = 422


class Unavailable(Problem):
    """Something the request needs is missing for the moment; the client may try again after `retry_after` seconds."""

    status = 503

    def __init__(self, *errors: str, retry_after: int = 5) -> None:
        super().__init__(*errors, headers={"Retry-After": str(retry_after)})


def clip(text: str, length: int = 80) -> str:
    """Shorten text from outside so that it fits into a sentence."""
    return text if len(text) <= length else f"{text[:length]}…"
