"""The command `neuronym-worker`: how its commands are found, and what settings that cannot be meant come to: a
sentence.

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
}


class Commands(click.Group):
    """Commands that run models are imported when they are asked for: mapping needs neither their seconds nor memory."""

    def invoke(self, ctx: click.Context) -> Any:
        """Settings that cannot be meant end in a sentence, too."""
        try:
            return super().invoke(ctx)
        except ValidationError as error:
            if error.title != Settings.__name__:
                raise
            said = sentences(error.errors(), field_name=variable_name, repeat_input=False)  # some are secret
            raise click.ClickException(" ".join(said)) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(COMMANDS[cmd_name])
        known = (one for one in vars(module).values() if isinstance(one, click.Command))
        return next(one for one in known if one.name == cmd_name)


@click.group(cls=Commands)
@click.version_option(package_name="neuronym")
def main() -> None:
    """Map every MLP neuron of a language model, and clamp neurons live."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "0" if sys.stderr.isatty() else "1")
