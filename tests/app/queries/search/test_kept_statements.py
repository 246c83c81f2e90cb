"""A file that has answered other searches answers the next one as a file that was just opened."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from app.labelfile.library import Library
from app.labelfile.statements import Statements
from app.queries.search.search import SearchQuery, search
from tests.app.conftest import opened

ASKED: list[dict[str, Any]] = [
    *({"q": text} for text in ("California", "dog", "calico00*", "California, Los", "king")),
    *({"model": name} for name in ("tiny-chat", "tiny-base", "tiny-gpt")),
    *({"pair": pair, "agreement": same} for pair, same in product(("tiny-pair", "tiny-later"), ("same", "changed"))),
    *({"limit": 1, "offset": offset} for offset in (0, 1, 2, 99)),
    *({"sort": order} for order in ("trust", "score", "effect", "layer_z", "neuron")),
    *({"side": "bottom", "view": view} for view in ("up", "any")),
    *({"layer_min": low, "layer_max": high} for low, high in ((0, 1), (1, 2))),
    *({"min_z": least} for least in (5, 8.2)),
    {"lens": "logit"},
    {"strength": "strong"},
]


@pytest.fixture
def fresh(planted_data: Path) -> Iterator[Library]:
    """The planted label file, opened once more."""
    yield from opened(planted_data)


def test_a_search_is_answered_alike_whatever_was_asked_before(labels: Library, fresh: Library) -> None:
    queries = [SearchQuery.model_validate({"q": "California"} | asked) for asked in ASKED]
    answers = set()
    for query, folded in product(queries, (False, True)):
        search(labels, query, folded=not folded)
        answer = search(labels, query, folded=folded)
        fresh.statements = Statements()
        assert answer == search(fresh, query, folded=folded)
        answers.add(answer.model_dump_json(exclude={"query"}))
    assert len(answers) > len(queries)
