"""The tables of the label file, shared by the worker that writes it and the app that reads it.

Large tables are sorted by their key and carry no index: DuckDB's zone maps find sorted rows faster than an ART index
would, at a third of the size. Enumerations are stored as small integers, in the order of their class.
"""

from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from app.contract import Direction, Kind, Lens, Side, Site, Strength, View

REVISION = "0001"  # the newest migration: what the app can read; a test compares
NAMED = 5  # tokens of a label that a search row carries
QUANTILES = (0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0)


def code(value: StrEnum) -> int:
    """The small integer an enumeration's value is stored as."""
    return list(type(value)).index(value)


LABELS = len(Side) * len(View) * len(Lens)  # as many as a neuron can have: each end of a label names a token


def label_place(view: View, lens: Lens, side: Side = Side.top) -> int:
    """Where one end of a label stands in the lists of `effect`, whichever views and lenses its model has."""
    return (code(side) * len(View) + code(view)) * len(Lens) + code(lens)


NATURAL = {View.up: Site.up, View.gate: Site.act, View.down: Site.act}  # the site at which a view's label is tried
NAMED_BY = {Direction.high: Side.top, Direction.low: Side.bottom}  # the end of a label that a clamp should raise


class Coded(sa.types.TypeDecorator[StrEnum]):
    """A StrEnum stored as its position in the class."""

    impl = sa.SmallInteger
    cache_ok = True

    def __init__(self, values: type[StrEnum]) -> None:
        super().__init__()
        self.values = values

    def process_bind_param(self, value: Any, _dialect: sa.Dialect) -> int | None:
        return None if value is None else code(self.values(value))

    def process_result_value(self, value: int | None, _dialect: sa.Dialect) -> StrEnum | None:
        return None if value is None else list(self.values)[value]


metadata = sa.MetaData()


def _neuron_key() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("layer", sa.SmallInteger, nullable=False),
        sa.Column("neuron", sa.Integer, nullable=False),
    )


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
    sa.Column("folded", sa.String, nullable=False),  # lower case, no leading space
    sa.Column("kind", Coded(Kind), nullable=False),
)

label = sa.Table(  # sorted by (model, view, lens, layer, neuron)
    "label",
    metadata,
    sa.Column("model", sa.SmallInteger, nullable=False),
    sa.Column("view", Coded(View), nullable=False),
    sa.Column("lens", Coded(Lens), nullable=False),
    *_neuron_key(),
    sa.Column("top_ids", sa.ARRAY(sa.Integer), nullable=False),
    sa.Column("top_scores", sa.ARRAY(sa.REAL), nullable=False),
    sa.Column("bottom_ids", sa.ARRAY(sa.Integer), nullable=False),
    sa.Column("bottom_scores", sa.ARRAY(sa.REAL), nullable=False),
    sa.Column("norm", sa.REAL, nullable=False),
    sa.Column("mean", sa.REAL, nullable=False),
    sa.Column("std", sa.REAL, nullable=False),
    sa.Column("skew", sa.REAL),
    sa.Column("kurtosis", sa.REAL),  # excess
    sa.Column("logsumexp", sa.REAL),  # logit lens only
    sa.Column("z", sa.REAL, nullable=False),
    sa.Column("margin", sa.REAL, nullable=False),
    sa.Column("layer_z", sa.REAL),
    sa.Column("odd_share", sa.REAL),  # special, byte-piece and rare tokens among the top
    sa.Column("strength", Coded(Strength)),  # of the end that stands further out
)

label_by_token = sa.Table(  # sorted by (tokenizer, token, side, z descending)
    "label_by_token",
    metadata,
    sa.Column("tokenizer", sa.SmallInteger, nullable=False),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("side", Coded(Side), nullable=False),
    sa.Column("z", sa.REAL, nullable=False),
    sa.Column("model", sa.SmallInteger, nullable=False),
    sa.Column("view", Coded(View), nullable=False),
    sa.Column("lens", Coded(Lens), nullable=False),
    *_neuron_key(),
    sa.Column("rank", sa.SmallInteger, nullable=False),
    sa.Column("score", sa.REAL, nullable=False),
    *(sa.Column(f"top_{place}", sa.Integer) for place in range(NAMED)),
    sa.Column("layer_z", sa.REAL),
    sa.Column("strength", Coded(Strength)),  # of this end of the label
    sa.Column("effect", sa.REAL),  # on the first token at this end
    sa.Column("agreement", sa.Boolean),  # same top token as the counterpart in the model's first pair
)

neighbour = sa.Table(  # sorted by (model, view, layer, neuron): nearest weight vectors of the same layer
    "neighbour",
    metadata,
    sa.Column("model", sa.SmallInteger, nullable=False),
    sa.Column("view", Coded(View), nullable=False),
    *_neuron_key(),
    sa.Column("neurons", sa.ARRAY(sa.Integer), nullable=False),
    sa.Column("cosines", sa.ARRAY(sa.REAL), nullable=False),
)

drift = sa.Table(  # sorted by (pair, view, lens, layer, neuron)
    "drift",
    metadata,
    sa.Column("pair", sa.SmallInteger, nullable=False),
    sa.Column("view", Coded(View), nullable=False),
    sa.Column("lens", Coded(Lens), nullable=False),
    *_neuron_key(),
    sa.Column("cosine", sa.REAL, nullable=False),
    sa.Column("same_top", sa.Boolean, nullable=False),
    sa.Column("near_tie", sa.Boolean, nullable=False),
    sa.Column("base_margin", sa.REAL, nullable=False),
    sa.Column("instruct_margin", sa.REAL, nullable=False),
    sa.Column("overlap", sa.REAL, nullable=False),  # shared share of the top k
    sa.Column("base_rank", sa.SmallInteger),  # of the instruct top token in the base label; null: not among its top
    sa.Column("instruct_rank", sa.SmallInteger),
    sa.Column("base_token", sa.Integer, nullable=False),
    sa.Column("instruct_token", sa.Integer, nullable=False),
)

agreement = sa.Table(  # one row a pair, view, lens and group: all, a layer, or a strength
    "agreement",
    metadata,
    sa.Column("pair", sa.SmallInteger, nullable=False),
    sa.Column("view", Coded(View), nullable=False),
    sa.Column("lens", Coded(Lens), nullable=False),
    sa.Column("layer", sa.SmallInteger),
    sa.Column("strength", Coded(Strength)),
    sa.Column("neurons", sa.Integer, nullable=False),
    sa.Column("agreement", sa.REAL, nullable=False),
    sa.Column("near_ties", sa.REAL, nullable=False),
    sa.Column("mean_cosine", sa.REAL, nullable=False),
    sa.Column("mean_overlap", sa.REAL, nullable=False),
)

concept = sa.Table(  # tokens that are the top of more neurons in one model of a pair than in the other
    "concept",
    metadata,
    sa.Column("pair", sa.SmallInteger, nullable=False),
    sa.Column("view", Coded(View), nullable=False),
    sa.Column("lens", Coded(Lens), nullable=False),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("base_neurons", sa.Integer, nullable=False),
    sa.Column("instruct_neurons", sa.Integer, nullable=False),
)

activity = sa.Table(  # sorted by (model, site, layer, neuron)
    "activity",
    metadata,
    sa.Column("model", sa.SmallInteger, nullable=False),
    sa.Column("site", Coded(Site), nullable=False),
    *_neuron_key(),
    sa.Column("quantiles", sa.ARRAY(sa.REAL), nullable=False),  # at QUANTILES
    sa.Column("fires", sa.REAL),  # share of positions beyond a tenth of the range
    sa.Column("contexts", sa.String),  # JSON: short texts around the strongest positions
)

effect = sa.Table(  # sorted by (model, site, direction, layer, neuron); lists run over labels, see `label_place`
    "effect",
    metadata,
    sa.Column("model", sa.SmallInteger, nullable=False),
    sa.Column("site", Coded(Site), nullable=False),
    sa.Column("direction", Coded(Direction), nullable=False),
    *_neuron_key(),
    sa.Column("value", sa.REAL, nullable=False),
    sa.Column("tokens", sa.ARRAY(sa.Integer), nullable=False),  # -1: the model has no such label
    sa.Column("deltas", sa.ARRAY(sa.REAL), nullable=False),  # null there
    sa.Column("controls", sa.ARRAY(sa.REAL), nullable=False),
    sa.Column("ranks", sa.ARRAY(sa.Integer), nullable=False),  # -1 there
    sa.Column("kl", sa.REAL, nullable=False),
    sa.Column("moved", sa.Integer, nullable=False),
    sa.Column("moved_delta", sa.REAL, nullable=False),
)

measurement = sa.Table(  # what was measured on a model or pair, how, and what came out as a whole
    "measurement",
    metadata,
    sa.Column("model", sa.SmallInteger),
    sa.Column("pair", sa.SmallInteger),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("settings", sa.String, nullable=False),
    sa.Column("result", sa.String, nullable=False),
    sa.Column("measured_at", sa.String, nullable=False),
    sa.Column("seconds", sa.REAL, nullable=False),
)
