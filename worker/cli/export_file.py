"""`neuronym-worker export-file`: the file of a model or pair, to be given to others."""

from pathlib import Path

import click

from neuronym.settings import Settings
from worker.errors import LabelFileError


@click.command("export-file")
@click.argument("name")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the library [NEURONYM_DATA, ./data].")
def export_command(name: str, path: Path | None, force: bool, data: Path | None) -> None:
    """Write the label file of a model or pair NAME to PATH, for others to add. Without PATH: NAME.duckdb, here.

    It holds labels, measurements and tokenizer, and no path, user, host or secret.
    """
    from worker.library.export import export_file

    target = path or Path(f"{name}.duckdb")
    try:
        export_file(name, target, Settings(data=data) if data else Settings(), force)
    except LabelFileError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{name}: written to {target}.")
