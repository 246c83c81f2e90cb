"""Whether the labels of a mapped and measured model hold, read from its label file.

Counts the trials that the file's measured effects make. Knows tables; measures nothing itself.
"""

import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from neuronym.contract import Lens, Site, Strength, View, mapped_layers, name_layers
from worker.errors import CheckpointError
from worker.labelfile.derived import TRIALS
from worker.labelfile.label_file import read_file
from worker.library.current import current_file
from worker.trust.report import THIRDS, LabelGroup, ModelReport

_GROUPS = f"""
    SELECT view, lens, site, third, layer, strength, count(*) AS labels,
        avg(holds::INT) AS rises, avg(control_holds::INT) AS control_rises, avg(beyond_control::INT) AS beyond_control,
        avg(delta) AS mean, avg(control) AS control_mean,
        median(place_among_all) AS rank
    FROM (SELECT *, layer * {len(THIRDS)} // :layers AS third FROM trial)
    GROUP BY GROUPING SETS (
        (view, lens, site), (view, lens, site, layer), (view, lens, site, third),
        (view, lens, site, strength), (view, lens, site, third, strength))
    ORDER BY {", ".join(f"{name} NULLS FIRST" for name in ("view", "lens", "site", "layer", "third", "strength"))}"""


def judge_labels(data: Path, name: str) -> ModelReport:
    """Report how the labels of one model of the library hold.

    Raises:
        CheckpointError: the model is only partly mapped, or its effect is not measured.
        LabelFileError: there is no such model.
    """
    with read_file(current_file(data, "model", name)) as connection:
        model = connection.execute(sa.text("SELECT layers, neurons, note, settings FROM model")).one()
        mapped = mapped_layers(json.loads(model.settings), model.layers)
        if len(mapped) < model.layers:  # its thirds would not be those of the model
            raise CheckpointError(f"{name} is mapped in {name_layers(mapped)} of {model.layers} only. Map the rest.")
        connection.execute(sa.text(TRIALS))
        rows = connection.execute(sa.text(_GROUPS), {"layers": model.layers}).mappings()
        groups = [_label_group(row) for row in rows]
        if not groups:
            raise CheckpointError(f"The effect of {name} is not measured. Run `neuronym-worker effect {name}` first.")
        first = _measurement_result(connection, "effect")["first"]
        positions = _measurement_result(connection, "activity").get("positions", 0)
    return ModelReport(
        model=name,
        note=model.note,
        layers=model.layers,
        neurons=model.neurons,
        positions=positions,
        first=(first["view"], first["lens"]),
        groups=groups,
    )


def _label_group(row: sa.RowMapping) -> LabelGroup:
    return LabelGroup(
        view=list(View)[row["view"]],
        lens=list(Lens)[row["lens"]],
        site=list(Site)[row["site"]],
        third=None if row["third"] is None else THIRDS[row["third"]],
        layer=row["layer"],
        strength=None if row["strength"] is None else list(Strength)[row["strength"]],
        labels=row["labels"],
        rises=row["rises"],
        control_rises=row["control_rises"],
        beyond_control=row["beyond_control"],
        mean=row["mean"],
        control_mean=row["control_mean"],
        rank=row["rank"],
    )


def _measurement_result(connection: sa.Connection, kind: str) -> dict[str, Any]:
    """Read the result of a measurement."""
    query = sa.text("SELECT result FROM measurement WHERE kind = :kind")
    result: dict[str, Any] = json.loads(connection.scalar(query, {"kind": kind}) or "{}")
    return result
