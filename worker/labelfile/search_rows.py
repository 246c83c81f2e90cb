"""The table `label_by_token`: a row for every token of every label, in the order that searches read them.

It is filled one range of tokens at a time: sorting all rows at once would take memory in proportion to the models, and
DuckDB's sort fails when rows exceed its limit by a little. Knows tables only.
"""

import sqlalchemy as sa

from neuronym.contract import Direction, Lens, Side, View
from neuronym.label_tables import NAMED, code, label_place
from worker.labelfile.derived import NATURAL_SITES, strength_of

# A model's agreement is that with its counterpart in the first pair that it belongs to.
_FIRST_AGREEMENT = """
    SELECT m.id AS model, d.view, d.lens, d.layer, d.neuron, d.same_top
    FROM (SELECT id, (SELECT min(p.id) FROM pair p WHERE model.id IN (p.base, p.instruct)) AS pair FROM model) m
    JOIN drift d ON d.pair = m.pair"""

# Deltas of a neuron clamped high at each view's natural site.
_DELTAS = f"""
    SELECT model, view, layer, neuron, deltas
    FROM effect JOIN (VALUES {NATURAL_SITES}) natural_site (view, site) USING (site)
    WHERE direction = {code(Direction.high)}"""

# Values of a label as a whole are joined before its tokens become rows, which are thirty times as many.
_LABELS = f"""
    SELECT l.*, m.tokenizer, t.model AS judged, weak_above, strong_above, deltas, same_top
    FROM label l
    JOIN model m ON m.id = l.model AND m.tokenizer = :tokenizer
    LEFT JOIN threshold t USING (model, view, lens, layer)
    LEFT JOIN ({_DELTAS}) x USING (model, view, layer, neuron)
    LEFT JOIN ({_FIRST_AGREEMENT}) a USING (model, view, lens, layer, neuron)"""


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
    return f"""
        SELECT tokenizer, unnest({side}_ids) AS token, {code(side)} AS side, unnest({side}_scores) AS score, mean, std,
            model, view, lens, layer, neuron, unnest(range(len({side}_ids))) AS rank,
            {", ".join(f"top_ids[{place + 1}] AS top_{place}" for place in range(NAMED))}, layer_z,
            {strength_of("labels", f"{side}_scores", "labels", "judged")} AS strength,
            deltas[CASE {places} END] AS effect, same_top
        FROM labels"""


_TOPS = ", ".join(f"top_{place}" for place in range(NAMED))

_INSERT = f"""
    INSERT INTO label_by_token (tokenizer, token, side, z, model, view, lens, layer, neuron, rank, score,
        {_TOPS}, layer_z, strength, effect, agreement)
    WITH labels AS NOT MATERIALIZED ({_LABELS})
    SELECT tokenizer, token, side, CASE WHEN std > 0 THEN (score - mean) / std ELSE 0 END AS z,
        model, view, lens, layer, neuron, rank, score, {_TOPS}, layer_z, strength, effect, same_top
    FROM ({" UNION ALL ".join(_side_rows(side) for side in Side)})
    WHERE token BETWEEN :first AND :last
    ORDER BY token, side, z DESC, model, view, lens, layer, neuron"""

_TOKENS = " UNION ALL ".join(f"SELECT model, unnest({side}_ids) AS token FROM label" for side in Side)

# Ranges of tokens with about :at_once rows each, or one token with more.
_RANGES = f"""
    SELECT tokenizer, min(token) AS first, max(token) AS last
    FROM (
        SELECT tokenizer, token, (sum(n) OVER (PARTITION BY tokenizer ORDER BY token) - n) // :at_once AS range
        FROM (
            SELECT m.tokenizer, e.token, count(*) AS n FROM ({_TOKENS}) e JOIN model m ON m.id = e.model GROUP BY ALL))
    GROUP BY tokenizer, range
    ORDER BY tokenizer, first"""


def insert_search_rows(connection: sa.Connection, at_once: int) -> None:
    """Fill `label_by_token`, about `at_once` rows at a time; needs the temporary table `threshold`."""
    for token_range in connection.execute(sa.text(_RANGES), {"at_once": at_once}).mappings().all():
        connection.execute(sa.text(_INSERT), dict(token_range))
