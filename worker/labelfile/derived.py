"""Tables of a label file that follow from its others: the search rows, and what a pair's labels have in common.

Statements on an open connection, each one table. Everything here is made anew in every file.
"""

from app.contract import Direction, Lens, Side, Strength, View
from app.schema import NAMED, NATURAL, code, label_place
from worker.labelfile.trials import FIRST, TRIALS

NEAR_TIE = 0.1  # standard deviations between a model's top token and the other model's: less is a tie, not a change

_TOPS = ", ".join(f"top_{place}" for place in range(NAMED))

# Where noise ends in each layer, by its control. A model that was mapped without one has no strengths.
THRESHOLDS = f"""
    CREATE TEMP TABLE threshold AS
    SELECT model, list_position({[str(view) for view in View]}, view) - 1 AS view,
        list_position({[str(lens) for lens in Lens]}, lens) - 1 AS lens, layer, weak_above, strong_above
    FROM (
        SELECT model, unnest(from_json(result->'layers', '[{{"view": "VARCHAR", "lens": "VARCHAR", "layer": "SMALLINT",
            "weak_above": "REAL", "strong_above": "REAL"}}]'), recursive := true)
        FROM measurement WHERE kind = 'control')"""


def _strength(label: str, scores: str) -> str:
    """The strength of one end of a label, of which `scores` are the tokens, beside the threshold `t` of its layer."""
    reach = f"abs({label}.{scores}[1] - {label}.mean) / {label}.std"
    return f"""CASE WHEN t.model IS NULL THEN NULL
        WHEN {label}.std > 0 AND {reach} > t.strong_above THEN {code(Strength.strong)}
        WHEN {label}.std > 0 AND {reach} > t.weak_above THEN {code(Strength.weak)}
        ELSE {code(Strength.noise)} END"""


_ENDS = " UNION ALL ".join(
    f"""SELECT *, unnest({side}_ids) AS token, unnest({side}_scores) AS score,
        unnest(range(len({side}_ids))) AS rank, {code(side)} AS side, {side}_scores AS end_scores,
        {", ".join(f"top_ids[{place + 1}] AS top_{place}" for place in range(NAMED))}
    FROM label"""
    for side in Side
)

# A model's agreement is with its counterpart in the first pair it stands in.
_FIRST_AGREEMENT = """
    SELECT m.id AS model, d.view, d.lens, d.layer, d.neuron, d.same_top
    FROM (SELECT id, (SELECT min(p.id) FROM pair p WHERE model.id IN (p.base, p.instruct)) AS pair FROM model) m
    JOIN drift d ON d.pair = m.pair"""

_PLACES = ", ".join(
    f"({code(side)}, {code(view)}, {code(lens)}, {code(site)}, {label_place(view, lens, side)})"
    for side in Side
    for view, site in NATURAL.items()
    for lens in Lens
)

# What a search row says of effect is its label's: the change of the first token at this end of the label when the
# neuron is clamped high, at `up` for labels of the up view, at `act` for the others. Clamped high, a label that holds
# raises its highest token and lowers its lowest.
_EFFECT_OF_LABEL = f"""
    SELECT model, side, view, lens, layer, neuron, deltas[place + 1] AS effect
    FROM effect
    JOIN (VALUES {_PLACES}) natural_clamp (side, view, lens, site, place) USING (site)
    WHERE direction = {code(Direction.high)}"""

SEARCH_ROWS = f"""
    INSERT INTO label_by_token (tokenizer, token, side, z, model, view, lens, layer, neuron, rank, score,
        {_TOPS}, layer_z, strength, effect, agreement)
    SELECT m.tokenizer, token, side, CASE WHEN std > 0 THEN (score - mean) / std ELSE 0 END AS z,
        e.model, e.view, e.lens, e.layer, e.neuron, rank, score, {_TOPS}, layer_z,
        {_strength("e", "end_scores")}, x.effect, a.same_top
    FROM ({_ENDS}) e
    JOIN model m ON m.id = e.model
    LEFT JOIN threshold t USING (model, view, lens, layer)
    LEFT JOIN ({_EFFECT_OF_LABEL}) x USING (model, side, view, lens, layer, neuron)
    LEFT JOIN ({_FIRST_AGREEMENT}) a USING (model, view, lens, layer, neuron)
    ORDER BY m.tokenizer, token, side, z DESC, e.model, e.view, e.lens, e.layer, e.neuron"""

# `moved` (pair, view, layer, neuron, cosine) is what mapping the pair measured on the weights.
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
    SELECT d.pair, d.view, d.lens, NULL, {_strength("l", "top_scores")} AS top_strength, {_MEASURES}
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

IN_ORDER = (THRESHOLDS, DRIFT, AGREEMENT, CONCEPTS, SEARCH_ROWS, TRIALS, FIRST)
