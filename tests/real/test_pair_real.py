"""The demo pair: the stand-in is the instruct model with its adapter, and most neurons keep their name."""

import pytest
import torch

from neuronym.contract import Lens, View
from worker.checkpoints.checkpoint import Checkpoint, open_checkpoint
from worker.checkpoints.sources import DEMO, STANDIN
from worker.checkpoints.vocabulary import read_vocabulary
from worker.lens.decoder import Decoder
from worker.lens.exact import Head
from worker.mapping.pairs import check_comparable, row_cosine

pytestmark = pytest.mark.real
LAYER = 22


@pytest.fixture(scope="module")
def pair() -> tuple[Checkpoint, Checkpoint]:
    return open_checkpoint(STANDIN), open_checkpoint(DEMO)


def top_tokens(checkpoint: Checkpoint, view: View) -> torch.Tensor:
    """The top token of each neuron of the layer, logit lens: the paper's measure; `(neurons,)`."""
    rows = checkpoint.rows(view, LAYER)
    head = Head(checkpoint.head(), torch.arange(checkpoint.config.vocab_size))
    decoded, _ = Decoder(head, "fp32", rows[:1]).decode(rows, 5, 2)
    return decoded[Lens.logit].top.ids[:, 0]


def test_the_stand_in_can_be_compared_with_the_demo_model(pair: tuple[Checkpoint, Checkpoint]) -> None:
    base, instruct = pair
    hashes = [read_vocabulary(checkpoint.tokenizer).hash for checkpoint in pair]
    check_comparable(base, instruct, (hashes[0], hashes[1]))
    assert base.name == "smollm2-135m-standin" and instruct.name == "smollm2-135m-instruct"
    assert base.source.note and "stand-in" in base.source.note
    assert base.source_hash != instruct.source_hash
    assert torch.equal(base.head(), instruct.head())


def test_most_neurons_keep_their_name_and_some_do_not(pair: tuple[Checkpoint, Checkpoint]) -> None:
    for view in (View.up, View.down):
        cosine = row_cosine(*(checkpoint.rows(view, LAYER) for checkpoint in pair))
        assert 0.98 < cosine.median() < 1
        before, after = (top_tokens(checkpoint, view) for checkpoint in pair)
        assert 0.6 < (before == after).float().mean() < 0.96


def test_the_live_stand_in_has_the_mapped_rows(pair: tuple[Checkpoint, Checkpoint]) -> None:
    base, _ = pair
    model, _ = base.load(torch.device("cpu"), torch.float32)
    weight = model.get_parameter(f"model.layers.{LAYER}.mlp.up_proj.weight")
    torch.testing.assert_close(weight, base.rows(View.up, LAYER))
