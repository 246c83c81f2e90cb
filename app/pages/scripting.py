"""A request of the playground as a script: a curl line for a shell, and Python that needs nothing installed."""

import json
import shlex
from typing import NamedTuple

from app.contract import ClampRequest


class Scripts(NamedTuple):
    """The same request twice."""

    curl: str
    python: str


def scripts(asked: ClampRequest, origin: str) -> Scripts:
    """How a program asks for this run at `origin`."""
    body = asked.model_dump(mode="json", exclude_defaults=True, exclude={"stream", "top_logprobs"})
    url = f"{origin.rstrip('/')}/api/v1/clamp"
    written = json.dumps(body, ensure_ascii=False)
    return Scripts(
        f"curl -s {shlex.quote(url)} -H 'Content-Type: application/json' -d {shlex.quote(written)}",
        "import json\n"
        "from urllib.request import Request, urlopen\n\n"
        f"body = json.loads({written!r})\n"
        f'call = Request({url!r}, json.dumps(body).encode(), {{"Content-Type": "application/json"}})\n'
        "answer = json.load(urlopen(call))\n"
        'for name, run in answer["runs"].items():\n'
        '    print(name, repr(run["text"]))',
    )
