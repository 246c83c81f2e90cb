"""Tokens with any white space before or after their word are found by the word, in a label file that is mapped now.

In a label file of an earlier version, which folds away one leading space only, a word finds the tokens it found then.
"""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from app.labelfile.library import Library
from app.queries.search.search import SearchQuery, search
from app.queries.tokens import TokensQuery, tokens
from neuronym.settings import Settings
from tests.app.conftest import opened
from tests.app.label_files import MODELS, WORDS, planted_file, write_library
from tests.checkpoints import make_checkpoint
from worker.map_run import MapRun

ADDED = ("\treturn", "\n\nZebra", "   deep", "end\n", " \t ")


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A model whose tokenizer has the added tokens, mapped."""
    folder = tmp_path_factory.mktemp("spaced")
    checkpoint = make_checkpoint(folder / "model")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in ADDED])
    tokenizer.save_pretrained(checkpoint)
    MapRun(Settings(data=folder / "data")).map([str(checkpoint)], ["spaced"])
    yield from opened(folder / "data")


def matching_texts(labels: Library, text: str) -> set[str]:
    """The texts of the tokens that a text finds."""
    return {token.text for token in tokens(labels, TokensQuery(q=text)).tokens}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("return", {"\treturn"}),
        ("RETURN", {"\treturn"}),
        ("\treturn ", {"\treturn"}),
        ("zebra", {"\n\nZebra"}),
        ("deep", {"   deep"}),
        ("end", {"end\n"}),
        ("dee*", {"   deep"}),
        ('"\treturn"', {"\treturn"}),
        ('" \t "', {" \t "}),
        ('"return"', set()),
    ],
)
def test_a_word_finds_its_token_whatever_stands_around_it(mapped: Library, query: str, expected: set[str]) -> None:
    assert matching_texts(mapped, query) == expected


def test_a_search_finds_the_neurons_that_are_named_by_it(mapped: Library) -> None:
    by_word, by_exact_text = (search(mapped, SearchQuery(q=text, limit=500)) for text in ("return", '"\treturn"'))
    assert by_word.results == by_exact_text.results
    assert by_word.total > 0


def spell_as_then(connection: duckdb.DuckDBPyConnection) -> None:
    for plain, spaced in (("Los", "\tLos"), (" é", "  é")):
        connection.execute("UPDATE token SET text = ? WHERE text = ?", [spaced, plain])
    one_space_less = "CASE WHEN text LIKE ' _%' THEN substr(text, 2) ELSE text END"
    connection.execute(f"UPDATE token SET folded = lower({one_space_less}) WHERE text <> 'Straße'")


def test_a_file_of_an_earlier_version_answers_as_it_did(tmp_path: Path) -> None:
    write_library(tmp_path)
    for name in MODELS:
        with duckdb.connect(str(planted_file(tmp_path, name))) as connection:
            spell_as_then(connection)
    for labels in opened(tmp_path):
        assert matching_texts(labels, "california") == {text for text in WORDS if text.strip().lower() == "california"}
        assert matching_texts(labels, "Dog") == {" dog", "dog"}
        assert matching_texts(labels, "dog*") == {" dog", "dog", " Dogs"}
        assert matching_texts(labels, "STRASSE") == {"Straße"}
        assert matching_texts(labels, '"\tLos"') == {"\tLos"}
        assert matching_texts(labels, "Los") == matching_texts(labels, "é") == set()
