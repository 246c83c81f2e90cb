"""The noise rule on the demo model: the stated rates on fresh controls, and strong labels where labels are causal."""

from dataclasses import dataclass

import pytest
import torch

from neuronym.contract import Lens, Strength, View
from neuronym.label_tables import code
from worker.checkpoints.checkpoint import Checkpoint
from worker.checkpoints.vocabulary import read_vocabulary
from worker.lens.decoder import Decoder
from worker.lens.exact import Head
from worker.lens.noise import RATES, Thresholds, mixtures, reach
from worker.lens.odd_tokens import odd_share, odd_tokens

pytestmark = pytest.mark.real

LAST_THIRD = range(20, 30)
FRESH = 10_000
EVERY = 6  # neurons are looked at
STRONG = code(Strength.strong)


@dataclass(frozen=True)
class Bench:
    """The demo model's head, and which of its tokens are odd."""

    decoder: Decoder
    odd: torch.Tensor
    texts: list[str]


@pytest.fixture(scope="module")
def bench(demo_checkpoint: Checkpoint) -> Bench:
    vocabulary = read_vocabulary(demo_checkpoint.tokenizer)
    head = Head(demo_checkpoint.head(), torch.tensor(vocabulary.ids))
    decoder = Decoder(head, "fp32", head.weight[:1])
    return Bench(decoder, odd_tokens(head, vocabulary), [entry.text for entry in vocabulary.entries])


def test_strong_labels_and_ten_thousand_fresh_controls(demo_checkpoint: Checkpoint, bench: Bench) -> None:
    """Down view, cosine lens, last third of the layers."""
    labels, fresh = [], []
    for layer in LAST_THIRD:
        rows = demo_checkpoint.rows(View.down, layer)
        parts = (mixtures(rows, seed=layer), mixtures(rows, seed=500 + layer, count=FRESH // 10), rows[::EVERY])
        reached = [reach(bench.decoder.decode(part, 2, 1)[0][Lens.cosine]) for part in parts]
        thresholds = Thresholds.of(reached[0])
        fresh.append(thresholds.strength(reached[1].furthest))
        labels.append(thresholds.strength(reached[2].furthest))
    strength, control = torch.cat(labels), torch.cat(fresh)
    assert len(control) == FRESH
    false_positives = (control == STRONG).float().mean().item()
    assert false_positives <= 0.05
    assert false_positives == pytest.approx(RATES[Strength.strong], abs=0.01)
    strong = (strength == STRONG).float().mean().item()
    assert strong >= 0.25
    assert RATES[Strength.strong] / strong <= 0.08  # the share of false strong labels that is to be expected


def test_the_dog_neuron_is_strong(demo_checkpoint: Checkpoint, bench: Bench) -> None:
    rows = demo_checkpoint.rows(View.down, 29)
    control = reach(bench.decoder.decode(mixtures(rows, seed=29), 2, 1)[0][Lens.cosine])
    label = bench.decoder.decode(rows[808:809], 20, 1)[0][Lens.cosine]
    assert Thresholds.of(control).strength(reach(label).top).tolist() == [STRONG]
    assert odd_share(label.top.ids, bench.odd).item() == 0


def test_odd_tokens_are_those_nobody_reads(bench: Bench) -> None:
    odd = {bench.texts[token] for token in bench.odd.nonzero()[:, 0].tolist()}
    assert {" strugg", "<jupyter_text>", "ManagementPlaneProtection", " pvproperty", " affili"} <= odd
    assert not {" dog", " California", " the", " John", "\n"} & odd
    assert len(odd) < 0.03 * len(bench.texts)
