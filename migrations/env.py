"""Alembic's entry point. A label file is migrated only while it is built.

The caller hands its connection over in `config.attributes["connection"]`, so only `labelfile.build` opens files.
"""

from typing import Any, Literal

from alembic import context

from neuronym.label_tables import Coded, metadata


def _render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write enumerations into a revision as small integers: a revision must not follow later changes of a class."""
    return "sa.SmallInteger()" if kind == "type" and isinstance(item, Coded) else False


def run() -> None:
    """Run the migrations, or compare the schema, on the caller's connection."""
    connection = context.config.attributes.get("connection")
    if connection is None:
        raise SystemExit("Label files are migrated by `neuronym-worker map`, not by the alembic command.")
    context.configure(connection=connection, target_metadata=metadata, compare_type=True, render_item=_render)
    with context.begin_transaction():
        context.run_migrations()


run()
