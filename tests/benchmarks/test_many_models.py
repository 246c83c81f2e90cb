"""Libraries of growing size share their files, are all asked the same, and are compared."""

from pathlib import Path

import pytest

from benchmarks import many_models
from neuronym.library import read_catalogue
from tests.reading import rows


def test_libraries_of_two_and_four_models_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_models, "SEARCHES", 4)
    monkeypatch.setattr(many_models, "WARM_UP", 1)
    many_models.make_pairs(tmp_path, 2, (1, 60, 2_000))
    assert [entry.name for entry in read_catalogue(tmp_path).pairs] == ["pair-0", "pair-1"]
    assert rows(tmp_path, "SELECT count(*) FROM model") == [(4,)]
    with many_models.first_pairs(tmp_path, 1) as few:
        assert rows(few, "SELECT name FROM model ORDER BY name") == [("pair-0-base",), ("pair-0-instruct",)]
    measured = many_models.measure(tmp_path, 2)
    asked = measured["rows"]
    assert isinstance(asked, dict)
    assert len(asked) == 6 and all(row["requests"] == 4 and not row["errors"] for row in asked.values())
    assert measured["figures"] == {
        "one model: of 4 models / of 2": pytest.approx(
            asked["one model of 4 models"]["median, ms"] / asked["one model of 2 models"]["median, ms"], abs=0.01
        ),
        "one pair: of 4 models / of 2": pytest.approx(
            asked["one pair of 4 models"]["median, ms"] / asked["one pair of 2 models"]["median, ms"], abs=0.01
        ),
        "all 4 models / all 2": pytest.approx(
            asked["all of 4 models"]["median, ms"] / asked["all of 2 models"]["median, ms"], abs=0.01
        ),
    }
