"""`neuronym-worker add`: take in a label file that somebody else made."""

from pathlib import Path

import click

from neuronym.library import library_folder
from neuronym.settings import Settings
from worker.errors import LabelFileError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="What to call the model or pair, if not as in the file.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the library [NEURONYM_DATA, ./data].")
def add(file: Path, name: str | None, data: Path | None) -> None:
    """Take the model or pair of FILE, which `export-file` has written, into the library.

    Every value is checked, and nothing in it is run. It can be searched and read at once; to clamp its neurons, the
    weights must be here, too.
    """
    from worker.library.added import add_file

    settings = Settings(data=data) if data else Settings()
    try:
        outcome = add_file(file, settings, name)
    except LabelFileError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(outcome.lines))
    click.echo(f"Published in {library_folder(settings.data)} (run {outcome.run}).")
