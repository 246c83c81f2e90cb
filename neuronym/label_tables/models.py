"""Tables of what a label file is as a whole: the build, the model or pair, and a model's tokenizer with its tokens."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from neuronym.contract import Kind
from neuronym.label_tables.codes import Coded
from neuronym.label_tables.columns import metadata

build = sa.Table(
    "build",
    metadata,
    sa.Column("run", sa.String, nullable=False),
    sa.Column("built_at", sa.String, nullable=False),
    sa.Column("versions", sa.String, nullable=False),  # JSON: package -> version
)

model = sa.Table(  # one row in the file of a model, none in that of a pair
    "model",
    metadata,
    sa.Column("name", sa.String, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("revision", sa.String),
    sa.Column("source_hash", sa.String, nullable=False),
    sa.Column("adapter", sa.String),
    sa.Column("architecture", sa.String, nullable=False),
    sa.Column("layers", sa.Integer, nullable=False),
    sa.Column("neurons", sa.Integer, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("vocab", sa.Integer, nullable=False),
    sa.Column("gated", sa.Boolean, nullable=False),
    sa.Column("tied", sa.Boolean, nullable=False),
    sa.Column("chat", sa.Boolean, nullable=False),
    sa.Column("note", sa.String),
    sa.Column("tokenizer", sa.String, nullable=False),  # its hash
    sa.Column("dtype", sa.String, nullable=False),
    sa.Column("device", sa.String, nullable=False),
    sa.Column("versions", sa.String, nullable=False),
    sa.Column("settings", sa.String, nullable=False),  # JSON: views, lenses, top_k, bottom_k, gain, precision
    sa.Column("mapped_at", sa.String, nullable=False),
    sa.Column("mapped_in", sa.String, nullable=False),  # the run that its labels are of; measuring keeps it
    sa.Column("seconds", sa.REAL, nullable=False),
)

pair = sa.Table(  # one row in the file of a pair, none in that of a model
    "pair",
    metadata,
    sa.Column("name", sa.String, nullable=False),
    sa.Column("base", sa.String, nullable=False),  # names of models
    sa.Column("instruct", sa.String, nullable=False),
    sa.Column("base_mapped_in", sa.String, nullable=False),  # the runs whose labels are compared
    sa.Column("instruct_mapped_in", sa.String, nullable=False),
    sa.Column("tokenizer", sa.String, nullable=False),  # the hash of that of both
    sa.Column("note", sa.String),
)


def outdated_models(row: Mapping[str, Any] | sa.RowMapping, mapped_in: Mapping[str, str]) -> tuple[str, ...]:
    """Name the models of a row of `pair` that were mapped again since their labels were compared.

    Args:
        mapped_in: the run that the labels of each model are of today.
    """
    names = ((row[role], row[f"{role}_mapped_in"]) for role in ("base", "instruct"))
    return tuple(name for name, run in names if mapped_in.get(name) != run)


tokenizer = sa.Table(
    "tokenizer",
    metadata,
    sa.Column("hash", sa.String, nullable=False),  # of the id -> token list
    sa.Column("vocab", sa.Integer, nullable=False),
    sa.Column("json", sa.String, nullable=False),  # tokenizer.json, read by the `tokenizers` library
)

token = sa.Table(  # sorted by id
    "token",
    metadata,
    sa.Column("id", sa.Integer, nullable=False),
    sa.Column("text", sa.String, nullable=False),
    sa.Column("folded", sa.String, nullable=False),  # by `fold`
    sa.Column("kind", Coded(Kind), nullable=False),
    sa.Column("place", sa.Integer, nullable=False),  # among all tokens in the order of (folded, id); from 0
)
