"""A file of somebody else, opened: what nothing in it could reach, and the check that only gaps in ids need."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from neuronym.library import label_file, read_catalogue
from tests.checkpoints import make_tokenizer
from worker.checkpoints.vocabulary import parse_vocabulary, read_vocabulary
from worker.errors import CheckpointError, ForeignFileError, LabelFileError
from worker.labelfile.foreign_model import read_foreign_model
from worker.labelfile.foreign_neurons import check_tokens
from worker.labelfile.foreign_schema import check_schema
from worker.labelfile.foreign_texts import read_json
from worker.labelfile.label_file import read_foreign_file


@pytest.fixture
def file(data_folder: Path) -> Path:
    return label_file(data_folder, "model", read_catalogue(data_folder).models[0])


@pytest.fixture
def connection(file: Path) -> Iterator[sa.Connection]:
    with read_foreign_file(file, 500_000_000) as connection:
        yield connection


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT * FROM read_text('/etc/passwd')", "Permission"),
        ("COPY (SELECT 1) TO '/tmp/of-a-stranger.csv'", "Permission"),
        ("ATTACH '/tmp/of-a-stranger.duckdb'", "Permission"),
        ("LOAD httpfs", "Permission"),
        ("INSTALL httpfs", "Permission"),
        ("SET threads = 4", "locked"),
        ("SET lock_configuration = false", "locked"),
        ("SET enable_external_access = true", "locked"),
        ("DELETE FROM file.label", "read-only"),
        ("SELECT count(*) FROM label", "does not exist"),  # nothing of the file goes by a plain name
    ],
)
def test_nothing_else_is_reached_or_unlocked(file: Path, statement: str, said: str) -> None:
    with pytest.raises(LabelFileError, match=said), read_foreign_file(file, 500_000_000) as connection:
        connection.execute(sa.text(statement))


def test_what_a_file_says_of_its_columns_is_not_believed(connection: sa.Connection) -> None:
    """The least and the largest that a file states of a column would decide whether its rows are read."""
    disabled = connection.scalar(sa.text("SELECT current_setting('disabled_optimizers')"))
    assert disabled == "statistics_propagation"


def test_a_token_in_a_gap_of_the_ids_is_noticed(connection: sa.Connection) -> None:
    check_schema(connection)
    model = read_foreign_model(connection)
    check_tokens(connection, model)
    named = connection.scalar(sa.text("SELECT top_ids[1] FROM file.label LIMIT 1"))
    others = [entry for entry in model.vocabulary.entries if entry.id != named]
    with pytest.raises(ForeignFileError, match=rf"not in its vocabulary \({named}\)"):
        check_tokens(connection, replace(model, vocabulary=replace(model.vocabulary, entries=others)))


def test_a_vocabulary_is_the_same_from_its_json() -> None:
    vocabulary = read_vocabulary(make_tokenizer())
    assert parse_vocabulary(vocabulary.json) == vocabulary
    for broken in ("", "{}", "[" * 9999, vocabulary.json[:-1]):
        with pytest.raises(CheckpointError, match="cannot be read"):
            parse_vocabulary(broken)


@pytest.mark.parametrize("text", ["", "{", "[NaN]", "[-Infinity]", "[1e999]", '["\\ud800"]', "[" * 99_999])
def test_json_that_others_would_not_read(text: str) -> None:
    with pytest.raises(ValueError):
        read_json(text)
    assert read_json('{"a": [1.5, null, "é"]}') == {"a": [1.5, None, "é"]}
