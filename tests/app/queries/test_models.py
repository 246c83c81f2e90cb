"""The measurements of a whole model: in JSON, on its page, and in the sentences about strength."""

import json
import logging
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from starlette.testclient import TestClient

from app.labelfile.library import Library
from app.main import create_app
from app.pages.charts.layers import strong_charts, threshold_charts
from app.queries.models import model, models
from app.queries.neuron import neuron
from neuronym.contract import Lens, Side, Strength, View
from neuronym.settings import Settings
from tests.app.conftest import opened
from tests.app.label_files import CHANCE, LAYERS, RULE, STRONG_ABOVE, WEAK_ABOVE, Plan, measurements, write_library


def soup(client: TestClient, address: str) -> BeautifulSoup:
    return BeautifulSoup(client.get(address).text, "html.parser")


def folded_text(element: Tag) -> str:
    """The text of an element, with cells apart and runs of spaces as one space."""
    return " ".join(element.get_text(" ").split())


def test_a_list_of_models_tells_each_measurement_as_a_whole(labels: Library) -> None:
    measurements_of = {row.name: row.measurements for row in models(labels).models}
    control = measurements_of["tiny-chat"].control
    assert control is not None
    assert (control.settings.rule, control.settings.controls) == (RULE, 99)
    assert control.settings.rates == {Strength.weak: 0.05, Strength.strong: 0.02}
    assert {(row.view, row.lens) for row in control.result.views} == {(view, lens) for view in View for lens in Lens}
    assert (control.result.views[0].strong, control.result.views[0].false_share) == (2, CHANCE)
    assert control.result.layers is None
    assert (control.measured_at, control.seconds) == ("2026-11-01T01:00:00Z", 2.5)
    activity, effect = measurements_of["tiny-chat"].activity, measurements_of["tiny-chat"].effect
    assert activity is not None and (activity.settings["seed"], activity.result.positions) == (0, 64)
    assert effect is not None and (effect.result.first, effect.result.high["down cosine"].rises) == (None, 0.9)
    assert measurements_of["tiny-gpt"].model_dump() == {"control": None, "activity": None, "effect": None}


def test_a_model_by_itself_has_every_layer(labels: Library, client: TestClient) -> None:
    answer = model(labels, "tiny-chat")
    assert answer.measurements.control is not None
    layers = answer.measurements.control.result.layers
    assert layers is not None and len(layers) == 6 * LAYERS
    assert (layers[0].weak_above, layers[0].strong_above, layers[0].layer) == (WEAK_ABOVE, STRONG_ABOVE, 0)
    listed = client.get("/api/v1/models").json()["models"][1]
    alone = client.get("/api/v1/models/tiny-chat").json()
    assert alone["measurements"]["control"]["result"].pop("layers")
    assert listed["measurements"]["control"]["result"].pop("layers") is None
    assert alone == {"run": "planted-1", **listed}


def test_a_model_that_is_not_mapped(client: TestClient) -> None:
    for address in ("/api/v1/models/nope", "/models/nope"):
        answer = client.get(address)
        assert answer.status_code == 404
        assert "Mapped models: tiny-base, tiny-chat" in answer.text


def test_an_account_that_cannot_be_read_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = measurements("tiny-chat")
    rows[0]["result"] = json.dumps({"views": "many"})
    rows[1]["settings"] = "{"
    rows.append(rows[2] | {"kind": "weather"})
    write_library(tmp_path, Plan(measurements=rows))
    with caplog.at_level(logging.WARNING):
        for labels in opened(tmp_path):
            measured = model(labels, "tiny-chat").measurements
    assert (measured.control, measured.activity) == (None, None)
    assert measured.effect is not None
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == ["control", "activity"]


def test_the_page_of_a_model_has_its_rule_its_shares_and_its_sources(client: TestClient) -> None:
    page = soup(client, "/models/tiny-chat")
    assert RULE in page.text
    rows = [folded_text(row) for row in page.select("table.graded tbody tr")]
    assert rows[0] == "cosine gate reads 25.0% 12.5% 62.5% 25.0%"
    assert len(rows) == 6
    assert len(page.select("svg.chart[aria-label]")) == 4
    layers, _ = page.select("table.by-layer")
    assert folded_text(layers.select("tbody tr")[2]).startswith("2 6.00 8.00 25.0% 25.0%")
    holding_rows = [folded_text(row) for row in page.select("table.holding-by-view tbody tr")]
    assert holding_rows[0].startswith("cosine gate reads 90.0% 50.0% raises +0.25 +0.001")
    assert page.select_one('link[rel="alternate"]')["href"] == "/api/v1/models/tiny-chat"  # type: ignore[index]
    assert "planted/tiny-chat" in page.text and "Once there was a" in page.text


def test_the_page_of_a_model_says_what_is_not_measured(client: TestClient) -> None:
    page = soup(client, "/models/tiny-gpt")
    assert "Map it again" in page.text and "neuronym-worker effect tiny-gpt" in page.text
    assert not page.select("svg.chart, table.graded")


def test_models_lead_to_their_pages(client: TestClient) -> None:
    for address in ("/", "/models", "/neurons/tiny-chat/2/1", "/layers/tiny-chat/2"):
        assert soup(client, address).select('main a[href="/models/tiny-chat"]'), address


def test_the_method_prints_the_rule_that_is_served(client: TestClient, tmp_path: Path) -> None:
    (quoted,) = soup(client, "/method").select(".rule")
    rule = folded_text(quoted)
    assert rule.startswith(RULE)
    assert "99 control rows" in rule and "2% of labels are strong, 5% strong or weak" in rule
    assert rule.endswith("Model: tiny-chat .")
    with TestClient(create_app(Settings(data=tmp_path))) as empty:
        page = soup(empty, "/method")
    assert not page.select(".rule") and "no rule to print" in page.text


STRONG = "Stands further out than 98% of its layer’s control rows."


@pytest.mark.parametrize("address", ["/search?q=California", "/neurons/tiny-chat/2/1", "/layers/tiny-chat/2"])
def test_a_strength_says_what_it_means(client: TestClient, address: str) -> None:
    titles = [badge.get("title") for badge in soup(client, address).select(".strength-strong")]
    assert STRONG in titles


def test_charts_of_strength_by_layer(labels: Library) -> None:
    control = labels.holdings.measurements["tiny-chat"].control
    assert control is not None and control.result.layers
    layers = [
        figures.model_copy(update={"strong_above": 6.1 + figures.layer, "strong": figures.layer})
        for figures in control.result.layers
    ]
    chart = threshold_charts(layers, [Lens.logit])[0]
    assert [line.name for line in chart.lines] == [View.gate, View.up, View.down]
    assert [tick.text for tick in chart.up] == ["6", "6.5", "7", "7.5", "8", "8.5"]
    assert [(point.x, point.y) for point in chart.lines[0].points] == [(0, 96), (50, 56), (100, 16)]
    assert chart.sentence == "From 6.1 in layer 0, up view, to 8.1 in layer 2, up view. The axis begins at 6."
    shares = strong_charts(layers)
    assert [figures.lens for figures in shares] == [Lens.cosine, Lens.logit]
    assert [tick.text for tick in shares[0].up] == ["0%", "5%", "10%", "15%", "20%", "25%"]
    assert threshold_charts([]) == []


def test_ends_of_a_label_have_their_own_strength(labels: Library) -> None:
    label = neuron(labels, "tiny-chat", 2, 1).views[View.up][Lens.cosine]
    assert (label.named_by, label.false_share) == (Side.top, CHANCE)
    assert label.ends[Side.top].model_dump() == {"z": label.z, "strength": Strength.strong}
    assert label.ends[Side.bottom].z == pytest.approx(-2, abs=1e-5)
    assert label.ends[Side.bottom].strength is Strength.noise
    against = neuron(labels, "tiny-chat", 1, 1).views[View.up][Lens.cosine]
    assert against.named_by is Side.bottom
    assert against.z == pytest.approx(2, abs=1e-5)
    assert against.ends[Side.bottom].z == pytest.approx(-7, abs=1e-5)
    unmeasured = neuron(labels, "tiny-gpt", 0, 2).views[View.down][Lens.cosine]
    assert unmeasured.false_share is None
    assert {end.strength for end in unmeasured.ends.values()} == {None}
