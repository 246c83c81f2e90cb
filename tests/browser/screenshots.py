"""Remakes the pictures of README and docs from a running demo: `python -m tests.browser.screenshots [ADDRESS]`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, expect, sync_playwright

from neuronym.settings import ROOT
from tests.browser.conftest import ARGUMENTS, CHROMIUM

IMAGES = ROOT / "docs" / "images"
MODEL, BASE = "smollm2-135m-instruct", "smollm2-135m-standin"
LARGEST = 200_000  # bytes
Scheme = Literal["light", "dark"]


def search(page: Page, site: str) -> None:
    """The neurons of California."""
    page.goto(f"{site}/search?q=California&sort=trust")


def neuron(page: Page, site: str) -> None:
    """The dog neuron."""
    page.goto(f"{site}/neurons/{MODEL}/29/808")


def compare(page: Page, site: str) -> None:
    """What tuning changed, layer by layer."""
    page.goto(f"{site}/compare")


def side_by_side(page: Page, site: str) -> None:
    """The Californian neuron before and after tuning."""
    page.goto(f"{site}/compare/{BASE}/{MODEL}/22/57")


def playground(page: Page, site: str) -> None:
    """The dog neuron, clamped."""
    clamp = "clamp=L29N808:up:set:15&max_new_tokens=24&watch=%22Dogs%22,%20%22Cats%22,%20%22The%22"
    page.goto(f"{site}/playground?model={MODEL}&chat=Which%20animal%20do%20you%20like%20best?&{clamp}")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("table.watched")).to_be_visible(timeout=120_000)
    page.mouse.move(0, 0)


PICTURES: list[tuple[str, Callable[[Page, str], None], Scheme, int]] = [
    ("search", search, "light", 800),
    ("neuron", neuron, "light", 900),
    ("neuron-dark", neuron, "dark", 900),
    ("compare", compare, "light", 1190),
    ("side-by-side", side_by_side, "light", 860),
    ("playground", playground, "light", 860),
]


def remake(site: str, folder: Path = IMAGES) -> list[Path]:
    """Take every picture; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name, show, scheme, height in PICTURES:
            page = browser.new_page(viewport={"width": 1280, "height": height}, color_scheme=scheme)
            show(page, site)
            page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
            made.append(folder / f"{name}.png")
            page.screenshot(path=made[-1])
            page.close()
        browser.close()
    return made


if __name__ == "__main__":
    for picture in remake(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"):
        size = picture.stat().st_size
        sys.stdout.write(f"{picture.relative_to(ROOT)} {size // 1000} kB\n")
        if size > LARGEST:
            raise SystemExit(f"{picture.name} is larger than {LARGEST // 1000} kB.")
