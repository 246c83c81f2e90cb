"""The pair of a label file that somebody else made: its row, and how far each neuron moved.

Only the cosines of weights are taken over; what became of labels is compared anew. Knows no models but their shape.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from neuronym.contract import Lens, View
from neuronym.library import is_name
from worker.errors import ForeignFileError
from worker.labelfile.foreign_neurons import check_rows
from worker.labelfile.foreign_rules import TableRules, neuron_rule
from worker.labelfile.foreign_texts import read_rows

MOVED = "SELECT DISTINCT view, layer, neuron, cosine FROM file.drift"

_INCOMPLETE = f"""
    SELECT count(*) FROM (
        SELECT count(*) AS rows, count(DISTINCT neuron) AS neurons FROM ({MOVED}) GROUP BY view, layer)
    WHERE (rows = {{neurons}} AND neurons = {{neurons}}) IS NOT TRUE"""


def read_foreign_pair(connection: sa.Connection) -> Mapping[str, Any]:
    """Read the row of the pair of a file that `check_schema` has passed.

    Raises:
        ForeignFileError: the file is not that of one pair, or a value is not what a label file has there.
    """
    rows = read_rows(connection, "pair", 1)
    if len(rows) != 1 or read_rows(connection, "model", 0):
        raise ForeignFileError("it holds no pair")
    for name in ("base", "instruct", "base_mapped_in", "instruct_mapped_in"):
        if not is_name(rows[0][name]):
            raise ForeignFileError(f"its pair.{name} is not one")
    return rows[0]


def check_drift(connection: sa.Connection, layers: int, neurons: int) -> None:
    """Check the cosines of a pair of models of this shape: one a neuron and view, of all neurons of a layer.

    Raises:
        ForeignFileError: a row has another, or one is missing.
    """
    rules = {
        "a view, lens or neuron that its models lack": f"view BETWEEN 0 AND {len(View) - 1} AND "
        f"lens BETWEEN 0 AND {len(Lens) - 1} AND {neuron_rule(range(layers), neurons)}",
        "a cosine that is none": "cosine BETWEEN -1.01 AND 1.01",
    }
    most = layers * neurons * len(View) * len(Lens)
    check_rows(connection, "drift", TableRules(("view", "lens", "layer", "neuron"), most, rules))
    if connection.scalar(sa.text(_INCOMPLETE.format(neurons=neurons))):
        raise ForeignFileError("its table 'drift' has not one cosine for each neuron of a layer")
