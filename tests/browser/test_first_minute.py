"""The first minute, in a real browser: what `make run` runs, on a folder that has nothing, with the demo model."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from neuronym.settings import ROOT
from tests.browser.conftest import watched
from tests.serving import PATIENCE

pytestmark = pytest.mark.browser
SOON = 1000 * PATIENCE  # milliseconds
WAITING = "The first names are on their way"


@pytest.fixture
def first_start(tmp_path: Path) -> Iterator[str]:
    """The address of an app that has just been started, and maps a layer of the demo pair."""
    command = [sys.executable, "-m", "app.cli", "serve", "--port", "0", "--map", "demo --layers 29"]
    settings = os.environ | {"NEURONYM_DATA": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip().rpartition(" ")[2]
        finally:
            process.terminate()


def test_names_come_without_a_reload(
    first_start: str, browser: Browser, record_property: Callable[[str, object], None]
) -> None:
    began = time.monotonic()
    with watched(browser.new_context(viewport={"width": 1280, "height": 900}), allowed="503") as page:
        page.goto(f"{first_start}/neurons/smollm2-135m-instruct/29/808")
        expect(page.get_by_role("heading", name=WAITING)).to_be_visible()
        progress = re.compile("Opening demo|Mapping smollm2-135m-instruct: its down view")
        expect(page.locator("#mapping")).to_contain_text(progress)
        expect(page.get_by_role("heading", name="L29N808")).to_be_visible(timeout=SOON)
        record_property("seconds to the first names", time.monotonic() - began)
        expect(page.locator("main")).to_contain_text("dog")
        told = page.locator("#mapping")
        expect(told).to_contain_text("All is mapped. Reload this page", timeout=SOON)
        record_property("seconds to the pair", time.monotonic() - began)
        told.get_by_role("link").click()
        expect(page.locator(".view-card")).to_have_count(6)  # three views under two lenses
        expect(page.locator("#mapping")).to_have_count(0)
