"""Yielding to users: long work runs at low priority, and pauses while the worker service runs a clamp.

Knows the worker service's address; knows nothing of the work.
"""

import os
import time
from collections.abc import Mapping

import httpx2
from pydantic import ValidationError

from neuronym.contract import WorkerStatus

NICE = 10
LOOK_AGAIN = 0.5  # seconds
PATIENCE = 5.0


def give_way() -> None:
    """Lower the priority of this process, so that it uses the processor only when it is idle."""
    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))


class Polite:
    """Waits, when called, until the worker service at `url` runs no clamp; returns at once if it cannot be reached."""

    def __init__(self, url: str, headers: Mapping[str, str] = {}) -> None:
        self._status = f"{url.rstrip('/')}/v1/status"
        self._headers = headers

    def __call__(self) -> None:
        while self._busy():
            time.sleep(LOOK_AGAIN)

    def _busy(self) -> bool:
        try:
            answer = httpx2.get(self._status, headers=self._headers, timeout=PATIENCE)
            status = WorkerStatus.model_validate_json(answer.raise_for_status().content)
        except (httpx2.HTTPError, ValidationError):
            return False
        return status.running + status.waiting > 0
