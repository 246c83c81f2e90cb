"""`neuronym-worker effect`: measure what neurons do on text and what clamping them does, and publish it."""

import json
from pathlib import Path

import click
import torch

from neuronym.access import bearer
from neuronym.contract import Site
from neuronym.library import library_folder
from neuronym.settings import Settings
from worker.cli.layer_option import layers_option
from worker.errors import CheckpointError, LabelFileError
from worker.mapping.progress import reporter, teller
from worker.measuring.effect import SITES
from worker.measuring.measure import Measurement
from worker.measuring.polite import Polite, give_way


def _sites(_context: click.Context, _option: click.Parameter, text: str) -> tuple[Site, ...]:
    wanted = {part.strip() for part in text.split(",") if part.strip()}
    if not wanted or wanted - set(SITES):
        raise click.BadParameter(f"choose from {', '.join(SITES)}")
    return tuple(site for site in SITES if site in wanted)


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL ...]")
@click.option(
    "--text", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Text to measure activity on."
)
@click.option("--sites", default=",".join(SITES), show_default=True, callback=_sites, help="Where to clamp.")
@layers_option("Measure the effect of these now; publish when all that are mapped are measured.")
@click.option("--resume/--fresh", default=True, show_default=True, help="Go on where an earlier run was cut off.")
@click.option("--polite", is_flag=True, help="Stand still while the service at NEURONYM_WORKER_URL runs a clamp.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the library [NEURONYM_DATA, ./data].")
@click.option("--json", "as_json", is_flag=True, help="Progress as JSON lines on standard output.")
def effect(
    models: tuple[str, ...],
    text: Path | None,
    sites: tuple[Site, ...],
    layers: range | None,
    resume: bool,
    polite: bool,
    data: Path | None,
    as_json: bool,
) -> None:
    """Measure each neuron of MODEL on text and under clamps, and publish the results.

    MODEL is a name in the library; without one, all that are not measured yet, in order. Without --text
    a model is measured on what it writes by itself. Runs at low priority.
    """
    settings = Settings(data=data) if data else Settings()
    if polite and not settings.worker_url:
        raise click.UsageError("--polite needs NEURONYM_WORKER_URL, the address of the worker service to give way to.")
    give_way()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    pause = (
        Polite(settings.worker_url, bearer(settings.worker_secret)) if polite and settings.worker_url else lambda: None
    )
    measurement = Measurement(settings, sites, text, layers, resume, pause, reporter(as_json), teller(as_json))
    try:
        names = models or measurement.unmeasured()
        if not names and not as_json:
            click.echo(f"Nothing to measure: every model in {settings.data} is measured.")
        for name in names:
            run = measurement.measure(name)
            click.echo(json.dumps({"model": name, "published": run}) if as_json else _outcome(settings, name, run))
    except (CheckpointError, LabelFileError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _outcome(settings: Settings, name: str, run: str | None) -> str:
    """The sentence on what a measurement of a model published, if anything."""
    if run is None:
        return (
            f"{name}: these layers are measured and kept. Run again without --layers to measure the rest and publish."
        )
    return f"{name}: published in {library_folder(settings.data)} (run {run})"
