"""One error shape for every failure: JSON for programs, a page for people.

A `Problem` carries whole sentences. Raising one anywhere below a route is how a request is refused; the handlers here
also turn the framework's own errors into Problems. Nothing outside this module builds an error answer.
"""

from collections.abc import Mapping

from app.contract import ErrorAnswer


class Problem(Exception):
    """A refusal with its status and one sentence or more, each naming the mend where there is one."""

    status = 500

    def __init__(self, *errors: str, status: int | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__("; ".join(errors))
        self.errors = list(errors)
        self.status = status or self.status
        self.headers = dict(headers or {})

    def answer(self) -> ErrorAnswer:
        """The wire form."""
        return ErrorAnswer(error=str(self), errors=self.errors, status=self.status)


class NotFound(Problem):
    """What was asked for is not in the label file; the sentence names what is."""

    status = 404


class Unprocessable(Problem):
    """The request cannot be meant; the sentence names the field and what it may be."""

    status = 422


class Unavailable(Problem):
    """Something this needs is not there at the moment."""

    status = 503

    def __init__(self, *errors: str, retry_after: int = 5) -> None:
        super().__init__(*errors, headers={"Retry-After": str(retry_after)})
