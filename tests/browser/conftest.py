"""A real browser on a real server: every page it opens is watched for errors and for breaches of the policy."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from app.main import create_app
from neuronym.settings import Settings
from tests.app.label_files import write_library
from tests.serving import PATIENCE, served, until
from worker.checkpoints.checkpoint import open_checkpoint
from worker.serving.runner import Runner
from worker.serving.service import create_service
from worker.steering.models import Opener

CHROMIUM = os.environ.get("NEURONYM_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Playground:
    """An app with a live worker behind it, and the worker's inside."""

    site: str
    worker: str
    model: str
    runner: Runner

    @contextmanager
    def held(self) -> Iterator[None]:
        """While inside, the model stands still before its next pass."""
        live, go = self.runner.models.ready(self.model), Event()
        assert live is not None
        handle = live.model.register_forward_pre_hook(lambda *_: go.wait(PATIENCE) and None)
        try:
            yield
        finally:
            go.set()
            handle.remove()


@contextmanager
def clamping(data: Path, model: str, spec: str, others: Mapping[str, Opener] | None = None) -> Iterator[Playground]:
    """The app on a label file with a worker that has `model` loaded from `spec`, and can load `others`."""
    service = create_service(Settings(data=data), {model: partial(open_checkpoint, spec), **(others or {})})
    with served(service) as worker, served(create_app(Settings(data=data, worker_url=worker))) as site:
        until(lambda: httpx2.get(f"{worker}/readyz").is_success)
        yield Playground(site, worker, model, service.state.runner)


@pytest.fixture(scope="session")
def planted_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app on the planted label file of the app's tests: pairs, effects and hostile tokens, no worker."""
    data = tmp_path_factory.mktemp("planted-site")
    write_library(data)
    with served(create_app(Settings(data=data))) as address:
        yield address


@pytest.fixture(scope="session")
def demo_site(demo_data: Path) -> Iterator[str]:
    """The app on the demo model's label file, without a worker."""
    with served(create_app(Settings(data=demo_data))) as address:
        yield address


@pytest.fixture(scope="session")
def tiny_playground(data_folder: Path, tiny_llama: Path) -> Iterator[Playground]:
    """A playground of the tiny random model: quick, and talks nonsense."""
    with clamping(data_folder, "tiny", str(tiny_llama)) as playground:
        yield playground


@pytest.fixture(scope="session")
def demo_playground(demo_data: Path) -> Iterator[Playground]:
    """A playground of the demo model."""
    with clamping(demo_data, "smollm2-135m-instruct", "demo") as playground:
        yield playground


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def watched(context: BrowserContext, allowed: str = "") -> Iterator[Page]:
    """A page that must end without a complaint in its console (but `allowed`), an error, or a call to another host.

    What the browser says as information counts for nothing: it remarks on each autofocus that comes second.
    """
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}") if said.type != "info" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if "//127.0.0.1:" not in request.url else None)
    yield page
    assert not [said for said in complaints if not (allowed and allowed in said)]
    context.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A watched page of 1280 by 900."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    with watched(context) as page:
        yield page


@pytest.fixture
def plain_page(browser: Browser) -> Iterator[Page]:
    """A watched page of a browser that runs no script."""
    context = browser.new_context(java_script_enabled=False)
    with watched(context) as page:
        yield page
