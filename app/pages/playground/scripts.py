"""A request of the playground as a script: a curl line for a shell, and Python that needs nothing installed."""

import json
import shlex
from typing import NamedTuple

from neuronym.contract import ClampRequest


class Scripts(NamedTuple):
    """One clamp request, written for two languages."""

    curl: str
    python: str


def scripts(request: ClampRequest, origin: str, guarded: bool = False) -> Scripts:
    """Scripts that send the request to `origin`; a `guarded` one reads the access key from the environment."""
    body = request.model_dump(mode="json", exclude_defaults=True, exclude={"stream", "top_logprobs"})
    url = f"{origin.rstrip('/')}/api/v1/clamp"
    body_json = json.dumps(body, ensure_ascii=False)
    curl_header = ' -H "Authorization: Bearer $NEURONYM_TOKEN"' if guarded else ""
    python_header = ', "Authorization": "Bearer " + os.environ["NEURONYM_TOKEN"]' if guarded else ""
    return Scripts(
        f"curl -s {shlex.quote(url)} -H 'Content-Type: application/json'{curl_header} -d {shlex.quote(body_json)}",
        f"import json{', os' if guarded else ''}\n"
        "from urllib.request import Request, urlopen\n\n"
        f"body = json.loads({body_json!r})\n"
        f'call = Request({url!r}, json.dumps(body).encode(), {{"Content-Type": "application/json"{python_header}}})\n'
        "answer = json.load(urlopen(call))\n"
        'for name, run in answer["runs"].items():\n'
        '    print(name, repr(run["text"]))',
    )
