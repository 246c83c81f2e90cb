"""SQL of what a model's file derives from its own labels and measurements: noise thresholds, and tests of labels.

A label is tested by the token at its end that lies further from the mean: for the highest token the neuron is clamped
to the high end of its range, for the lowest to the low end. Either way the token should become likelier.
"""

import sqlalchemy as sa

from neuronym.contract import Lens, Strength, View
from neuronym.label_tables import LABELS, NAMED_BY, code, column_holds, label_place
from neuronym.sites import NATURAL_SITE


def thresholds_of(measurement: str = "measurement") -> str:
    """SQL of the noise thresholds of each layer, from the control; none where a model was mapped without one.

    Args:
        measurement: the table of measurements, of this file or of another.
    """
    return f"""
        SELECT list_position({[str(view) for view in View]}, view) - 1 AS view,
            list_position({[str(lens) for lens in Lens]}, lens) - 1 AS lens, layer, weak_above, strong_above
        FROM (
            SELECT unnest(from_json(result->'layers', '[{{"view": "VARCHAR", "lens": "VARCHAR", "layer": "SMALLINT",
                "weak_above": "REAL", "strong_above": "REAL"}}]'), recursive := true)
            FROM {measurement} WHERE kind = 'control')"""


def strength_of(label: str, scores: str, threshold: str = "t") -> str:
    """SQL of the strength of one end of a label by its layer's threshold; null where the layer has none.

    Args:
        label, threshold: the tables that the label's and the threshold's columns are read from.
        scores: the column of that end's scores.
    """
    distance = f"abs({label}.{scores}[1] - {label}.mean) / {label}.std"
    return f"""CASE WHEN {threshold}.weak_above IS NULL THEN NULL
        WHEN {label}.std > 0 AND {distance} > {threshold}.strong_above THEN {code(Strength.strong)}
        WHEN {label}.std > 0 AND {distance} > {threshold}.weak_above THEN {code(Strength.weak)}
        ELSE {code(Strength.noise)} END"""


_PLACES = ", ".join(
    f"({code(side)}, {code(view)}, {code(lens)}, {code(direction)}, {label_place(view, lens, side)})"
    for direction, side in NAMED_BY.items()
    for view in View
    for lens in Lens
)


def _label_holds(change: sa.ColumnElement[float]) -> sa.ColumnElement[bool]:
    """The rule by which a label holds, for the columns `side` and `direction` of a statement."""
    return column_holds(change, sa.column("side"), sa.column("direction"))


_DELTA, _CONTROL = sa.column("delta", sa.REAL), sa.column("control", sa.REAL)

TRIALS = f"""
    CREATE TEMP TABLE trial AS
    SELECT view, lens, site, layer, strength, deltas[place + 1] AS delta, controls[place + 1] AS control,
        ranks[place + 1] AS place_among_all, {_label_holds(_DELTA)} AS holds, {_label_holds(_CONTROL)} AS control_holds,
        {_label_holds(_DELTA - _CONTROL)} AS beyond_control
    FROM (
        SELECT *, coalesce(mean - bottom_scores[1] > top_scores[1] - mean, false)::SMALLINT AS side FROM label
    ) l
    JOIN (VALUES {_PLACES}) way (side, view, lens, direction, place) USING (side, view, lens)
    JOIN effect USING (layer, neuron, direction)
    WHERE effect.expert IS NOT DISTINCT FROM l.expert AND len(deltas) = {LABELS}"""

NATURAL_SITES = ", ".join(f"({code(view)}, {code(site)})" for view, site in NATURAL_SITE.items())

# The view and lens that pages show first: those whose labels most often rise beyond their control at the natural site;
# of several alike the first in the order of their codes, so that a file that is built again says the same.
FIRST = f"""
    UPDATE measurement
    SET result = json_merge_patch(result, json_object('first', json_object(
        'view', {[str(view) for view in View]}[best.view + 1], 'lens', {[str(lens) for lens in Lens]}[best.lens + 1])))
    FROM (
        SELECT view, lens
        FROM (
            SELECT view, lens, avg(beyond_control::INT) AS beyond
            FROM trial JOIN (VALUES {NATURAL_SITES}) natural_site (view, site) USING (view, site)
            GROUP BY view, lens)
        WHERE beyond IS NOT NULL
        ORDER BY beyond DESC, view, lens
        LIMIT 1) best
    WHERE measurement.kind = 'effect'"""
