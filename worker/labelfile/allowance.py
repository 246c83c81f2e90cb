"""How much memory a build takes: what its search rows are sorted in quickly, and never more than the setting.

DuckDB fills whatever it is allowed with pages it may read again: for a small label file that is more than it needs.
Knows DuckDB's limit; knows nothing of tables.
"""

import sqlalchemy as sa

LEAST = 240_000_000  # bytes; with less DuckDB gets slower, and what it needs beside its limit is the larger part
OF_FILE = 14  # bytes of memory a search row of the file
OF_SORT = 100  # bytes of memory a search row that is being sorted: twice what it takes


def allow(connection: sa.Connection, most: int, search_rows: int) -> int:
    """Limit DuckDB to what so many search rows need, `most` bytes at most; returns how many of them to sort at once."""
    limit = min(most, max(LEAST, OF_FILE * search_rows))
    connection.execute(sa.text(f"SET memory_limit = '{limit}B'"))
    return limit // OF_SORT
