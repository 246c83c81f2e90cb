"""The table `label_by_token`: a row for every token of every label, in the order that searches read them.

The rows of one end come before those of the other, as a search asks for one. Tokens stand in alphabetical order, so
that the rows of all that begin alike follow each other: a search for two letters reads one stretch of the table, where
in the order of ids it read two hundred, which took fifteen times as long.

It is filled one range of tokens at a time: sorting all rows at once would take memory in proportion to the models, and
DuckDB's sort fails when rows exceed its limit by a little. Knows tables only.
"""

import sqlalchemy as sa

from neuronym.contract import Direction, Lens, Side, View
from neuronym.label_tables import NAMED, code, label_place
from worker.labelfile.derived import NATURAL_SITES, strength_of, thresholds_of

# Deltas of a neuron clamped high at each view's natural site.
_DELTAS = f"""
    SELECT view, layer, expert, neuron, deltas
    FROM effect JOIN (VALUES {NATURAL_SITES}) natural_site (view, site) USING (site)
    WHERE direction = {code(Direction.high)}"""

# Values of a label as a whole are joined before its tokens become rows, which are thirty times as many.
_LABELS = f"""
    SELECT l.*, weak_above, strong_above, deltas
    FROM label l
    LEFT JOIN ({thresholds_of()}) t USING (view, lens, layer)
    LEFT JOIN ({_DELTAS}) x ON (x.view, x.layer, x.neuron) = (l.view, l.layer, l.neuron)
        AND x.expert IS NOT DISTINCT FROM l.expert"""


def _side_rows(side: Side) -> str:
    """SQL of the rows of the tokens at one end of every label.

    Each row has the label's effect: the change of the first token at this end when the neuron is clamped high. For a
    label that holds, that raises its highest token and lowers its lowest.
    """
    places = " ".join(
        f"WHEN view = {code(view)} AND lens = {code(lens)} THEN {label_place(view, lens, side) + 1}"
        for view in View
        for lens in Lens
    )
    lowest = [f"bottom_ids[{place + 1}]" if side is Side.bottom else "NULL::INTEGER" for place in range(NAMED)]
    return f"""
        SELECT unnest({side}_ids) AS token, {code(side)} AS side, unnest({side}_scores) AS score, mean, std,
            view, lens, layer, expert, neuron, unnest(range(len({side}_ids))) AS rank,
            {", ".join(f"top_ids[{place + 1}] AS top_{place}" for place in range(NAMED))},
            {", ".join(f"{lowest[place]} AS bottom_{place}" for place in range(NAMED))}, layer_z,
            {strength_of("labels", f"{side}_scores", "labels")} AS strength,
            deltas[CASE {places} END] AS effect
        FROM labels"""


_FIRST_TOKENS = ", ".join(f"{side}_{place}" for side in Side for place in range(NAMED))


def _insert(side: Side) -> str:
    """SQL that inserts the rows of one end of the labels whose tokens have places from :first to :last."""
    return f"""
        INSERT INTO label_by_token (place, token, side, z, view, lens, layer, expert, neuron, rank, score,
            {_FIRST_TOKENS}, layer_z, strength, effect)
        WITH labels AS NOT MATERIALIZED ({_LABELS})
        SELECT place, token, side, CASE WHEN std > 0 THEN (score - mean) / std ELSE 0 END AS z, view, lens, layer,
            expert, neuron, rank, score, {_FIRST_TOKENS}, layer_z, strength, effect
        FROM ({_side_rows(side)}) searched JOIN token ON token.id = searched.token
        WHERE place BETWEEN :first AND :last
        ORDER BY place, z DESC, view, lens, layer, expert, neuron"""


def _ranges(side: Side) -> str:
    """SQL of ranges of places with about :at_once rows of one end each, or of one token with more."""
    return f"""
        SELECT min(place) AS first, max(place) AS last
        FROM (
            SELECT place, (sum(n) OVER (ORDER BY place) - n) // :at_once AS range
            FROM (SELECT token, count(*) AS n FROM (SELECT unnest({side}_ids) AS token FROM label) GROUP BY token) found
            JOIN token ON token.id = found.token)
        GROUP BY range
        ORDER BY first"""


def insert_search_rows(connection: sa.Connection, at_once: int) -> None:
    """Fill `label_by_token`, about `at_once` rows at a time."""
    for side in Side:
        insert, ranges = sa.text(_insert(side)), sa.text(_ranges(side))
        for places in connection.execute(ranges, {"at_once": at_once}).mappings().all():
            connection.execute(insert, dict(places))
