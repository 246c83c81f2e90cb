"""The page on performance is what the kept results come to, and the benchmarks' own parts do what they say."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import run as benchmark_run
from benchmarks.launch import run
from benchmarks.report import MISSING, PAGE, TITLES, page
from benchmarks.timing import median_ratio, time_turns


def test_the_page_is_made_of_the_results() -> None:
    assert PAGE.read_text() == page(), "run `python -m benchmarks.report`"


def test_every_benchmark_has_a_place_on_the_page() -> None:
    assert set(TITLES) == {*benchmark_run.QUICK, *benchmark_run.SLOW, *benchmark_run.ON_GPU}


def test_figures_targets_and_machine_are_told(tmp_path: Path) -> None:
    result = {"machine": {"cores": 2}, "targets": {"a / b": "at most 0.7"}, "figures": {"a / b": 0.6, "deep": {"c": 1}}}
    (tmp_path / "growth.json").write_text(json.dumps(result))
    text = page(tmp_path)
    assert (
        "| a / b | 0.6 |  | at most 0.7 |" in text and "| deep, c | 1 |  |  |" in text and "Machine: cores 2." in text
    )


def test_a_target_that_was_not_reached_is_marked(tmp_path: Path) -> None:
    targets = {"a / b": "at most 0.7", "c": "at most 1", "home, p99, ms": "at most 100"}
    result = {"targets": targets, "figures": {"a / b": 0.71, "c": 1}, "rows": {"home": {"p99, ms": 100.5}}}
    (tmp_path / "load.json").write_text(json.dumps(result))
    text = page(tmp_path)
    assert "| a / b | 0.71 |  | at most 0.7: **not reached** |" in text and "| c | 1 |  | at most 1 |" in text
    assert "| home | 100.5 (at most 100: **not reached**) |" in text


def test_rows_are_a_table_with_targets_beside_the_figures(tmp_path: Path) -> None:
    rows = {"home": {"median, ms": 6, "errors": 0}, "search": {"median, ms": 20, "late, ms": 1}}
    result = {"targets": {"home, median, ms": "at most 50"}, "rows": rows, "figures": {"memory, GB": 0.2}}
    (tmp_path / "load.json").write_text(json.dumps(result))
    text = page(tmp_path)
    assert "\n\n|  | median, ms | errors | late, ms |\n| --- | --- | --- | --- |\n" in text
    assert "\n| home | 6 (at most 50) | 0 |  |\n| search | 20 |  | 1 |\n\n| measured |" in text
    assert "| memory, GB | 0.2 |  |  |" in text


def test_former_results_stay_and_their_range_is_told(tmp_path: Path) -> None:
    kept = tmp_path / "growth.json"
    for place, ratio in enumerate((0.5, 0.25, *[0.4] * benchmark_run.KEPT)):
        benchmark_run.keep({"machine": {"cores": place}, "figures": {"a / b": ratio, "way": "int8"}}, kept)
    result = json.loads(kept.read_text())
    assert result["machine"] == {"cores": 9} and result["figures"]["a / b"] == 0.4
    assert [former["machine"]["cores"] for former in result["former"]] == list(range(1, 9))  # the oldest is gone
    text = page(tmp_path)
    assert "| a / b | 0.4 | 0.25 to 0.4 (9 runs) |  |" in text and "| way | int8 |  |  |" in text


def test_what_was_not_measured_is_said_to_be_so(tmp_path: Path) -> None:
    def section() -> str:
        return page(tmp_path).partition("## On a GPU\n")[2]

    assert section().endswith(f"\n\n{MISSING}\n") and "pip install --no-index" in section()
    (tmp_path / "gpu.json").write_text(json.dumps({"machine": {"card": "a card"}, "figures": {"lens": {"a / b": 0.5}}}))
    assert MISSING not in section() and "| lens, a / b | 0.5 |  |  |\n\nMachine: card a card." in section()


def test_the_first_turn_is_left_out_and_ratios_are_of_turns() -> None:
    times = time_turns([{"one": lambda: None, "other": lambda: None}] * 3)
    assert len(times) == 2
    assert median_ratio([{"a": 1, "b": 2}, {"a": 3, "b": 4}, {"a": 10, "b": 10}], "a", "b") == pytest.approx(0.75)


def test_a_command_is_launched_and_its_memory_is_its_own() -> None:
    ballast = bytearray(300_000_000)
    taken = run([sys.executable, "-c", "print('done')"])
    assert taken["output"] == "done\n"
    assert 1_000_000 < taken["peak"] < 100_000_000 < len(ballast)
