"""What a local hub answers to those who ask and pull: who they are, repositories, models, files."""

import hashlib
import re
from typing import Any, ClassVar

import yaml

from tests.local_hub.answers import Answers
from tests.local_hub.state import blob_hash
from tests.local_hub.uploads import NAME


class Questions(Answers):
    """The answers to asking and pulling."""

    routes: ClassVar = {
        ("GET", "/api/whoami-v2"): "whoami",
        ("GET", f"/api/datasets/{NAME}"): "dataset_info",
        ("GET", f"/api/datasets/{NAME}/revision/([^/]+)"): "dataset_info",
        ("GET", f"/api/models/{NAME}/revision/([^/]+)"): "model_info",
        ("GET", f"/datasets/{NAME}/resolve/([^/]+)/(.+)"): "resolve",
        ("GET", f"/files/{NAME}/([^/]+)/(.+)"): "file",
    }

    def whoami(self) -> None:
        self.send({"name": self.user, "type": "user"}, 200 if self.user else 401)

    def dataset_info(self, name: str, revision: str | None = None) -> None:
        dataset, commit = self.dataset(name, revision)
        if not dataset:
            return
        files = dataset.commits[commit]
        found = re.match(r"---\n(.*?)\n---\n", files.get("README.md", b"").decode(), re.DOTALL)
        siblings: list[dict[str, Any]] = []
        for file, content in files.items():
            blob = blob_hash(content)
            one: dict[str, Any] = {"rfilename": file, "size": len(content), "blobId": blob}
            if self.hub.is_lfs(file):
                digest = hashlib.sha256(content).hexdigest()
                size = self.hub.stated_size or len(content)
                one["lfs"] = {"sha256": digest, "size": size, "pointerSize": 130}
            siblings.append(one)
        card = yaml.safe_load(found[1]) if found else None
        facts = {"id": name, "sha": commit, "private": dataset.private, "gated": dataset.gated and "manual"}
        self.send({**facts, "cardData": card, "siblings": siblings})

    def model_info(self, name: str, _: str) -> None:
        model = self.hub.models.get(name)
        if model is None:
            self.send({}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        self.send({"id": name, "gated": False, "private": False, "siblings": [], **model})

    def resolve(self, name: str, revision: str, file: str) -> None:
        dataset, commit = self.dataset(name, revision)
        if not dataset:
            return
        if dataset.gated:
            self.send({}, 403, {"X-Error-Code": "GatedRepo"})
            return
        elsewhere = self.hub.address.replace("127.0.0.1", "localhost")
        self.send({}, 302, {"Location": f"{elsewhere}/files/{name}/{commit}/{file}"})

    def file(self, name: str, commit: str, file: str) -> None:
        self.hub.secrets_to_storage += "Authorization" in self.headers
        content = self.hub.datasets[name].commits[commit][file]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if self.hub.change_byte is not None:
            place = self.hub.change_byte
            content = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        rest = memoryview(content)[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        limit = self.hub.break_after.pop(0) if self.hub.break_after else len(rest)
        self.hub.sent += len(rest[:limit])
        self.wfile.write(rest[:limit])
        if limit < len(rest):
            self.break_off()
