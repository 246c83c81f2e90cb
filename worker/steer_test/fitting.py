"""Neurons chosen and moved together by gradient: which of all neurons, and how far each, to make target answers likely.

Half are those that raise the concept's own token most for the damage they do, half those that raise the answer around
it. Damage is curvature: how fast predictions change as the neuron moves (the diagonal of the Fisher information). Moves
are fitted together, in units of what each neuron does on text, while other answers are kept as they were. Knows targets
and tensors; what an answer is about and whether it can be read is judged elsewhere.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neuronym.contract import Clamp, Mode, Site
from worker.steer_test.answers import Setting
from worker.steer_test.targets import BEGINNING, REST, Batch, Target, side_by_side
from worker.steering.models import Live

FARTHEST = 2.5  # units
STEPS = 50
RATE = 0.2  # units a step, falling to nothing
TOGETHER = 8  # targets a step
KEPT = 0.3  # weight of a nat of KL on other answers
NEAREST = 0.002  # weight of a squared unit
DRAWS = 2  # of the model's predictions, for the curvature
LEAST_DAMAGE = 0.3  # of the mean curvature: below it less is no better

Say = Callable[[str], None]
Shifts = Mapping[int, Tensor]  # layer -> (neurons,), added to the products where a batch is generated


@dataclass(frozen=True)
class Fitted:
    """Neurons, what one unit of each is, and by how many units each is moved: `(chosen,)` each; flat indices."""

    neurons: Tensor
    units: Tensor
    moves: Tensor

    def setting(self, live: Live, strength: float = 1.0) -> Setting:
        """The moves, all made larger or smaller by the same factor, as clamps that add to the product."""
        values = (self.units * self.moves * strength).tolist()
        clamps = [
            Clamp(layer=layer, index=index, site=Site.act, mode=Mode.add, value=round(value, 3))
            for (layer, index), value in zip(_places(live, self.neurons), values, strict=True)
        ]
        return Setting(f"fit {len(clamps)} at {strength:g}", tuple(clamps))


def fit(live: Live, aims: Sequence[Target], others: Sequence[Target], count: int, say: Say = lambda _: None) -> Fitted:
    """The best `count` neurons for the aims, and their moves; `others` are answers that should stay as they are."""
    frozen = [parameter for parameter in live.model.parameters() if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        neurons = _choose(live, aims, others, count)
        units = _units(live, [*aims, *others]).flatten()[neurons]
        return Fitted(neurons, units, _fit(live, aims, others, neurons, units, say))
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _choose(live: Live, aims: Sequence[Target], others: Sequence[Target], count: int) -> Tensor:
    """Half for the concept, half for the answer around it, as flat indices over layers and neurons."""
    damage = _curvature(live, [*others, *aims[: len(others)]])
    damage = damage + LEAST_DAMAGE * damage.mean()
    concept, answer = (
        (_gradient(live, aims, weights) ** 2 / damage).flatten()
        for weights in ((0.0, 1.0, 0.0), (BEGINNING, 0.0, REST))
    )
    first = concept.topk(count // 2).indices
    answer[first] = -torch.inf
    return torch.cat([first, answer.topk(count - len(first)).indices])


def _gradient(live: Live, aims: Sequence[Target], weights: tuple[float, float, float]) -> Tensor:
    """Of the weighted log-probability, by a shift of each neuron's product, `(layers, neurons)`."""
    shifts = _no_shifts(live)
    total = torch.zeros(live.sites.layers, live.sites.neurons)
    for at in range(0, len(aims), TOGETHER):
        batch = side_by_side(aims[at : at + TOGETHER], weights)
        total += _by_shift(likelihood(live, batch, shifts).sum(), shifts)
    return total / len(aims)


def _curvature(live: Live, texts: Sequence[Target]) -> Tensor:
    """The mean square of the gradients of tokens drawn from the model's own predictions, `(layers, neurons)`."""
    shifts, generator = _no_shifts(live), torch.Generator().manual_seed(0)
    total = torch.zeros(live.sites.layers, live.sites.neurons)
    for text in [one for one in texts for _ in range(DRAWS)]:
        batch = side_by_side([text])
        logprobs = _predictions(live, batch, shifts)[0]  # (positions, vocab)
        drawn = torch.multinomial(logprobs.detach().exp(), 1, generator=generator)
        total += _by_shift((logprobs.gather(1, drawn)[:, 0] * batch.generated[0]).sum(), shifts) ** 2
    return total / (DRAWS * len(texts))


def _fit(
    live: Live, aims: Sequence[Target], others: Sequence[Target], neurons: Tensor, units: Tensor, say: Say
) -> Tensor:
    moves = torch.zeros(len(neurons), requires_grad=True)
    optimizer = torch.optim.Adam([moves], lr=RATE)
    generator = torch.Generator().manual_seed(0)
    kept = side_by_side(others)
    with torch.no_grad():
        plain = _predictions(live, kept, {})
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        chosen = torch.randperm(len(aims), generator=generator)[:TOGETHER].tolist()
        shifts = _spread(live, neurons, units * moves.clamp(-FARTHEST, FARTHEST))
        aimed = -likelihood(live, side_by_side([aims[place] for place in chosen]), shifts).mean()
        change = (plain.exp() * (plain - _predictions(live, kept, shifts))).sum(-1)  # (others, positions)
        damage = (change * kept.generated).sum() / kept.generated.sum()
        optimizer.zero_grad()
        (aimed + KEPT * damage + NEAREST * moves.square().sum()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 10 == 9:
            say(f"fitting, step {step + 1} of {STEPS}: {aimed.item():.2f} nats, {damage.item():.2f} elsewhere")
    return moves.detach().clamp(-FARTHEST, FARTHEST)


def likelihood(live: Live, batch: Batch, shifts: Shifts) -> Tensor:
    """The weighted mean log-probability of each answer's tokens, `(targets,)`."""
    logprobs = _predictions(live, batch, shifts)[:, :-1]
    given = logprobs.gather(-1, batch.tokens[:, 1:, None].to(logprobs.device))[..., 0]
    weights = batch.weights[:, :-1].to(given)
    return (given * weights).sum(1) / weights.sum(1)


def _predictions(live: Live, batch: Batch, shifts: Shifts) -> Tensor:
    with _shifted(live, shifts, batch.generated):
        logits: Tensor = live.model(batch.tokens.to(live.model.device)).logits
    return logits.float().log_softmax(-1)


@contextmanager
def _shifted(live: Live, shifts: Shifts, generated: Tensor) -> Iterator[None]:
    """Add to the products of whole layers where `generated` is 1."""
    where = generated[:, :, None].to(live.model.device)

    def adding(shift: Tensor) -> Callable[[nn.Module, tuple[Tensor]], tuple[Tensor]]:
        return lambda _, given: (given[0] + (where * shift.to(where)).to(given[0].dtype),)

    with _hooked(live, {layer: adding(shift) for layer, shift in shifts.items()}):
        yield


@contextmanager
def _hooked(live: Live, hooks: Mapping[int, Callable[[nn.Module, tuple[Tensor]], object]]) -> Iterator[None]:
    """Hooks on the products of layers, gone when the block is left."""
    with ExitStack() as stack:
        for layer, hook in hooks.items():
            stack.callback(live.sites.module(layer, Site.act).register_forward_pre_hook(hook).remove)
        yield


def _no_shifts(live: Live) -> dict[int, Tensor]:
    return {layer: torch.zeros(live.sites.neurons, requires_grad=True) for layer in range(live.sites.layers)}


def _by_shift(value: Tensor, shifts: Shifts) -> Tensor:
    return torch.stack(torch.autograd.grad(value, list(shifts.values())))  # (layers, neurons)


def _spread(live: Live, neurons: Tensor, values: Tensor) -> dict[int, Tensor]:
    """Values of chosen neurons among all of their layers."""
    every = torch.zeros(live.sites.layers * live.sites.neurons).index_put((neurons,), values)
    layers = every.view(live.sites.layers, live.sites.neurons)
    return {layer: layers[layer] for layer in sorted({layer for layer, _ in _places(live, neurons)})}


def _places(live: Live, neurons: Tensor) -> list[tuple[int, int]]:
    return [divmod(place, live.sites.neurons) for place in neurons.tolist()]


@torch.no_grad()
def _units(live: Live, texts: Sequence[Target]) -> Tensor:
    """The largest product of each neuron by size, where answers are written, `(layers, neurons)`."""
    units = torch.zeros(live.sites.layers, live.sites.neurons)
    for text in texts:
        batch = side_by_side([text])
        counted = batch.generated[0].bool()

        def keep(layer: int, counted: Tensor = counted) -> Callable[[nn.Module, tuple[Tensor]], None]:
            def hook(_: nn.Module, given: tuple[Tensor]) -> None:
                units[layer] = torch.maximum(units[layer], given[0][0, counted].abs().amax(0).float().cpu())

            return hook

        with _hooked(live, {layer: keep(layer) for layer in range(live.sites.layers)}):
            live.model(batch.tokens.to(live.model.device), logits_to_keep=1)
    return units
