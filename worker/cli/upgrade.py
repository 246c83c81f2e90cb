"""`neuronym-worker upgrade`: carry what an earlier version wrote over into files of this one."""

from pathlib import Path

import click

from neuronym.library import library_folder
from neuronym.settings import Settings
from worker.errors import LabelFileError


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the library [NEURONYM_DATA, ./data].")
@click.option("--quiet", is_flag=True, help="Say nothing where there is nothing to carry over.")
def upgrade(data: Path | None, quiet: bool) -> None:
    """Carry the label files of an earlier version over: models, pairs and measurements.

    Nothing is mapped or measured again. Files of the library are replaced; the single file of the first version stays
    where it is.
    """
    settings = Settings(data=data) if data else Settings()
    try:
        said = _carry_over(settings)
    except LabelFileError as error:
        raise click.ClickException(str(error)) from error
    if said or not quiet:
        click.echo(said or f"Nothing to carry over: {settings.data} is of this version.")


def _carry_over(settings: Settings) -> str | None:
    """Carry over what there is; return what became of it, or None where there is nothing.

    Raises:
        LabelFileError: as `carry_over` and `renew`.
    """
    from worker.library.outdated import find_former, find_outdated

    published = f"Published in {library_folder(settings.data)} (run {{run}})."
    if former := find_former(settings.data):
        from worker.library.former import carry_over

        return f"{published.format(run=carry_over(former, settings, _tell))} {former} is needed no more: delete it."
    outdated = find_outdated(settings.data)
    if any(outdated.values()):
        from worker.library.renewal import renew

        return published.format(run=renew(outdated, settings, _tell))
    return None


def _tell(line: str) -> None:
    click.echo(line, err=True)
