"""Rows of the label file's tables as Arrow tables, whose columns have the file's names; model ids are left out.

Knows the columns; knows nothing of files, checkpoints or how labels are computed.
"""

import pyarrow as pa
from torch import Tensor

from neuronym.contract import Lens, View
from neuronym.label_tables import code
from worker.checkpoints.vocabulary import Vocabulary
from worker.lens.decoded import Decoded
from worker.lens.exact import robust_z
from worker.lens.neighbours import nearest
from worker.lens.rounding import Bound
from worker.mapping.shards import column, constant

NEIGHBOURS = 5  # of each neuron


def token_rows(vocabulary: Vocabulary) -> pa.Table:
    """Rows of the table `token`: a vocabulary's entries."""
    entries = vocabulary.entries
    return pa.table(
        {
            "id": pa.array([entry.id for entry in entries], pa.int32()),
            "text": [entry.text for entry in entries],
            "folded": [entry.folded for entry in entries],
            "kind": pa.array([code(entry.kind) for entry in entries], pa.int16()),
        }
    )


def _key_columns(layer: int, view: View, lens: Lens | None, neurons: int) -> dict[str, pa.Array]:
    key = {"view": constant(code(view), neurons)}
    if lens:
        key["lens"] = constant(code(lens), neurons)
    return key | {"layer": constant(layer, neurons), "neuron": pa.array(range(neurons), pa.int32())}


def label_rows(
    layer: int, view: View, lens: Lens, norm: Tensor, decoded: Decoded, strength: Tensor, odd: Tensor
) -> pa.Table:
    """Rows of the table `label`: a layer under one view and lens.

    Args:
        norm: length of each neuron's row, `(neurons,)`.
        strength: code of each label's Strength, `(neurons,)`.
        odd: share of odd tokens in each label, `(neurons,)`.
    """
    neurons = len(norm)

    def real(tensor: Tensor | None) -> pa.Array:
        return column(tensor, neurons, pa.float32())

    return pa.table(
        _key_columns(layer, view, lens, neurons)
        | {
            "top_ids": column(decoded.top.ids, neurons, pa.int32()),
            "top_scores": real(decoded.top.scores),
            "bottom_ids": column(decoded.bottom.ids, neurons, pa.int32()),
            "bottom_scores": real(decoded.bottom.scores),
            "norm": real(norm),
            "mean": real(decoded.mean),
            "std": real(decoded.std),
            "skew": real(decoded.skew),
            "kurtosis": real(decoded.kurtosis),
            "logsumexp": real(decoded.logsumexp),
            "z": real(decoded.z),
            "margin": real(decoded.margin),
            "layer_z": real(robust_z(decoded.top.scores[:, 0])),
            "odd_share": real(odd),
            "strength": column(strength, neurons, pa.int16()),
        }
    )


def neighbour_rows(layer: int, view: View, rows: Tensor, bound: Bound | None = None) -> pa.Table:
    """Rows of the table `neighbour`: the most similar of `rows` `(neurons, width)`; screened if there is a bound."""
    neighbours = nearest(rows, NEIGHBOURS, bound)
    return pa.table(
        _key_columns(layer, view, None, len(rows))
        | {
            "neurons": column(neighbours.ids, len(rows), pa.int32()),
            "cosines": column(neighbours.scores, len(rows), pa.float32()),
        }
    )
