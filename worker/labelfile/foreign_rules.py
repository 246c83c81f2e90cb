"""What the rows of neurons of a model's label file must be, as SQL: for a file that somebody else made.

Knows tables and ranges; opens and reads nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neuronym.contract import Direction, Site
from neuronym.label_tables import LABELS, QUANTILES, code
from worker.labelfile.foreign_model import LONGEST_LIST, ForeignModel

LONGEST_CONTEXTS = 20_000  # bytes of the contexts of a neuron

# The JSON `contexts` is an array of texts; its kind is asked only where it is JSON.
_CONTEXTS = """contexts IS NULL OR CASE WHEN json_valid(contexts) THEN json_type(contexts) = 'ARRAY'
    AND coalesce(list_bool_and([json_type(x) = 'VARCHAR' FOR x IN json_extract(contexts, '$[*]')]), true) END"""


@dataclass(frozen=True)
class TableRules:
    """What the rows of a table must be: `key` columns that are different in each, at most `most` rows, and `rules`.

    Rules are SQL that is true for a right row, by what is wrong with the others. Each is asked of rows that have passed
    those before: lengths come before what is read of texts and lists.
    """

    key: Sequence[str]
    most: int
    rules: Mapping[str, str]


def rules_of(model: ForeignModel) -> dict[str, TableRules]:
    """What the rows of each table with neurons must be for this model."""
    layers, neurons, last = model.row["layers"], model.row["neurons"], model.vocabulary.ids[-1]
    views, lenses = ([str(code(value)) for value in values] for values in (model.views, model.lenses))
    view, lens = f"view IN ({', '.join(views)})", f"lens IN ({', '.join(lenses)})"
    labels = len(model.mapped) * neurons * len(views)
    mapped = neuron_rule(model.mapped, neurons)
    return {
        "label": TableRules(
            ("view", "lens", "layer", "neuron"),
            labels * len(lenses),
            {
                "a view, lens or neuron that its model lacks": f"{view} AND {lens} AND {mapped}",
                "lists of tokens that do not fit": f"len(top_ids) BETWEEN 1 AND {model.top_k} AND "
                f"len(bottom_ids) <= {model.bottom_k} AND {_alike('top_ids', 'top_scores')} AND "
                f"{_alike('bottom_ids', 'bottom_scores')}",
                "a token that is not in its vocabulary": " AND ".join(
                    f"{_within(ids, 0, last)} AND list_unique({ids}) = len({ids})" for ids in ("top_ids", "bottom_ids")
                ),
                "scores that are not finite": f"{_finite_list('top_scores')} AND {_finite_list('bottom_scores')}",
                "scores out of order": "list_reverse_sort(top_scores) = top_scores AND "
                "list_sort(bottom_scores) = bottom_scores",
                "figures that are not finite": " AND ".join(
                    [
                        _finite("norm", "mean", "std", "z", "margin"),
                        _null_or_finite("skew", "kurtosis", "logsumexp", "layer_z"),
                    ]
                ),
                "a share or strength that there is not": "(odd_share IS NULL OR odd_share BETWEEN 0 AND 1) AND "
                "(strength IS NULL OR strength BETWEEN 0 AND 2)",
            },
        ),
        "neighbour": TableRules(
            ("view", "layer", "neuron"),
            labels,
            {
                "a view or neuron that its model lacks": f"{view} AND {mapped}",
                "lists of neighbours that do not fit": f"len(neurons) <= {LONGEST_LIST} AND "
                f"{_alike('neurons', 'cosines')} AND {_within('neurons', 0, neurons - 1)} AND "
                f"{_within('cosines', -1.01, 1.01)}",
            },
        ),
        "activity": TableRules(
            ("site", "layer", "neuron"),
            layers * neurons * len(Site),
            {
                "a site or neuron that its model lacks": f"site BETWEEN 0 AND {len(Site) - 1} AND "
                f"{neuron_rule(range(layers), neurons)}",
                "quantiles that do not fit": f"len(quantiles) = {len(QUANTILES)} AND "
                f"list_count(quantiles) = {len(QUANTILES)} AND {_finite_list('quantiles')} AND "
                "(fires IS NULL OR fires BETWEEN 0 AND 1)",
                "contexts that are too long": f"contexts IS NULL OR strlen(contexts) <= {LONGEST_CONTEXTS}",
                "contexts that are not a few texts": _CONTEXTS,
            },
        ),
        "effect": TableRules(
            ("site", "direction", "layer", "neuron"),
            len(model.mapped) * neurons * len(Site) * len(Direction),
            {
                "a site, end or neuron that its model lacks": f"site BETWEEN 0 AND {len(Site) - 1} AND "
                f"direction BETWEEN 0 AND {len(Direction) - 1} AND {mapped}",
                "lists of labels that do not fit": f"len(tokens) = {LABELS} AND {_alike('tokens', 'ranks')} AND "
                f"len(deltas) = {LABELS} AND len(controls) = {LABELS} AND list_count(deltas) = list_count(controls)",
                "a token that is not in its vocabulary": f"{_within('tokens', -1, last)} AND "
                f"{_within('ranks', -1, last)} AND moved BETWEEN 0 AND {last}",
                "changes that are not finite": f"{_finite('value', 'kl', 'moved_delta')} AND "
                f"{_finite_list('deltas')} AND {_finite_list('controls')}",
            },
        ),
    }


def neuron_rule(layers: range, neurons: int) -> str:
    """SQL that is true for a row of a neuron of these layers; there are no experts yet."""
    return f"expert IS NULL AND layer BETWEEN {layers[0]} AND {layers[-1]} AND neuron BETWEEN 0 AND {neurons - 1}"


def _alike(first: str, second: str) -> str:
    """SQL: two lists of one length, without nulls."""
    return (
        f"len({first}) = len({second}) AND list_count({first}) = len({first}) AND list_count({second}) = len({second})"
    )


def _within(values: str, least: float, most: float) -> str:
    """SQL: all elements of a list are between two numbers."""
    return f"(len({values}) = 0 OR list_min({values}) >= {least} AND list_max({values}) <= {most})"


def _finite(*names: str) -> str:
    return " AND ".join(f"isfinite({name})" for name in names)


def _null_or_finite(*names: str) -> str:
    return " AND ".join(f"({name} IS NULL OR isfinite({name}))" for name in names)


def _finite_list(values: str) -> str:
    """SQL: all elements of a list are finite or null; nan is larger than all numbers."""
    return f"(list_count({values}) = 0 OR isfinite(list_min({values})) AND isfinite(list_max({values})))"
