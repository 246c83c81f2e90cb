"""The folded form of texts, which searches compare."""

import pytest

from neuronym.label_tables import fold


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        (" Dog", "dog"),
        ("DOG", "dog"),
        ("  x", "x"),
        ("\treturn", "return"),
        ("\n\nThe", "the"),
        ("end\n", "end"),
        ("two  words", "two  words"),
        ("\u00a0x\u3000", "x"),
        ("Straße", "strasse"),
        (" ", " "),
        ("\n\t", "\n\t"),
        ("", ""),
    ],
)
def test_a_text_is_folded_to_what_is_typed(text: str, folded: str) -> None:
    assert fold(text) == folded
    assert fold(folded) == folded
