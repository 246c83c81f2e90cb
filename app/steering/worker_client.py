"""HTTP client of the worker service: one pool of connections, and failures turned into Problems.

Independent of clamps and of label files.
"""

from collections.abc import Mapping
from typing import TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from app.errors import Problem, Unavailable
from neuronym.contract import ErrorAnswer, WorkerStatus

_TIMEOUT = httpx2.Timeout(connect=5, read=None, write=30, pool=None)  # a generation may take as long as it takes
_PROBE = httpx2.Timeout(3)
UNKNOWN = "The worker sent what this version does not understand. App and worker must be of one version."
WorkerAnswer = TypeVar("WorkerAnswer", bound=BaseModel)


class WorkerAway(Unavailable):
    """The worker service cannot be reached, or broke off."""

    def __init__(self, *errors: str) -> None:
        super().__init__(*errors, retry_after=3)


class WorkerClient:
    """A pool of connections to the worker service at `url`; `headers` are sent with every request.

    Without a `url` every call raises WorkerAway.
    """

    def __init__(self, url: str | None, headers: Mapping[str, str] = {}) -> None:
        self.url = url
        self._http = httpx2.AsyncClient(
            base_url=url or "",
            headers=headers,
            timeout=_TIMEOUT,
            limits=httpx2.Limits(max_connections=None),  # the worker limits how many requests may wait
            trust_env=False,  # a proxy set for the outer world must not see prompts
        )

    async def post(self, path: str, content: str, *, stream: bool = False) -> httpx2.Response:
        """Send JSON; return the response, which has status 200 and with `stream` is still open.

        Raises:
            Problem: the worker's own refusal, or WorkerAway.
        """
        headers = {"Content-Type": "application/json"}
        response = await self._send(self._http.build_request("POST", path, content=content, headers=headers), stream)
        if response.status_code != 200:
            try:
                await response.aread()
            finally:
                await response.aclose()
            raise _refusal(response)
        return response

    async def readiness(self) -> None:
        """Return if the worker could run a clamp now; otherwise raise a Problem with its reason, or WorkerAway."""
        response = await self._send(self._http.build_request("GET", "/readyz", timeout=_PROBE))
        if response.status_code != 200:
            raise _refusal(response)

    async def status(self) -> WorkerStatus:
        """The worker's status. Raises WorkerAway when it does not answer or refuses the app's secret."""
        response = await self._send(self._http.build_request("GET", "/v1/status", timeout=_PROBE))
        if response.status_code != 200:
            raise _refusal(response)
        return parse_answer(response, WorkerStatus)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _send(self, request: httpx2.Request, stream: bool = False) -> httpx2.Response:
        if self.url is None:
            raise WorkerAway(
                "There is no worker. Start the app with `neuronym serve`, or name one with NEURONYM_WORKER_URL."
            )
        try:
            return await self._http.send(request, stream=stream)
        except httpx2.TransportError as error:
            raise WorkerAway(
                f"The worker at {self.url} does not answer. It may be starting; try again in a moment."
            ) from error


def parse_answer(response: httpx2.Response, kind: type[WorkerAnswer]) -> WorkerAnswer:
    """Parse a worker's answer as a `kind`; raise WorkerAway when it is something else."""
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise WorkerAway(UNKNOWN) from error


def _refusal(response: httpx2.Response) -> Problem:
    """Turn a worker's refusal into a Problem with its status, sentences and Retry-After."""
    retry = response.headers.get("Retry-After")
    try:
        errors = ErrorAnswer.model_validate_json(response.content).errors
    except ValidationError:
        errors = [f"The worker answered {response.status_code}."]
    if response.status_code == 401:  # the worker refuses the app's secret, not the client's token
        return WorkerAway(*errors)
    return Problem(*errors, status=response.status_code, headers={"Retry-After": retry} if retry else None)
