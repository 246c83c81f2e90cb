"""How a transfer is told: a bar at a terminal, lines in a log."""

import sys

import pytest

from worker.hub.progress import Transfer, reporter


@pytest.mark.parametrize(("terminal", "told"), [(True, "a.duckdb: 100%|"), (False, "a.duckdb: 50% of 2.0 MB\n")])
def test_a_bar_at_a_terminal_and_lines_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool, told: str
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    report = reporter(as_json=False)
    for done in (500_000, 1_000_000, 1_000_001, 2_000_000):
        report(Transfer("a.duckdb", done, 2_000_000))
    said = capsys.readouterr().err
    assert told in said and said.count("50%") <= 1
