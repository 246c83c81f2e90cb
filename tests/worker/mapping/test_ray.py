"""Mapping on a Ray cluster of two nodes gives the rows of a local run, whichever process or node dies."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from neuronym.library import read_catalogue
from tests.checkpoints import LAYERS, make_checkpoint
from tests.reading import rows
from tests.serving import PATIENCE
from worker.cli.group import main

TABLES = {
    "label": "FROM label",
    "neighbour": "FROM neighbour",
    "search rows": "FROM label_by_token ORDER BY ALL",
    "control": "SELECT result FROM measurement WHERE kind = 'control'",
}


def processes(mark: str) -> dict[int, str]:
    """The command lines that contain `mark`, by process id."""
    commands = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if mark in line:
            commands[int(path.parent.name)] = line
    return commands


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a Ray cluster of two nodes with one CPU each."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # sockets lie in it: its path must be short
    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        try:
            cluster.add_node(**node)
            yield cluster.address
        finally:
            cluster.shutdown()  # type: ignore[no-untyped-call]
            left = processes(folder)
            shutil.rmtree(folder, ignore_errors=True)
    assert not left


def run(checkpoint: Path, data: Path, *more: str) -> tuple[int, str]:
    """The command's exit code and output."""
    result = CliRunner().invoke(main, ["map", str(checkpoint), "--name", "tiny", "--data", str(data), *more])
    return result.exit_code, result.output


def on_ray(checkpoint: Path, data: Path, address: str, *more: str) -> tuple[int, str]:
    return run(checkpoint, data, "--engine", "ray", "--ray-address", address, *more)


def test_the_same_rows_as_here_though_a_process_is_killed(
    tiny_llama: Path, data_folder: Path, tmp_path: Path, address: str
) -> None:
    killed: list[str] = []

    def kill_one() -> None:
        deadline = time.monotonic() + PATIENCE
        while not killed and time.monotonic() < deadline:
            for process, line in processes("ray::neuronym").items():
                os.kill(process, signal.SIGKILL)
                killed.append(line)
                return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one)
    killer.start()
    code, output = on_ray(tiny_llama, tmp_path, address, "--json")
    killer.join()
    assert killed and code == 0, output
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]  # Ray tells of the death
    assert [line["layers_done"] for line in lines[:-1]] == list(range(1, LAYERS + 1))
    for name, statement in TABLES.items():
        assert rows(tmp_path, statement) == rows(data_folder, statement), name


def test_what_a_task_finds_wrong_is_a_sentence_here(tmp_path: Path, address: str) -> None:
    checkpoint = make_checkpoint(tmp_path / "model")
    tensors = load_file(checkpoint / "model.safetensors")
    tensors["model.layers.2.mlp.up_proj.weight"][3, 3] = torch.nan
    save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})
    code, output = on_ray(checkpoint, tmp_path / "data", address)
    assert code == 1
    assert output.splitlines()[-1].startswith("Error: model.layers.2.mlp.up_proj holds values that are not finite")
    assert "Traceback" not in output
    assert not read_catalogue(tmp_path / "data").models


def test_a_cluster_that_is_not_there(tiny_llama: Path, tmp_path: Path) -> None:
    code, output = on_ray(tiny_llama, tmp_path, "127.0.0.1:1")
    assert code == 1
    assert output.startswith("Error: There is no Ray cluster at 127.0.0.1:1") and len(output.splitlines()) == 1


def test_without_ray_a_sentence_names_the_mend(tiny_llama: Path, tmp_path: Path) -> None:
    lines = ["import sys", "sys.modules['ray'] = None", "from worker.cli.group import main", "main()"]
    command = [
        sys.executable,
        "-c",
        "\n".join(lines),
        "map",
        str(tiny_llama),
        "--engine",
        "ray",
        "--data",
        str(tmp_path),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "Error: --engine ray needs Ray: pip install 'neuronym[ray]'\n"


def test_what_mapping_needs_is_imported_and_no_more() -> None:
    """Ray, and what builds live models: to import either takes longer than all the rest."""
    heavy = {"ray", "torch._dynamo", "transformers.modeling_utils"}
    lines = f"import sys, worker.cli.map; print({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
