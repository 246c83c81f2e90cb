"""The effect of a model of which only a part is mapped: measured for that part, published when that is done."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.labelfile.catalog import Catalog
from app.queries.clamps import check_clamps
from app.queries.neuron import neuron
from neuronym.contract import Clamp, ClampRequest, Lens, Site, View
from neuronym.settings import Settings
from tests.checkpoints import LAYERS, NEURONS
from tests.reading import rows
from worker.cli.group import main
from worker.errors import CheckpointError
from worker.map_run import MapRun
from worker.mapping.mapping import MapRecipe
from worker.mapping.progress import BUILDING, MeasuringProgress
from worker.measuring.measure import Measurement
from worker.trust.holding import judge_labels

EFFECT_LAYERS = "SELECT DISTINCT layer FROM effect ORDER BY 1"


@pytest.fixture(scope="module")
def mapped(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with layers 1 and 2 of `tiny`, not measured."""
    data = tmp_path_factory.mktemp("mapped")
    MapRun(Settings(data=data), MapRecipe(layers=range(1, 3))).map([str(tiny_llama)], ["tiny"])
    return data


@pytest.fixture(scope="module")
def measured(mapped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, measured."""
    data = shutil.copytree(mapped, tmp_path_factory.mktemp("measured") / "data", symlinks=True)
    assert Measurement(Settings(data=data)).measure("tiny")
    return data


@pytest.fixture
def data(mapped: Path, tmp_path: Path) -> Path:
    """The mapped part in a folder of its own."""
    return shutil.copytree(mapped, tmp_path / "data", symlinks=True)


def invoke(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """The command in this process, whose priority stays what it is."""
    monkeypatch.setattr("worker.cli.effect.give_way", lambda: None)
    return CliRunner().invoke(main, ["effect", *arguments])


def test_the_mapped_layers_are_measured_and_published(measured: Path) -> None:
    assert rows(measured, EFFECT_LAYERS) == [(1,), (2,)]
    assert rows(measured, "SELECT count(*) FROM effect") == [(2 * NEURONS * 4,)]
    result = json.loads(rows(measured, "SELECT result FROM measurement WHERE kind = 'effect'")[0][0])
    assert result["rows"] == 2 * NEURONS * 4 and result["first"]["view"] in list(View)
    assert Measurement(Settings(data=measured)).unmeasured() == []


def test_activity_is_that_of_every_layer(measured: Path) -> None:
    """So that values in units of a neuron's own range are known where nothing is mapped, too."""
    assert rows(measured, "SELECT count(DISTINCT layer) FROM activity") == [(LAYERS,)]
    catalog = Catalog(Settings(data=measured))
    try:
        labels = catalog.current()
        clamps = [Clamp(layer=3, index=7, value=2.0, site=Site.act)]
        raw = check_clamps(labels, ClampRequest(model="tiny", prompt="a", clamps=clamps, unit="range"))
        assert raw.unit == "raw" and raw.clamps[0].value != 2.0
        effect = neuron(labels, "tiny", 1, 7).effect
        assert effect and Lens.cosine in neuron(labels, "tiny", 1, 7).views[View.up]
    finally:
        catalog.close()


@pytest.mark.parametrize("layers", ["0-1", "3", "2-3"])
def test_layers_that_are_not_mapped_are_refused(data: Path, monkeypatch: pytest.MonkeyPatch, layers: str) -> None:
    result = invoke(monkeypatch, "tiny", "--layers", layers, "--data", str(data))
    assert result.exit_code == 1
    assert "Of tiny only layers 1 to 2 of 4 can be measured: no others are mapped." in result.output
    assert not list(data.rglob("text-*.parquet"))


def test_parts_of_the_part_are_published_together(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = invoke(monkeypatch, "tiny", "--layers", "2", "--data", str(data))
    assert "Run again without --layers" in first.stdout
    assert f"tiny: layer {LAYERS} of {LAYERS} measured (activity), {LAYERS * NEURONS} neurons" in first.stderr
    assert "tiny: layer 1 of 1 measured (effect), 48 neurons" in first.stderr
    assert BUILDING not in first.stderr
    second = invoke(monkeypatch, "tiny", "--layers", "1", "--data", str(data))
    assert "published" in second.stdout and second.stderr.endswith(BUILDING + "\n")
    assert rows(data, EFFECT_LAYERS) == [(1,), (2,)]


def test_a_resumed_run_reports_what_was_done_once(data: Path) -> None:
    settings = Settings(data=data)
    assert Measurement(settings, layers=range(2, 3)).measure("tiny") is None
    reports: list[MeasuringProgress] = []
    assert Measurement(
        settings, report=lambda report: reports.append(report) if isinstance(report, MeasuringProgress) else None
    ).measure("tiny")
    assert [(report.kind, report.layers_done, report.layers) for report in reports] == [
        ("effect", 1, 2),
        ("effect", 2, 2),
    ]


def test_the_effect_of_a_part_goes_when_the_rest_is_mapped(measured: Path, tiny_llama: Path, tmp_path: Path) -> None:
    data = shutil.copytree(measured, tmp_path / "data", symlinks=True)
    settings = Settings(data=data)
    MapRun(settings, MapRecipe(layers=range(1, 3))).map([str(tiny_llama)], ["tiny"])  # the same layers again: it stays
    assert rows(data, EFFECT_LAYERS) == [(1,), (2,)]
    activity = rows(data, "SELECT * FROM activity ORDER BY ALL")
    MapRun(settings).map([str(tiny_llama)], ["tiny"])
    assert rows(data, "SELECT count(*) FROM effect") == [(0,)]
    assert rows(data, "SELECT kind FROM measurement ORDER BY kind") == [("activity",), ("control",)]
    assert rows(data, "SELECT * FROM activity ORDER BY ALL") == activity
    assert Measurement(settings).unmeasured() == ["tiny"]
    assert Measurement(settings).measure("tiny")
    assert rows(data, "SELECT count(DISTINCT layer) FROM effect") == [(LAYERS,)]


def test_trust_is_reported_of_whole_models(measured: Path) -> None:
    with pytest.raises(CheckpointError, match="tiny is mapped in layers 1 to 2 of 4 only"):
        judge_labels(measured, "tiny")
