"""The drawn library, small: it has the rows that it says, and the app answers from it."""

from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient

from app.main import create_app
from benchmarks import large_library
from benchmarks.drawn_labels import STAYED, Shape, draw_layer, write_shards
from benchmarks.large_load import merge
from neuronym.settings import Settings
from tests.reading import rows


def test_a_small_one_is_made_and_served(tmp_path: Path) -> None:
    shape = Shape("drawn", layers=1, neurons=40, vocab=600)
    large_library.publish_drawn(tmp_path, _write(tmp_path / "shards", shape), shape)
    assert rows(tmp_path, "SELECT count(*) FROM label_by_token") == [(shape.search_rows,)]
    ((same,),) = rows(tmp_path, "SELECT avg(same_top::INT) FROM drift WHERE view = 0")
    assert abs(same - STAYED) < 0.2
    first = "SELECT top_ids[1] FROM label WHERE model = 0 AND lens = 1 LIMIT 1"
    ((text,),) = rows(tmp_path, f"SELECT text FROM token WHERE model = 0 AND id = ({first})")
    with TestClient(create_app(Settings(data=tmp_path))) as client:
        found = client.get("/api/v1/search", params={"q": f'"{text}"'}).json()
        assert client.get("/search", params={"q": f'"{text}"'}).status_code == 200
    assert found["total"] > 0 and found["results"][0]["counterpart"]


def _write(folder: Path, shape: Shape) -> Path:
    write_shards(folder, shape)
    return folder


def test_few_tokens_are_in_many_labels() -> None:
    shares = np.cumsum([0.5, 0.25, *[0.25 / 98] * 98])
    drawn = draw_layer(np.random.default_rng(0), shares, 500)
    assert abs((drawn.top_ids == 0).mean() - 0.5) < 0.02
    assert (np.diff(drawn.top_scores) <= 0).all() and (np.diff(drawn.bottom_scores) >= 0).all()


def test_one_result_has_targets_and_figures_of_both() -> None:
    made = {"machine": {}, "targets": {"a": "x"}, "figures": {"a": 1}}
    asked = {"machine": {"cores": 2}, "targets": {"b": "y"}, "figures": {"b": 2}, "rows": {}}
    assert merge(made, asked) == {
        "machine": {"cores": 2}, "rows": {}, "targets": {"a": "x", "b": "y"}, "figures": {"a": 1, "b": 2},
    }  # fmt: skip
