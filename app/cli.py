"""The command `neuronym`: serve, search, doctor. Says what went wrong in one sentence, never in a traceback."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from pydantic import ValidationError

from app import __version__
from app.errors import Problem
from app.sentences import sentences
from app.settings import Settings


def _plainly(command: Callable[..., None]) -> Callable[..., None]:
    """Problems and bad values as click's own one-line errors."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except Problem as problem:
            raise click.ClickException(str(problem)) from problem
        except ValidationError as error:
            raise click.UsageError(" ".join(sentences(error.errors()))) from error

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="neuronym")
def main() -> None:
    """A name for every neuron of a language model."""


@main.command()
@click.option("--host", help="Address to listen on (NEURONYM_HOST, default 127.0.0.1).")
@click.option("--port", help="Port to listen on; 0 picks a free one (NEURONYM_PORT, default 8000).")
@click.option("--open", "open_browser", is_flag=True, help="Open the page in a browser.")
@_plainly
def serve(host: str | None, port: str | None, open_browser: bool) -> None:
    """Serve the pages and the API, with a worker beside them unless NEURONYM_WORKER_URL names one."""
    from app.serving import serve as run

    run(Settings(**_given(host=host, port=port)), open_browser)


@main.command()
@click.argument("text", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="The answer of GET /api/v1/search.")
@click.option("--model", help="Only this model.")
@click.option("--pair", help="Only the two models of this pair.")
@click.option("--view", help="any, up, gate or down.")
@click.option("--lens", help="cosine or logit.")
@click.option("--side", help="top or bottom tokens.")
@click.option("--layer-min", help="First layer.")
@click.option("--layer-max", help="Last layer.")
@click.option("--min-z", help="Least |z|.")
@click.option("--strength", help="noise, weak or strong.")
@click.option("--agreement", help="same or changed: does the counterpart in the pair have the same top token?")
@click.option("--sort", help="z, score, effect, layer_z or neuron.")
@click.option("--limit", help="Results, 500 at most (default 50).")
@click.option("--offset", help="Results to skip.")
@_plainly
def search(text: tuple[str, ...], as_json: bool, **filters: str | None) -> None:
    """Neurons that are named after TEXT: a word, '"exact"', 'pre*', 'a, b', or L22N57."""
    from app.catalog import Catalog
    from app.listing import listing
    from app.queries.search import SearchQuery
    from app.queries.search import search as ask

    query = SearchQuery.model_validate({"q": " ".join(text), **_given(**filters)})
    catalog = Catalog(Settings())
    try:
        answer = ask(catalog.current(), query)
    finally:
        catalog.close()
    click.echo(answer.model_dump_json(indent=2) if as_json else "\n".join(listing(answer)))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@_plainly
def doctor(as_json: bool) -> None:
    """What is installed, which label file is served, is the worker up. Exit code 1 when something is wrong."""
    from app.doctor import examine

    report = examine(Settings())
    if as_json:
        click.echo(report.model_dump_json(indent=2))
    else:
        for check in report.checks:
            click.echo(f"{check.state:5}  {check.name}: {check.says}")
    sys.exit(0 if report.ok else 1)


def _given(**options: str | None) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


if __name__ == "__main__":
    main()
