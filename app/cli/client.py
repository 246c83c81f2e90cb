"""HTTP requests to a running Neuronym, for commands that need its worker. Its refusals are raised as Problems."""

from collections.abc import Mapping
from typing import Any

import httpx2

from app.errors import Problem, Unavailable

_TIMEOUT = httpx2.Timeout(connect=5, read=None, write=30, pool=None)  # the worker may have a queue


def post(server: str, path: str, body: dict[str, Any], headers: Mapping[str, str] = {}) -> dict[str, Any]:
    """Send a POST with `headers` to `server`; return the JSON it answers.

    Raises:
        Problem: the server refuses the request, or nothing there answers as Neuronym.
    """
    try:
        response = httpx2.post(server.rstrip("/") + path, json=body, headers=headers, timeout=_TIMEOUT, trust_env=False)
        answer: dict[str, Any] = response.json()
    except (httpx2.TransportError, httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        raise Unavailable(
            f"Nobody answers at {server}. Start `neuronym serve`, or name a server with --server."
        ) from None
    except ValueError:
        raise Unavailable(f"What answers at {server} is not Neuronym.") from None
    if not response.is_success:
        raise Problem(
            *answer.get("errors", [f"{server} answered {response.status_code}."]), status=response.status_code
        )
    return answer
