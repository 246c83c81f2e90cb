"""Tokens are untrusted text: whatever a vocabulary holds is shown, visibly and harmlessly."""

import math

import pytest

from app.html import text as typography
from app.html.templates import templates


def shown(text: str) -> str:
    """The HTML of a token chip."""
    return str(templates.env.globals["ui"].token(text))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (" dog", ["space", "text"]),
        ("New York", ["text"]),
        ("   ", ["space", "space", "space"]),
        ("\n\n", ["newline", "newline"]),
        ("\t x", ["tab", "text"]),
        ("a\u202eb", ["text", "escape", "text"]),
        ("\u200b", ["escape"]),
        ("\u200ca", ["escape", "text"]),
        ("\U0001f469\u200d\U0001f52c", ["text"]),
        ("\xa0", ["escape"]),
        ("\ue000", ["escape"]),
    ],
)
def test_a_token_is_cut_into_pieces_by_what_they_are(text: str, kinds: list[str]) -> None:
    assert [piece.kind for piece in typography.pieces(text)] == kinds


@pytest.mark.parametrize("text", ["dog", " dog", "!~", " !"])
@pytest.mark.parametrize("after", ["\u202e", "\n"])
def test_a_common_token_has_the_pieces_it_has_before_a_rare_character(text: str, after: str) -> None:
    assert typography.pieces(text) == typography.pieces(text + after)[: len(typography.pieces(text))]
    assert "".join(piece.text for piece in typography.pieces(text)) == text
    assert typography.pieces(text, len(text) - 1)[-1].kind == "cut"


def test_control_and_direction_characters_are_written_as_escapes() -> None:
    html = shown("\x07\u202e\U000e0001")
    assert "\\x07" in html and "\\u202e" in html and "\\U000e0001" in html
    assert not {"\x07", "\u202e", "\U000e0001"} & set(html)


def test_markup_in_a_token_stays_text() -> None:
    assert "<b>" not in shown("<b>") and "&lt;b&gt;" in shown("<b>")
    assert "<hx-partial" not in shown("<hx-partial hx-target='#run'>")


def test_a_long_token_is_cut_and_says_so() -> None:
    html = shown("x" * 10_000)
    assert "9,968 more characters" in html
    assert len(html) < 300


def test_an_empty_token_is_seen() -> None:
    assert "empty" in shown("")


def test_a_mark_without_a_letter_gets_one_to_stand_on() -> None:
    assert typography.pieces("\u0301")[0].text == "\u25cc\u0301"


def test_generated_text_keeps_its_line_breaks_and_spaces() -> None:
    assert "".join(piece.text for piece in typography.flowing(" a\n\tb")) == " a\n\tb"


def test_a_name_leaves_out_forms_that_differ_by_case_and_space_only() -> None:
    assert typography.name([" dog", "Dog", " cat", "DOG", " puppy"]) == "dog, cat, puppy"
    assert (
        typography.name(["\treturn", " return", "\n\nThe", "the", " ", "\n"], 9) == "\\treturn, \\n\\nThe, space, \\n"
    )


@pytest.mark.parametrize(
    ("value", "digits", "signed", "text"),
    [
        (1234.5, 1, False, "1,234.5"),
        (-0.004, 2, False, "0.00"),
        (-1.5, 1, False, "\u22121.5"),
        (1.5, 1, True, "+1.5"),
        (0.0, 2, True, "0.00"),
        (None, 2, False, "—"),
        (math.nan, 2, False, "—"),
    ],
)
def test_numbers(value: float | None, digits: int, signed: bool, text: str) -> None:
    assert typography.number(value, digits, signed=signed) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.5, "50.0%"), (0.0123, "1.23%"), (0.00012, "0.012%"), (1e-9, "<0.001%"), (0, "0.0%")]
)
def test_percentages_say_about_three_digits(share: float, text: str) -> None:
    assert typography.percent(share) == text


def test_a_probability_is_read_from_its_logarithm() -> None:
    assert typography.probability(math.log(0.25)) == "25.0%"
