"""The result of a measurement as a whole: a few figures from its shards, stored beside its settings.

Knows the columns of the shards; measures nothing.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from neuronym.contract import Direction, Lens, Site, View
from neuronym.label_tables import NAMED_BY, code, label_place
from neuronym.sites import NATURAL_SITE

Figures = dict[str, float]


def effect_summary(shards: Sequence[Path]) -> dict[str, object]:
    """Summarise how often a clamp raises the label's token and the control's, by direction, view and lens."""
    rows = pa.concat_tables([pq.read_table(shard) for shard in shards])
    return {"rows": len(rows), "mean_kl": round(float(np.mean(rows["kl"].to_numpy())), 5)} | {
        str(direction): {
            f"{view} {lens}": figures
            for view, site in NATURAL_SITE.items()
            for lens in Lens
            if (figures := label_figures(rows, site, view, lens, direction))
        }
        for direction in Direction
    }


def label_figures(rows: pa.Table, site: Site, view: View, lens: Lens, direction: Direction) -> Figures | None:
    """Compute the shares of labels that rise and mean changes in nats, with the control's; None without labels.

    Clamped high, the highest token should rise; clamped low, the lowest.
    """
    matches = (rows["site"].to_numpy() == code(site)) & (rows["direction"].to_numpy() == code(direction))
    place = label_place(view, lens, NAMED_BY[direction])
    tokens, deltas, controls = (
        list_elements(rows[name].filter(pa.array(matches)), place) for name in ("tokens", "deltas", "controls")
    )
    if not len(tokens) or (tokens < 0).all():
        return None
    return {name: round(value, 4) for name, value in trial_figures(deltas, controls).items()}


def trial_figures(deltas: NDArray[np.float64], controls: NDArray[np.float64]) -> Figures:
    """Summarise trials as shares and mean changes in nats.

    Args:
        deltas: change of the token that each label's clamp should raise (`NAMED_BY`); the label holds where it rises.
        controls: change of another neuron's token under the same clamp.
    """
    return {
        "rises": float((deltas > 0).mean()),
        "control_rises": float((controls > 0).mean()),
        "beyond_control": float((deltas > controls).mean()),
        "mean": float(deltas.mean()),
        "control_mean": float(controls.mean()),
    }


def list_elements(lists: pa.ChunkedArray, place: int) -> NDArray[np.float64]:
    """Take the element at `place` of each list."""
    values: NDArray[np.float64] = pc.list_element(lists, place).to_numpy().astype(np.float64)
    return values
