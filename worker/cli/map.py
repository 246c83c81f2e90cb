"""`neuronym-worker map`: map models. Errors are reported in one sentence, never as a traceback."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

import click
import torch

from neuronym.contract import Lens, MappingFailed, Published, View
from neuronym.library import library_folder
from neuronym.settings import Settings
from worker.checkpoints.sources import DEMO
from worker.cli.layer_option import layers_option
from worker.errors import CheckpointError, EngineError, LabelFileError
from worker.lens.decoder import Precision
from worker.machine.device import mapping_device
from worker.map_run import MapRun
from worker.mapping.mapping import Engine, LocalEngine
from worker.mapping.pairs import DEMO_PAIR, KNOWN_PAIRS
from worker.mapping.progress import announcer, reporter, teller
from worker.mapping.recipe import MapRecipe


@click.command("map")
@click.argument("models", nargs=-1, metavar="[MODEL [MODEL]]")
@click.option("--pair", "known_pair", help=f"Map a pair known by name: {', '.join(KNOWN_PAIRS)}.")
@click.option("--pair-name", default="", help="What two models given as BASE INSTRUCT are called as a pair.")
@click.option("--name", "names", multiple=True, help="Name in the library; one a model, in order.")
@click.option("--views", default=",".join(View), show_default=True, help="Weight vectors to decode.")
@click.option("--lenses", default=",".join(Lens), show_default=True, help="Lenses to decode with.")
@click.option("--top-k", default=20, show_default=True, type=click.IntRange(5, 200), help="Top tokens kept a label.")
@click.option("--bottom-k", default=10, show_default=True, type=click.IntRange(1, 200), help="Bottom tokens kept.")
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    type=click.Choice(get_args(Precision)),
    help="How products are computed; auto takes the fastest way that loses nothing.",
)
@click.option(
    "--engine",
    default="local",
    show_default=True,
    type=click.Choice(["local", "ray"]),
    help="Where: in this process, or as tasks of a Ray cluster.",
)
@click.option("--ray-address", help="The Ray cluster [RAY_ADDRESS, else one of this machine alone].")
@layers_option("Map these layers only; mapping the rest later goes on from them.")
@click.option("--resume/--fresh", default=True, show_default=True, help="Keep what is mapped, or begin anew.")
@click.option(
    "--publish-early",
    is_flag=True,
    help="Publish as it comes: one view of the first model, the model, the next; else all at the end.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the library [NEURONYM_DATA, ./data].")
@click.option("--json", "as_json", is_flag=True, help="Progress as JSON lines on standard output.")
def map_command(
    models: tuple[str, ...],
    known_pair: str | None,
    pair_name: str,
    names: tuple[str, ...],
    views: str,
    lenses: str,
    top_k: int,
    bottom_k: int,
    precision: Precision,
    engine: str,
    ray_address: str | None,
    layers: range | None,
    resume: bool,
    publish_early: bool,
    data: Path | None,
    as_json: bool,
) -> None:
    """Decode every neuron of MODEL, or of a pair BASE INSTRUCT, and publish their label files.

    MODEL is a hub id (org/model or org/model@revision), a folder, a GGUF file, any of these with +ADAPTER (a PEFT
    LoRA folder or hub id), or `demo`, which is the demo pair; one of the two goes by its name in the library.
    """
    settings = Settings(data=data) if data else Settings()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    recipe = MapRecipe(
        _choices(views, View, "--views"),
        _choices(lenses, Lens, "--lenses"),
        top_k,
        bottom_k,
        precision=precision,
        layers=layers,
    )
    requested = _find_models(models, known_pair, pair_name)
    if names and len(names) != len(requested.models):
        raise click.UsageError(
            f"{len(requested.models)} models need {len(requested.models)} --name options, not {len(names)}."
        )
    try:
        with _open_engine(engine, ray_address, settings.device) as opened:
            announce = announcer(as_json and publish_early)
            mapping = MapRun(
                settings, recipe, resume, reporter(as_json), opened, teller(as_json), publish_early, announce
            )
            if len(requested.models) == 2:
                run = mapping.map_pair(*requested.models, names=names, pair=requested.pair, note=requested.note or "")
            else:
                run = mapping.map(requested.models, names)
    except (CheckpointError, EngineError, LabelFileError) as error:
        announcer(as_json)(MappingFailed(failed=str(error)))
        raise click.ClickException(str(error)) from error
    if as_json:
        announcer(as_json)(Published(published=run))
    else:
        click.echo(f"Published in {library_folder(settings.data)} (run {run})")


@contextmanager
def _open_engine(name: str, ray_address: str | None, device: str) -> Iterator[Engine]:
    """Yield the engine that maps layers.

    Raises:
        EngineError: the engine or its device cannot be used.
    """
    if name == "local":
        yield _local_engine(device)
        return
    if importlib.util.find_spec("ray") is None:
        raise EngineError("--engine ray needs Ray: pip install 'neuronym[ray]'")
    from worker.mapping.ray_engine import connect  # only here: Ray is an extra, and slow to import

    with connect(ray_address, device) as engine:
        yield engine


def _local_engine(device: str) -> LocalEngine:
    try:
        return LocalEngine(mapping_device(device))
    except ValueError as error:
        raise EngineError(str(error)) from error


@dataclass(frozen=True)
class RequestedModels:
    """The models of one mapping run; two are a pair."""

    models: tuple[str, ...]
    pair: str = ""
    note: str | None = None


def _find_models(models: tuple[str, ...], known_pair: str | None, pair_name: str) -> RequestedModels:
    """Find the models and the pair that the arguments name."""
    if known_pair is None and models == (DEMO,):
        known_pair = DEMO_PAIR
    if known_pair is not None:
        if known_pair not in KNOWN_PAIRS or models not in ((), (DEMO,)):
            raise click.BadParameter(f"choose from {', '.join(KNOWN_PAIRS)}, without MODEL", param_hint="--pair")
        pair = KNOWN_PAIRS[known_pair]
        return RequestedModels((pair.base, pair.instruct), known_pair, pair.note)
    if not 1 <= len(models) <= 2:
        raise click.UsageError("Give one MODEL, two as BASE INSTRUCT, or --pair.")
    return RequestedModels(models, pair_name)


Choice = TypeVar("Choice", View, Lens)


def _choices(text: str, kind: type[Choice], option: str) -> tuple[Choice, ...]:
    """Read a comma-separated list of an enumeration's values; return them in the enumeration's order."""
    wanted = {part.strip() for part in text.split(",") if part.strip()}
    unknown = wanted - set(kind)
    if unknown or not wanted:
        raise click.BadParameter(f"choose from {', '.join(kind)}", param_hint=option)
    return tuple(value for value in kind if value in wanted)
