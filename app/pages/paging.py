"""Links to the pages of results before and after."""

from typing import Protocol

from app.html import urls
from app.queries.params import Question


class Paged(Protocol):
    """An answer of which a page is shown."""

    total: int
    limit: int
    offset: int


def turning(path: str, query: Question, answer: Paged) -> dict[str, str | None]:
    """Links to the pages of results before and after."""
    before, after = answer.offset - answer.limit, answer.offset + answer.limit
    back = urls.asked(path, query, offset=max(before, 0) or None) if answer.offset else None
    return {"back": back, "on": urls.asked(path, query, offset=after) if after < answer.total else None}
