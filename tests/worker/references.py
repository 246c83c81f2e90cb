"""Slow, plain ways to what the worker does quickly: no cache, no batch, every MLP written out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import cast
from unittest.mock import patch

import torch
from torch import nn
from transformers import PreTrainedModel

from neuronym.contract import Clamp, Mode, Site
from worker.checkpoints.families import Family
from worker.steering.engine import Positions
from worker.steering.models import LiveModel


@torch.inference_mode()
def predict(
    live: LiveModel, tokens: Sequence[int], clamps: Sequence[Clamp] = (), where: slice = slice(None)
) -> torch.Tensor:
    """Logits of the whole text at once, `(positions, vocab)`, with the clamps at the positions in `where`."""
    with rewritten(live, clamps, where):
        logits: torch.Tensor = live.model(torch.tensor([list(tokens)])).logits[0].float()
    return logits


@torch.inference_mode()
def generate_greedily(
    live: LiveModel, prompt: list[int], clamps: Sequence[Clamp], positions: Positions, count: int
) -> tuple[list[int], torch.Tensor]:
    """Greedy ids and their predictions, `(count, vocab)`, reading everything anew for each token."""
    where = {"all": slice(None), "prompt": slice(0, len(prompt)), "generated": slice(len(prompt) - 1, None)}[positions]
    tokens, predictions = list(prompt), []
    for _ in range(count):
        logits = predict(live, tokens, clamps, where)[-1]
        predictions.append(logits.log_softmax(-1))
        tokens.append(int(logits.argmax()))
    return tokens[len(prompt) :], torch.stack(predictions)


def transformers_greedily(model: PreTrainedModel, prompt: list[int], count: int) -> list[int]:
    """What `model.generate` makes of it."""
    output = model.generate(torch.tensor([prompt]), max_new_tokens=count, do_sample=False, pad_token_id=0)  # type: ignore[operator]
    return cast(list[int], output[0, len(prompt) :].tolist())


@contextmanager
def rewritten(live: LiveModel, clamps: Sequence[Clamp], where: slice) -> Iterator[None]:
    """Replace the forward of every clamped MLP by its equation, with the clamps in it one after the other."""
    with ExitStack() as stack:
        for layer in {clamp.layer for clamp in clamps}:
            block = live.model.get_submodule(f"{live.sites.family.layers_path}.{layer}")
            here = [clamp for clamp in clamps if clamp.layer == layer]
            stack.enter_context(patch.object(block.mlp, "forward", _equation(block, live.sites.family, here, where)))
        yield


def _equation(
    block: nn.Module, family: Family, clamps: list[Clamp], where: slice
) -> Callable[[torch.Tensor], torch.Tensor]:
    up, down = block.get_submodule(family.up), block.get_submodule(family.down)
    gate = block.get_submodule(family.gate) if family.gate else None
    activation = block.get_submodule("mlp.act_fn" if gate else "mlp.act")

    def forward(x: torch.Tensor) -> torch.Tensor:
        pre = _clamped(up(x), clamps, Site.up, where)
        post = activation(pre) if gate is None else activation(_clamped(gate(x), clamps, Site.gate, where)) * pre
        written: torch.Tensor = down(_clamped(post, clamps, Site.act, where))
        return written

    return forward


def _clamped(values: torch.Tensor, clamps: list[Clamp], site: Site, where: slice) -> torch.Tensor:
    values = values.clone()  # (1, positions, neurons)
    for clamp in clamps:
        if clamp.site is site:
            old = values[:, where, clamp.index]
            values[:, where, clamp.index] = {
                Mode.set: torch.full_like(old, clamp.value),
                Mode.add: old + clamp.value,
                Mode.scale: old * clamp.value,
            }[clamp.mode]
    return values
