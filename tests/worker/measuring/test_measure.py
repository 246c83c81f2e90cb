"""A whole measurement: what reaches the label file, runs that are cut off, the command, and giving way to clamps."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.labelfile.catalog import Catalog
from app.queries.neuron import neuron
from neuronym.contract import Direction, Lens, Side, Site, View
from neuronym.label_tables import LABELS, QUANTILES, code, label_place
from neuronym.settings import Settings
from tests.checkpoints import LAYERS, NEURONS, make_checkpoint
from tests.reading import rows
from tests.serving import PATIENCE, until
from tests.worker.serving.test_service import held, serving
from worker.checkpoints.checkpoint import open_checkpoint
from worker.cli.group import main
from worker.map_run import MapRun
from worker.mapping.progress import MeasuringProgress
from worker.measuring.measure import Measurement
from worker.measuring.polite import LOOK_AGAIN, Polite

MEASURED = "SELECT * EXCLUDE model FROM {} ORDER BY ALL"


@pytest.fixture(scope="module")
def measured_data(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the models `tiny` and `tiny-gpt`, both measured."""
    folder = tmp_path_factory.mktemp("measured")
    data = shutil.copytree(data_folder, folder / "data", symlinks=True)
    MapRun(Settings(data=data)).map([str(make_checkpoint(folder / "gpt", "gpt2"))], ["tiny-gpt"])
    measurement = Measurement(Settings(data=data))
    assert measurement.unmeasured() == ["tiny", "tiny-gpt"]
    for name in measurement.unmeasured():
        measurement.measure(name)
    assert measurement.unmeasured() == []
    return data


@pytest.fixture
def data(data_folder: Path, tmp_path: Path) -> Path:
    """A data folder of its own with `tiny`, not measured."""
    return shutil.copytree(data_folder, tmp_path / "data", symlinks=True)


def command(data: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "worker.cli", "effect", *arguments, "--data", str(data)]


def invoke(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """The command in this process, whose priority stays what it is."""
    monkeypatch.setattr("worker.cli.effect.give_way", lambda: None)
    return CliRunner().invoke(main, ["effect", *arguments])


# --- what reaches the label file -------------------------------------------------------------------------------


def test_every_neuron_is_measured_at_every_site(measured_data: Path) -> None:
    counts = rows(
        measured_data, "SELECT model, site, count(*), count(contexts) FROM activity GROUP BY ALL ORDER BY ALL"
    )
    every = LAYERS * NEURONS
    assert counts == [(0, 0, every, 0), (0, 1, every, 0), (0, 2, every, every), (1, 0, every, 0), (1, 2, every, every)]
    counts = rows(measured_data, "SELECT model, site, direction, count(*) FROM effect GROUP BY ALL ORDER BY ALL")
    assert counts == [(model, site, end, every) for model in (0, 1) for site in (0, 2) for end in (0, 1)]
    assert rows(measured_data, "SELECT DISTINCT len(quantiles) FROM activity") == [(len(QUANTILES),)]
    assert rows(measured_data, "SELECT DISTINCT len(deltas) FROM effect") == [(LABELS,)]
    keys = rows(measured_data, "SELECT model, site, direction, layer, neuron FROM effect")
    assert keys == sorted(set(keys))


def test_clamps_are_at_the_ends_of_the_neurons_own_range(measured_data: Path) -> None:
    high, low = QUANTILES.index(0.999) + 1, QUANTILES.index(0.001) + 1
    wrong = rows(
        measured_data,
        f"""SELECT count(*) FROM effect e JOIN activity a USING (model, site, layer, neuron)
        WHERE e.value <> a.quantiles[CASE direction WHEN 0 THEN {high} ELSE {low} END]""",
    )
    assert wrong == [(0,)]


def test_the_tokens_are_those_the_labels_name(measured_data: Path) -> None:
    for side in Side:
        place = f"({code(side)} * {len(View)} + view) * {len(Lens)} + lens + 1"
        wrong = rows(
            measured_data,
            f"""SELECT count(*) FROM label JOIN effect USING (model, layer, neuron)
            WHERE tokens[{place}] <> {side}_ids[1] OR deltas[{place}] IS NULL OR controls[{place}] IS NULL""",
        )
        assert wrong == [(0,)]
    gate = [label_place(View.gate, lens) + 1 for lens in Lens]
    absent = rows(measured_data, f"SELECT DISTINCT tokens[{gate[0]}], deltas[{gate[1]}] FROM effect WHERE model = 1")
    assert absent == [(-1, None)]


def test_a_search_row_has_the_effect_of_its_label(measured_data: Path) -> None:
    """At `up` for the up view and at `act` for the others, clamped high; each end of a label has its own."""
    wrong = rows(
        measured_data,
        f"""SELECT count(*) FROM label_by_token s JOIN effect e USING (model, layer, neuron)
        WHERE e.direction = 0 AND e.site = CASE s.view WHEN 0 THEN 0 ELSE 2 END
        AND s.effect IS DISTINCT FROM e.deltas[(s.side * {len(View)} + s.view) * {len(Lens)} + s.lens + 1]""",
    )
    assert wrong == [(0,)]
    assert rows(measured_data, "SELECT count(effect) > 0 FROM label_by_token") == [(True,)]


@pytest.mark.parametrize("model", ["tiny", "tiny-gpt"])
def test_the_app_reads_what_was_measured(measured_data: Path, model: str) -> None:
    catalog = Catalog(Settings(data=measured_data))
    try:
        answer = neuron(catalog.current(), model, 1, 7)
    finally:
        catalog.close()
    assert answer.activity is not None and answer.effect is not None
    sites = {Site.up, Site.act} | ({Site.gate} if model == "tiny" else set())
    assert set(answer.activity) == sites
    assert len(answer.activity[Site.act].contexts) > 1
    for site, view in ((Site.up, View.up), (Site.act, View.down)):
        for end, effect in answer.effect[site].items():
            assert effect.token.token_id == answer.views[view][Lens.cosine].top_tokens[0].token_id
            assert effect.value == pytest.approx(answer.activity[site].q[9 if end is Direction.high else 1])


def test_how_it_was_measured_is_written_down(measured_data: Path) -> None:
    measurements = rows(measured_data, "SELECT model, kind, settings, result, seconds FROM measurement ORDER BY ALL")
    by_kind = {
        (model, kind): (json.loads(settings), json.loads(result), seconds)
        for model, kind, settings, result, seconds in measurements
    }
    for model in (0, 1):
        settings, result, seconds = by_kind[model, "effect"]
        assert settings["ends"] == {"high": 0.999, "low": 0.001}
        assert len(settings["prompts"]) == 3 and settings["text"] == "samples"
        assert result["rows"] == LAYERS * NEURONS * 4
        views = ["up", "gate", "down"] if model == 0 else ["up", "down"]
        assert set(result["high"]) == {f"{view} {lens}" for view in views for lens in Lens}
        assert result["high"]["down cosine"]["rises"] > result["high"]["down cosine"]["control_rises"]
        assert seconds > 0
        assert by_kind[model, "activity"][1]["positions"] >= 4096


# --- runs that are cut off -------------------------------------------------------------------------------------


class Cut(Exception):
    """The run was cut off."""


def shards(data: Path) -> dict[str, int]:
    """Shards on disk and when each was written."""
    return {path.name: path.stat().st_mtime_ns for path in (data / ".mapping").rglob("*.parquet")}


@pytest.mark.parametrize(("kind", "layers"), [("activity", 1), ("activity", 4), ("effect", 2)])
def test_a_cut_run_goes_on_where_it_was(measured_data: Path, data: Path, kind: str, layers: int) -> None:
    def cut(progress: object) -> None:
        assert isinstance(progress, MeasuringProgress)
        if (progress.kind, progress.layers_done) == (kind, layers):
            raise Cut

    with pytest.raises(Cut):
        Measurement(Settings(data=data), report=cut).measure("tiny")
    left = shards(data)
    assert f"{kind}-{layers - 1:04d}.parquet" in left and f"{kind}-{layers:04d}.parquet" not in left
    shards_at_start: dict[str, int] = {}
    Measurement(Settings(data=data), report=lambda _: shards_at_start.update(shards(data))).measure("tiny")
    assert left.items() <= shards_at_start.items()
    for table in ("activity", "effect"):
        assert_same(
            rows(data, MEASURED.format(table)),
            rows(measured_data, f"SELECT * EXCLUDE model FROM {table} WHERE model = 0 ORDER BY ALL"),
        )
    assert not list((data / ".mapping").iterdir())


def assert_same(first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]) -> None:
    """Equal rows, but for the last bits of fp32 sums."""
    assert len(first) == len(second)
    for left, right in zip(first, second, strict=True):
        for value, other_value in zip(left, right, strict=True):
            assert value == (
                pytest.approx(other_value, abs=1e-6) if isinstance(other_value, float | list) else other_value
            )


def test_another_question_starts_anew(data: Path) -> None:
    measurement = Measurement(Settings(data=data), layers=range(2))
    assert measurement.measure("tiny") is None
    assert len([name for name in shards(data) if name.startswith("effect")]) == 2
    assert Measurement(Settings(data=data), sites=[Site.act], layers=range(3, 4)).measure("tiny") is None
    assert [name for name in shards(data) if name.startswith("effect")] == ["effect-0003.parquet"]


def test_parts_are_published_when_they_are_the_whole(data: Path) -> None:
    settings = Settings(data=data)
    assert Measurement(settings, layers=range(1, 3)).measure("tiny") is None
    assert rows(data, "SELECT count(*) FROM effect") == [(0,)]
    assert Measurement(settings, layers=range(3, 4)).measure("tiny") is None
    run = Measurement(settings, layers=range(1)).measure("tiny")
    assert rows(data, "SELECT run FROM build") == [(run,)]
    assert rows(data, "SELECT count(*) FROM effect") == [(LAYERS * NEURONS * 4,)]


def test_mapping_a_model_again_keeps_what_was_measured(measured_data: Path, tmp_path: Path, tiny_llama: Path) -> None:
    data = shutil.copytree(measured_data, tmp_path / "data", symlinks=True)
    before = rows(data, "SELECT * FROM effect ORDER BY ALL")
    MapRun(Settings(data=data)).map([str(tiny_llama)], ["tiny"])
    assert rows(data, "SELECT * FROM effect ORDER BY ALL") == before
    assert rows(data, "SELECT count(*) FROM label_by_token WHERE side = 0 AND effect IS NULL") == [(0,)]


# --- the command -----------------------------------------------------------------------------------------------


def test_kill_and_go_on(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 when the effect of a layer is measured; the run after that loses and doubles nothing."""
    with subprocess.Popen([*command(data), "--json"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while json.loads(process.stdout.readline())["kind"] != "effect":
            pass
        os.kill(process.pid, signal.SIGKILL)
    assert rows(data, "SELECT count(*) FROM effect") == [(0,)]
    assert f"tiny: published in {data / 'library'} (run " in invoke(monkeypatch, "--data", str(data)).output
    assert len(rows(data, "SELECT DISTINCT site, direction, layer, neuron FROM effect")) == LAYERS * NEURONS * 4
    assert len(rows(data, "FROM effect")) == LAYERS * NEURONS * 4
    assert "Nothing to measure" in invoke(monkeypatch, "--data", str(data)).output


def test_the_command_runs_at_low_priority_on_a_text(data: Path, tmp_path: Path) -> None:
    text = tmp_path / "a text.txt"
    text.write_text("My favourite animal is the dog. I live in a place called California. " * 60)
    arguments = command(data, "tiny", "--text", str(text), "--sites", "act", "--json")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline())]
        niceness = os.getpriority(os.PRIO_PROCESS, process.pid)
        lines += [json.loads(line) for line in process.stdout]
    assert niceness >= 10
    assert [(line["kind"], line["layers_done"]) for line in lines[:-1]] == [
        (kind, done) for kind in ("activity", "effect") for done in range(1, LAYERS + 1)
    ]
    assert rows(data, "SELECT run FROM build") == [(lines[-1]["published"],)]
    assert rows(data, "SELECT DISTINCT site FROM effect") == [(2,)]
    settings = json.loads(rows(data, "SELECT settings FROM measurement WHERE kind = 'activity'")[0][0])
    assert settings["text"] == "a text.txt"
    contexts = rows(data, "SELECT contexts FROM activity WHERE site = 2 AND layer = 0 AND neuron = 0")[0][0]
    assert all("animal" in line or "Cal" in line or "place" in line or "." in line for line in json.loads(contexts))
    assert rows(data, "SELECT count(effect) FROM label_by_token WHERE view = 0") == [(0,)]  # not measured at `up`


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nope"], "There is no model 'nope' in the library. There are: tiny."),
        (["--sites", "gate"], "choose from act, up"),
        (["--layers", "3-1"], "give a layer or the first and the last"),
        (["--layers", "x"], "give a layer or the first and the last"),
        (["--layers", "2-4"], "has layers 0 to 3. Give --layers within them"),
        (["--text", "/nowhere"], "does not exist"),
        (["--polite"], "needs NEURONYM_WORKER_URL"),
    ],
)
def test_what_cannot_be_measured_is_said(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    result = invoke(monkeypatch, *arguments, "--data", str(data_folder))
    assert result.exit_code != 0
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_without_a_model_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke(monkeypatch, "--data", str(tmp_path))
    assert (result.exit_code, "Map one first" in result.output) == (1, True)


def test_layers_are_measured_in_parts(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = invoke(monkeypatch, "tiny", "--layers", "0-2", "--data", str(data)).output
    assert "Run again without --layers" in output
    assert "published" in invoke(monkeypatch, "tiny", "--layers", "3", "--data", str(data)).output


# --- giving way ------------------------------------------------------------------------------------------------


def test_work_stands_still_while_a_clamp_runs(tiny_llama: Path) -> None:
    with serving({"tiny": lambda: open_checkpoint(str(tiny_llama))}) as worker:
        until(lambda: worker.http.get("/readyz").is_success)
        polite = Polite(str(worker.http.base_url))
        polite()  # nothing runs
        ended: list[bool] = []

        def work() -> None:
            polite()
            ended.append(worker.idle())

        with held(worker):
            working = Thread(target=work)
            working.start()
            working.join(3 * LOOK_AGAIN)
            assert working.is_alive()
        working.join(PATIENCE)
        assert ended == [True]


def test_a_service_that_is_not_there_stops_nothing() -> None:
    Polite("http://127.0.0.1:9/")()
