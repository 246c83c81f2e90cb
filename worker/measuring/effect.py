"""The effect of clamping a neuron on the tokens its labels name: every neuron of a layer, at the ends of its range.

One neuron a row, clamped at the last position of a few neutral prompts. The control of a neuron is the label of
another neuron of its layer. Knows replays and predictions; knows nothing of label files or of how ranges are measured.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product

import pyarrow as pa
import torch
from torch import Tensor
from transformers import PreTrainedModel

from neuronym.contract import Direction, Site
from neuronym.label_tables import code
from neuronym.sites import NATURAL_SITE
from worker.machine.cores import blocks, on_all_cores, one_core, rows_at_once
from worker.mapping.shards import column, constant
from worker.measuring.change import Changes, Predictions
from worker.measuring.replay import Replay
from worker.steering.clamp import Sites

PROMPTS = ("One of the most important things is the", "When I looked again, I saw a", "They talked about it, and then")
SITES = tuple(site for site in reversed(Site) if site in NATURAL_SITE.values())  # `act` first: shards have this order
ABSENT = -1  # the token or rank of a view that the model does not have

Ranges = Mapping[Site, Mapping[Direction, Tensor]]  # (neurons,): the value at this end of the range
Pause = Callable[[], None]


@dataclass(frozen=True)
class EffectSubject:
    """A loaded model and what the measurement reads of it. `token_ids` are the head rows that are tokens."""

    model: PreTrainedModel
    sites: Sites
    token_ids: Sequence[int]
    columns: Callable[[int], Tensor]  # layer -> (neurons, width): what each neuron writes, times its value


@dataclass(frozen=True)
class _ClampedEnd:
    """One end of the neurons' ranges at one site: the values, and how far they move the products after each prompt."""

    site: Site
    direction: Direction
    value: Tensor  # (neurons,)
    moves: Tensor  # (prompts, neurons)


class Effects:
    """Measures layers of one model. Prompts are token ids, two at least in each.

    Raises:
        CheckpointError: the model cannot be run in parts.
    """

    @torch.inference_mode()
    def __init__(self, subject: EffectSubject, prompts: Iterable[Sequence[int]], sites: Sequence[Site] = SITES) -> None:
        self._subject, self._sites = subject, sites
        with one_core():  # a few tokens
            self._replays = [Replay(subject.model, subject.sites, prompt) for prompt in prompts]
            ends = torch.cat([replay.plain_end() for replay in self._replays])  # (prompts, width)
            logits = torch.stack([replay.logits for replay in self._replays])
            self._predictions = Predictions(subject.model, ends, logits, subject.token_ids)

    @torch.inference_mode()
    def measure_layer(
        self, layer: int, ranges: Ranges, labels: Tensor, pause: Pause = lambda: None, only: Tensor | None = None
    ) -> pa.Table:
        """Measure a layer's neurons as rows of the table `effect`, without its column `model`.

        Args:
            labels: the tokens to watch for each neuron, `(labels, neurons)`, ABSENT where there is none; for a label
                file LABELS rows, at `label_place`.
            pause: called before each batch, from several threads.
            only: the indices of the neurons to measure; all of them if not given.
        """
        device = self._subject.model.device
        with one_core():  # a single row
            ends = product(self._sites, Direction)
            cases = [self._clamped_end(layer, site, end, ranges[site][end]) for site, end in ends]
        chosen = torch.arange(labels.shape[1]) if only is None else only
        moves = torch.cat([case.moves[:, chosen] for case in cases], 1)  # (prompts, cases * chosen)
        neurons = chosen.to(device).repeat(len(cases))  # (cases * chosen,)
        controls = mismatched_labels(labels, seed=layer)
        watched = torch.cat([labels, controls]).T.clamp(min=0).to(device)  # (neurons, 2 * labels)
        columns = self._subject.columns(layer).to(device, self._subject.model.dtype)  # (neurons, width)

        @torch.inference_mode()  # the mode is set per thread
        def measure(rows: Tensor) -> _RowEffects:
            pause()
            written, tokens = columns[neurons[rows]], watched[neurons[rows]]
            added = moves[:, rows, None].to(written.dtype) * written  # (prompts, rows, width)
            pairs = zip(self._replays, added, strict=True)
            states = [replay.ends(layer, added_to_prompt) for replay, added_to_prompt in pairs]
            return _RowEffects.of(self._predictions.changes(torch.stack(states)), tokens)

        pieces = blocks(torch.arange(len(neurons), device=device), rows_at_once(self._predictions.vocab))
        with ExitStack() as stack:
            for replay in self._replays:
                stack.enter_context(replay.hooked_at(layer))
            parts = on_all_cores(measure, pieces) if device.type == "cpu" else list(map(measure, pieces))
        return _effect_table(layer, cases, chosen, labels, _RowEffects.joined(parts))

    def _clamped_end(self, layer: int, site: Site, direction: Direction, value: Tensor) -> _ClampedEnd:
        value = value.to(self._subject.model.device)
        moves = []
        for replay in self._replays:
            new = value if site is Site.act else replay.products(layer, up=value)
            moves.append(new.float() - replay.products(layer).float())
        return _ClampedEnd(site, direction, value, torch.stack(moves))


def mismatched_labels(labels: Tensor, seed: int) -> Tensor:
    """Give each label, `(labels, neurons)`, the label of another neuron that names another token, if there is one."""
    neurons = labels.shape[1]
    order = torch.randperm(neurons, generator=torch.Generator().manual_seed(seed))
    others = labels[:, order]
    for shift in range(1, neurons):
        same = others == labels
        if not (same & (labels != ABSENT)).any():
            break
        others = torch.where(same, labels[:, order.roll(shift)], others)
    return others


@dataclass(frozen=True)
class _RowEffects:
    """The effects of some rows, on the CPU."""

    deltas: Tensor  # (rows, labels)
    controls: Tensor  # (rows, labels)
    ranks: Tensor  # (rows, labels)
    kl: Tensor  # (rows,)
    moved: Tensor  # (rows,)
    moved_delta: Tensor  # (rows,)

    @classmethod
    def of(cls, changes: Changes, tokens: Tensor) -> "_RowEffects":
        deltas, controls = changes.token_changes(tokens).chunk(2, 1)
        ranks = changes.ranks(tokens.chunk(2, 1)[0])
        return cls(*(tensor.cpu() for tensor in (deltas, controls, ranks, changes.kl, *changes.largest())))

    @classmethod
    def joined(cls, parts: Sequence["_RowEffects"]) -> "_RowEffects":
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


def _effect_table(
    layer: int, cases: Sequence[_ClampedEnd], chosen: Tensor, labels: Tensor, effects: _RowEffects
) -> pa.Table:
    rows = len(effects.kl)
    tokens = labels.T[chosen].repeat(len(cases), 1)  # (rows, labels)
    absent = tokens == ABSENT

    def real(values: Tensor) -> pa.Array:
        return column(values, rows, pa.float32())

    def by_end(values: Iterable[int]) -> pa.Array:
        return pa.concat_arrays([constant(value, len(chosen)) for value in values])

    return pa.table(
        {
            "site": by_end(code(case.site) for case in cases),
            "direction": by_end(code(case.direction) for case in cases),
            "layer": constant(layer, rows),
            "neuron": column(chosen.repeat(len(cases)), rows, pa.int32()),
            "value": real(torch.cat([case.value[chosen] for case in cases])),
            "tokens": column(tokens, rows, pa.int32()),
            "deltas": _list_array(effects.deltas, absent),
            "controls": _list_array(effects.controls, absent),
            "ranks": column(effects.ranks.masked_fill(absent, ABSENT), rows, pa.int32()),
            "kl": real(effects.kl),
            "moved": column(effects.moved, rows, pa.int32()),
            "moved_delta": real(effects.moved_delta),
        }
    )


def _list_array(values: Tensor, absent: Tensor) -> pa.Array:
    """Convert `(rows, k)` to lists of fp32, null where absent."""
    flat = pa.array(values.flatten().numpy(), pa.float32(), mask=absent.flatten().numpy())
    return pa.ListArray.from_arrays(pa.array(range(0, values.numel() + 1, values.shape[1]), pa.int32()), flat)
