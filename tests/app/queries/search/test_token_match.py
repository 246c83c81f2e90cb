"""Words, exact texts and prefixes against the planted vocabularies, and the pieces of what is no token."""

import pytest

from app.labelfile.library import Library
from app.labelfile.vocabulary import VocabularyIndex
from app.queries.search.language import Alternative, parse
from app.queries.search.token_match import MAX_PIECES, MAX_PREFIX, TokenMatches, find_tokens
from tests.app.label_files import BYTE, HASHES, SPECIAL, token_ids

A, B = HASHES


@pytest.fixture
def vocabularies(labels: Library) -> dict[str, VocabularyIndex]:
    return labels.vocabularies(labels.models)


def texts_of(ids: dict[str, list[int]], hash_: str, vocabularies: dict[str, VocabularyIndex]) -> list[str]:
    return [vocabularies[hash_].token(id_).text for id_ in ids.get(hash_, [])]


def match_text(text: str, vocabularies: dict[str, VocabularyIndex]) -> TokenMatches:
    return find_tokens(parse(text).alternatives, vocabularies)


@pytest.mark.parametrize("text", ["California", "california", " CALIFORNIA ", "cAlIfOrNiA"])
def test_a_word_whatever_its_case_and_leading_space(text: str, vocabularies: dict[str, VocabularyIndex]) -> None:
    matches = match_text(text, vocabularies)
    expected = {" California", "California", " california", "CALIFORNIA"}
    assert set(texts_of(matches.tokens, A, vocabularies)) == expected
    assert set(texts_of(matches.tokens, B, vocabularies)) == expected
    assert not matches.pieces
    assert not matches.notes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('" California"', [" California"]),
        ('"California"', ["California"]),
        ('" dog"', [" dog"]),
        ('"\n"', ["\n"]),
        ('" "', [" "]),
        ('","', [","]),
        ('""""', ['"']),
        ("%", ["%"]),
        ("*", ["*"]),
        ("'", ["'"]),
        ('"\x07"', ["\x07"]),
        ("STRASSE", ["Straße"]),
        ("<b>", ["<b>"]),
        (SPECIAL, [SPECIAL]),
        (BYTE.lower(), [BYTE]),
    ],
)
def test_odd_texts(text: str, expected: list[str], vocabularies: dict[str, VocabularyIndex]) -> None:
    texts = texts_of(match_text(text, vocabularies).tokens, A, vocabularies)
    assert set(texts) == set(expected)


def test_either_of_several(vocabularies: dict[str, VocabularyIndex]) -> None:
    matches = match_text('dog, " puppy", nowhere', vocabularies)
    assert texts_of(matches.tokens, A, vocabularies) == [" dog", "dog", " puppy"]
    assert texts_of(matches.pieces, A, vocabularies) == list("nowher")
    assert matches.notes == ["“nowhere” is no single token; search for one of its pieces."]


def test_a_prefix_says_that_it_was_cut(vocabularies: dict[str, VocabularyIndex]) -> None:
    matches = match_text("CALI*", vocabularies)
    assert len(matches.tokens[A]) == MAX_PREFIX
    assert texts_of(matches.tokens, A, vocabularies)[:2] == [" calico000", " calico001"]
    assert matches.notes == [f"Only the first {MAX_PREFIX} of 254 tokens that match were looked up."]


def test_a_prefix_of_nothing_has_no_pieces(vocabularies: dict[str, VocabularyIndex]) -> None:
    matches = match_text("zzzz*", vocabularies)
    assert not matches.tokens
    assert not matches.pieces
    assert matches.notes == ["No token begins with “zzzz”."]


def test_pieces_are_the_tokenizers_own_each_once(vocabularies: dict[str, VocabularyIndex]) -> None:
    matches = match_text("New York New York", vocabularies)
    assert texts_of(matches.pieces, A, vocabularies) == ["New", " York", " ", "N", "e", "w"][: len(matches.pieces[A])]
    assert set(matches.pieces) == {A, B}


def test_a_long_text_is_not_cut_by_the_tokenizers_truncation(vocabularies: dict[str, VocabularyIndex]) -> None:
    assert texts_of(match_text("abcdefgh", vocabularies).pieces, A, vocabularies) == list("abcdefgh")


def test_pieces_are_cut_and_it_is_said(vocabularies: dict[str, VocabularyIndex]) -> None:
    matches = match_text('"' + "".join(map(chr, range(48, 48 + 75))) + '"', vocabularies)
    assert len(matches.pieces[A]) == MAX_PIECES
    assert "Only the first 64 of 75 pieces are listed." in matches.notes


def test_ten_thousand_characters_are_split(vocabularies: dict[str, VocabularyIndex]) -> None:
    matches = find_tokens([Alternative("word", "ab" * 5000)], vocabularies)
    assert texts_of(matches.pieces, A, vocabularies) == ["a", "b"]
    assert len(matches.notes[0]) < 200


def test_ids_of_the_planted_words_are_what_the_table_says(vocabularies: dict[str, VocabularyIndex]) -> None:
    assert vocabularies[A].exact(" California") == [token_ids(0)[" California"]]
    assert vocabularies[B].exact(" California") == [token_ids(1)[" California"]]
    assert token_ids(0)[" California"] != token_ids(1)[" California"]
