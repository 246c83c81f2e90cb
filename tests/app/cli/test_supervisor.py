"""The supervisor restarts its process, and the process ends with the supervisor's own, however that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from app.cli import supervisor
from app.cli.supervisor import Supervisor, free_port, map_command, worker_command
from neuronym.settings import ROOT
from tests.serving import until

NOTED = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')"


def starts(notes: Path) -> list[int]:
    """Ids of the processes that have noted their start."""
    return [int(line) for line in notes.read_text().split()] if notes.exists() else []


def runs(pid: int) -> bool:
    """Whether a process is alive; one that nobody has waited for is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def test_a_process_that_dies_is_started_again(notes: Path, caplog: pytest.LogCaptureFixture) -> None:
    process = Supervisor([sys.executable, "-c", f"{NOTED}; sys.exit(3)", str(notes)])
    process.start()
    until(lambda: len(starts(notes)) == 2)
    process.stop()
    assert "ended with code 3. It is started again in 0.5 s." in caplog.text


def test_waits_grow_up_to_a_limit(
    notes: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_WAIT", 0.04)
    process = Supervisor([sys.executable, "-c", NOTED, str(notes)])
    process.start()
    until(lambda: len(starts(notes)) == 5)
    process.stop()
    waits = [record.getMessage().split()[-2] for record in caplog.records]
    assert waits[:4] == ["0.01", "0.02", "0.04", "0.04"]


def test_what_runs_once_is_not_started_again(notes: Path, caplog: pytest.LogCaptureFixture) -> None:
    program = f"{NOTED}; sys.exit(int(os.environ['CODE']))"
    process = Supervisor([sys.executable, "-c", program, str(notes)], once=True, environment={"CODE": "4"})
    process.start()
    until(lambda: "ended with code 4." in caplog.text)
    process.stop()
    assert len(starts(notes)) == 1


def test_what_runs_once_is_read_line_by_line_and_its_end_is_told() -> None:
    lines: list[str] = []
    codes: list[int] = []
    program = "import sys; print('one'); print('zw\\u00f6lf'); sys.exit(5)"
    process = Supervisor(
        [sys.executable, "-c", program],
        once=True,
        environment={"PYTHONIOENCODING": "utf-8"},
        read=lines.append,
        ended=codes.append,
    )
    process.start()
    process.start()  # once is enough
    until(lambda: codes)
    process.stop()
    assert (lines, codes) == (["one\n", "zw\u00f6lf\n"], [5])


def test_one_that_is_stopped_has_not_ended_by_itself(notes: Path) -> None:
    codes: list[int] = []
    command = [sys.executable, "-c", f"{NOTED}; time.sleep(600)", str(notes)]
    process = Supervisor(command, once=True, ended=codes.append)
    process.start()
    until(lambda: starts(notes))
    process.stop()
    process.start()  # not any more
    assert not codes and len(starts(notes)) == 1


def test_stopping_ends_the_process(notes: Path) -> None:
    process = Supervisor([sys.executable, "-c", f"{NOTED}; time.sleep(600)", str(notes)])
    process.start()
    until(lambda: starts(notes))
    worker = starts(notes)[0]
    assert os.getpgid(worker) != os.getpgid(0)  # Ctrl-C in a terminal does not reach it
    process.stop()
    assert not runs(worker)


def test_a_process_that_will_not_end_is_killed(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "GRACE", 0.2)
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {NOTED}; time.sleep(600)"
    process = Supervisor([sys.executable, "-c", deaf, str(notes)])
    process.start()
    until(lambda: starts(notes))
    began = monotonic()
    process.stop()
    assert monotonic() - began < 5
    assert not runs(starts(notes)[0])


def test_stopping_does_not_wait_for_the_next_start(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_WAIT", 600)
    process = Supervisor([sys.executable, "-c", NOTED, str(notes)])
    process.start()
    until(lambda: starts(notes))
    until(lambda: not runs(starts(notes)[0]))
    began = monotonic()
    process.stop()
    assert monotonic() - began < 5


def test_one_that_was_never_started_is_stopped() -> None:
    Supervisor(["true"]).stop()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_process_ends_with_its_keeper(notes: Path, how: signal.Signals) -> None:
    """Not even kill -9 leaves a worker behind."""
    keeper = (
        "import sys, time\nfrom app.cli.supervisor import Supervisor\n"
        f"Supervisor([sys.executable, '-c', {NOTED + '; time.sleep(600)'!r}, sys.argv[1]]).start()\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", keeper, str(notes)], cwd=ROOT) as process:
        until(lambda: starts(notes))
        worker = starts(notes)[0]
        assert runs(worker)
        process.send_signal(how)
    until(lambda: not runs(worker))


def test_a_leash_whose_keeper_is_gone_starts_nothing(notes: Path) -> None:
    command = [sys.executable, "-m", "app.cli.tether", "1", sys.executable, "-c", NOTED, str(notes)]
    if os.getpid() != 1:
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == 1
        assert not starts(notes)


def test_the_workers_command_names_its_port() -> None:
    port = free_port()
    assert worker_command(port)[1:] == ["-m", "worker.cli", "serve", "--port", str(port)]
    assert 1024 <= port <= 65535


def test_what_to_map_may_have_options() -> None:
    asked = map_command("'a folder' --layers 2")[3:]
    assert asked == ["map", "a folder", "--layers", "2", "--publish-early", "--json"]


def test_the_supervisor_needs_nothing_that_the_worker_needs() -> None:
    code = "import sys, app.cli.supervisor, app.cli.serve; "
    code += "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
