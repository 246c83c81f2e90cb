"""A data folder of an earlier version carried over into the library, measurements included.

Schema revision 0001 held all models and pairs in one file, which the link `current` named. Its rows are copied; what is
derived from them is derived anew. The folder's own files are left as they are.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from neuronym.settings import Settings
from worker.errors import LabelFileError
from worker.labelfile.label_file import BEFORE, read_file, read_revision
from worker.labelfile.model_file import ModelContents
from worker.labelfile.pair_file import PairContents
from worker.library.holds import hold
from worker.library.publish import NewFiles

FORMER = "former"  # what the file is called in statements on a pair
REVISION = "0001"
_BY_MODEL = ("label", "neighbour", "activity", "effect")


def carry_over(former: Path, settings: Settings, tell: Callable[[str], None]) -> str:
    """Make files of all models and pairs of `former`, make them current, and return the library's run id.

    Args:
        tell: called with a line before each model and pair.

    Raises:
        LabelFileError: the file is of another version or cannot be read, or a file cannot be built.
    """
    models, pairs = _read_models(former), _read_pairs(former)
    with hold(settings.data, {"model": [model["name"] for model, _ in models], "pair": [row["name"] for row in pairs]}):
        files = NewFiles(settings)
        for model, contents in models:
            tell(f"{model['name']}: its labels and measurements are copied.")
            files.build_model(model["name"], contents)
        for pair in pairs:
            tell(f"{pair['name']}: its comparison is copied.")
            compared = (files.file_of(pair["base"]), files.file_of(pair["instruct"]))
            moved = f"SELECT DISTINCT view, layer, neuron, cosine FROM {FORMER}.drift WHERE pair = {pair['id']}"
            files.build_pair(
                PairContents(
                    pair["name"], pair["base"], pair["instruct"], pair["note"], moved, compared, ((FORMER, former),)
                )
            )
        return files.make_current()


def _read_models(former: Path) -> list[tuple[dict[str, Any], ModelContents]]:
    """The contents of each model's new file, with the model's row, in the order in which they were mapped."""
    if read_revision(former) != REVISION:
        raise LabelFileError(f"{former.name} is not of revision {REVISION}, the only one that can be carried over.")
    with read_file(former) as connection:
        run = connection.scalar(sa.text("SELECT run FROM build"))
        rows = list(_rows(connection, "SELECT * FROM model ORDER BY id"))
        tokenizers = {row.pop("id"): row for row in _rows(connection, "SELECT * FROM tokenizer")}
        measured = list(_rows(connection, "SELECT * FROM measurement WHERE model IS NOT NULL"))
    return [(row, _contents(row, tokenizers[row["tokenizer"]], measured, str(run), former)) for row in rows]


def _contents(
    model: dict[str, Any], tokenizer: dict[str, Any], measured: list[dict[str, Any]], run: str, former: Path
) -> ModelContents:
    id_ = model["id"]
    kept = {name: value for name, value in model.items() if name != "id"}
    rows = {table: f"SELECT * FROM {BEFORE}.{table} WHERE model = {id_}" for table in _BY_MODEL}
    rows["token"] = f"SELECT * FROM {BEFORE}.token WHERE tokenizer = {model['tokenizer']}"
    return ModelContents(
        model={**kept, "tokenizer": tokenizer["hash"], "mapped_in": run},
        tokenizer=tokenizer,
        measurements={
            row["kind"]: {name: value for name, value in row.items() if name not in ("model", "pair")}
            for row in measured
            if row["model"] == id_
        },
        rows=rows,
        source=former,
    )


def _read_pairs(former: Path) -> list[dict[str, Any]]:
    """The rows of the pairs, with the names of their models."""
    statement = """
        SELECT p.id, p.name, p.note, b.name AS base, i.name AS instruct FROM pair p
        JOIN model b ON b.id = p.base JOIN model i ON i.id = p.instruct ORDER BY p.id"""
    with read_file(former) as connection:
        return list(_rows(connection, statement))


def _rows(connection: sa.Connection, statement: str) -> Iterator[dict[str, Any]]:
    return (dict(row) for row in connection.execute(sa.text(statement)).mappings())
