"""What a local hub answers to those who push: repositories, files by LFS, commits."""

import base64
import hashlib
import json
from typing import Any, ClassVar

import yaml

from tests.local_hub.answers import Answers
from tests.local_hub.state import Dataset, blob_hash

NAME = r"([^/]+/[^/]+)"


class Uploads(Answers):
    """The answers to pushing."""

    routes: ClassVar = {
        ("POST", "/api/repos/create"): "create",
        ("POST", "/api/validate-yaml"): "check_card",
        ("POST", f"/api/datasets/{NAME}/preupload/([^/]+)"): "modes",
        ("POST", f"/datasets/{NAME}.git/info/lfs/objects/batch"): "batch",
        ("PUT", "/storage/([0-9a-f]+)"): "store",
        ("PUT", r"/storage/([0-9a-f]+)/(\d+)"): "store",
        ("POST", "/complete/([0-9a-f]+)"): "complete",
        ("POST", "/verify"): "verify",
        ("POST", f"/api/datasets/{NAME}/commit/([^/]+)"): "commit",
    }

    def create(self) -> None:
        wanted = json.loads(self.body())
        owner = wanted["organization"] or self.user
        name = f"{owner}/{wanted['name']}"
        assert wanted["type"] == "dataset" and wanted["visibility"] in ("private", "public")
        if owner != self.user:
            self.send({"error": f"You don't have the rights to create a dataset under {owner}"}, 403)
            return
        self.hub.datasets[name] = Dataset(private=wanted["visibility"] == "private")
        self.hub.datasets[name].commit({".gitattributes": b"*.duckdb filter=lfs\n"}, "initial commit")
        self.send({"url": f"{self.hub.address}/datasets/{name}", "name": name})

    def check_card(self) -> None:
        header = json.loads(self.body())["content"].split("---\n")[1]
        assert isinstance(yaml.safe_load(header), dict)
        self.send({"errors": [], "warnings": []})

    def modes(self, name: str, revision: str) -> None:
        dataset, commit = self.dataset(name, revision, writing=True)
        wanted = json.loads(self.body())["files"]
        if dataset:
            there = dataset.commits[commit]
            self.send({"files": [self._mode(one["path"], there.get(one["path"])) for one in wanted]})

    def _mode(self, path: str, there: bytes | None) -> dict[str, Any]:
        lfs = self.hub.is_lfs(path)
        oid = None if there is None else hashlib.sha256(there).hexdigest() if lfs else blob_hash(there)
        return {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False, "oid": oid}

    def batch(self, _: str) -> None:
        objects = json.loads(self.body())["objects"]
        self.send({"transfer": "basic", "objects": [self._upload_action(one) for one in objects]})

    def _upload_action(self, one: dict[str, Any]) -> dict[str, Any]:
        if one["oid"] in self.hub.objects:
            return one
        header: dict[str, str] = {}
        target = f"{self.hub.address}/storage/{one['oid']}"
        if self.hub.part:
            parts = range(1, -(-one["size"] // self.hub.part) + 1)
            header = {"chunk_size": str(self.hub.part), **{str(number): f"{target}/{number}" for number in parts}}
            target = f"{self.hub.address}/complete/{one['oid']}"
        verify = {"href": f"{self.hub.address}/verify"}
        return {**one, "actions": {"upload": {"href": target, "header": header}, "verify": verify}}

    def store(self, oid: str, part: str | None = None) -> None:
        if self.hub.break_uploads:
            self.hub.break_uploads -= 1
            self.rfile.read(1000)
            self.break_off()
            return
        content = self.body()
        self.hub.came += len(content)
        self.hub.objects[f"{oid}/{part}" if part else oid] = content
        self.send({}, 200, {"ETag": '"x"'})

    def complete(self, oid: str) -> None:
        numbers = [str(part["partNumber"]) for part in json.loads(self.body())["parts"]]
        self.hub.objects[oid] = b"".join(self.hub.objects.pop(f"{oid}/{number}") for number in numbers)
        self.send({})

    def verify(self) -> None:
        wanted = json.loads(self.body())
        there = self.hub.objects.get(wanted["oid"], b"")
        right = len(there) == wanted["size"] and hashlib.sha256(there).hexdigest() == wanted["oid"]
        self.send({}, 200 if right else 422)

    def commit(self, name: str, revision: str) -> None:
        dataset, head = self.dataset(name, revision, writing=True)
        lines = [json.loads(line) for line in self.body().splitlines()]
        if not dataset:
            return
        header = lines[0]["value"]
        if header.get("parentCommit", head) != head:
            self.send({"error": "A commit has happened since"}, 412)
            return
        changes: dict[str, bytes] = {}
        for line in lines[1:]:
            value = line["value"]
            lfs = line["key"] == "lfsFile"
            changes[value["path"]] = self.hub.objects[value["oid"]] if lfs else base64.b64decode(value["content"])
        commit = dataset.commit(changes, header["summary"] + header["description"])
        self.send({"commitUrl": f"{self.hub.address}/datasets/{name}/commit/{commit}", "commitOid": commit})
