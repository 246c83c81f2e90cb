"""The playground's state: an address, a form and a request say the same."""

from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from starlette.datastructures import FormData, QueryParams, UploadFile

from app.errors import Unprocessable
from app.html import urls
from app.labelfile.library import Library
from app.pages.playground.requests import reword_refusal, to_request
from app.pages.playground.state import ClampRow, Composition, from_address, from_form, pack
from app.pages.playground.watch import watched_tokens
from neuronym.contract import ErrorAnswer, Mode, Site

LINK = (
    "model=tiny-chat&prompt=A%20dog%0A&clamp=L2N1:act:add:-1.5&clamp=L1N0:up:set:20&temperature=0.7&watch=dog,%20%237"
)


def read(query: str, labels: Library) -> Composition:
    """The state an address holds."""
    return from_address(QueryParams(query), labels.models)


def test_an_address_comes_back_as_itself(labels: Library) -> None:
    composition = read(LINK, labels)
    again = read(urlsplit(composition.address()).query, labels)
    assert again == composition
    assert composition.rows == (ClampRow("L2N1", "act", "add", "-1.5"), ClampRow("L1N0", "up", "set", "20"))


def test_a_form_says_what_its_address_says(labels: Library) -> None:
    fields: list[tuple[str, str | UploadFile]] = [
        ("model", "tiny-chat"),
        ("kind", "prompt"),
        ("text", "A dog\r\n"),
        ("watch", "dog, #7"),
    ]
    for neuron, site, mode, value in (("L2N1", "act", "add", "-1.5"), ("L1N0", "up", "set", "20")):
        fields += [("neuron", neuron), ("site", site), ("mode", mode), ("value", value)]
    fields += [("positions", "all"), ("max_new_tokens", "48"), ("temperature", "0.7"), ("top_p", "1"), ("seed", "")]
    assert from_form(FormData(fields)) == read(LINK, labels)


def test_a_request_carries_the_clamps(labels: Library) -> None:
    request = to_request(read(LINK, labels), [])
    assert request.prompt == "A dog\n"
    assert request.messages is None
    assert [(clamp.layer, clamp.index, clamp.site, clamp.mode, clamp.value) for clamp in request.clamps] == [
        (2, 1, Site.act, Mode.add, -1.5),
        (1, 0, Site.up, Mode.set, 20.0),
    ]


def test_a_chat_with_a_system_message_becomes_messages(labels: Library) -> None:
    request = to_request(read("model=tiny-chat&chat=Hi&system=Be+brief", labels), [])
    assert request.messages is not None
    assert [(message.role, message.content) for message in request.messages] == [("system", "Be brief"), ("user", "Hi")]


CHAT = "model=tiny-chat&chat=Hi&chat=Hello.%0AYes?&chat=&system=Be%20brief"


def test_a_chat_of_several_turns_is_held_by_its_address(labels: Library) -> None:
    chat = read(CHAT, labels)
    assert (chat.earlier, chat.text) == (("Hi", "Hello.\nYes?"), "")
    assert chat.address() == f"/playground?{CHAT}"
    request = to_request(replace(chat, text="Go on"), [])
    assert request.messages is not None
    assert [(message.role, message.content) for message in request.messages] == [
        ("system", "Be brief"),
        ("user", "Hi"),
        ("assistant", "Hello.\nYes?"),
        ("user", "Go on"),
    ]


def test_a_chat_that_ends_with_an_answer_waits_for_the_next_turn(labels: Library) -> None:
    assert read("model=tiny-chat&chat=Hi&chat=Hello", labels) == read(
        "model=tiny-chat&chat=Hi&chat=Hello&chat=", labels
    )


def test_a_form_of_several_turns_says_what_its_address_says(labels: Library) -> None:
    fields: list[tuple[str, str | UploadFile]] = [
        ("model", "tiny-chat"),
        ("kind", "chat"),
        ("turn", "Hi"),
        ("turn", "Hello.\r\nYes?"),
        ("turn", "half of a turn"),
        ("text", ""),
        ("system", "Be brief"),
    ]
    assert from_form(FormData(fields)) == read(CHAT, labels)


def test_turns_come_and_go() -> None:
    chat = Composition(text="One?").with_answer("1").with_answer("what is this")
    assert chat.exchanges() == [("One?", "1"), ("", "what is this")]
    assert chat.without_turn(0).earlier == ("", "what is this")
    assert chat.without_turn(7) == chat


def test_plain_text_leaves_the_turns_out(labels: Library) -> None:
    plain = replace(read(CHAT, labels), kind="prompt", text="Once")
    assert to_request(plain, []).prompt == "Once"
    assert "Hello" not in plain.address()


def test_a_model_without_a_template_starts_with_plain_text(labels: Library) -> None:
    assert read("model=tiny-base", labels).kind == "prompt"
    assert read("model=tiny-chat", labels).kind == "chat"


def test_empty_rows_are_no_clamps(labels: Library) -> None:
    assert to_request(read("model=tiny-chat&clamp=", labels), []).clamps == []


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("clamp=dog:up:set:1", "Clamp 1: “dog” is not a neuron; write it as L29N808."),
        ("clamp=L1N1:up:set:much", "Clamp 1: give L1N1 a number as its value."),
        ("clamp=L1N1:side:set:1", "clamps.0.site should be 'up', 'gate' or 'act', not 'side'."),
        ("temperature=9", "Temperature should be less than or equal to 5, not '9'."),
        ("max_new_tokens=many", "Max new tokens should be a valid integer"),
        ("clamp=L1N1:up:set:nan", "clamps.0.value should be a finite number, not nan."),
    ],
)
def test_a_mistake_is_named_by_its_field(labels: Library, query: str, sentence: str) -> None:
    with pytest.raises(Unprocessable, match=f"^{sentence}"):
        to_request(read(f"model=tiny-chat&{query}", labels), [])


def test_a_refusal_of_the_request_is_told_in_the_forms_words() -> None:
    errors = [
        "clamps.1.layer: 9 is not one.",
        "clamps.0: no unit.",
        "clamps.0.site should be 'up'.",
        "messages: no; send `prompt`.",
        "Busy.",
    ]
    rows = (ClampRow(), ClampRow("L1N1", value="1"), ClampRow("L9N1", value="1"))
    refusal = reword_refusal(ErrorAnswer(error=" ".join(errors), errors=errors, status=422), Composition(rows=rows))
    assert refusal.errors == [
        "Clamp 3, layer: 9 is not one.",
        "Clamp 2: no unit.",
        "Clamp 2: site should be 'up'.",
        "Messages: no; choose plain text.",
        "Busy.",
    ]
    assert (refusal.error, refusal.status) == (" ".join(refusal.errors), 422)


def test_rows_come_and_go() -> None:
    composition = Composition(rows=(ClampRow("L1N1"), ClampRow("L1N2")))
    assert composition.with_row().rows == (ClampRow("L1N1"), ClampRow("L1N2"), ClampRow())
    assert composition.without_row(0).rows == (ClampRow("L1N2"),)
    assert Composition(rows=(ClampRow("L1N1"),)).without_row(0).rows == (ClampRow(),)


def watch_texts(labels: Library, query: str) -> list[str]:
    """The watched tokens of an address, as texts."""
    vocabulary = labels.vocabulary("tiny-chat")
    entries = watched_tokens(labels, read(f"model=tiny-chat&{query}", labels))
    return [entry if isinstance(entry, str) else vocabulary.token(entry).text for entry in entries]


def test_a_word_to_watch_is_the_token_that_starts_a_word(labels: Library) -> None:
    assert watch_texts(labels, 'watch=dog, "dog", nowhere') == [" dog", "dog", "nowhere"]


def test_unless_told_the_names_of_the_clamped_neurons_are_watched(labels: Library) -> None:
    assert watch_texts(labels, "clamp=L2N1:up:set:20")[-2:] == [" California", " dog"]
    assert watch_texts(labels, "clamp=L9N9:up:set:20") == []


def test_a_long_state_is_packed_and_comes_back(labels: Library) -> None:
    long = Composition(model="tiny-chat", kind="prompt", text="Hunde & Katzen, schöne Tiere\n" * 500)
    link = long.link()
    assert len(long.address()) > urls.LONGEST > len(link)
    assert read(urlsplit(link).query, labels) == long
    assert read(LINK, labels).link() == read(LINK, labels).address()


@pytest.mark.parametrize("packed", ["x", "eJwr", pack("/?" + "a" * 3_000_000), "€"])
def test_a_link_that_was_cut_is_refused(labels: Library, packed: str) -> None:
    with pytest.raises(Unprocessable, match="this link is not whole"):
        from_address(QueryParams({"packed": packed}), labels.models)


def test_gentler_values_are_halfway_back() -> None:
    rows = (
        ClampRow("L1N1", "up", "set", "30"),
        ClampRow("L1N2", "up", "scale", "5"),
        ClampRow("L1N3", "up", "set", "x"),
    )
    gentler = Composition(rows=rows).gentler()
    assert gentler is not None and [row.value for row in gentler.rows] == ["15", "3", "x"]
    assert Composition().gentler() is None
