"""Reports of progress: a line a layer on standard error that is no terminal, and JSON lines."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from neuronym.contract import View
from tests.checkpoints import LAYERS, NEURONS
from worker.mapping.mapping import Progress
from worker.mapping.progress import BUILDING, MeasuringProgress, reporter

SECONDS = r"\d+\.\d s"


def command(checkpoint: Path, data: Path, *more: str) -> list[str]:
    arguments = ["map", str(checkpoint), "--name", "tiny", "--data", str(data), *more]
    return [sys.executable, "-m", "worker.cli", *arguments]


def test_a_line_a_layer_where_there_is_no_terminal(tiny_llama: Path, tmp_path: Path) -> None:
    done = subprocess.run(command(tiny_llama, tmp_path), capture_output=True, text=True, check=True)
    *lines, last = done.stderr.splitlines()
    assert last == BUILDING
    assert len(lines) == LAYERS
    for layer, line in enumerate(lines, 1):
        left = r", about \d+ s left" if 1 < layer < LAYERS else ""
        wanted = rf"tiny: layer {layer} of {LAYERS} mapped, {layer * NEURONS} neurons, {SECONDS}{left}"
        assert re.fullmatch(wanted, line), line
    assert done.stdout.startswith("Published ") and len(done.stdout.splitlines()) == 1


def test_json_lines_have_nothing_beside_them(tiny_llama: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(tiny_llama, tmp_path, "--layers", "1-2", "--json"), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    *lines, published = map(json.loads, done.stdout.splitlines())
    assert list(published) == ["published"]
    assert [set(line) for line in lines] == [{"model", "layers_done", "layers", "neurons_done", "seconds", "views"}] * 2
    assert [(line["layers_done"], line["layers"]) for line in lines] == [(1, 2), (2, 2)]


def test_layers_done_earlier_are_not_in_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    tell = reporter(as_json=False)
    for done, seconds in ((20, 0.0), (21, 5.0), (22, 10.0), (30, 50.0)):
        tell(Progress("tiny", done, 30, done * 1536, seconds))
    assert capsys.readouterr().err.splitlines() == [
        "tiny: layer 20 of 30 mapped, 30,720 neurons, 0.0 s",
        "tiny: layer 21 of 30 mapped, 32,256 neurons, 5.0 s, about 45 s left",
        "tiny: layer 22 of 30 mapped, 33,792 neurons, 10.0 s, about 40 s left",
        "tiny: layer 30 of 30 mapped, 46,080 neurons, 50.0 s",
    ]


def test_views_are_named_where_they_are_not_all(capsys: pytest.CaptureFixture[str]) -> None:
    tell = reporter(as_json=False)
    for views, begun in (((View.down,), 0.0), ((View.up, View.gate), 100.0)):
        for done in (1, 2):
            tell(Progress("tiny", done, 4, done * 48, begun + 10.0 * done, views=views))
    assert capsys.readouterr().err.splitlines() == [
        "tiny (down): layer 1 of 4 mapped, 48 neurons, 10.0 s",
        "tiny (down): layer 2 of 4 mapped, 96 neurons, 20.0 s, about 20 s left",
        "tiny (up, gate): layer 1 of 4 mapped, 48 neurons, 110.0 s",
        "tiny (up, gate): layer 2 of 4 mapped, 96 neurons, 2 min, about 20 s left",
    ]


def test_each_model_and_measurement_has_its_own_rate(capsys: pytest.CaptureFixture[str]) -> None:
    tell = reporter(as_json=False)
    for kind, begun, each in (("activity", 0.0, 100.0), ("effect", 500.0, 4000.0)):
        for done in (1, 2):
            tell(MeasuringProgress("tiny", done, 4, done * 48, begun + done * each, kind))
    tell(Progress("other", 1, 4, 48, 1.0))
    assert capsys.readouterr().err.splitlines() == [
        "tiny: layer 1 of 4 measured (activity), 48 neurons, 100.0 s",
        "tiny: layer 2 of 4 measured (activity), 96 neurons, 3 min, about 3 min left",
        "tiny: layer 1 of 4 measured (effect), 48 neurons, 75 min",
        "tiny: layer 2 of 4 measured (effect), 96 neurons, 2.4 h, about 2.2 h left",
        "other: layer 1 of 4 mapped, 48 neurons, 1.0 s",
    ]
