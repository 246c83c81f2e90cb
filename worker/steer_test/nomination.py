"""The neurons to try for a concept: those whose weights are near its tokens, ranked by the effect of moving them.

The rank is the measured rise of the concept's log-probability where it could come next, per unit of KL divergence
where it could not. Values are multiples of the neuron's own largest value on text.
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
from worker.steering.models import LiveModel

NEAR = 40  # neurons of each weight view that are measured
ROWS = 64
TIMES = (1.0, 2.0, -1.0, -2.0)  # of the neuron's own unit
FARTHEST = 2.0  # times the move that was measured
NOTHING = 0.02  # nats of KL below which less KL is no better


@dataclass(frozen=True)
class Nominee:
    """A neuron at a site, its unit, and what adding `times` units does: nats at leads, KL at neutral prompts."""

    layer: int
    index: int
    site: Site
    unit: float
    times: float
    rise: float
    kl: float

    @property
    def merit(self) -> float:
        """Nats by which the concept changes, up or down, for a nat of damage."""
        return abs(self.rise) / (self.kl + NOTHING)

    def clamp(self, strength: float, mode: Mode = Mode.add) -> Clamp:
        """Build a clamp that moves the neuron by, or holds it at, `strength` times the measured move."""
        return Clamp(
            layer=self.layer,
            index=self.index,
            site=self.site,
            mode=mode,
            value=round(self.unit * self.times * strength, 3),
        )


def even_clamps(nominees: Sequence[Nominee], strength: float) -> tuple[Clamp, ...]:
    """Clamp all nominees together, each moved by the same share of its measured move."""
    return tuple(nominee.clamp(strength / len(nominees) ** 0.5) for nominee in nominees)


def clamps_within_budget(nominees: Sequence[Nominee], budget: float, mode: Mode = Mode.add) -> tuple[Clamp, ...]:
    """Clamp all nominees together at a cost of about `budget` nats of KL at neutral prompts.

    To second order a neuron's damage grows with the square of its move and its gain with the move, so the gain
    for the damage is largest when each moves in proportion to its gain over its damage.
    """
    total = sum(nominee.kl * nominee.merit**2 for nominee in nominees)
    strength = (budget / total) ** 0.5 if total else 1.0
    return tuple(nominee.clamp(min(strength * nominee.merit, FARTHEST), mode) for nominee in nominees)


NeuronSite = tuple[int, int, Site]  # layer, index, site


def nominate(
    live: LiveModel,
    concept: Sequence[int],
    text: Sequence[Sequence[int]],
    leads: Sequence[list[int]],
    neutral: Sequence[list[int]],
    absent: bool = False,
) -> list[Nominee]:
    """Find neurons that raise the concept tokens, or lower them, best first, each once; measure units on `text`."""
    neurons = find_nearby_neurons(live, concept)
    places = [(*neuron, site) for neuron in neurons for site in (Site.up, Site.act)]
    units = measure_units(live, places, text)
    trials = [(place, times) for place in places for times in TIMES if units[place] > 0]
    clamps = [
        Clamp(layer=layer, index=index, site=site, mode=Mode.add, value=units[layer, index, site] * times)
        for (layer, index, site), times in trials
    ]
    rises = torch.stack([_measure_rises(live, prompt, clamps, concept) for prompt in leads]).mean(0)
    kls = torch.stack([_measure_kls(live, prompt, clamps) for prompt in neutral]).mean(0)
    measured = [
        Nominee(*place, units[place], times, rise, kl)
        for (place, times), rise, kl in zip(trials, rises.tolist(), kls.tolist(), strict=True)
    ]
    best: dict[tuple[int, int], Nominee] = {}
    candidates = [nominee for nominee in measured if (nominee.rise < 0 if absent else nominee.rise > 0)]
    for nominee in sorted(candidates, key=lambda nominee: nominee.merit, reverse=True):
        best.setdefault((nominee.layer, nominee.index), nominee)
    return list(best.values())


def find_nearby_neurons(live: LiveModel, concept: Sequence[int]) -> list[tuple[int, int]]:
    """Find neurons with a weight vector along a concept token's row of the head, of either sign."""
    head = _head(live)[list(concept)].float()
    head = nn.functional.normalize(head, dim=-1)  # (concept, width)
    neurons: dict[tuple[int, int], None] = {}
    for site in (Site.act, Site.up, *([Site.gate] if live.sites.family.gated else [])):
        cosines = torch.stack(
            [
                (nn.functional.normalize(_vectors(live, layer, site), dim=-1) @ head.T).abs().amax(-1)
                for layer in range(live.sites.layers)
            ]
        )  # (layers, neurons)
        for place in cosines.flatten().topk(min(NEAR, cosines.numel())).indices.tolist():
            neurons[divmod(place, live.sites.neurons)] = None
    return list(neurons)


def _head(live: LiveModel) -> torch.Tensor:
    """The rows that score tokens, `(vocab, width)`."""
    head: nn.Module = live.model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return head.get_parameter("weight").detach()


def _vectors(live: LiveModel, layer: int, site: Site) -> torch.Tensor:
    """A layer's weight vectors at a site, `(neurons, width)`: those that read, or for `act` those that write."""
    module = live.sites.module(layer, site)
    weight = module.get_parameter("weight").detach().float()
    return weight.T if (site is Site.act) != live.sites.family.transposed else weight


@torch.inference_mode()
def measure_units(
    live: LiveModel, places: Sequence[NeuronSite], text: Sequence[Sequence[int]]
) -> dict[NeuronSite, float]:
    """Measure the largest absolute value of each neuron on the texts, without their first token."""
    units = dict.fromkeys(places, 0.0)
    modules = {(layer, site): live.sites.module(layer, site) for layer, _, site in places}

    def keep(layer: int, site: Site, values: torch.Tensor) -> None:
        for place in units:
            if (place[0], place[2]) == (layer, site):
                units[place] = max(units[place], float(values[0, 1:, place[1]].abs().max()))

    def hook(layer: int, site: Site, module: nn.Module) -> RemovableHandle:
        if site is Site.act:
            return module.register_forward_pre_hook(lambda _, inputs: keep(layer, site, inputs[0]))
        return module.register_forward_hook(lambda _, __, output: keep(layer, site, output))

    handles = [hook(layer, site, module) for (layer, site), module in modules.items()]
    try:
        for ids in text:
            live.model(torch.tensor([list(ids)], device=live.model.device), logits_to_keep=1)
    finally:
        for handle in handles:
            handle.remove()
    return units


def _measure_rises(live: LiveModel, prompt: list[int], clamps: Sequence[Clamp], concept: Sequence[int]) -> torch.Tensor:
    """Measure the change of the log-probability of the concept tokens together, `(clamps,)`."""
    rows = [_predictions(live, prompt, clamps[start : start + ROWS]) for start in range(0, len(clamps), ROWS)]
    return torch.cat([_concept_logprob(row[1:], concept) - _concept_logprob(row[:1], concept) for row in rows])


def _measure_kls(live: LiveModel, prompt: list[int], clamps: Sequence[Clamp]) -> torch.Tensor:
    """Measure the KL of the unclamped prediction from each clamped one, in nats, `(clamps,)`."""
    rows = [_predictions(live, prompt, clamps[start : start + ROWS]) for start in range(0, len(clamps), ROWS)]
    return torch.cat([(row[:1].exp() * (row[:1] - row[1:])).sum(-1) for row in rows])


def _concept_logprob(logprobs: torch.Tensor, concept: Sequence[int]) -> torch.Tensor:
    return logprobs[:, list(concept)].logsumexp(-1)


def _predictions(live: LiveModel, prompt: list[int], clamps: Sequence[Clamp]) -> torch.Tensor:
    """Predict the next token without clamps, then with each clamp, `(1 + clamps, vocab)`."""
    edits = prepare_rows([[clamp] for clamp in clamps], live.sites)
    columns = decode(
        live.model, prompt, edits, rows=1 + len(clamps), positions="generated", sampler=Sampler(), max_new_tokens=1
    )
    with closing(columns):
        return next(column for column in columns if column is not None).logprobs
