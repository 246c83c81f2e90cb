"""The model of a label file that somebody else made: its row, tokenizer and measurements, held against the contract.

Knows the small tables; the rows of neurons are checked in `foreign_neurons`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, Field, ValidationError

from neuronym.contract import Lens, Measurements, ModelSummary, View, mapped_layers
from neuronym.library import is_name
from worker.checkpoints.spec import without_folders
from worker.checkpoints.vocabulary import Vocabulary, parse_vocabulary
from worker.errors import CheckpointError, ForeignFileError
from worker.labelfile.foreign_texts import check_time, read_json, read_rows

LONGEST_LIST = 200  # tokens of a label, or neighbours
_MOST = {"layers": 2_000, "neurons": 2_000_000, "width": 1_000_000, "vocab": 2**24}  # far beyond any model


class _Settings(BaseModel):
    """The settings of a mapping that its rows are held against."""

    views: list[View] = Field(min_length=1)
    lenses: list[Lens] = Field(min_length=1)
    top_k: int = Field(ge=1, le=LONGEST_LIST)
    bottom_k: int = Field(ge=0, le=LONGEST_LIST)
    layers: tuple[int, int] | None = None


@dataclass(frozen=True)
class ForeignModel:
    """A model whose small tables are checked: rows to write, and what the rows of neurons are held against."""

    row: Mapping[str, Any]
    measurements: Mapping[str, Mapping[str, Any]]
    vocabulary: Vocabulary
    views: list[View]
    lenses: list[Lens]
    top_k: int
    bottom_k: int
    mapped: range


def read_foreign_model(connection: sa.Connection) -> ForeignModel:
    """Read the model of a file that `check_schema` has passed; paths in its source are cut to their last part.

    Raises:
        ForeignFileError: the file is not that of one model, or a value is not what a label file has there.
    """
    rows, tokenizers = read_rows(connection, "model", 1), read_rows(connection, "tokenizer", 1)
    if len(rows) != 1 or len(tokenizers) != 1:
        raise ForeignFileError("it holds no model with its tokenizer")
    (row,), (tokenizer,) = rows, tokenizers
    for fact, most in _MOST.items():
        if not 0 < row[fact] <= most:
            raise ForeignFileError(f"a model with {row[fact]} {fact} is none that there can be")
    settings = _settings(row)
    vocabulary = _vocabulary(row, tokenizer)
    measurements = _measurements(connection)
    _check_summary(row, measurements)
    check_time(row["mapped_at"])
    for name in ("source_hash", "mapped_in"):
        if not is_name(row[name]):
            raise ForeignFileError(f"its model.{name} is not one")
    row = {**without_paths(row), **_rewritten(row, "settings", "versions")}
    measurements = {kind: {**one, **_rewritten(one, "settings", "result")} for kind, one in measurements.items()}
    mapped = mapped_layers(settings.model_dump(), row["layers"])
    return ForeignModel(
        row, measurements, vocabulary, settings.views, settings.lenses, settings.top_k, settings.bottom_k, mapped
    )


def without_paths(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a model with nothing but the last part of the paths in its source and adapter."""
    adapter = row["adapter"] and without_folders(row["adapter"])
    return {**row, "source": without_folders(row["source"], row["adapter"]), "adapter": adapter}


def _settings(row: Mapping[str, Any]) -> _Settings:
    try:
        settings = _Settings.model_validate(read_json(row["settings"]))
    except (ValueError, ValidationError) as error:
        raise ForeignFileError(f"the settings of its mapping cannot be read ({_reason(error)})") from error
    first, last = settings.layers or (0, row["layers"] - 1)
    if not 0 <= first <= last < row["layers"]:
        raise ForeignFileError(f"its layers {first} to {last} are not among {row['layers']}")
    if View.gate in settings.views and not row["gated"]:
        raise ForeignFileError("it has labels of a gate, which its model lacks")
    for names in (settings.views, settings.lenses):
        if len(set(names)) < len(names):
            raise ForeignFileError(f"it names {names[0]} twice")
    return settings


def _vocabulary(row: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary, derived anew from the tokenizer alone."""
    try:
        vocabulary = parse_vocabulary(tokenizer["json"])
    except CheckpointError as error:
        raise ForeignFileError(f"its tokenizer cannot be read ({_reason(error)})") from error
    if not vocabulary.hash == row["tokenizer"] == tokenizer["hash"]:
        raise ForeignFileError("its tokenizer is not the one whose hash it states")
    if not len(vocabulary.entries) == row["vocab"] == tokenizer["vocab"]:
        raise ForeignFileError(f"its tokenizer has {len(vocabulary.entries):,} tokens and not {row['vocab']:,}")
    return vocabulary


def _measurements(connection: sa.Connection) -> dict[str, dict[str, Any]]:
    """The rows of measurements by kind, of the kinds that the contract has."""
    known = Measurements.model_fields
    rows = read_rows(connection, "measurement", len(known))
    by_kind = {row["kind"]: row for row in rows}
    if len(by_kind) < len(rows) or not by_kind.keys() <= known.keys():
        raise ForeignFileError(f"its measurements are not {', '.join(known)}, each once at most")
    for row in rows:
        check_time(row["measured_at"])
    return by_kind


def _check_summary(row: Mapping[str, Any], measurements: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that the app can make its answer of the model."""
    try:
        measured = {kind: _parsed(one, "settings", "result") for kind, one in measurements.items()}
        facts = _parsed(row, "settings", "versions")
        chosen = {name: facts["settings"][name] for name in ("views", "lenses")}
        ModelSummary.model_validate({**facts, **chosen, "pairs": [], "measurements": measured})
    except (ValueError, ValidationError) as error:
        raise ForeignFileError(f"what it says of its model cannot be read ({_reason(error)})") from error


def _parsed(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {**row, **{name: read_json(row[name]) for name in names}}


def _rewritten(row: Mapping[str, Any], *names: str) -> dict[str, str]:
    """The JSON of these columns written anew, as readers differ in what they make of a name that is there twice."""
    return {name: json.dumps(read_json(row[name])) for name in names}


def _reason(error: Exception) -> str:
    """Why something cannot be read, in a few words."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False)[0]
        error = ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    return json.dumps(str(error).splitlines()[0][:120], ensure_ascii=True).strip('"')
