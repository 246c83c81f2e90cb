"""`neuronym-worker upgrade`: carry a data folder of an earlier version over into the library."""

from pathlib import Path

import click

from neuronym.library import library_folder
from neuronym.settings import Settings
from worker.errors import LabelFileError


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the library [NEURONYM_DATA, ./data].")
def upgrade(data: Path | None) -> None:
    """Carry the label file of an earlier version over: its models, pairs and measurements, a file each.

    Nothing is mapped or measured again, and the file itself stays where it is.
    """
    from worker.library.former import carry_over, find_former

    settings = Settings(data=data) if data else Settings()
    try:
        former = find_former(settings.data)
        if former is None:
            click.echo(f"Nothing to carry over: {settings.data} is of this version.")
            return
        run = carry_over(former, settings, lambda line: click.echo(line, err=True))
    except LabelFileError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Published in {library_folder(settings.data)} (run {run}). {former} is needed no more: delete it.")
