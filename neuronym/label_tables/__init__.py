"""The tables of a label file, shared by the worker that writes it and the app that reads it.

One file holds a mapped model, or what became of one model in another: a pair. Both have all tables; those that are not
for them are empty.

Large tables are sorted by their key and carry no index: DuckDB's zone maps find sorted rows faster than an ART index
would, at a third of the size. Enumerations are stored as small integers, in the order of their class.
"""

from neuronym.label_tables.codes import LABELS, NAMED, NAMED_BY, QUANTILES, Coded, code, label_place
from neuronym.label_tables.columns import metadata
from neuronym.label_tables.counterparts import HEADER, MAGIC, NO_TOKEN, RECORD, counterparts_file
from neuronym.label_tables.labels import agreement, concept, drift, label, label_by_token, neighbour
from neuronym.label_tables.measured import activity, effect, measurement
from neuronym.label_tables.models import build, model, outdated_models, pair, token, tokenizer
from neuronym.label_tables.rule import Outcome, column_holds, holds, outcome, outwards
from neuronym.label_tables.token_text import fold

REVISION = "0003"  # the newest migration: what the app can read; a test compares
CARRIED_OVER = ("0002",)  # earlier ones whose files `neuronym-worker upgrade` writes anew

__all__ = [
    "CARRIED_OVER",
    "HEADER",
    "LABELS",
    "MAGIC",
    "NAMED",
    "NAMED_BY",
    "NO_TOKEN",
    "QUANTILES",
    "RECORD",
    "REVISION",
    "Coded",
    "Outcome",
    "activity",
    "agreement",
    "build",
    "code",
    "column_holds",
    "concept",
    "counterparts_file",
    "drift",
    "effect",
    "fold",
    "holds",
    "label",
    "label_by_token",
    "label_place",
    "measurement",
    "metadata",
    "model",
    "neighbour",
    "outcome",
    "outdated_models",
    "outwards",
    "pair",
    "token",
    "tokenizer",
]
