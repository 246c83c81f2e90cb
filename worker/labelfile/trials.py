"""Labels put on trial by measured effects: one row a label and site, in a temporary table of an open label file.

A label is tried at the end that stands further out. Where that is its highest token the neuron is clamped to the high
end of its range, where it is the lowest to the low end; either way the token should become likelier. Knows tables only.
"""

from app.contract import Lens, View
from app.schema import LABELS, NAMED_BY, NATURAL, code, label_place

_PLACES = ", ".join(
    f"({code(side)}, {code(view)}, {code(lens)}, {code(direction)}, {label_place(view, lens, side)})"
    for direction, side in NAMED_BY.items()
    for view in View
    for lens in Lens
)

TRIALS = f"""
    CREATE TEMP TABLE trial AS
    SELECT model, view, lens, site, layer, strength, deltas[place + 1] AS delta, controls[place + 1] AS control,
        ranks[place + 1] AS place_among_all
    FROM (
        SELECT *, coalesce(mean - bottom_scores[1] > top_scores[1] - mean, false)::SMALLINT AS side FROM label
    ) l
    JOIN (VALUES {_PLACES}) way (side, view, lens, direction, place) USING (side, view, lens)
    JOIN effect USING (model, layer, neuron, direction)
    WHERE len(deltas) = {LABELS}"""

OWN_SITES = ", ".join(f"({code(view)}, {code(site)})" for view, site in NATURAL.items())

# The view and lens whose labels most often rise beyond their control at the view's own site is what people see first.
FIRST = f"""
    UPDATE measurement
    SET result = json_merge_patch(result, json_object('first', json_object(
        'view', {[str(view) for view in View]}[best.view + 1], 'lens', {[str(lens) for lens in Lens]}[best.lens + 1])))
    FROM (
        SELECT model, arg_max(view, beyond) AS view, arg_max(lens, beyond) AS lens
        FROM (
            SELECT model, view, lens, avg((delta > control)::INT) AS beyond
            FROM trial JOIN (VALUES {OWN_SITES}) own (view, site) USING (view, site)
            GROUP BY model, view, lens)
        GROUP BY model) best
    WHERE measurement.model = best.model AND measurement.kind = 'effect'"""
