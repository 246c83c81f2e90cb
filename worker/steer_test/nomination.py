"""Which neurons to try for a concept: near its tokens by their weights, then ranked by what holding them does.

The rank is the measured rise of the concept's log-probability where it could come next, per unit of KL divergence
where it could not. Values are multiples of what the neuron itself does on text.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from neuronym.contract import Clamp, Mode, Site
from worker.steering.clamp import prepare_rows
from worker.steering.engine import Sampler, decode
from worker.steering.models import Live

NEAR = 40  # neurons a weight view that are measured
ROWS = 64
TIMES = (1.0, 2.0, -1.0, -2.0)  # of the neuron's own unit
FARTHEST = 2.0  # times the move that was measured
NOTHING = 0.02  # nats of KL below which a smaller one is no better


@dataclass(frozen=True)
class Nominee:
    """A neuron at a site, its unit, and what adding `times` units does: nats at leads, nats of KL elsewhere."""

    layer: int
    index: int
    site: Site
    unit: float
    times: float
    rise: float
    kl: float

    @property
    def merit(self) -> float:
        """Nats the concept changes by for a nat of damage, whichever way."""
        return abs(self.rise) / (self.kl + NOTHING)

    def clamp(self, strength: float, mode: Mode = Mode.add) -> Clamp:
        """The neuron moved by, or held at, `strength` times what was measured."""
        return Clamp(
            layer=self.layer,
            index=self.index,
            site=self.site,
            mode=mode,
            value=round(self.unit * self.times * strength, 3),
        )


def evenly(nominees: Sequence[Nominee], strength: float) -> tuple[Clamp, ...]:
    """Clamps of all nominees together, each moved by the same share of the move that was measured."""
    return tuple(one.clamp(strength / len(nominees) ** 0.5) for one in nominees)


def share(nominees: Sequence[Nominee], budget: float, mode: Mode = Mode.add) -> tuple[Clamp, ...]:
    """Clamps of all nominees together that should cost about `budget` nats elsewhere.

    To second order a neuron's damage grows with the square of its move and its gain with the move, so the most gain
    for the damage is had when each moves in proportion to its gain over its damage.
    """
    total = sum(one.kl * one.merit**2 for one in nominees)
    strength = (budget / total) ** 0.5 if total else 1.0
    return tuple(one.clamp(min(strength * one.merit, FARTHEST), mode) for one in nominees)


Place = tuple[int, int, Site]


def nominate(
    live: Live,
    concept: Sequence[int],
    text: Sequence[Sequence[int]],
    leads: Sequence[list[int]],
    neutral: Sequence[list[int]],
    absent: bool = False,
) -> list[Nominee]:
    """Neurons that raise the concept tokens, or lower them, best first, each once; units are measured on `text`."""
    neurons = near(live, concept)
    places = [(*neuron, site) for neuron in neurons for site in (Site.up, Site.act)]
    units = measure_units(live, places, text)
    trials = [(place, times) for place in places for times in TIMES if units[place] > 0]
    clamps = [
        Clamp(layer=layer, index=index, site=site, mode=Mode.add, value=units[layer, index, site] * times)
        for (layer, index, site), times in trials
    ]
    rises = torch.stack([_rises(live, prompt, clamps, concept) for prompt in leads]).mean(0)
    kls = torch.stack([_kls(live, prompt, clamps) for prompt in neutral]).mean(0)
    found = [
        Nominee(*place, units[place], times, rise, kl)
        for (place, times), rise, kl in zip(trials, rises.tolist(), kls.tolist(), strict=True)
    ]
    best: dict[tuple[int, int], Nominee] = {}
    wanted = [one for one in found if (one.rise < 0 if absent else one.rise > 0)]
    for one in sorted(wanted, key=lambda nominee: nominee.merit, reverse=True):
        best.setdefault((one.layer, one.index), one)
    return list(best.values())


def near(live: Live, concept: Sequence[int]) -> list[tuple[int, int]]:
    """Neurons one of whose weight vectors points along a concept token's row of the head, whatever the sign."""
    head = _head(live)[list(concept)].float()
    head = nn.functional.normalize(head, dim=-1)  # (concept, width)
    found: dict[tuple[int, int], None] = {}
    for site in (Site.act, Site.up, *([Site.gate] if live.sites.family.gated else [])):
        cosines = torch.stack(
            [
                (nn.functional.normalize(_vectors(live, layer, site), dim=-1) @ head.T).abs().amax(-1)
                for layer in range(live.sites.layers)
            ]
        )  # (layers, neurons)
        for place in cosines.flatten().topk(min(NEAR, cosines.numel())).indices.tolist():
            found[divmod(place, live.sites.neurons)] = None
    return list(found)


def _head(live: Live) -> torch.Tensor:
    """The rows that score tokens, `(vocab, width)`."""
    head: nn.Module = live.model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return head.get_parameter("weight").detach()


def _vectors(live: Live, layer: int, site: Site) -> torch.Tensor:
    """A layer's weight vectors at a site, `(neurons, width)`: what reads, or for `act` what writes."""
    module = live.sites.module(layer, site)
    weight = module.get_parameter("weight").detach().float()
    return weight.T if (site is Site.act) != live.sites.family.transposed else weight


@torch.inference_mode()
def measure_units(live: Live, places: Sequence[Place], text: Sequence[Sequence[int]]) -> dict[Place, float]:
    """The largest value of each neuron on the texts, by size, their first token left out."""
    units = dict.fromkeys(places, 0.0)
    modules = {(layer, site): live.sites.module(layer, site) for layer, _, site in places}

    def keep(layer: int, site: Site, values: torch.Tensor) -> None:
        for place in units:
            if (place[0], place[2]) == (layer, site):
                units[place] = max(units[place], float(values[0, 1:, place[1]].abs().max()))

    def hook(layer: int, site: Site, module: nn.Module) -> RemovableHandle:
        if site is Site.act:
            return module.register_forward_pre_hook(lambda _, given: keep(layer, site, given[0]))
        return module.register_forward_hook(lambda _, __, output: keep(layer, site, output))

    handles = [hook(layer, site, module) for (layer, site), module in modules.items()]
    try:
        for ids in text:
            live.model(torch.tensor([list(ids)], device=live.model.device), logits_to_keep=1)
    finally:
        for handle in handles:
            handle.remove()
    return units


def _rises(live: Live, prompt: list[int], clamps: Sequence[Clamp], concept: Sequence[int]) -> torch.Tensor:
    """The change of the log-probability of any concept token, `(clamps,)`."""
    rows = [_predictions(live, prompt, clamps[at : at + ROWS]) for at in range(0, len(clamps), ROWS)]
    return torch.cat([_of(row[1:], concept) - _of(row[:1], concept) for row in rows])


def _kls(live: Live, prompt: list[int], clamps: Sequence[Clamp]) -> torch.Tensor:
    """KL of the unclamped prediction from each clamped one, in nats, `(clamps,)`."""
    rows = [_predictions(live, prompt, clamps[at : at + ROWS]) for at in range(0, len(clamps), ROWS)]
    return torch.cat([(row[:1].exp() * (row[:1] - row[1:])).sum(-1) for row in rows])


def _of(logprobs: torch.Tensor, concept: Sequence[int]) -> torch.Tensor:
    return logprobs[:, list(concept)].logsumexp(-1)


def _predictions(live: Live, prompt: list[int], clamps: Sequence[Clamp]) -> torch.Tensor:
    """The next token without clamps, then with each, `(1 + clamps, vocab)`."""
    edits = prepare_rows([[clamp] for clamp in clamps], live.sites)
    columns = decode(
        live.model, prompt, edits, rows=1 + len(clamps), positions="generated", sampler=Sampler(), max_new_tokens=1
    )
    with closing(columns):
        return next(column for column in columns if column is not None).logprobs
