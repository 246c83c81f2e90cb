"""Taking models and pairs out of the library; their files are deleted, and nobody else's is touched."""

from collections.abc import Sequence
from pathlib import Path

from worker.errors import LabelFileError
from worker.library.current import NOTHING, new_run, read_library, unknown_name, update_catalogue
from worker.library.holds import hold
from worker.library.published import published_pair


def remove(data: Path, names: Sequence[str], with_pairs: bool = False) -> list[str]:
    """Remove models or pairs by name, a model before a pair of the same name; return the names of all that is gone.

    Args:
        with_pairs: also remove the pairs that a removed model belongs to.

    Raises:
        LabelFileError: there is no such name, a pair needs a model, or another run works on one of them.
    """
    library = read_library(data)
    models = [name for name in names if library.find("model", name)]
    pairs = [name for name in names if name not in models and library.find("pair", name)]
    unknown = [name for name in names if name not in models and name not in pairs]
    if unknown:
        raise unknown_name(library, unknown[0])
    with hold(data, {"model": models, "pair": pairs}):  # so that no pair of these models is made meanwhile
        needing = _pairs_of(data, models, pairs)
        if needing and not with_pairs:
            pair, model = next(iter(needing.items()))
            raise LabelFileError(
                f"The pair {pair!r} is made of {model}. Remove both with --with-pairs, or the pair first."
            )
        with hold(data, {"pair": [*needing]}):
            update_catalogue(data, new_run(), NOTHING, {"model": models, "pair": [*pairs, *needing]})
    return [*models, *pairs, *needing]


def _pairs_of(data: Path, models: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """The pairs that one of `models` belongs to, but for the `known` ones, each with the first such model."""
    return {
        entry.name: model
        for entry in read_library(data).pairs
        for model in published_pair(data, entry.name) or ()
        if model in models and entry.name not in known
    }
