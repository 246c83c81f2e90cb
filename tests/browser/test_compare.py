"""A pair in a browser: from the overview to a neuron in both models and back, with a script and without one."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import watched
from tests.browser.test_for_everyone import violations

pytestmark = pytest.mark.browser

PAIR = "/compare/tiny-base/tiny-chat"


def walk(page: Page, site: str) -> None:
    """From the navigation to the renamed neuron, to either side of it, and back."""
    page.goto(site)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Compare").click()
    expect(page).to_have_url(site + PAIR)
    expect(page.locator(".headline .large")).to_have_text(["100.0%", "75.4%"])
    page.get_by_role("link", name="Renamed neurons", exact=True).click()
    page.locator("table.found").get_by_role("link", name="L0N0").click()
    expect(page).to_have_url(f"{site}{PAIR}/0/0")
    for model in ("tiny-base", "tiny-chat"):
        page.locator('[aria-labelledby="down-cosine"]').get_by_role("link", name=model).first.click()
        expect(page).to_have_url(f"{site}/neurons/{model}/0/0")
        page.get_by_role("link", name="Beside").first.click()
        expect(page).to_have_url(f"{site}{PAIR}/0/0")


def test_a_pair_is_read_without_a_script(plain_page: Page, planted_site: str) -> None:
    walk(plain_page, planted_site)
    plain_page.goto(f"{planted_site}{PAIR}/changed")
    plain_page.get_by_label("View").select_option("up")
    plain_page.get_by_role("button", name="Show").click()
    expect(plain_page.locator(".nothing")).to_contain_text("every neuron kept its name")
    assert "view=up" in plain_page.url
    plain_page.goto(planted_site + PAIR)
    expect(plain_page.locator("table.by-layer").first).to_be_hidden()
    plain_page.get_by_text("The same as a table").first.click()
    expect(plain_page.locator("table.by-layer tbody tr").first).to_contain_text("100.0%")


def test_a_pair_is_read_with_one(page: Page, planted_site: str) -> None:
    walk(page, planted_site)
    page.keyboard.press("]")
    expect(page).to_have_url(f"{planted_site}{PAIR}/0/1")
    page.goto(f"{planted_site}{PAIR}/changed")
    page.get_by_label("View").select_option("up")
    expect(page).to_have_url(f"{planted_site}{PAIR}/changed?view=up")
    expect(page.locator(".nothing")).to_be_visible()
    page.reload()
    expect(page.get_by_label("View")).to_have_value("up")
    page.get_by_label("View").select_option("")
    expect(page.locator("table.found tbody tr")).to_have_count(1)
    assert violations(page) == []


def test_the_chart_follows_the_window_and_its_text_does_not(browser: Browser, planted_site: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 800})
    with watched(context) as page:
        heights = []
        for width in (360, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(planted_site + PAIR)
            chart = page.locator("svg.chart").first
            heights.append(chart.locator("text").first.bounding_box()["height"])  # type: ignore[index]
            box = page.locator(".chart-card").first.bounding_box()
            assert box is not None
            for text in chart.locator("text").all():
                inner = text.bounding_box()
                assert inner is not None
                assert box["x"] <= inner["x"] and inner["x"] + inner["width"] <= box["x"] + box["width"]
        assert heights[0] == heights[1] >= 12


def test_what_came_and_went_is_told_without_colour(page: Page, planted_site: str) -> None:
    page.goto(f"{planted_site}{PAIR}/0/0")
    card = page.locator('[aria-labelledby="down-cosine"]')
    gained, lost = card.locator("a.gained").first, card.locator("a.lost").first
    assert lost.evaluate("one => getComputedStyle(one).outlineStyle") == "dashed"
    assert gained.evaluate("one => getComputedStyle(one).outlineStyle") == "none"
    assert gained.locator("path").get_attribute("d") != lost.locator("path").get_attribute("d")
