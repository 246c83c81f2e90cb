"""How the parameters of a question are read.

A question is a pydantic model of the query string, which a route, a page and the command line share.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.errors import clip

MAX_QUERY = 10_000  # characters
MAX_LIMIT = 500
MAX_OFFSET = 1_000_000_000

Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Results in one answer.")]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET, description="Results to skip.")]


class Question(BaseModel):
    """The parameters of a question. Unknown ones are refused; an empty one is unset, as HTML forms send it."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _read_parameters(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        unknown = [name for name in values if name not in cls.model_fields]
        if unknown:
            known = ", ".join(cls.model_fields)
            raise ValueError(f"there is no parameter {', '.join(map(clip, unknown))}; there are {known}")
        return {name: value for name, value in values.items() if value != ""}


class TextQuestion(Question):
    """A question with a text in the language of the search box (`app.queries.search.language`)."""

    q: Annotated[str, Field(max_length=MAX_QUERY, description='A word, `"exact"`, `pre*`, `a, b`, or `L22N57`.')] = ""
