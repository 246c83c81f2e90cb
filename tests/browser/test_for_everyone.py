"""Every page, light and dark, narrow and wide: accessible by axe's rules for WCAG 2.2 AA, no wider than its window."""

import json
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from neuronym.settings import ROOT
from tests.app.label_files import HASHES, token_ids
from tests.browser.conftest import watched

pytestmark = pytest.mark.browser

AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
PAGES = {
    "home": "/",
    "search": "/search",
    "results": "/search?q=California",
    "pieces": "/search?q=New%20York",
    "neuron": "/neurons/tiny-chat/2/1",
    "ungated": "/neurons/tiny-gpt/0/2",
    "layer": "/layers/tiny-chat/2",
    "tokens": "/tokens?q=dog",
    "token": f"/tokens/{HASHES[0]}/{token_ids(0)[' California']}",
    "compare": "/compare/tiny-base/tiny-chat",
    "side by side": "/compare/tiny-base/tiny-chat/0/0",
    "changed": "/compare/tiny-base/tiny-chat/changed",
    "concepts": "/compare/tiny-base/tiny-chat/concepts",
    "no pair": "/compare/tiny-base/tiny-gpt",
    "models": "/models",
    "model": "/models/tiny-chat",
    "bottom": "/search?q=California&side=bottom&sort=trust",
    "trusted layer": "/layers/tiny-chat/1?sort=trust",
    "playground": "/playground?model=tiny-chat&clamp=L2N1:up:set:20&clamp=x",
    "method": "/method",
    "docs": "/docs",
    "missing": "/nowhere",
}


def opened(page: Page, site: str, name: str) -> None:
    """Go to a page with everything on it unfolded."""
    page.goto(site + PAGES[name])
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")


def violations(page: Page) -> list[str]:
    """What axe finds, one line a rule and place. Its script is run by the driver, past the page's policy."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(f"axe.run(document, {json.dumps(RULES)}).then(found => found.violations)")
    return [f"{rule['id']}: {node['html'][:160]}" for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(browser: Browser, planted_site: str, name: str, scheme: str) -> None:
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    with watched(context, allowed={"missing": "404", "no pair": "409"}.get(name, "")) as page:
        opened(page, planted_site, name)
        assert violations(page) == []


@pytest.mark.parametrize("width", [360, 768, 2560])
def test_no_page_scrolls_sideways(browser: Browser, planted_site: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})
    with watched(context, allowed="Failed to load resource") as page:
        for name in PAGES:
            opened(page, planted_site, name)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_text_can_be_twice_as_large(browser: Browser, planted_site: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    for name in PAGES:
        opened(page, planted_site, name)
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    context.close()


def test_the_tab_key_reaches_the_skip_link_first(page: Page, planted_site: str) -> None:
    page.goto(f"{planted_site}/method")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert urlsplit(page.url).fragment == "main"


def test_nothing_is_set_in_motion_for_those_who_do_not_want_it(browser: Browser, planted_site: str) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{planted_site}/search?q=California")
    running = page.evaluate("document.getAnimations().length")
    page.evaluate("document.querySelector('#results').classList.add('htmx-request')")
    page.wait_for_timeout(300)
    assert (running, page.evaluate("document.getAnimations().length")) == (0, 0)
    context.close()
