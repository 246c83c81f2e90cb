"""A hub on 127.0.0.1 for tests: the HTTP of the Hugging Face hub that pushing and pulling need, over a real socket.

Written from what huggingface_hub sends and takes; without Xet. Files lie behind a redirect to another host, as on the
hub. Connections can be broken and bytes changed on their way.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from huggingface_hub import close_session, constants

from tests.local_hub.questions import Questions
from tests.local_hub.state import TOKENS, Dataset, Hub
from tests.local_hub.uploads import Uploads

__all__ = ["TOKENS", "Dataset", "Hub", "served_hub", "use_hub"]


class _Everything(Questions, Uploads):
    routes: ClassVar = {**Questions.routes, **Uploads.routes}


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def served_hub() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Everything,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        close_session()  # or its open connections would be waited for
        server.shutdown()
        server.server_close()
        thread.join()


def use_hub(hub: Hub, patch: pytest.MonkeyPatch, home: Path) -> None:
    """Have huggingface_hub use it, as HF_ENDPOINT would when that is imported, and keep to the folder `home`."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + template)
    patch.setattr(constants, "ENDPOINT", hub.address)
    patch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    patch.setattr(constants, "AGENT_HARNESSES_PATH", str(home / "harnesses"))
