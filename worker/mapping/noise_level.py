"""Results of the control: one row of figures a layer, view and lens, and from all rows the noise level of a model.

Knows thresholds, strengths and shards; decodes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from neuronym.contract import Lens, Strength, View
from neuronym.label_tables import code
from worker.errors import LabelFileError
from worker.lens.noise import CONTROLS, RATES, RULE, Thresholds
from worker.mapping.shards import encode_shard, read_account

TABLE = "control"
Figures = dict[str, str | int | float]


@dataclass(frozen=True)
class NoiseLevel:
    """The measurement of kind `control`; `settings` and `result` can be written as JSON.

    `result` holds a list `views`, one entry a view and lens, and a list `layers`, one a view, lens and layer with its
    thresholds. `false_share` is the share of strong labels that noise alone would be expected to give.
    """

    settings: dict[str, object]
    result: dict[str, list[Figures]]
    seconds: float


def layer_figures(layer: int, view: View, lens: Lens, thresholds: Thresholds, strength: Tensor) -> Figures:
    """The row of figures of one layer, view and lens: its thresholds, and the number of labels of each strength."""
    return {
        "view": view.value,
        "lens": lens.value,
        "layer": layer,
        "weak_above": thresholds.weak,
        "strong_above": thresholds.strong,
        "labels": len(strength),
        **{grade.value: int((strength == code(grade)).sum()) for grade in Strength},
    }


def figures_shard(rows: Sequence[Figures], seconds: float) -> bytes:
    """The `control` shard of one view of a layer; `seconds` are those that its control took."""
    return encode_shard(pa.Table.from_pylist(list(rows)), {"milliseconds": round(1000 * seconds)})


def noise_level(files: Sequence[Path]) -> NoiseLevel:
    """Read the noise level of a model from its shards, of which those of a view are in order of layer.

    Raises:
        LabelFileError: there are no such shards.
    """
    if not files:
        raise LabelFileError(f"There are no {TABLE} shards to load. Map the model again with --fresh.")
    rows: list[Figures] = pa.concat_tables([pq.read_table(file) for file in files]).to_pylist()
    ordered = [row for view in View for lens in Lens for row in rows if (row["view"], row["lens"]) == (view, lens)]
    return NoiseLevel(
        settings={"rule": RULE, "controls": CONTROLS, "rates": {grade.value: rate for grade, rate in RATES.items()}},
        result={"views": _by_view(ordered), "layers": [row | _false_figures(row) for row in ordered]},
        seconds=int(read_account(files)["milliseconds"]) / 1000,
    )


def _by_view(rows: Sequence[Figures]) -> list[Figures]:
    """Sum the counts of all layers, one entry a view and lens."""
    totals: list[Figures] = []
    for view, lens in dict.fromkeys((row["view"], row["lens"]) for row in rows):
        group = [row for row in rows if (row["view"], row["lens"]) == (view, lens)]
        counts = {name: sum(int(row[name]) for row in group) for name in ("labels", *Strength)}
        total: Figures = {"view": view, "lens": lens, **counts}
        totals.append(total | _false_figures(total))
    return totals


def _false_figures(figures: Figures) -> Figures:
    """The strong labels expected if every row were a control row, and their share of the strong labels counted."""
    strong = int(figures[Strength.strong])
    expected = RATES[Strength.strong] * int(figures["labels"])
    return {"false_strong": round(expected, 1), "false_share": round(min(1.0, expected / strong), 4) if strong else 0.0}
