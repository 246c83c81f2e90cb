"""`neuronym-worker list` and `remove`: what the library holds, and taking something out of it."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from neuronym.settings import Settings
from worker.errors import LabelFileError


@click.command("list")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the library [NEURONYM_DATA, ./data].")
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
def list_command(data: Path | None, as_json: bool) -> None:
    """List the models and pairs of the library: layers mapped, what is measured, size on disk, and source."""
    from worker.library.inventory import take_inventory

    settings = Settings(data=data) if data else Settings()
    try:
        inventory = take_inventory(settings.data)
    except LabelFileError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        models, pairs = ([model.record() for model in inventory.models], [asdict(pair) for pair in inventory.pairs])
        click.echo(json.dumps({"run": inventory.run, "models": models, "pairs": pairs}))
        return
    lines = [*(model.line() for model in inventory.models), *(pair.line() for pair in inventory.pairs)]
    click.echo("\n".join(lines) or f"No model is mapped yet in {settings.data}. Run `neuronym-worker map MODEL`.")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--with-pairs", is_flag=True, help="Also remove the pairs that a removed model belongs to.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the library [NEURONYM_DATA, ./data].")
def remove(names: tuple[str, ...], with_pairs: bool, data: Path | None) -> None:
    """Remove models or pairs from the library, and delete their files. A server that runs goes on without them."""
    from worker.library import removal

    settings = Settings(data=data) if data else Settings()
    try:
        gone = removal.remove(settings.data, names, with_pairs)
    except LabelFileError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Removed {', '.join(gone)}.")
