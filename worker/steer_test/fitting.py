"""Neurons chosen and moved together by gradient, so that target answers become likely.

Half are those that raise the concept's own token most for the damage they do, half those that raise the answer around
it. Damage is curvature: how fast predictions change as the neuron moves (the diagonal of the Fisher information). Moves
are fitted together, in units of what each neuron does on text, while other answers are kept as they were. Knows targets
and tensors; judging what an answer is about and whether it can be read is the caller's business.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neuronym.contract import Clamp, Mode, Site
from worker.steer_test.answers import ClampSetting
from worker.steer_test.targets import BEGINNING, REST, Batch, Target, pad_targets
from worker.steering.models import LiveModel

FARTHEST = 2.5  # units
STEPS = 50
RATE = 0.2  # units a step, falling to nothing
TOGETHER = 8  # targets a step
KEEPING = 0.3  # weight of a nat of KL on the answers to keep
NEAREST = 0.002  # weight of a squared unit
DRAWS = 2  # of the model's predictions, for the curvature
LEAST_DAMAGE = 0.3  # share of the mean curvature, added so that neurons without damage do not come first

Say = Callable[[str], None]
Shifts = Mapping[int, Tensor]  # layer -> (neurons,), added to the products where a batch is generated


@dataclass(frozen=True)
class FittedMoves:
    """Neurons, the unit of each, and by how many units each is moved: `(chosen,)` each; flat indices."""

    neurons: Tensor
    units: Tensor
    moves: Tensor

    def setting(self, live: LiveModel, strength: float = 1.0) -> ClampSetting:
        """Return the moves, all scaled by `strength`, as clamps that add to the product."""
        values = (self.units * self.moves * strength).tolist()
        clamps = [
            Clamp(layer=layer, index=index, site=Site.act, mode=Mode.add, value=round(value, 3))
            for (layer, index), value in zip(_layers_and_indices(live, self.neurons), values, strict=True)
        ]
        return ClampSetting(f"fit {len(clamps)} at {strength:g}", tuple(clamps))


def fit(
    live: LiveModel, aims: Sequence[Target], others: Sequence[Target], count: int, say: Say = lambda _: None
) -> FittedMoves:
    """Fit the best `count` neurons for the aims and their moves; `others` are answers that should stay as they are."""
    frozen = [parameter for parameter in live.model.parameters() if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        neurons = _choose_neurons(live, aims, others, count)
        units = _units(live, [*aims, *others]).flatten()[neurons]
        return FittedMoves(neurons, units, _fit_moves(live, aims, others, neurons, units, say))
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _choose_neurons(live: LiveModel, aims: Sequence[Target], others: Sequence[Target], count: int) -> Tensor:
    """Choose neurons, half for the concept, half for the answer around it, as flat indices over layers and neurons."""
    damage = _curvature(live, [*others, *aims[: len(others)]])
    damage = damage + LEAST_DAMAGE * damage.mean()
    concept, answer = (
        (_gradient(live, aims, weights) ** 2 / damage).flatten()
        for weights in ((0.0, 1.0, 0.0), (BEGINNING, 0.0, REST))
    )
    first = concept.topk(count // 2).indices
    answer[first] = -torch.inf
    return torch.cat([first, answer.topk(count - len(first)).indices])


def _gradient(live: LiveModel, aims: Sequence[Target], weights: tuple[float, float, float]) -> Tensor:
    """The gradient of the weighted log-probability by a shift of each neuron's product, `(layers, neurons)`."""
    shifts = _no_shifts(live)
    total = torch.zeros(live.sites.layers, live.sites.neurons)
    for at in range(0, len(aims), TOGETHER):
        batch = pad_targets(aims[at : at + TOGETHER], weights)
        total += _shift_gradient(likelihood(live, batch, shifts).sum(), shifts)
    return total / len(aims)


def _curvature(live: LiveModel, texts: Sequence[Target]) -> Tensor:
    """The mean square of the gradients of tokens drawn from the model's own predictions, `(layers, neurons)`."""
    shifts, generator = _no_shifts(live), torch.Generator().manual_seed(0)
    total = torch.zeros(live.sites.layers, live.sites.neurons)
    for text in [repeated for repeated in texts for _ in range(DRAWS)]:
        batch = pad_targets([text])
        logprobs = _predictions(live, batch, shifts)[0]  # (positions, vocab)
        drawn = torch.multinomial(logprobs.detach().exp(), 1, generator=generator)
        total += _shift_gradient((logprobs.gather(1, drawn)[:, 0] * batch.generated[0]).sum(), shifts) ** 2
    return total / (DRAWS * len(texts))


def _fit_moves(
    live: LiveModel, aims: Sequence[Target], others: Sequence[Target], neurons: Tensor, units: Tensor, say: Say
) -> Tensor:
    moves = torch.zeros(len(neurons), requires_grad=True)
    optimizer = torch.optim.Adam([moves], lr=RATE)
    generator = torch.Generator().manual_seed(0)
    others_batch = pad_targets(others)
    with torch.no_grad():
        plain = _predictions(live, others_batch, {})
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        chosen = torch.randperm(len(aims), generator=generator)[:TOGETHER].tolist()
        shifts = _spread(live, neurons, units * moves.clamp(-FARTHEST, FARTHEST))
        aim_loss = -likelihood(live, pad_targets([aims[place] for place in chosen]), shifts).mean()
        change = (plain.exp() * (plain - _predictions(live, others_batch, shifts))).sum(-1)  # (others, positions)
        damage = (change * others_batch.generated).sum() / others_batch.generated.sum()
        optimizer.zero_grad()
        (aim_loss + KEEPING * damage + NEAREST * moves.square().sum()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 10 == 9:
            say(f"fitting, step {step + 1} of {STEPS}: {aim_loss.item():.2f} nats, {damage.item():.2f} elsewhere")
    return moves.detach().clamp(-FARTHEST, FARTHEST)


def likelihood(live: LiveModel, batch: Batch, shifts: Shifts) -> Tensor:
    """Compute the weighted mean log-probability of each answer's tokens, `(targets,)`."""
    logprobs = _predictions(live, batch, shifts)[:, :-1]
    token_logprobs = logprobs.gather(-1, batch.tokens[:, 1:, None].to(logprobs.device))[..., 0]
    weights = batch.weights[:, :-1].to(token_logprobs)
    return (token_logprobs * weights).sum(1) / weights.sum(1)


def _predictions(live: LiveModel, batch: Batch, shifts: Shifts) -> Tensor:
    with _shift_products(live, shifts, batch.generated):
        logits: Tensor = live.model(batch.tokens.to(live.model.device)).logits
    return logits.float().log_softmax(-1)


@contextmanager
def _shift_products(live: LiveModel, shifts: Shifts, generated: Tensor) -> Iterator[None]:
    """Add to the products of whole layers where `generated` is 1."""
    mask = generated[:, :, None].to(live.model.device)

    def adding(shift: Tensor) -> Callable[[nn.Module, tuple[Tensor]], tuple[Tensor]]:
        return lambda _, inputs: (inputs[0] + (mask * shift.to(mask)).to(inputs[0].dtype),)

    with _hook_products(live, {layer: adding(shift) for layer, shift in shifts.items()}):
        yield


@contextmanager
def _hook_products(
    live: LiveModel, hooks: Mapping[int, Callable[[nn.Module, tuple[Tensor]], object]]
) -> Iterator[None]:
    """Hook the products of layers inside the block."""
    with ExitStack() as stack:
        for layer, hook in hooks.items():
            stack.callback(live.sites.module(layer, Site.act).register_forward_pre_hook(hook).remove)
        yield


def _no_shifts(live: LiveModel) -> dict[int, Tensor]:
    return {layer: torch.zeros(live.sites.neurons, requires_grad=True) for layer in range(live.sites.layers)}


def _shift_gradient(value: Tensor, shifts: Shifts) -> Tensor:
    return torch.stack(torch.autograd.grad(value, list(shifts.values())))  # (layers, neurons)


def _spread(live: LiveModel, neurons: Tensor, values: Tensor) -> dict[int, Tensor]:
    """Spread the values of chosen neurons over all neurons of their layers, by layer."""
    every = torch.zeros(live.sites.layers * live.sites.neurons).index_put((neurons,), values)
    layers = every.view(live.sites.layers, live.sites.neurons)
    return {layer: layers[layer] for layer in sorted({layer for layer, _ in _layers_and_indices(live, neurons)})}


def _layers_and_indices(live: LiveModel, neurons: Tensor) -> list[tuple[int, int]]:
    return [divmod(place, live.sites.neurons) for place in neurons.tolist()]


@torch.no_grad()
def _units(live: LiveModel, texts: Sequence[Target]) -> Tensor:
    """Measure the largest absolute product of each neuron where answers are generated, `(layers, neurons)`."""
    units = torch.zeros(live.sites.layers, live.sites.neurons)
    for text in texts:
        batch = pad_targets([text])
        counted = batch.generated[0].bool()

        def keep(layer: int, counted: Tensor = counted) -> Callable[[nn.Module, tuple[Tensor]], None]:
            def hook(_: nn.Module, inputs: tuple[Tensor]) -> None:
                units[layer] = torch.maximum(units[layer], inputs[0][0, counted].abs().amax(0).float().cpu())

            return hook

        with _hook_products(live, {layer: keep(layer) for layer in range(live.sites.layers)}):
            live.model(batch.tokens.to(live.model.device), logits_to_keep=1)
    return units
