"""Exports: the rows of a search as files, complete and exact; exports end when the client leaves."""

import csv
import io
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import httpx2
import pyarrow.parquet as pq
import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner
from starlette.testclient import TestClient

import app.export.download
from app.cli.commands import main
from app.export.download import AT_ONCE, Download, Export, save
from app.export.formats import Format
from app.labelfile.library import Library
from app.main import create_app
from app.queries.search.export import ExportQuery
from app.queries.search.search import SearchQuery, search
from neuronym.contract import Lens, View
from neuronym.settings import Settings
from tests.app.conftest import opened
from tests.app.label_files import BOTTOM, LAYERS, NEURONS, TOP, Plan, fold, planted_file, write_library
from tests.serving import served, until

COLUMNS = [
    *("model", "neuron", "layer", "index", "view", "lens", "side", "rank", "token_id", "token", "score", "z"),
    *("strength", "layer_z", "effect", "agreement"),
]
MANY = 1_400_000
ROWS = (3 * 6 + 4) * LAYERS * NEURONS * (TOP + BOTTOM)  # three gated models of six labels, one of four


def table(body: bytes, form: Format) -> list[dict[str, Any]]:
    """The rows of a file as any reader of its format has them; CSV has texts only."""
    if form is Format.csv:
        return list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    if form is Format.jsonl:
        return [json.loads(line) for line in body.decode().split("\n")[:-1]]
    return list(pq.read_table(io.BytesIO(body)).to_pylist())


def rows(labels: Library, **query: Any) -> list[dict[str, Any]]:
    """The rows of an export as Parquet."""
    return table(b"".join(Export(labels, ExportQuery.model_validate(query), Format.parquet)), Format.parquet)


@pytest.mark.parametrize("form", Format)
def test_a_row_has_every_column_with_words_for_enumerations(client: TestClient, form: Format) -> None:
    answer = client.get(f"/api/v1/export/labels.{form}?q=California&model=tiny-chat&view=up")
    assert answer.status_code == 200
    first, *_ = exported = table(answer.content, form)
    assert len(exported) == 2  # ` California` and `California`, of one label
    assert list(first) == COLUMNS
    words = ("tiny-chat", "L2N1", "up", "cosine", "top", " California", "strong", "same")
    named = ("model", "neuron", "view", "lens", "side", "token", "strength", "agreement")
    assert tuple(first[name] for name in named) == words
    numbers = {"layer": 2, "index": 1, "rank": 0, "score": 4.6, "z": 9.0, "layer_z": 1.5}
    assert {name: float(first[name]) for name in numbers} == pytest.approx(numbers)
    assert first["effect"] == ("" if form is Format.csv else None)


@pytest.mark.parametrize("form", Format)
def test_without_a_text_every_row_is_exported(client: TestClient, form: Format) -> None:
    answer = client.get(f"/api/v1/export/labels.{form}?lens=any&side=any")
    exported = table(answer.content, form)
    assert len(exported) == ROWS
    keys = {tuple(str(row[name]) for name in ("model", "neuron", "view", "lens", "side", "rank")) for row in exported}
    assert len(keys) == ROWS
    assert client.get(f"/api/v1/export/labels.{form}?lens=any&side=any").content == answer.content


def test_all_rows_come_in_alphabetical_order_best_first(labels: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.queries.search.export.STRETCH", 50)  # rows a statement: many statements, one order
    exported = rows(labels, side="any")
    order = [
        (row["model"] == "tiny-gpt", fold(row["token"]), row["token_id"], row["side"] == "bottom", -abs(row["z"]))
        for row in exported
    ]
    assert order == sorted(order)
    assert len(exported) == ROWS / 2


FILTERS: list[dict[str, Any]] = [
    {},
    {"model": "tiny-gpt"},
    {"pair": "tiny-pair", "view": "down"},
    {"layer_min": 1, "layer_max": 1},
    {"min_z": 7.5},
    {"side": "bottom", "min_z": 6},
    {"lens": "logit"},
    {"strength": "strong"},
    {"agreement": "changed"},
    {"pair": "tiny-later", "agreement": "changed"},
]


@pytest.mark.parametrize("filters", FILTERS)
def test_an_export_is_what_a_search_is_a_page_of(labels: Library, filters: dict[str, Any]) -> None:
    answer = search(labels, SearchQuery.model_validate({"q": "California", "limit": 500, **filters}))
    matches = [
        (result.model, result.neuron, result.view, id_)
        for result in answer.results
        for id_ in (result.token_id, *(match.token_id for match in result.matches))
    ]
    exported = rows(labels, q="California", **filters)
    assert sorted((row["model"], row["neuron"], row["view"], row["token_id"]) for row in exported) == sorted(matches)


@pytest.mark.parametrize("sort", ["z", "trust", "score", "effect", "layer_z", "neuron"])
def test_rows_of_a_text_come_in_the_order_of_the_search(labels: Library, sort: str) -> None:
    parameters = {"q": '" California"', "sort": sort}
    answer = search(labels, SearchQuery.model_validate(parameters))
    neurons = [(result.model, result.neuron, result.view) for result in answer.results]
    assert [(row["model"], row["neuron"], row["view"]) for row in rows(labels, **parameters)] == neurons


def test_agreement_is_told_in_the_pair_that_is_asked_for(labels: Library) -> None:
    parameters = {"q": '" California"', "model": "tiny-base", "view": "up"}
    assert [row["agreement"] for row in rows(labels, **parameters)] == ["same"]
    assert [row["agreement"] for row in rows(labels, **parameters, pair="tiny-later")] == ["changed"]


def test_more_tokens_than_a_page_looks_up_are_exported(tmp_path: Path) -> None:
    plan = Plan()
    for place in range(0, 250, 50):
        plan.top["tiny-chat", View.up, Lens.cosine, 0, place // 50 % 4] = [(f" calico{place:03}", 5.0)]
    write_library(tmp_path, plan)
    for planted in opened(tmp_path):
        assert {row["token"] for row in rows(planted, q="calico*")} >= {" calico200"}


@pytest.mark.parametrize("form", Format)
def test_hostile_tokens_are_exact(tmp_path: Path, form: Format) -> None:
    texts = ['"', "\n", "\t", ",", "'", "\x07", "\u202e", "Straße", " ", "%"]
    plan = Plan(
        top={
            ("tiny-chat", View.up, Lens.cosine, 0, 0): [(text, 20.0 - place) for place, text in enumerate(texts[:6])],
            ("tiny-chat", View.up, Lens.cosine, 0, 1): [(text, 20.0 - place) for place, text in enumerate(texts[6:])],
        }
    )
    write_library(tmp_path, plan)
    for labels in opened(tmp_path):
        query = ExportQuery(model="tiny-chat", min_z=10)
        exported = table(b"".join(Export(labels, query, form)), form)
    assert {row["token"] for row in exported} == set(texts)


@pytest.mark.parametrize("form", Format)
def test_nothing_found_is_an_empty_table(client: TestClient, form: Format) -> None:
    answer = client.get(f"/export/labels.{form}?q=dog&min_z=1000")
    assert (answer.status_code, table(answer.content, form)) == (200, [])
    if form is Format.csv:
        assert answer.text.replace('"', "").split("\n")[0].split(",") == COLUMNS


def test_an_empty_value_is_not_an_empty_text(client: TestClient) -> None:
    line = client.get("/api/v1/export/labels.csv?q=%22Los%22&model=tiny-second").text.splitlines()[1]
    assert ',"Los",' in line and line.endswith(',,,,"changed"')


def test_the_file_is_named_after_the_run_and_need_not_be_sent_twice(client: TestClient) -> None:
    answer = client.get("/export/labels.csv?q=dog")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="labels-planted-1.csv"'
    assert (answer.headers["ETag"], answer.headers["Content-Type"]) == (
        '"planted-1"',
        "text/csv; charset=utf-8; header=present",
    )
    again = client.get("/export/labels.csv?q=dog", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/api/v1/export/labels.csv?q=dog").content == answer.content


def test_asking_for_the_head_reads_no_table(client: TestClient) -> None:
    answer = client.head("/export/labels.jsonl?lens=any&side=any")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"] == "application/x-ndjson"


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("labels.xls", 422, "format should be 'csv', 'jsonl' or 'parquet', not 'xls'."),
        ("labels.csv?model=nope", 404, "Mapped models: tiny-base"),
        ("labels.csv?q=New%20York", 422, "is no single token"),
        ("labels.csv?q=L2N1", 422, "a neuron's labels are at /neurons"),
        ("labels.csv?q=,", 422, "Type a word"),
        ("labels.csv?sort=trust", 422, "sort: trust needs `q`."),
        ("labels.csv?limit=5", 422, "parameter limit"),
        ("labels.csv?view=side", 422, "view should be"),
        ("labels.csv?model=tiny-gpt&view=gate&lens=any", 422, "its MLP is ungated"),
    ],
)
def test_refusals_come_before_the_file(client: TestClient, path: str, status: int, sentence: str) -> None:
    answer = client.get(f"/api/v1/export/{path}")
    assert (answer.status_code, answer.json()["ok"]) == (status, False)
    assert sentence in answer.json()["error"]
    assert "text/html" in client.get(f"/export/{path}").headers["Content-Type"]


def test_a_page_of_results_leads_to_its_files(client: TestClient) -> None:
    page = BeautifulSoup(client.get("/search?q=California&sort=trust&view=up&limit=1").text, "html.parser")
    links = [str(link["href"]) for link in page.select(".downloads a")]
    assert links == [f"/export/labels.{form}?q=California&view=up&sort=trust" for form in Format]
    everything = BeautifulSoup(client.get("/models").text, "html.parser").select(".downloads a")
    assert [link["href"] for link in everything] == [f"/export/labels.{form}?lens=any&side=any" for form in Format]


def test_only_a_few_run_at_once(labels: Library, client: TestClient) -> None:
    running = [Download(labels, ExportQuery(q="dog"), Format.csv) for _ in range(AT_ONCE)]
    refused = client.get("/api/v1/export/labels.csv?q=dog")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")
    for download in running:
        download.end()
    assert client.get("/api/v1/export/labels.csv?q=dog").status_code == 200


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A label file whose whole export is some hundred megabytes."""
    data = tmp_path_factory.mktemp("large")
    write_library(data)
    with duckdb.connect(str(planted_file(data, "tiny-chat"))) as connection:
        connection.execute("create table few as from label_by_token limit 2000")
        connection.execute(f"insert into label_by_token select few.* from few, range({MANY // 2000})")
        connection.execute("drop table few")
    return data


def test_a_client_that_leaves_stops_the_query(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Export] = []

    class Watched(Export):
        def __init__(self, labels: Library, query: ExportQuery, form: Format) -> None:
            super().__init__(labels, query, form)
            begun.append(self)

    monkeypatch.setattr(app.export.download, "Export", Watched)
    monkeypatch.setattr(app.export.download, "_running", threading.BoundedSemaphore(1))
    with served(create_app(Settings(data=large))) as address:
        with httpx2.stream("GET", f"{address}/export/labels.csv?side=any&lens=any") as answer:
            assert next(answer.iter_bytes())
        until(lambda: httpx2.get(f"{address}/api/v1/export/labels.csv?q=dog").status_code == 200)
        read = begun[0].rows
        time.sleep(0.5)
        assert begun[0].rows == read < MANY


def test_an_export_that_takes_too_long_breaks_off(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.export.download, "SECONDS", 2.0)

    def read_slowly(address: str) -> None:
        with httpx2.stream("GET", address, timeout=60) as answer:
            assert answer.status_code == 200
            for place, _ in enumerate(answer.iter_bytes()):
                time.sleep(0 if place else 3)

    with served(create_app(Settings(data=large))) as site, pytest.raises(httpx2.RemoteProtocolError):
        read_slowly(f"{site}/export/labels.csv?side=any&lens=any")


def test_saving_writes_the_whole_file_or_none(labels: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "some.csv"
    path.write_text("what was there before")
    monkeypatch.setattr(app.export.download, "SECONDS", 0.0)
    with pytest.raises(Exception, match="longer than 0 seconds"):
        save(labels, ExportQuery(side="any", lens="any"), path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("some.csv", "what was there before")]


def run(data: Path, *arguments: str) -> Any:
    return CliRunner().invoke(main, arguments, env={"NEURONYM_DATA": str(data)})


@pytest.mark.parametrize("form", Format)
def test_the_command_writes_what_the_api_sends(
    planted_data: Path, client: TestClient, tmp_path: Path, form: Format
) -> None:
    path = tmp_path / f"some.{form.upper()}"
    result = run(planted_data, "export", str(path), "--q", "California", "--sort", "trust", "--layer-min", "1")
    assert result.exit_code == 0
    sent = client.get(f"/export/labels.{form}?q=California&sort=trust&layer_min=1").content
    assert path.read_bytes() == sent
    assert result.output.startswith(f"{len(table(sent, form))} rows in {path}, 0.0 MB")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["labels.xlsx"], "labels.xlsx should end in one of .csv, .jsonl, .parquet: that is its format."),
        (["nowhere/labels.csv"], "nowhere/labels.csv cannot be written: No such file or directory."),
        (["labels.csv", "--model", "nope"], "Mapped models: tiny-base"),
        (["labels.csv", "--lens", "x"], "lens should be"),
    ],
)
def test_a_mistake_is_one_sentence(
    planted_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(planted_data, "export", *arguments)
    assert result.exit_code in (1, 2)
    assert sentence in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_app_starts_without_what_only_exports_need() -> None:
    """pyarrow, with numpy, is a third of the time until the first page."""
    loaded = "import sys, app.main; print([name for name in ('pyarrow', 'numpy', 'pandas') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True).stdout.strip() == "[]"
