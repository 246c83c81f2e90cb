"""Labels drawn at random, with the traits that cost a library something: how tokens are spread over them.

Labels are drawn, not decoded. Tokens are drawn as the demo's labels have them: a few are in tens of thousands of
labels, half of them in few. Words share forms and first letters as often as the demo's do. Three quarters of the
labels are the same in both models of a pair.
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from neuronym.contract import Kind, Lens, View
from neuronym.label_tables import code, fold

TOP, BOTTOM = 20, 10
STAYED = 0.75  # of the labels, from base to instruct
# How often a token is in the demo's labels, by its place among all tokens: from a mapped demo, 49,135 tokens.
PLACES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.95, 1.0)
COUNTS = (11_086, 3_930, 1_525, 608, 375, 183, 72, 29, 9, 1)
LENGTHS = (2.6, 5.7, 7.2, 6.9, 6.5, 5.6, 4.6, 3.5, 2.5, 1.5, 1.1)  # of its tokens, in thousands, from 2 letters on
FORMS = (0.6, 0.2, 0.1, 0.1)  # shares of words with one to four forms: a token shares its word with one other
_SYLLABLE = [(letters, [0.8**place for place in range(len(letters))]) for letters in ("tnshrdlcmfwpgbvkjqxz", "eaoiuy")]
LABELS = [(view, lens) for view in View for lens in Lens]

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Drawn:
    """Labels of one layer, one row a view, lens and neuron: ids and falling scores of both ends."""

    top_ids: Ids  # (labels, TOP)
    top_scores: NDArray[np.float32]
    bottom_ids: Ids  # (labels, BOTTOM)
    bottom_scores: NDArray[np.float32]


def draw_layer(random: np.random.Generator, shares: NDArray[np.float64], labels: int) -> Drawn:
    """Draw the labels of a layer; `shares` are the cumulative shares of the tokens."""

    def ids(count: int) -> Ids:
        return np.searchsorted(shares, random.random((labels, count))).astype(np.int32)

    def scores(count: int) -> NDArray[np.float32]:
        steps = random.exponential(0.2, (labels, count)).astype(np.float32)
        return random.gamma(12, 0.4, (labels, 1)).astype(np.float32) - np.cumsum(steps, axis=1)

    return Drawn(ids(TOP), scores(TOP), ids(BOTTOM), -scores(BOTTOM))


def change_some(random: np.random.Generator, base: Drawn, other: Drawn) -> Drawn:
    """The labels of `base`, with those of `other` in place of the share that does not stay."""
    stays = random.random((len(base.top_ids), 1)) < STAYED
    pairs = zip(vars(base).values(), vars(other).values(), strict=True)
    return Drawn(*(np.where(stays, before, after) for before, after in pairs))


def write_layer(folder: Path, layer: int, neurons: int, drawn: Drawn) -> None:
    """Write the shard of a layer's labels."""
    count = len(drawn.top_ids)
    views, lenses = (np.repeat([code(pair[place]) for pair in LABELS], neurons) for place in (0, 1))
    z = drawn.top_scores[:, 0]
    ones = np.ones(count, np.float32)
    columns = {
        "view": pa.array(views.astype(np.int16)),
        "lens": pa.array(lenses.astype(np.int16)),
        "layer": pa.array(np.full(count, layer, np.int16)),
        "neuron": pa.array(np.tile(np.arange(neurons, dtype=np.int32), len(LABELS))),
        **{name: _lists(values) for name, values in vars(drawn).items()},
        **{name: pa.array(ones) for name in ("norm", "std", "logsumexp", "kurtosis")},
        **{name: pa.array(0 * ones) for name in ("mean", "skew", "odd_share")},
        "z": pa.array(z),
        "margin": pa.array(z - drawn.top_scores[:, 1]),
        "layer_z": pa.array(z - np.median(z)),
        "strength": pa.array(np.digitize(z, [5.5, 7.0]).astype(np.int16)),
    }
    pq.write_table(pa.table(columns), folder / f"label-{layer:04d}.parquet", compression="zstd")


def _lists(values: NDArray[np.int32] | NDArray[np.float32]) -> pa.Array:
    """Rows of a matrix as a column of lists."""
    return pa.ListArray.from_arrays(
        pa.array(np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)), pa.array(values.ravel())
    )


@dataclass(frozen=True)
class Shape:
    """The size of a pair to draw, and its name, which those of its models begin with."""

    pair: str
    layers: int
    neurons: int
    vocab: int

    @property
    def models(self) -> tuple[str, str]:
        """The names of the instruct and the base model."""
        return f"{self.pair}-instruct", f"{self.pair}-base"

    @property
    def search_rows(self) -> int:
        """The number of search rows of both models."""
        return 2 * self.layers * self.neurons * len(LABELS) * (TOP + BOTTOM)


def write_shards(folder: Path, shape: Shape) -> None:
    """Draw both models, and how far each neuron moved."""
    layers, neurons, vocab = shape.layers, shape.neurons, shape.vocab
    random = np.random.default_rng(0)
    places = np.linspace(0, 1, vocab)
    shares = np.cumsum(random.permutation(np.exp(np.interp(places, PLACES, np.log(COUNTS)))))
    shares /= shares[-1]
    for name in (*shape.models, shape.pair):
        (folder / name).mkdir(parents=True)
    for layer in range(layers):
        base, other = (draw_layer(random, shares, neurons * len(LABELS)) for _ in range(2))
        write_layer(folder / shape.models[1], layer, neurons, base)
        write_layer(folder / shape.models[0], layer, neurons, change_some(random, base, other))
        moved = {
            "view": np.repeat([code(view) for view in View], neurons).astype(np.int16),
            "layer": np.full(neurons * len(View), layer, np.int16),
            "neuron": np.tile(np.arange(neurons, dtype=np.int32), len(View)),
            "cosine": random.beta(30, 1, neurons * len(View)).astype(np.float32),
        }
        pq.write_table(pa.table(moved), folder / shape.pair / f"drift-{layer:04d}.parquet")
    for name in shape.models:
        pq.write_table(_token_rows(vocab), folder / name / "token-0000.parquet")


def _token_rows(vocab: int) -> pa.Table:
    """Tokens in random order, spelled as a vocabulary is: words of the demo's lengths in one to four forms each."""
    random = Random(1)
    texts: list[str] = []
    words: set[str] = set()
    while len(texts) < vocab:
        word = _draw_word(random)
        if word not in words:
            words.add(word)
            forms = [f" {word}", word, f" {word.capitalize()}", word.capitalize()]
            texts += forms[: random.choices(range(1, 5), FORMS)[0]]
    texts = random.sample(texts[:vocab], vocab)
    kinds = [code(Kind.word if text.startswith(" ") else Kind.continuation) for text in texts]
    return pa.table(
        {
            "id": pa.array(range(vocab), pa.int32()),
            "text": texts,
            "folded": [fold(text) for text in texts],
            "kind": pa.array(kinds, pa.int16()),
        }
    )


def _draw_word(random: Random) -> str:
    """Syllables up to a length, so that words begin alike as often as in a language."""
    length = random.choices(range(2, len(LENGTHS) + 2), LENGTHS)[0]
    letters = (random.choices(letters, weights)[0] for _ in range(length) for letters, weights in _SYLLABLE)
    return "".join(islice(letters, length))
