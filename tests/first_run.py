"""What a newcomer does, on a machine that has nothing: `python tests/first_run.py`, which needs Python alone.

A fresh environment with what `make setup` installs and nothing else; a part of the demo model is served while it is
mapped, as `make run` does it, clamped over REST and on the page, measured, and looked at by the doctor. Then the wheel
without torch, in a second environment, answers a search on the same label file. Downloads are the first and the last
step but one, and their seconds are told apart.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL, LAYER, NEURON = "smollm2-135m-instruct", 29, 808
NOT_OURS = {"neuronym", "pip", "setuptools"}  # installed, and not by the lock
PATIENCE = 180.0  # seconds until a worker must have loaded its model
TEXT = "The dog ran home. California is a state. She was proud of the medal that her brother had won in Paris. " * 16


class Broken(Exception):
    """A step did not do what a newcomer would expect of it."""


@dataclass
class Machine:
    """The folder that everything goes into, and where the app listens once it does."""

    folder: Path
    address: str = ""

    @property
    def venv(self) -> Path:
        return self.folder / "venv"

    def run(self, *command: str | Path, cwd: Path = ROOT, venv: Path | None = None, **more: str) -> str:
        """Run a command of an environment, or of the system; what it printed. Broken: it ended with an error."""
        where = os.environ["PATH"] if venv is None else f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"NEURONYM_DATA": str(self.folder / "data"), "PATH": where} | more
        done = subprocess.run(
            list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Broken(f"`{' '.join(map(str, command))}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def ask(self, path: str, body: bytes | None = None, kind: str = "application/json") -> str:
        """What the app answers. Broken: not with 200."""
        request = urllib.request.Request(self.address + path, body, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            raise Broken(f"{path} answered {error.code}: {error.read().decode()[:2000]}") from error


def install(machine: Machine) -> None:
    """`make setup`, and no package but those of the lock."""
    machine.run("make", "setup", f"VENV={machine.venv}", f"PYTHON={sys.executable}")
    listed = json.loads(machine.run("python", "-m", "pip", "list", "--format=json", venv=machine.venv))
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "lock.txt").read_text(), re.MULTILINE))
    installed = {re.sub(r"[-_.]+", "-", one["name"]).lower() for one in listed}
    if stray := installed - locked - NOT_OURS:
        raise Broken(f"not in lock.txt: {', '.join(sorted(stray))}")


def serve(machine: Machine) -> None:
    """At once what is being mapped; then the page, and a worker that is ready, or says what is wrong."""
    deadline = time.monotonic() + PATIENCE
    if "mapping" not in machine.ask("/healthz"):
        raise Broken("nothing says what is being mapped")
    while not is_ready(machine, deadline):
        time.sleep(0.5)
    if "<title>" not in machine.ask("/"):
        raise Broken("the start page is no page")


def is_ready(machine: Machine, deadline: float) -> bool:
    """Whether all is mapped and a clamp would run. Broken: it never will."""
    try:
        return json.loads(machine.ask("/readyz"))["mapping"] is None
    except Broken as error:
        if "cannot be loaded" in str(error) or "stopped" in str(error) or time.monotonic() > deadline:
            raise
        return False


def ask_the_doctor(machine: Machine) -> None:
    """Every line of the doctor is good."""
    port = str(urllib.parse.urlsplit(machine.address).port)
    report = json.loads(machine.run("neuronym", "doctor", "--json", venv=machine.venv, NEURONYM_PORT=port))
    if bad := [check for check in report["checks"] if check["state"] != "ok"]:
        raise Broken(f"the doctor says {bad}")


def clamp_over_rest(machine: Machine) -> None:
    """A clamp changes what the model writes next."""
    clamp = {"layer": LAYER, "index": NEURON, "site": "act", "value": 20}
    body = {"model": MODEL, "prompt": "My favourite animal is the", "clamps": [clamp], "watch": [" dog"]}
    answer = json.loads(machine.ask("/api/v1/clamp", json.dumps(body | {"max_new_tokens": 4}).encode()))
    if set(answer["runs"]) != {"baseline", "clamped"} or not answer["watch"][0]["delta"]:
        raise Broken(f"the clamp did nothing: {answer}")


def clamp_on_the_page(machine: Machine) -> None:
    """The playground's form, as a browser without script sends it."""
    form = {"act": "run", "model": MODEL, "kind": "prompt", "text": "My favourite animal is the", "max_new_tokens": 4}
    row = {"neuron": f"L{LAYER}N{NEURON}", "site": "act", "mode": "set", "value": 20}
    page = machine.ask(
        "/playground", urllib.parse.urlencode(form | row).encode(), kind="application/x-www-form-urlencoded"
    )
    if 'id="clamped-0"' not in page or 'id="baseline-0"' not in page:
        raise Broken("the playground shows no two texts")


def measure(machine: Machine) -> None:
    """What clamping does, while the app goes on serving; it takes the new label file up."""
    text = machine.folder / "text.txt"
    text.write_text(TEXT)
    part = ["--layers", f"{LAYER - 1}-{LAYER}", "--text", str(text)]
    machine.run("neuronym-worker", "effect", *part, venv=machine.venv)
    neuron = json.loads(machine.ask(f"/api/v1/neurons/{MODEL}/{LAYER}/{NEURON}"))
    if not neuron["effect"]:
        raise Broken("the neuron has no measured effect")


def install_the_wheel(machine: Machine) -> None:
    """The wheel in an environment of its own, without the worker's parts."""
    wheels, alone = machine.folder / "wheels", machine.folder / "alone"
    machine.run("pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, ROOT, venv=machine.venv)
    machine.run(sys.executable, "-m", "venv", alone)
    (wheel,) = wheels.glob("*.whl")
    machine.run("pip", "install", "--constraint", ROOT / "lock.txt", wheel, venv=alone)


def search_without_torch(machine: Machine) -> None:
    """A search from there, on the label file that was mapped here."""
    alone = machine.folder / "alone"
    find = "import importlib.util; print(importlib.util.find_spec('torch'))"
    if machine.run("python", "-c", find, venv=alone, cwd=machine.folder).strip() != "None":
        raise Broken("the wheel brought torch")
    found = json.loads(machine.run("neuronym", "search", "dog", "--json", venv=alone, cwd=machine.folder))
    if not any(one["neuron"] == f"L{LAYER}N{NEURON}" for one in found["results"]):
        raise Broken(f"the dog neuron was not found: {found['total']} results")


@contextmanager
def serving(machine: Machine) -> Iterator[None]:
    """`neuronym serve` while inside, which maps one view of two layers of one model of the demo."""
    environment = os.environ | {"NEURONYM_DATA": str(machine.folder / "data")}
    part = f"{MODEL} --views down --layers {LAYER - 1}-{LAYER}"
    command = [str(machine.venv / "bin" / "neuronym"), "serve", "--port", "0", "--map", part]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        machine.address = process.stdout.readline().strip().rpartition(" ")[2]
        try:
            yield
        finally:
            process.terminate()


STEPS: list[Callable[[Machine], None]] = [install]
SERVED: list[Callable[[Machine], None]] = [serve, ask_the_doctor, clamp_over_rest, clamp_on_the_page, measure]
ALONE: list[Callable[[Machine], None]] = [install_the_wheel, search_without_torch]
DOWNLOADS = {install, install_the_wheel}


def take(steps: list[Callable[[Machine], None]], machine: Machine) -> dict[str, float]:
    """Do the steps and say how long each took; seconds by kind."""
    spent = {"downloads": 0.0, "rest": 0.0}
    for step in steps:
        began = time.monotonic()
        step(machine)
        seconds = time.monotonic() - began
        spent["downloads" if step in DOWNLOADS else "rest"] += seconds
        _say(f"first run: {step.__name__.replace('_', ' ')}, {seconds:.1f} s")
    return spent


def main() -> None:
    """Take every step; the first that breaks ends it."""
    with tempfile.TemporaryDirectory(prefix="neuronym-first-run-") as folder:
        machine = Machine(Path(folder))
        try:
            before = take(STEPS, machine)
            with serving(machine):
                during = take(SERVED, machine)
            after = take(ALONE, machine)
        except Broken as error:
            _say(f"first run broke: {error}")
            sys.exit(1)
        whole = {kind: before[kind] + during[kind] + after[kind] for kind in before}
        _say(f"first run: {whole['rest']:.0f} s, and {whole['downloads']:.0f} s for what had to be installed")
        _say(f"{len(STEPS + SERVED + ALONE)} passed, 0 failed")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
