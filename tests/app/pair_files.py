"""A label file of real tiny checkpoints with planted changes, mapped as pairs, and its labels read past the app.

`before` is the base of two pairs: one with `after`, where CHANGED and a near tie are planted, one with `later`, where
two rows changed places.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file
from torch import Tensor

from neuronym.contract import Lens, Side, Strength, View
from neuronym.label_tables import code
from neuronym.settings import Settings
from tests.checkpoints import make_checkpoint
from tests.reading import rows
from worker.map_run import MapRun

NOTE = "This is a stand-in for the base model, made for tests."
CHANGED = {(View.up, 2, 5), (View.up, 2, 9), (View.gate, 1, 3), (View.down, 3, 7)}
SWAPPED = {(View.up, 0, 1), (View.up, 0, 2)}
NEAR_TIE = (View.up, 0, 3)  # under the logit lens

HEAD, PROJ = "lm_head.weight", "model.layers.{}.mlp.{}_proj.weight"
Weights = dict[str, Tensor]


def write_pairs(folder: Path) -> Path:
    """Map both pairs; gives the data folder."""
    base = make_checkpoint(folder / "base", "llama-untied")
    _edit(base, _tie(0.9999))
    data = folder / "data"
    for name, pair, change in (("after", "planted", _retune), ("later", "second", _swap)):
        tuned = make_checkpoint(folder / name, "llama-untied")
        _edit(tuned, _tie(0.9999))
        _edit(tuned, change)
        note = NOTE if pair == "planted" else ""
        MapRun(Settings(data=data)).map_pair(str(base), str(tuned), ["before", name], pair, note)
    MapRun(Settings(data=data)).map([str(make_checkpoint(folder / "other", "gpt2"))], ["other"])
    MapRun(Settings(data=data)).map([str(make_checkpoint(folder / "lone", "llama-untied", seed=4))], ["lone"])
    return data


def _edit(folder: Path, change: Callable[[Weights], None]) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


def _tie(length: float) -> Callable[[Weights], None]:
    """Token 40 points where the near tie's row points; token 41 almost does, `length` times as far along it."""

    def change(weights: Weights) -> None:
        head, row = weights[HEAD], weights[PROJ.format(NEAR_TIE[1], NEAR_TIE[0])][NEAR_TIE[2]]
        direction = row / row.norm() * head.norm(dim=1).mean() * 2
        aside = head[41] - (head[41] @ row) / (row @ row) * row
        head[40], head[41] = direction, direction * length + aside / aside.norm() * direction.norm() / 20

    return change


def _retune(weights: Weights) -> None:
    """Two rows swapped, one reversed, one column overwritten, and the near tie decided the other way."""
    up, gate, down = (weights[PROJ.format(*place)] for place in ((2, "up"), (1, "gate"), (3, "down")))
    up[[5, 9]] = up[[9, 5]]
    gate[3] = -gate[3]
    down[:, 7] = down[:, 8]
    _tie(1.0001)(weights)


def _swap(weights: Weights) -> None:
    up = weights[PROJ.format(0, "up")]
    up[[1, 2]] = up[[2, 1]]


class Label(NamedTuple):
    """A label as the worker wrote it."""

    top_ids: list[int]
    margin: float


class PairFile:
    """The mapped pairs, read by plain SQL."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._labels: dict[tuple[str, Lens], dict[tuple[View, int, int], Label]] = {}

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a statement finds in the library."""
        return rows(self.data, statement)

    def labels(self, model: str, lens: Lens) -> dict[tuple[View, int, int], Label]:
        """All labels of a model under a lens, by view, layer and index."""
        if (model, lens) not in self._labels:
            found = self.rows(
                "SELECT view, layer, neuron, top_ids, margin FROM label "
                f"WHERE model = (SELECT id FROM model WHERE name = '{model}') AND lens = {code(lens)}"
            )
            self._labels[model, lens] = {
                (list(View)[view], layer, index): Label(*label) for view, layer, index, *label in found
            }
        return self._labels[model, lens]

    def strengths(self, model: str, lens: Lens) -> dict[tuple[View, int, int], Strength]:
        """How strong the top end of each label is, where that was measured: what a search row of it says."""
        found = self.rows(
            "SELECT view, layer, neuron, strength FROM label_by_token "
            f"WHERE model = (SELECT id FROM model WHERE name = '{model}') AND lens = {code(lens)} "
            f"AND side = {code(Side.top)} AND rank = 0 AND strength IS NOT NULL"
        )
        return {(list(View)[view], *place): list(Strength)[strength] for view, *place, strength in found}

    def moved(self, instruct: str, lens: Lens) -> set[tuple[View, int, int]]:
        """Where the top token of `before` is another one in `instruct`."""
        before, after = self.labels("before", lens), self.labels(instruct, lens)
        return {place for place in before if before[place].top_ids[0] != after[place].top_ids[0]}
