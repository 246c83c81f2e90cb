"""The structure of a label file that somebody else made: the tables of this version, column by column, no more.

Compared with an empty file of our own, so that nothing need be known of all that a database can hold. Knows no rows.
"""

import sqlalchemy as sa

from neuronym.label_tables import REVISION
from worker.errors import ForeignFileError
from worker.labelfile.label_file import empty_file

# All of a database but its tables. Built-in ones are compared too, as a file can say of its own that they are built in.
_OTHERS = """
    SELECT 'schema' AS kind, schema_name AS name FROM system.main.duckdb_schemas() WHERE database_name = 'file'
    UNION SELECT 'view', view_name FROM system.main.duckdb_views() WHERE database_name = 'file'
    UNION SELECT 'macro', function_name FROM system.main.duckdb_functions() WHERE database_name = 'file'
    UNION SELECT 'type', type_name FROM system.main.duckdb_types() WHERE database_name = 'file'
    UNION SELECT 'sequence', sequence_name FROM system.main.duckdb_sequences() WHERE database_name = 'file'
    UNION SELECT 'index', index_name FROM system.main.duckdb_indexes() WHERE database_name = 'file'"""

# The definition has all columns with their types, defaults, what they are generated from, and constraints.
_TABLES = "SELECT table_name, sql FROM system.main.duckdb_tables() WHERE database_name = 'file'"


def check_schema(connection: sa.Connection) -> None:
    """Check that a file, open by `read_foreign_file`, holds the tables of this version and nothing else.

    Raises:
        ForeignFileError: it does not, or it is of another revision.
    """
    with empty_file() as own:
        own_others, own_tables = _others(own), _tables(own)
    for kind, name in sorted(_others(connection) - own_others):
        raise ForeignFileError(f"it holds the {kind} {_quoted(name)}, and label files hold none")
    tables = _tables(connection)
    if tables.get("alembic_version") != own_tables["alembic_version"]:
        raise ForeignFileError("it is a database, but does not say which revision of a label file")
    _check_revision(connection)
    for name in sorted(tables.keys() ^ own_tables.keys()):
        what = "holds the unknown table" if name in tables else "lacks the table"
        raise ForeignFileError(f"it {what} {_quoted(name)}")
    for name, definition in sorted(own_tables.items()):
        if tables[name] != definition:
            raise ForeignFileError(f"its table {_quoted(name)} has other columns than that of a label file")


def _check_revision(connection: sa.Connection) -> None:
    found = connection.scalars(sa.text("SELECT version_num[\\:20] FROM file.alembic_version LIMIT 2")).all()
    if found != [REVISION]:
        named = ", ".join(map(_quoted, found)) or "none"
        raise ForeignFileError(f"it is of revision {named} where this version reads {REVISION!r}")


def _others(connection: sa.Connection) -> set[tuple[str, str]]:
    return {(kind, name) for kind, name in connection.execute(sa.text(_OTHERS))}


def _tables(connection: sa.Connection) -> dict[str, str]:
    return {str(name): str(definition) for name, definition in connection.execute(sa.text(_TABLES))}


def _quoted(name: object) -> str:
    return repr(str(name)[:40])
