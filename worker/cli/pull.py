"""`neuronym-worker pull`: label files out of a dataset repository of a hub."""

import json
from pathlib import Path

import click

from neuronym.library import library_folder
from neuronym.settings import Settings
from worker.errors import LabelFileError


@click.command("pull")
@click.argument("repository", metavar="OWNER/REPOSITORY")
@click.option("--revision", help="A branch, tag or commit; the newest commit by default.")
@click.option("--file", help="The one file to take, where there are several.")
@click.option("--name", help="What to call the model or pair, if not as in the file.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the library [NEURONYM_DATA, ./data].")
@click.option("--json", "as_json", is_flag=True, help="Progress as JSON lines on standard output.")
def pull_command(
    repository: str,
    revision: str | None,
    file: str | None,
    name: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Pull the label files of a dataset repository of the Hugging Face hub into the library.

    They are downloaded, compared with the hashes that the hub states, and taken in as `add` does. A download that
    breaks is gone on with by the same command.
    """
    from worker.hub.progress import reporter
    from worker.hub.pull import pull
    from worker.hub.refusals import keep_warnings_back

    keep_warnings_back()
    settings = Settings(data=data) if data else Settings()
    try:
        outcomes = pull(repository, settings, reporter(as_json), revision, file, name)
    except LabelFileError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"published": outcomes[-1].run}))
        return
    for outcome in outcomes:
        click.echo("\n".join(outcome.lines))
    click.echo(f"Published in {library_folder(settings.data)} (run {outcomes[-1].run}).")
