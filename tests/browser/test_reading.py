"""What a reader does: search while typing and without a script, open a neuron, walk by keys, keep a theme."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser


def test_results_come_while_typing(page: Page, planted_site: str) -> None:
    page.goto(planted_site)
    page.get_by_role("searchbox").press_sequentially("California", delay=20)
    expect(page.locator("table.found tbody tr").first).to_contain_text("L2N1")
    expect(page).to_have_url(f"{planted_site}/search?q=California&sort=trust")
    expect(page.get_by_role("status")).to_contain_text("labels with")
    assert page.evaluate("document.activeElement.id") == "q"
    page.reload()
    expect(page.locator("table.found tbody tr").first).to_contain_text("L2N1")


def test_a_filter_takes_hold_at_once_and_stays_in_the_address(page: Page, planted_site: str) -> None:
    page.goto(f"{planted_site}/search?q=California")
    page.get_by_text("Filters").click()
    page.get_by_label("View").select_option("down")
    expect(page).to_have_url(f"{planted_site}/search?q=California&view=down")
    expect(page.locator("table.found .view-up")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("View")).to_have_value("down")


def test_an_order_takes_hold_at_once(page: Page, planted_site: str) -> None:
    page.goto(f"{planted_site}/search?q=California&sort=trust")
    rows = page.locator("table.found tbody .neuron")
    assert rows.all_text_contents()[:2] == ["L2N1", "L0N0"]  # strong, then weak
    page.get_by_label("Order").select_option("z")
    expect(page).to_have_url(f"{planted_site}/search?q=California")
    assert rows.all_text_contents()[:2] == ["L2N1", "L0N2"]


def test_typing_a_neurons_name_offers_it_and_enter_opens_it(page: Page, planted_site: str) -> None:
    page.goto(f"{planted_site}/search")
    page.get_by_role("searchbox").press_sequentially("L2N1")
    expect(page.locator(".direct a").first).to_have_text("L2N1")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{planted_site}/neurons/tiny-chat/2/1")
    expect(page.get_by_role("heading", level=1)).to_have_text("L2N1")


def test_search_works_without_a_script(plain_page: Page, planted_site: str) -> None:
    plain_page.goto(planted_site)
    plain_page.get_by_role("searchbox").fill("California")
    plain_page.get_by_role("button", name="Search").click()
    expect(plain_page).to_have_url(f"{planted_site}/search?q=California&sort=trust")
    plain_page.get_by_text("Filters").click()
    plain_page.get_by_label("View").select_option("up")
    plain_page.get_by_role("button", name="Search").click()
    expect(plain_page).to_have_url(f"{planted_site}/search?q=California&view=up&sort=trust")
    plain_page.locator("table.found").get_by_role("link", name="L2N1").first.click()
    expect(plain_page.get_by_role("heading", level=1)).to_have_text("L2N1")


def test_the_page_before_and_after_come_by_keys(page: Page, planted_site: str) -> None:
    page.goto(f"{planted_site}/neurons/tiny-chat/2/1")
    page.keyboard.press("]")
    expect(page).to_have_url(f"{planted_site}/neurons/tiny-chat/2/2")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("c")
    expect(page).to_have_url(f"{planted_site}/playground?model=tiny-chat&clamp=L2N2:up:set:20")


def test_results_are_walked_by_keys(page: Page, planted_site: str) -> None:
    page.goto(f"{planted_site}/search?q=California")
    page.locator(".total").click()
    for key in "jjk":
        page.keyboard.press(key)
    focused = page.evaluate("document.activeElement.textContent")
    assert focused == page.locator("table.found tbody tr").first.locator(".neuron").text_content()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(focused)


def test_keys_can_be_listed_and_switched_off(page: Page, planted_site: str) -> None:
    page.goto(f"{planted_site}/method")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_label("Single-key shortcuts").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") != "q"


def paper(page: Page) -> str:
    """The colour of the page."""
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_the_theme_is_the_systems_until_one_is_chosen_and_kept(browser: Browser, planted_site: str) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(planted_site)
    dark = paper(page)
    switch = page.get_by_role("button", name=re.compile("Theme"))
    expect(switch).to_have_text(re.compile("System"))
    switch.click()
    expect(switch).to_have_text(re.compile("Light"))
    light = paper(page)
    assert light != dark
    page.goto(f"{planted_site}/method")
    assert paper(page) == light
    page.emulate_media(color_scheme="light")
    page.get_by_role("button", name=re.compile("Theme")).click()
    assert paper(page) == dark
    page.get_by_role("button", name=re.compile("Theme")).click()
    assert paper(page) == light
    assert page.evaluate("localStorage.getItem('neuronym-theme')") is None
    context.close()


def test_hostile_tokens_stay_text(page: Page, planted_site: str) -> None:
    page.goto(f"{planted_site}/tokens?q=%22%3Cb%3E%22")
    chip = page.locator(".vocabulary .token").first
    expect(chip).to_have_text("<b>")
    chip.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("<b>")


def test_the_demo_model_has_its_californian(page: Page, demo_site: str) -> None:
    page.goto(demo_site)
    page.get_by_role("searchbox").press_sequentially("California", delay=20)
    row = page.locator("table.found tbody tr").filter(has=page.get_by_role("link", name="L22N57", exact=True))
    expect(row).to_contain_text("up reads")
    assert [text.strip() for text in row.locator("td.chips > .token").all_text_contents()] == [
        "California",
        "LA",
        "California",
        "UCLA",
        "Los",
    ]


def test_the_demo_models_dog_neuron_opens_and_writes_dog(page: Page, demo_site: str) -> None:
    page.goto(f"{demo_site}/neurons/smollm2-135m-instruct/29/808")
    for view in ("gate", "down"):
        card = page.locator(f'[aria-labelledby="{view}-cosine"]')
        expect(card.locator(".scores").first.locator(".token").first).to_have_text(" dog")
    expect(page.locator(".lead")).to_contain_text("up reads against dog")
