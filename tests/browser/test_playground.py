"""The playground with a live model: two texts as they come, Stop, mistakes in place, and the same without a script."""

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.app.spellings import SPELLINGS
from tests.browser.conftest import Playground, watched
from tests.browser.test_for_everyone import violations
from tests.serving import until

pytestmark = pytest.mark.browser

RUN = "Run"


def filled(page: Page, playground: Playground, query: str) -> None:
    """Open the playground filled in."""
    page.goto(f"{playground.site}/playground?model={playground.model}&{query}")


def run(page: Page) -> None:
    """Press the button."""
    page.get_by_role("button", name=RUN, exact=True).click()


def text(page: Page, name: str) -> str:
    """What a column says, without the hints of its tokens."""
    tokens = page.locator(f"#{name}-text > .g").evaluate_all(
        "all => all.map(one => [...one.childNodes].filter(node => node.nodeType === 3).map(node => node.data).join(''))"
    )
    return "".join(tokens)


def answer(playground: Playground, **body: object) -> dict[str, dict[str, str]]:
    """The same run by the API."""
    sent = httpx2.post(f"{playground.site}/api/v1/clamp", json={"model": playground.model, **body}, timeout=120)
    runs: dict[str, dict[str, str]] = sent.raise_for_status().json()["runs"]
    return runs


def test_two_texts_come_side_by_side(page: Page, tiny_playground: Playground) -> None:
    filled(page, tiny_playground, "prompt=The%20dog&clamp=L1N3:act:set:90&max_new_tokens=12")
    run(page)
    expect(page.locator("table.watched")).to_be_visible()
    expected = answer(
        tiny_playground,
        prompt="The dog",
        clamps=[{"layer": 1, "index": 3, "site": "act", "value": 90}],
        max_new_tokens=12,
    )
    assert page.locator("#baseline-text > .g").count() == page.locator("#clamped-text > .g").count() == 12
    assert expected["baseline"]["text"] != expected["clamped"]["text"]
    assert page.locator(".g.parts").count() == 2
    assert len(text(page, "baseline")) > 0
    expect(page.get_by_role("status")).to_contain_text("Finished in")
    assert violations(page) == []


def test_the_address_of_a_run_reproduces_it(page: Page, tiny_playground: Playground) -> None:
    filled(page, tiny_playground, "prompt=x")
    page.get_by_role("textbox", name="Text", exact=True).fill("The cat & the dog")
    page.get_by_label("Neuron", exact=True).fill("L2N5")
    page.get_by_label("Value").fill("7.5")
    page.get_by_text("Length, chance").click()
    page.get_by_label("New tokens").fill("5")
    run(page)
    expect(page.locator("table.watched")).to_be_visible()
    first = text(page, "clamped")
    assert "clamp=L2N5:up:set:7.5" in page.url
    page.reload()
    expect(page.locator("#clamped-text")).to_have_count(0)
    run(page)
    expect(page.locator("table.watched")).to_be_visible()
    assert text(page, "clamped") == first


def test_a_token_shows_its_alternatives_on_hover_and_focus(page: Page, tiny_playground: Playground) -> None:
    filled(page, tiny_playground, "prompt=The%20dog&max_new_tokens=6")
    run(page)
    expect(page.locator("#clamped-5")).to_be_attached()
    expect(page.get_by_role("tooltip")).to_have_count(0)
    page.locator("#baseline-0").focus()
    expect(page.locator("#baseline-0 .tip")).to_be_visible()
    assert page.locator("#baseline-0 .tip-row").count() == 5
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "baseline-2"
    expect(page.locator("#baseline-0 .tip")).to_be_hidden()
    page.locator("#clamped-3").hover()
    expect(page.locator("#clamped-3 .tip")).to_be_visible()


def test_rows_are_added_named_and_removed(page: Page, tiny_playground: Playground) -> None:
    filled(page, tiny_playground, "prompt=x&clamp=L1N1:up:set:2")
    page.get_by_role("button", name="Add a clamp").click()
    expect(page.locator("#neuron-1")).to_be_focused()
    page.keyboard.type("L3N7")
    page.keyboard.press("Tab")
    expect(page.locator("#name-1")).to_contain_text("reads")
    page.get_by_role("button", name="Remove clamp 1").click()
    expect(page.locator("#clamps .row")).to_have_count(1)
    expect(page.locator("#neuron-0")).to_have_value("L3N7")


def test_the_browser_takes_the_names_that_the_form_reads(page: Page, planted_site: str) -> None:
    page.goto(f"{planted_site}/playground?model=tiny-chat&prompt=x")
    taken = page.locator("#neuron-0").evaluate(
        "(field, texts) => texts.filter(text => { field.value = text; return field.checkValidity(); })", list(SPELLINGS)
    )
    assert taken == [text for text, place in SPELLINGS.items() if place]


def test_it_works_without_a_script(plain_page: Page, tiny_playground: Playground) -> None:
    filled(plain_page, tiny_playground, "prompt=The%20dog&max_new_tokens=4")
    plain_page.get_by_role("button", name="Add a clamp").click()
    plain_page.locator("#neuron-0").fill("L0N0")
    plain_page.locator("#value-0").fill("3")
    run(plain_page)
    expect(plain_page.locator("#clamped-text > .g")).to_have_count(4)
    expect(plain_page.locator("table.watched tbody tr").first).to_be_visible()
    plain_page.locator("#clamped-2").focus()
    expect(plain_page.locator("#clamped-2 .tip")).to_be_visible()


def test_a_run_by_keyboard_keeps_the_focus(page: Page, tiny_playground: Playground) -> None:
    filled(page, tiny_playground, "prompt=The%20dog&max_new_tokens=4")
    again = page.get_by_role("button", name=RUN, exact=True)
    with tiny_playground.held():
        again.press("Enter")
        expect(page.locator("#run-body")).to_be_attached()
        expect(again).to_be_focused()
        expect(again).to_have_attribute("aria-disabled", "true")
        again.press("Enter")  # is dropped while one runs
    expect(page.get_by_role("status")).to_contain_text("Finished")
    expect(again).to_be_focused()
    expect(again).not_to_have_attribute("aria-disabled", "true")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "baseline-0"
    with tiny_playground.held():
        again.press("Enter")
        expect(page.locator("#run [data-streaming]")).to_be_attached()
        page.get_by_role("button", name="Stop").press("Enter")
        expect(again).to_be_focused()
        expect(page.get_by_role("status")).to_have_text("Stopped")


def test_a_refusal_stands_in_place_of_the_texts(browser: Browser, tiny_playground: Playground) -> None:
    with watched(browser.new_context(), allowed="422") as page:
        filled(page, tiny_playground, "prompt=x&clamp=L90N1:up:set:2")
        expect(page.locator("#name-0")).to_contain_text("layer")
        run(page)
        expect(page.locator("#run .problem")).to_contain_text("Clamp 1, layer: 90 is not one of")
        assert page.get_by_role("button", name=RUN, exact=True).is_enabled()


def test_a_worker_that_is_away_is_said_in_place(browser: Browser, planted_site: str) -> None:
    with watched(browser.new_context(), allowed="503") as page:
        page.goto(f"{planted_site}/playground?model=tiny-chat&chat=Hi&clamp=L2N1:up:set:2")
        run(page)
        expect(page.locator("#run .problem")).to_contain_text("worker")


def test_what_a_run_waits_for_is_said(browser: Browser, page: Page, tiny_playground: Playground) -> None:
    waits = page.locator("#pending")
    filled(page, tiny_playground, "prompt=The%20dog&max_new_tokens=4")
    expect(waits).to_be_hidden()
    with tiny_playground.held(), watched(browser.new_context()) as other:
        filled(other, tiny_playground, "prompt=The%20dog&max_new_tokens=4")
        run(other)
        expect(other.locator("#run-body")).to_be_attached()
        run(page)
        expect(waits).to_have_text("Waiting: 1st in the queue")
        expect(waits).to_be_visible()
        expect(page.get_by_role("status")).to_have_text("Waiting: 1st in the queue")
        page.get_by_role("button", name="Stop").click()
        expect(waits).to_be_hidden()
        expect(page.get_by_role("status")).to_have_text("Stopped")
        until(lambda: httpx2.get(f"{tiny_playground.worker}/v1/status").json()["waiting"] == 0)
        run(page)
        expect(waits).to_have_text("Waiting: 1st in the queue")
    expect(page.get_by_role("status")).to_contain_text("Finished")
    expect(waits).to_be_hidden()


def test_the_tokens_are_counted_while_one_types(page: Page, tiny_playground: Playground) -> None:
    filled(page, tiny_playground, "prompt=dog")
    count = page.locator("#count")
    expect(count).to_contain_text("of 256")
    before = count.inner_text()
    page.get_by_role("textbox", name="Text", exact=True).press_sequentially("The dog and the cat")
    expect(count).not_to_have_text(before)
    page.get_by_role("textbox", name="Text", exact=True).fill("dog")
    expect(count).to_have_text(before)


def test_a_value_is_moved_in_units_of_the_neurons_own_range(page: Page, planted_site: str) -> None:
    page.goto(f"{planted_site}/playground?model=tiny-chat&prompt=x&clamp=L2N1:up:set:18")
    slider = page.get_by_label("Value of L2N1 in units of its own range")
    value = page.get_by_label("Value", exact=True)
    expect(slider).to_have_value("2")
    expect(slider).to_have_attribute("aria-valuetext", "2.0 × its high, 9.00, value 18")
    slider.press("ArrowRight")
    expect(value).to_have_value("18.9")
    value.fill("-27")
    expect(slider).to_have_value("-3")
    expect(page.locator(".own .units")).to_have_text("−3.0 × its high, 9.00")
    assert violations(page) == []
    page.get_by_label("Mode", exact=True).select_option("scale")
    expect(slider).to_have_count(0)
    page.get_by_label("Mode", exact=True).select_option("add")
    expect(slider).to_have_value("-3")
    page.get_by_label("Model", exact=True).select_option("tiny-second")
    expect(slider).to_have_count(0)
    expect(page.locator("#name-0 a")).to_have_attribute("href", "/neurons/tiny-second/2/1")


def test_without_a_script_there_is_the_number_alone(plain_page: Page, planted_site: str) -> None:
    plain_page.goto(f"{planted_site}/playground?model=tiny-chat&prompt=x&clamp=L2N1:up:set:18")
    expect(plain_page.locator("[data-own]")).to_be_hidden()
    expect(plain_page.get_by_label("Value", exact=True)).to_have_value("18")


def test_a_chat_goes_on_from_an_answer(page: Page, tiny_playground: Playground) -> None:
    filled(page, tiny_playground, "chat=The%20dog&max_new_tokens=4")
    run(page)
    page.get_by_role("link", name="Reply to the clamped answer").click()
    text_field = page.get_by_role("textbox", name="User", exact=True).last
    expect(text_field).to_be_focused()
    expect(text_field).to_have_value("")
    expect(page.locator("#user-0")).to_have_value("The dog")
    assert page.locator("#assistant-0").input_value() == text(page, "clamped")
    expect(page.locator("#clamped-text > .g")).to_have_count(4)
    assert page.url.count("chat=") == 3
    text_field.fill("And the cat?")
    run(page)
    expect(page.get_by_role("link", name="Reply")).to_have_count(2)
    assert violations(page) == []
    page.get_by_role("button", name="Add a turn").click()
    expect(page.get_by_label("Assistant").last).to_be_focused()
    expect(page.locator(".turn")).to_have_count(2)
    page.get_by_role("button", name="Remove turn 1").click()
    expect(page.locator(".turn")).to_have_count(1)
    expect(page.locator("#user-0")).to_have_value("And the cat?")
    page.get_by_label("Plain text").check()
    expect(page.locator(".turn")).to_be_hidden()
    expect(page.get_by_role("textbox", name="Text", exact=True)).to_be_visible()


def test_a_chat_goes_on_without_a_script(plain_page: Page, tiny_playground: Playground) -> None:
    filled(plain_page, tiny_playground, "chat=The%20dog&max_new_tokens=4")
    run(plain_page)
    plain_page.get_by_role("link", name="Reply to the unclamped answer").click()
    expect(plain_page.locator("#user-0")).to_have_value("The dog")
    plain_page.locator("#text").fill("And?")
    plain_page.get_by_role("button", name="Add a turn").click()
    expect(plain_page.locator("#user-1")).to_have_value("And?")
    plain_page.get_by_role("button", name="Remove turn 2").click()
    expect(plain_page.locator(".turn")).to_have_count(1)


def test_a_sweep_is_drawn_with_its_numbers(page: Page, tiny_playground: Playground) -> None:
    filled(page, tiny_playground, "prompt=The%20dog&clamp=L1N3:act:set:90&sweep_steps=5")
    page.get_by_role("button", name="Sweep", exact=True).click()
    expect(page.locator("figure.chart-card polyline").first).to_be_attached()
    expect(page.get_by_role("status")).to_contain_text("Swept L1N3")
    page.get_by_text("The numbers").click()
    expect(page.locator("table.swept tbody tr")).to_have_count(6)
    assert "sweep_steps=5" in page.url
    assert violations(page) == []


def test_a_finished_run_is_kept_beside_the_next(page: Page, tiny_playground: Playground) -> None:
    filled(page, tiny_playground, "prompt=The%20dog&clamp=L1N3:act:set:90&max_new_tokens=6")
    run(page)
    first = page.locator("#clamped-text")
    page.get_by_role("button", name="Keep beside the next run").click()
    said = first.text_content()
    expect(page.get_by_role("heading", name="Kept run 1: L1N3 act set 90")).to_be_focused()
    page.get_by_label("Value").fill("3")
    run(page)
    expect(page.locator("#run table.watched")).to_be_visible()
    assert page.locator(".kept .clamped .generated").text_content() == said
    assert page.locator(".kept [id]").count() == 0
    page.get_by_text("This run as curl and as Python").click()
    expect(page.locator("#as-curl")).to_contain_text("/api/v1/clamp")
    assert violations(page) == []
    page.get_by_role("button", name="Remove kept run 1").click()
    expect(page.locator(".kept")).to_have_count(0)


@pytest.mark.real
def test_the_dog_neuron_makes_dog_more_likely(page: Page, demo_playground: Playground) -> None:
    prompt = "prompt=My%20favourite%20animal%20is%20the&max_new_tokens=8"
    filled(page, demo_playground, f"{prompt}&clamp=L29N808:up:set:20&watch=dog")
    run(page)
    row = page.locator("table.watched tbody tr")
    expect(row).to_contain_text(" dog", timeout=60_000)
    change = row.locator(".effect.raises .num").text_content()
    assert change is not None and float(change) > 1.5
    runs = answer(
        demo_playground,
        prompt="My favourite animal is the",
        clamps=[{"layer": 29, "index": 808, "value": 20}],
        max_new_tokens=8,
    )
    assert {name: text(page, name) for name in runs} == {name: one["text"] for name, one in runs.items()}


@pytest.mark.real
def test_stop_stops_the_worker(page: Page, demo_playground: Playground) -> None:
    filled(page, demo_playground, "prompt=Once%20upon&clamp=L29N808:up:set:1&max_new_tokens=1000")
    run(page)
    expect(page.locator("#clamped-3")).to_be_attached(timeout=60_000)
    assert httpx2.get(f"{demo_playground.worker}/v1/status").json()["running"] == 1
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#clamped-state")).to_have_text("stopped")
    expect(page.get_by_role("status")).to_have_text("Stopped")
    expect(page.get_by_role("button", name=RUN, exact=True)).to_be_enabled()
    until(lambda: httpx2.get(f"{demo_playground.worker}/v1/status").json()["running"] == 0)
