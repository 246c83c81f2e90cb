"""Sweeps through the app, with a live worker: the answer, its units, the page, the command, and what is refused."""

import json
from collections.abc import Iterator
from functools import partial
from math import exp
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner

from app.cli.commands import main
from app.main import create_app
from app.pages.charts.sweep import curve_charts
from neuronym.contract import Mode, Site, SweepAnswer, SweepCurve, SweptToken
from neuronym.settings import Settings
from tests.serving import PATIENCE, served, until
from worker.checkpoints.checkpoint import open_checkpoint
from worker.serving.service import create_service

CLAMP = {"layer": 2, "index": 1, "site": "up", "value": 0}
REQUEST: dict[str, Any] = {
    "model": "tiny-chat",
    "prompt": "The dog",
    "clamps": [CLAMP],
    "values": {"from": -9, "to": 18, "steps": 4},
    "watch": [" dog", 7],
}


@pytest.fixture(scope="module")
def site(planted_data: Path, tiny_llama: Path) -> Iterator[httpx2.Client]:
    """App and worker on the planted label file; both models of the pair have the same weights."""
    opener = partial(open_checkpoint, str(tiny_llama))
    service = create_service(Settings(), {"tiny-chat": opener, "tiny-base": opener})
    with (
        served(service) as worker,
        served(create_app(Settings(data=planted_data, worker_url=worker))) as app,
        httpx2.Client(base_url=app, timeout=PATIENCE) as http,
    ):
        until(lambda: http.get("/readyz").is_success)
        yield http


def sweep(site: httpx2.Client, **fields: Any) -> httpx2.Response:
    """Ask for a sweep."""
    return site.post("/api/v1/sweep", json=REQUEST | fields)


def test_each_value_says_what_a_clamp_says(site: httpx2.Client) -> None:
    answer = SweepAnswer.model_validate(sweep(site).json())
    assert (answer.run, answer.neuron, answer.values) == ("planted-1", "L2N1", [-9, 0, 9, 18])
    (curve,) = answer.curves
    for place, value in enumerate(answer.values):
        question = {name: REQUEST[name] for name in ("model", "prompt", "watch")}
        clamped = site.post(
            "/api/v1/clamp", json=question | {"clamps": [CLAMP | {"value": value}], "max_new_tokens": 1}
        ).json()
        for token, watched in zip(curve.tokens, clamped["watch"], strict=True):
            assert token.token_id == watched["token_id"]
            assert token.logprobs[place] == pytest.approx(watched["clamped"], abs=1e-4)
            assert token.probabilities[place] == pytest.approx(exp(watched["clamped"]), abs=1e-5)
            assert token.baseline == pytest.approx(watched["baseline"], abs=1e-4)


def test_units_of_the_neurons_own_range(site: httpx2.Client) -> None:
    """The planted 0.999 quantile of L2N1 at site up is 9."""
    ranged = SweepAnswer.model_validate(sweep(site, unit="range", values=[-1, 0, 1, 2]).json())
    raw = SweepAnswer.model_validate(sweep(site).json())
    assert ranged.values == [-1, 0, 1, 2]
    assert ranged.curves[0].raw == raw.curves[0].raw == [-9, 0, 9, 18]
    assert ranged.curves[0].tokens == raw.curves[0].tokens


def test_both_models_of_a_pair(site: httpx2.Client) -> None:
    answer = SweepAnswer.model_validate(sweep(site, pair=True).json())
    assert [curve.model for curve in answer.curves] == ["tiny-chat", "tiny-base"]


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"model": "nope"}, 404, "Mapped models:"),
        ({"model": "nope", "pair": True}, 404, "Mapped models:"),
        ({"model": "tiny-gpt", "pair": True}, 422, "pair: tiny-gpt is in no pair"),
        ({"clamps": [CLAMP | {"layer": 3}]}, 422, "clamps.0.layer: 3 is not one of tiny-chat's layers, 0 to 2."),
        ({"clamps": []}, 422, "clamps should have at least 1"),
        ({"clamp": 1}, 422, "`clamp` is 1, but there are 1 clamps"),
        ({"clamps": [CLAMP | {"site": "gate"}], "unit": "range"}, 422, "is not measured"),
        ({"values": {"from": 0, "to": 1, "steps": 1000}}, 422, "steps should be less than or equal to 128, not 1000"),
        ({"watch": []}, 422, "watch should have at least 1"),
        ({"watch": [10**9]}, 422, "watch: there is no token 1000000000"),
    ],
)
def test_what_cannot_be_swept_is_refused(
    site: httpx2.Client, fields: dict[str, Any], status: int, sentence: str
) -> None:
    response = sweep(site, **fields)
    assert response.status_code == status, response.text
    assert sentence in response.json()["error"]


FORM = {
    "model": "tiny-chat",
    "kind": "prompt",
    "text": "The dog",
    "neuron": "L2N1",
    "site": "up",
    "mode": "set",
    "value": "",
    "sweep_from": "-9",
    "sweep_to": "18",
    "sweep_steps": "4",
    "watch": "dog, #7",
    "act": "sweep",
}


def test_the_playground_draws_it_without_a_script(site: httpx2.Client) -> None:
    page = BeautifulSoup(site.post("/playground", data=FORM | {"sweep_pair": "1"}).text, "html.parser")
    answer = SweepAnswer.model_validate(sweep(site, pair=True).json())
    figures = page.select("figure.chart-card")
    assert [figure.h3.text for figure in figures if figure.h3] == ["tiny-chat", "tiny-base"]
    assert len(page.select("polyline")) == 4
    assert len(page.select("table.swept tbody tr")) == 2 * (1 + len(answer.values))
    assert page.select_one("[data-announce]")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"neuron": ""}, "Give a clamp to sweep."),
        ({"sweep_clamp": "2"}, "there are clamps 1 to 1"),
        ({"sweep_to": "far"}, "Values"),
    ],
)
def test_a_mistake_in_the_form_is_said_in_place(site: httpx2.Client, fields: dict[str, str], sentence: str) -> None:
    response = site.post("/playground", data=FORM | fields)
    problem = BeautifulSoup(response.text, "html.parser").select_one("#run .problem")
    assert response.status_code == 422
    assert problem is not None and sentence in problem.text


def command(site: httpx2.Client, *more: str) -> Any:
    """Run `neuronym sweep` against the app."""
    words = ["sweep", "L2N1", "The dog", "--model", "tiny-chat", "--watch", " dog", "--server", str(site.base_url)]
    return CliRunner().invoke(main, [*words, *more])


def test_the_command_prints_a_table_or_the_answer(site: httpx2.Client) -> None:
    table = command(site, "--from", "-9", "--to", "18", "--steps", "4")
    assert table.exit_code == 0, table.output
    assert [line.split()[0] for line in table.output.splitlines()] == ["L2N1", "value", "no", "-9", "0", "9", "18"]
    answer = SweepAnswer.model_validate(json.loads(command(site, "--values", "-9,0,9,18", "--json").output))
    assert answer.curves[0].tokens[0] == SweepAnswer.model_validate(sweep(site).json()).curves[0].tokens[0]


@pytest.mark.parametrize(
    ("more", "code", "sentence"),
    [
        ([], 2, "Give --from and --to, or --values."),
        (["--values", "1", "--model", "nope"], 1, "Mapped models"),
        (["--values", "1", "--site", "side"], 1, "clamps.0.site should be"),
        (["--values", "1", "--server", "http://127.0.0.1:1"], 1, "Nobody answers at http://127.0.0.1:1."),
    ],
)
def test_a_mistake_of_the_command_is_one_sentence(
    site: httpx2.Client, more: list[str], code: int, sentence: str
) -> None:
    result = command(site, *more)
    assert (result.exit_code, sentence in result.stderr) == (code, True), result.output


def test_the_geometry_of_a_curve() -> None:
    token = SweptToken(token_id=1, text=" dog", baseline=-2.0, logprobs=[-3, -1], probabilities=[exp(-3), exp(-1)])
    answer = SweepAnswer(
        run="r",
        neuron="L0N0",
        site=Site.up,
        mode=Mode.set,
        unit="raw",
        values=[-10, 10],
        curves=[SweepCurve(model="m", raw=[-10, 10], tokens=[token], seconds=0)],
    )
    (chart,) = curve_charts(answer)
    assert [x for x, _ in chart.lines[0].points] == [0, 100]
    assert [tick.text for tick in chart.up] == ["0%", "10%", "20%", "30%", "40%"]
    assert chart.lines[0].points[1][1] == pytest.approx(100 * (1 - exp(-1) / 0.4), abs=0.01)
    assert chart.sentence == "“dog” is likeliest at 10: 36.8%, and 13.5% without a clamp."
