"""Tables of what a label file holds as a whole: the build, models, pairs, and tokenizers with their tokens."""

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

model = sa.Table(
    "model",
    metadata,
    sa.Column("id", sa.SmallInteger, nullable=False),
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
    sa.Column("tokenizer", sa.SmallInteger, nullable=False),
    sa.Column("dtype", sa.String, nullable=False),
    sa.Column("device", sa.String, nullable=False),
    sa.Column("versions", sa.String, nullable=False),
    sa.Column("settings", sa.String, nullable=False),  # JSON: views, lenses, top_k, bottom_k, gain, precision
    sa.Column("mapped_at", sa.String, nullable=False),
    sa.Column("seconds", sa.REAL, nullable=False),
)

pair = sa.Table(
    "pair",
    metadata,
    sa.Column("id", sa.SmallInteger, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("base", sa.SmallInteger, nullable=False),
    sa.Column("instruct", sa.SmallInteger, nullable=False),
    sa.Column("note", sa.String),
)

tokenizer = sa.Table(
    "tokenizer",
    metadata,
    sa.Column("id", sa.SmallInteger, nullable=False),
    sa.Column("hash", sa.String, nullable=False),  # of the id -> token list
    sa.Column("vocab", sa.Integer, nullable=False),
    sa.Column("json", sa.String, nullable=False),  # tokenizer.json, read by the `tokenizers` library
)

token = sa.Table(  # sorted by (tokenizer, id)
    "token",
    metadata,
    sa.Column("tokenizer", sa.SmallInteger, nullable=False),
    sa.Column("id", sa.Integer, nullable=False),
    sa.Column("text", sa.String, nullable=False),
    sa.Column("folded", sa.String, nullable=False),  # by `fold`
    sa.Column("kind", Coded(Kind), nullable=False),
)
