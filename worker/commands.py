"""How a command of `neuronym-worker` is found, and what settings that cannot be meant come to: a sentence.

Knows names of commands; knows nothing of what they do.
"""

import importlib
from collections.abc import Iterator
from typing import Any

import click
from pydantic import ValidationError

from app.settings import Settings

LATER = {
    "effect": "worker.measuring.effect_command",
    "steer-test": "worker.trial.command",
    "trust": "worker.trust.command",
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
        return sorted({*super().list_commands(ctx), *LATER})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in LATER:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(LATER[cmd_name])
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


def _sentences(error: ValidationError) -> Iterator[str]:
    """What is wrong with the settings, by their names in the environment. Values are left out: some are secret."""
    for one in error.errors():
        said = one["msg"].removeprefix("Value error, ")
        yield f"NEURONYM_{str(one['loc'][0]).upper()}: {said}." if one["loc"] else f"{said}."
