"""The command `neuronym`: serve, search, export, sweep, doctor. Failures end in a sentence, not a traceback."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from app import __version__
from app.errors import Problem
from neuronym.access import bearer
from neuronym.http import sentences
from neuronym.neuron_name import EXAMPLE, NeuronName
from neuronym.settings import Settings

if TYPE_CHECKING:
    from app.labelfile.library import Library


def _one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command so that Problems and invalid values end it with a one-line error of click."""

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
@_one_line_errors
@click.option(
    "--measure", is_flag=True, help="Meanwhile measure the models that are not measured yet, at low priority."
)
@click.option(
    "--map",
    "first",
    metavar="'MODEL [OPTIONS]'",
    help="If nothing is mapped yet, map this meanwhile; as `neuronym-worker map` takes it, such as demo.",
)
def serve(host: str | None, port: str | None, open_browser: bool, measure: bool, first: str | None) -> None:
    """Serve the pages and the API, with a worker beside them unless NEURONYM_WORKER_URL names one."""
    from app.cli.serve import serve as run

    run(Settings(**_drop_unset(host=host, port=port)), open_browser, measure, first)


def _filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the filters of a search to a command as options."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


_FILTERS = [
    click.option("--model", help="Only this model."),
    click.option("--pair", help="Only the two models of this pair."),
    click.option("--view", help="any, up, gate or down."),
    click.option("--lens", help="cosine or logit; in an export any, too."),
    click.option("--side", help="top or bottom tokens; in an export any, too."),
    click.option("--layer-min", help="First layer."),
    click.option("--layer-max", help="Last layer."),
    click.option("--min-z", help="Least |z|."),
    click.option("--strength", help="noise, weak or strong."),
    click.option("--agreement", help="same or changed: does the counterpart in the pair have the same top token?"),
]


@main.command()
@click.argument("text", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="The answer of GET /api/v1/search.")
@_filter_options
@click.option("--sort", help="trust, z, score, effect, layer_z or neuron (default trust; with --json z, as the API).")
@click.option("--limit", help="Results, 500 at most (default 50).")
@click.option("--offset", help="Results to skip.")
@_one_line_errors
def search(text: tuple[str, ...], as_json: bool, **filters: str | None) -> None:
    """Neurons that are named after TEXT: a word, '"exact"', 'pre*', 'a, b', or L22N57."""
    from app.cli.tables import listing
    from app.html.urls import TRUSTED_FIRST
    from app.queries.search.search import SearchQuery
    from app.queries.search.search import search as find_labels

    order = {} if as_json else TRUSTED_FIRST
    query = SearchQuery.model_validate({"q": " ".join(text), **order, **_drop_unset(**filters)})
    with _library() as labels:
        answer = find_labels(labels, query)
    click.echo(answer.model_dump_json(indent=2) if as_json else "\n".join(listing(answer)))


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--q", help="Only rows of these tokens, as in a search: a word, '\"exact\"', 'pre*' or 'a, b'.")
@_filter_options
@click.option("--sort", help="With --q: z, trust, score, effect, layer_z or neuron (default z).")
@_one_line_errors
def export(file: Path, **filters: str | None) -> None:
    """Write labels to FILE, a row a token, as its ending says: .csv, .jsonl or .parquet."""
    from app.export.download import save
    from app.queries.search.export import ExportQuery

    query = ExportQuery.model_validate(_drop_unset(**filters))
    with _library() as labels:
        try:
            rows = save(labels, query, file)
        except OSError as error:
            raise click.ClickException(f"{file} cannot be written: {error.strerror or error}.") from error
    click.echo(f"{rows:,} rows in {file}, {file.stat().st_size / 1e6:,.1f} MB")


@main.command()
@click.argument("neuron")
@click.argument("text")
@click.option("--watch", multiple=True, required=True, help="A token's exact text, as ' dog'; may be given again.")
@click.option("--from", "start", type=float, help="First value.")
@click.option("--to", type=float, help="Last value.")
@click.option("--steps", default="21", show_default=True, help="Values from first to last.")
@click.option("--values", help="Values with commas between, instead of --from and --to.")
@click.option("--model", required=True, help="A mapped model.")
@click.option("--pair", is_flag=True, help="The other model of its pair, too.")
@click.option("--chat", is_flag=True, help="TEXT is a user's message rather than the text to go on with.")
@click.option("--site", default="up", show_default=True, help="up, gate or act.")
@click.option("--mode", default="set", show_default=True, help="set, add or scale.")
@click.option("--unit", default="raw", show_default=True, help="raw, or range: the neuron's own.")
@click.option("--positions", default="all", show_default=True, help="all, prompt or generated.")
@click.option("--server", help="Address of a running Neuronym (default: where `neuronym serve` would listen).")
@click.option("--json", "as_json", is_flag=True, help="The answer of POST /api/v1/sweep.")
@_one_line_errors
def sweep(neuron: str, text: str, as_json: bool, server: str | None, **options: Any) -> None:
    """Probability of tokens after TEXT while NEURON, as L29N808, goes through a range of values."""
    from app.cli.client import post
    from app.cli.tables import sweep_listing
    from neuronym.contract import SweepAnswer

    settings = Settings()
    body = sweep_body(neuron, text, **options)
    answer = SweepAnswer.model_validate(
        post(server or f"http://{settings.host}:{settings.port}", "/api/v1/sweep", body, bearer(settings.token))
    )
    click.echo(answer.model_dump_json(indent=2) if as_json else "\n".join(sweep_listing(answer)))


def sweep_body(neuron: str, text: str, *, chat: bool, site: str, mode: str, **options: Any) -> dict[str, Any]:
    """The JSON body of a sweep request with these options.

    Raises:
        UsageError: `neuron` is not the name of a neuron, or there are no values.
    """
    name = NeuronName.read(neuron)
    if name is None:
        raise click.UsageError(f"“{neuron}” is not a neuron; write it as {EXAMPLE}.")
    start, to, steps, values = (options.pop(name) for name in ("start", "to", "steps", "values"))
    if values is None and (start is None or to is None):
        raise click.UsageError("Give --from and --to, or --values.")
    model_input = {"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}
    clamp = {"layer": name.layer, "index": name.index, "site": site, "mode": mode, "value": 0}
    span = values.split(",") if values is not None else {"from": start, "to": to, "steps": steps}
    return {**model_input, **options, "clamps": [clamp], "values": span, "watch": list(options["watch"])}


@main.command()
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@_one_line_errors
def doctor(as_json: bool) -> None:
    """What is installed, which library is served, is the worker up. Exit code 1 when something is wrong."""
    from app.cli.doctor import examine

    report = examine(Settings())
    if as_json:
        click.echo(report.model_dump_json(indent=2))
    else:
        for check in report.checks:
            click.echo(f"{check.state:5}  {check.name}: {check.says}")
    sys.exit(0 if report.ok else 1)


@contextmanager
def _library() -> "Iterator[Library]":
    """Open the library of the data folder, and close it at the end of the block."""
    from app.labelfile.catalog import Catalog

    catalog = Catalog(Settings())
    try:
        yield catalog.current()
    finally:
        catalog.close()


def _drop_unset(**options: str | None) -> dict[str, Any]:
    """Drop the options that were not set on the command line."""
    return {name: value for name, value in options.items() if value is not None}


if __name__ == "__main__":
    main()
