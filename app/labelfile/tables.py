"""The tables of one label file of the library, under the name that the file has in statements."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from neuronym import label_tables


@dataclass(frozen=True)
class FileTables:
    """The tables of the file that is attached as `alias`; those that its kind has no use for are empty."""

    alias: str
    build: sa.Table
    model: sa.Table
    pair: sa.Table
    tokenizer: sa.Table
    token: sa.Table
    measurement: sa.Table
    label: sa.Table
    label_by_token: sa.Table
    neighbour: sa.Table
    activity: sa.Table
    effect: sa.Table
    drift: sa.Table
    agreement: sa.Table
    concept: sa.Table


@cache
def tables_of(alias: str) -> FileTables:
    """The tables of the file that is attached as `alias`; made once, so that statements on them are compiled once."""
    attached = sa.MetaData()
    tables: dict[str, Any] = {
        name: table.to_metadata(attached, schema=alias) for name, table in label_tables.metadata.tables.items()
    }
    return FileTables(alias=alias, **tables)
