"""The processes beside the app, and which starts when.

Where a first mapping is due, that comes first and has the machine for itself: the worker loads its model once there is
one to load, and measuring waits until all is mapped.
"""

import logging
import secrets
from collections.abc import Mapping

from pydantic import SecretStr

from app.cli.first_mapping import FirstMapping
from app.cli.supervisor import Supervisor, free_port, map_command, measure_command, worker_command
from app.labelfile.mapping_status import MappingStatus
from neuronym.access import reveal
from neuronym.contract import MappingStepBegun, Published
from neuronym.settings import Settings

log = logging.getLogger(__name__)


class Processes:
    """The worker unless the settings name one, and with it the first mapping and the measuring, where they are wanted.

    `settings` are those of the app, which name the worker; `mapping` is the state of the first mapping.
    """

    def __init__(self, settings: Settings, measure: bool = False, first: FirstMapping | None = None) -> None:
        self.settings = settings
        self.mapping = MappingStatus()
        self._first = first if first and first.is_due else None
        self._worker: Supervisor | None = None
        self._measuring: Supervisor | None = None
        self._mapper: Supervisor | None = None
        if settings.worker_url is None:
            port, secret = free_port(), SecretStr(secrets.token_urlsafe())
            named = {"worker_url": f"http://127.0.0.1:{port}", "worker_secret": secret}
            self.settings = settings.model_copy(update=named)
            self._worker = Supervisor(worker_command(port), environment=self._environment)
        if measure:
            self._measuring = Supervisor(measure_command(), once=True, environment=self._environment)
        if self._first:
            command = map_command(self._first.asked)
            self._mapper = Supervisor(command, once=True, read=self._read, ended=self._end)
            self.mapping.begin(self._first.asked)

    def start(self) -> None:
        """Start what is to run now; the rest follows by itself."""
        if self._first is None or not self._first.is_first:
            _start(self._worker)
        if self._first is None:
            _start(self._measuring)
        else:
            self._first.begin()
            _start(self._mapper)

    def stop(self) -> None:
        """End all of them, and wait until they have ended; the mapping before those that it starts."""
        for process in (self._mapper, self._worker, self._measuring):
            if process:
                process.stop()

    def _read(self, text: str) -> None:
        line = self.mapping.read(text)
        if isinstance(line, MappingStepBegun) and self.mapping.current:
            log.info("%s", self.mapping.current.now)
        if isinstance(line, Published):
            log.info("published as run %s", line.published)
            _start(self._worker)

    def _end(self, code: int) -> None:
        self.mapping.end(code)
        _start(self._worker)
        if self._first and code == 0:
            self._first.end()
            _start(self._measuring)

    @property
    def _environment(self) -> Mapping[str, str]:
        """The environment variables that tell processes beside the app how to reach the worker.

        Not on their command line, where others on the machine could read the secret.
        """
        return {
            "NEURONYM_WORKER_URL": self.settings.worker_url or "",
            "NEURONYM_WORKER_SECRET": reveal(self.settings.worker_secret) or "",
        }


def _start(process: Supervisor | None) -> None:
    if process:
        process.start()
