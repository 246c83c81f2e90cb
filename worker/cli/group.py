"""The command `neuronym-worker`: how its commands are found, and what settings that cannot be meant come to: a
sentence.

Knows names of commands; knows nothing of what they do.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from typing import Any

import click
from pydantic import ValidationError

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
            raise click.ClickException(" ".join(_sentences(error))) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(COMMANDS[cmd_name])
        known = (one for one in vars(module).values() if isinstance(one, click.Command))
        return next(one for one in known if one.name == cmd_name)


def _sentences(error: ValidationError) -> Iterator[str]:
    """What is wrong with the settings, by their names in the environment. Values are left out: some are secret."""
    for one in error.errors():
        said = one["msg"].removeprefix("Value error, ")
        yield f"NEURONYM_{str(one['loc'][0]).upper()}: {said}." if one["loc"] else f"{said}."


@click.group(cls=Commands)
@click.version_option(package_name="neuronym")
def main() -> None:
    """Map every MLP neuron of a language model, and clamp neurons live."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "0" if sys.stderr.isatty() else "1")
