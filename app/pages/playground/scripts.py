"""A request of the playground as a script: a curl line for a shell, and Python that needs nothing installed."""

import json
import shlex
from typing import NamedTuple

from neuronym.contract import ClampRequest


class Scripts(NamedTuple):
    """The same request twice."""

    curl: str
    python: str


def scripts(asked: ClampRequest, origin: str, guarded: bool = False) -> Scripts:
    """How a program asks for this run at `origin`; a guarded one takes its token from the environment."""
    body = asked.model_dump(mode="json", exclude_defaults=True, exclude={"stream", "top_logprobs"})
    url = f"{origin.rstrip('/')}/api/v1/clamp"
    written = json.dumps(body, ensure_ascii=False)
    signed = ' -H "Authorization: Bearer $NEURONYM_TOKEN"' if guarded else ""
    also = ', "Authorization": "Bearer " + os.environ["NEURONYM_TOKEN"]' if guarded else ""
    return Scripts(
        f"curl -s {shlex.quote(url)} -H 'Content-Type: application/json'{signed} -d {shlex.quote(written)}",
        f"import json{', os' if guarded else ''}\n"
        "from urllib.request import Request, urlopen\n\n"
        f"body = json.loads({written!r})\n"
        f'call = Request({url!r}, json.dumps(body).encode(), {{"Content-Type": "application/json"{also}}})\n'
        "answer = json.load(urlopen(call))\n"
        'for name, run in answer["runs"].items():\n'
        '    print(name, repr(run["text"]))',
    )
