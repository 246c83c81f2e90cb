"""The command line `neuronym-worker`: import each command when it is called, and report invalid settings in a sentence.

Knows names of commands; knows nothing of what they do.
"""

import importlib
import importlib.util
import os
import sys
from typing import Any

import click
from pydantic import ValidationError

from neuronym.http import sentences, variable_name
from neuronym.settings import Settings

COMMANDS = {
    "map": "worker.cli.map",
    "serve": "worker.cli.serve",
    "effect": "worker.cli.effect",
    "steer-test": "worker.cli.steer_test",
    "trust": "worker.cli.trust",
    "list": "worker.cli.inventory",
    "remove": "worker.cli.inventory",
    "export-file": "worker.cli.export_file",
    "add": "worker.cli.add",
    "push": "worker.cli.push",
    "pull": "worker.cli.pull",
    "upgrade": "worker.cli.upgrade",
}


class Commands(click.Group):
    """A group that imports each command when it is called, to spare others its import's time and memory."""

    def invoke(self, ctx: click.Context) -> Any:
        """Invoke the command; report invalid settings in a sentence."""
        try:
            return super().invoke(ctx)
        except ValidationError as error:
            if error.title != Settings.__name__:
                raise
            problems = sentences(error.errors(), field_name=variable_name, repeat_input=False)  # some values are secret
            raise click.ClickException(" ".join(problems)) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(COMMANDS[cmd_name])
        commands = (value for value in vars(module).values() if isinstance(value, click.Command))
        return next(command for command in commands if command.name == cmd_name)


@click.group(cls=Commands)
@click.version_option(package_name="neuronym")
def main() -> None:
    """Map every MLP neuron of a language model, and clamp neurons live."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "0" if sys.stderr.isatty() else "1")
