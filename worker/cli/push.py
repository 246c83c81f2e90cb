"""`neuronym-worker push`: label files into a dataset repository of a hub."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from neuronym.settings import Settings
from worker.errors import LabelFileError


@click.command("push")
@click.argument("name")
@click.option("--to", metavar="OWNER/REPOSITORY", help="Where to; your own repository neuronym-NAME by default.")
@click.option("--public", is_flag=True, help="Let everybody see it. Without it a new repository is private.")
@click.option("--license", "licence", help="The licence of the labels, if not that of the model.")
@click.option("--message", help="The message of the commit.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the library [NEURONYM_DATA, ./data].")
@click.option("--json", "as_json", is_flag=True, help="Progress as JSON lines on standard output.")
def push_command(
    name: str,
    to: str | None,
    public: bool,
    licence: str | None,
    message: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Push the label file of a model NAME, or of a pair NAME and both its models, to the Hugging Face hub.

    The files are those of `export-file`, in a dataset repository with a card that says what they are. You log in with
    `hf auth login` or HF_TOKEN.
    """
    from worker.hub.progress import reporter
    from worker.hub.push import Wishes, push
    from worker.hub.refusals import keep_warnings_back

    keep_warnings_back()
    settings = Settings(data=data) if data else Settings()
    try:
        pushed = push(name, settings, Wishes(to, public, licence, message), reporter(as_json))
    except LabelFileError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"pushed": asdict(pushed)}))
    elif pushed.sent:
        click.echo(f"{name}: {', '.join(pushed.sent)} pushed to {pushed.repository} (commit {pushed.commit}).")
    else:
        click.echo(f"{name}: {pushed.repository} has it already (commit {pushed.commit}); nothing was sent.")
