"""Clamps as forward hooks: they hold, move or scale single neurons of the last rows of a batch, each row by its own.

Every clamp is an affine map `v -> scale * v + shift` of one neuron's value, so several on one neuron compose into one.
Knows modules and tensors; knows nothing of tokens, prompts or requests beyond the list of clamps.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from neuronym.contract import Clamp, Mode, Site
from neuronym.sites import VIEW_OF_SITE
from worker.checkpoints.families import Family
from worker.errors import RequestError

Affine = tuple[float, float]  # scale, shift
IDENTITY: Affine = (1.0, 0.0)


@dataclass(frozen=True)
class Sites:
    """The places of a live model where a clamp can take hold."""

    model: nn.Module = field(repr=False)
    family: Family
    layers: int
    neurons: int

    def module(self, layer: int, site: Site) -> nn.Module:
        """Get the projection whose output is `up` or `gate`, or whose input is `act`."""
        return self.model.get_submodule(
            f"{self.family.layers_path}.{layer}.{self.family.projection(VIEW_OF_SITE[site])}"
        )

    def check(self, clamps: Sequence[Clamp]) -> None:
        """Refuse clamps that this model has no place for.

        Raises:
            RequestError: a layer or index out of range, or `gate` on an ungated MLP.
        """
        for place, clamp in enumerate(clamps):
            if clamp.layer >= self.layers:
                raise RequestError(f"clamps.{place}.layer: {clamp.layer} is not in 0 to {self.layers - 1}.")
            if clamp.index >= self.neurons:
                raise RequestError(f"clamps.{place}.index: {clamp.index} is not in 0 to {self.neurons - 1}.")
            if clamp.site is Site.gate and not self.family.gated:
                raise RequestError(f"clamps.{place}.site: this model's MLP has no gate; use `up` or `act`.")


@dataclass(frozen=True)
class Edit:
    """All clamps at one site of one layer composed; `scale` has a row for each of the last rows that are edited."""

    module: nn.Module
    site: Site
    indices: torch.Tensor  # (clamped,)
    scale: torch.Tensor  # (edited rows, clamped)
    shift: torch.Tensor  # (edited rows, clamped)

    def attach(self, rows: int, since: int) -> RemovableHandle:
        """Hook the module; see `apply` for `rows` and `since`."""
        if self.site is Site.act:
            return self.module.register_forward_pre_hook(lambda _, inputs: (self.apply(inputs[0], rows, since),))
        return self.module.register_forward_hook(lambda _, _inputs, output: self.apply(output, rows, since))

    def apply(self, values: torch.Tensor, rows: int, since: int) -> torch.Tensor:
        """Edit the last rows of `rows` from position `since` on. Takes `(1 or rows, positions, neurons)`.

        One row becomes `rows` here: below the first clamp the rows are alike, so they are computed once. The residual
        additions above broadcast what is still one row.
        """
        edited = values.repeat(rows // len(values), 1, 1)  # (rows, positions, neurons), a copy
        last = edited[-len(self.scale) :, since:]  # (edited rows, positions, neurons)
        before = last[..., self.indices].float()
        last[..., self.indices] = (before * self.scale[:, None] + self.shift[:, None]).to(values.dtype)
        return edited


@dataclass(frozen=True)
class Edits:
    """The clamps of one batch, ready to be hooked. `first` is the lowest clamped layer, infinite when none is."""

    edits: tuple[Edit, ...] = ()
    first: float = float("inf")

    @contextmanager
    def hooked(self, rows: int, since: int = 0) -> Iterator[None]:
        """Clamp what the model computes inside the block; remove the hooks on leaving it, also after an error."""
        with ExitStack() as stack:
            for edit in self.edits:
                stack.callback(edit.attach(rows, since).remove)
            yield


def prepare(clamps: Sequence[Clamp], sites: Sites) -> Edits:
    """Prepare the clamps of the last row; clamps on one neuron are composed in their order."""
    return prepare_rows([clamps], sites)


def prepare_rows(rows: Sequence[Sequence[Clamp]], sites: Sites) -> Edits:
    """Prepare the clamps of the last rows, one list a row, grouped by the module they hook."""
    grouped: dict[tuple[int, Site], dict[int, dict[int, Affine]]] = {}  # (layer, site), row, index
    for row, clamps in enumerate(rows):
        sites.check(clamps)
        for clamp in clamps:
            maps = grouped.setdefault((clamp.layer, clamp.site), {}).setdefault(row, {})
            maps[clamp.index] = _compose(maps.get(clamp.index, IDENTITY), clamp)
    edits = tuple(_edit(sites.module(*place), place[1], maps, len(rows)) for place, maps in grouped.items())
    return Edits(edits, min((layer for layer, _ in grouped), default=float("inf")))


def _compose(before: Affine, clamp: Clamp) -> Affine:
    """Compose the affine map `before` with the clamp that follows it."""
    scale, shift = before
    if clamp.mode is Mode.set:
        return 0.0, clamp.value
    if clamp.mode is Mode.add:
        return scale, shift + clamp.value
    return scale * clamp.value, shift * clamp.value


def _edit(module: nn.Module, site: Site, by_row: Mapping[int, Mapping[int, Affine]], rows: int) -> Edit:
    device = next(module.parameters()).device
    indices = list(dict.fromkeys(index for maps in by_row.values() for index in maps))
    maps = [[by_row.get(row, {}).get(index, IDENTITY) for index in indices] for row in range(rows)]
    affine = torch.tensor(maps, dtype=torch.float32, device=device)  # (rows, clamped, 2)
    return Edit(module, site, torch.tensor(indices, device=device), affine[..., 0], affine[..., 1])
