"""SQL of the tables that are derived from others: noise thresholds, the agreement of a pair's labels, and tests of
labels by measured effects.

Each statement fills one table, in every file anew. A label is tested by the token at its end that lies further from the
mean: for the highest token the neuron is clamped to the high end of its range, for the lowest to the low end. Either
way the token should become likelier.
"""

import sqlalchemy as sa

from neuronym.contract import Lens, Strength, View
from neuronym.label_tables import LABELS, NAMED_BY, code, column_holds, label_place
from neuronym.sites import NATURAL_SITE

NEAR_TIE = 0.1  # standard deviations between a model's top token and the other model's; less counts as a tie

# The noise thresholds of each layer, from its control. Labels of a model mapped without a control have no strength.
THRESHOLDS = f"""
    CREATE TEMP TABLE threshold AS
    SELECT model, list_position({[str(view) for view in View]}, view) - 1 AS view,
        list_position({[str(lens) for lens in Lens]}, lens) - 1 AS lens, layer, weak_above, strong_above
    FROM (
        SELECT model, unnest(from_json(result->'layers', '[{{"view": "VARCHAR", "lens": "VARCHAR", "layer": "SMALLINT",
            "weak_above": "REAL", "strong_above": "REAL"}}]'), recursive := true)
        FROM measurement WHERE kind = 'control')"""


def strength_of(label: str, scores: str, threshold: str = "t", judged: str = "model") -> str:
    """SQL of the strength of one end of a label by its layer's threshold; `scores` is the column of that end's scores.

    Args:
        label, threshold: the tables that the label's and the threshold's columns are read from.
        judged: a column of the threshold that is null where the layer has none.
    """
    distance = f"abs({label}.{scores}[1] - {label}.mean) / {label}.std"
    return f"""CASE WHEN {threshold}.{judged} IS NULL THEN NULL
        WHEN {label}.std > 0 AND {distance} > {threshold}.strong_above THEN {code(Strength.strong)}
        WHEN {label}.std > 0 AND {distance} > {threshold}.weak_above THEN {code(Strength.weak)}
        ELSE {code(Strength.noise)} END"""


# `moved` (pair, view, layer, neuron, cosine) holds the cosines of weights that mapping the pair measured.
DRIFT = f"""
    INSERT INTO drift (pair, view, lens, layer, neuron, cosine, same_top, base_rank, instruct_rank, near_tie,
        base_margin, instruct_margin, overlap, base_token, instruct_token)
    SELECT moved.pair, b.view, b.lens, b.layer, b.neuron, moved.cosine,
        b.top_ids[1] = i.top_ids[1] AS same_top,
        list_position(b.top_ids, i.top_ids[1]) - 1 AS base_rank,
        list_position(i.top_ids, b.top_ids[1]) - 1 AS instruct_rank,
        NOT same_top
            AND coalesce(b.top_scores[1] - b.top_scores[base_rank + 1] < {NEAR_TIE} * b.std, false)
            AND coalesce(i.top_scores[1] - i.top_scores[instruct_rank + 1] < {NEAR_TIE} * i.std, false) AS near_tie,
        b.margin, i.margin,
        len(list_intersect(b.top_ids, i.top_ids)) / least(len(b.top_ids), len(i.top_ids)) AS overlap,
        b.top_ids[1] AS base_token, i.top_ids[1] AS instruct_token
    FROM moved
    JOIN pair p ON p.id = moved.pair
    JOIN label b ON b.model = p.base AND b.view = moved.view AND b.layer = moved.layer AND b.neuron = moved.neuron
    JOIN label i ON i.model = p.instruct AND (i.view, i.lens, i.layer, i.neuron) = (b.view, b.lens, b.layer, b.neuron)
    ORDER BY moved.pair, b.view, b.lens, b.layer, b.neuron"""

_MEASURES = "count(*), avg(same_top::INT), avg(near_tie::INT), avg(cosine), avg(overlap)"

AGREEMENT = f"""
    INSERT INTO agreement (pair, view, lens, layer, strength, neurons, agreement, near_ties, mean_cosine, mean_overlap)
    SELECT d.pair, d.view, d.lens, d.layer, NULL, {_MEASURES} FROM drift d
    GROUP BY GROUPING SETS ((d.pair, d.view, d.lens), (d.pair, d.view, d.lens, d.layer))
    UNION ALL
    SELECT d.pair, d.view, d.lens, NULL, {strength_of("l", "top_scores")} AS top_strength, {_MEASURES}
    FROM drift d
    JOIN pair p ON p.id = d.pair
    JOIN label l ON (l.model, l.view, l.lens, l.layer, l.neuron) = (p.base, d.view, d.lens, d.layer, d.neuron)
    JOIN threshold t ON (t.model, t.view, t.lens, t.layer) = (l.model, l.view, l.lens, l.layer)
    GROUP BY d.pair, d.view, d.lens, top_strength"""

CONCEPTS = """
    INSERT INTO concept (pair, view, lens, token, base_neurons, instruct_neurons)
    SELECT pair, view, lens, token, sum(base)::INT, sum(instruct)::INT FROM (
        SELECT pair, view, lens, base_token AS token, 1 AS base, 0 AS instruct FROM drift
        UNION ALL SELECT pair, view, lens, instruct_token, 0, 1 FROM drift)
    GROUP BY pair, view, lens, token
    HAVING sum(base) <> sum(instruct)
    ORDER BY pair, view, lens, token"""

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
    SELECT model, view, lens, site, layer, strength, deltas[place + 1] AS delta, controls[place + 1] AS control,
        ranks[place + 1] AS place_among_all, {_label_holds(_DELTA)} AS holds, {_label_holds(_CONTROL)} AS control_holds,
        {_label_holds(_DELTA - _CONTROL)} AS beyond_control
    FROM (
        SELECT *, coalesce(mean - bottom_scores[1] > top_scores[1] - mean, false)::SMALLINT AS side FROM label
    ) l
    JOIN (VALUES {_PLACES}) way (side, view, lens, direction, place) USING (side, view, lens)
    JOIN effect USING (model, layer, neuron, direction)
    WHERE len(deltas) = {LABELS}"""

NATURAL_SITES = ", ".join(f"({code(view)}, {code(site)})" for view, site in NATURAL_SITE.items())

# The view and lens that pages show first: those whose labels most often rise beyond their control at the natural site.
FIRST = f"""
    UPDATE measurement
    SET result = json_merge_patch(result, json_object('first', json_object(
        'view', {[str(view) for view in View]}[best.view + 1], 'lens', {[str(lens) for lens in Lens]}[best.lens + 1])))
    FROM (
        SELECT model, arg_max(view, beyond) AS view, arg_max(lens, beyond) AS lens
        FROM (
            SELECT model, view, lens, avg(beyond_control::INT) AS beyond
            FROM trial JOIN (VALUES {NATURAL_SITES}) natural_site (view, site) USING (view, site)
            GROUP BY model, view, lens)
        GROUP BY model) best
    WHERE measurement.model = best.model AND measurement.kind = 'effect'"""

IN_ORDER = (THRESHOLDS, DRIFT, AGREEMENT, CONCEPTS, TRIALS, FIRST)
