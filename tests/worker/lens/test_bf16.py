"""bf16 in, fp32 out: labels are those of the fp32 product of the same numbers, and all stays where the rows are."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from neuronym.contract import Lens, View
from tests.worker.comparison import same
from worker.checkpoints.checkpoint import open_checkpoint
from worker.checkpoints.vocabulary import read_vocabulary
from worker.errors import EngineError
from worker.lens.decoder import Decoder, Precision
from worker.lens.exact import BUCKET, TILE, Head, decode
from worker.lens.gemm import RowProducts, bf16_pays, fits_bf16
from worker.lens.noise import Thresholds, mixtures, reach
from worker.lens.odd_tokens import odd_share, odd_tokens
from worker.machine.cores import one_core
from worker.mapping.label_rows import label_rows, neighbour_rows

WIDTH, VOCAB = 64, 2 * TILE + BUCKET + 7


def draw(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rows and a head, in fp32."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(VOCAB, WIDTH, generator=generator) * (0.2 + torch.rand(VOCAB, 1, generator=generator))
    weight[100:103] = weight[200:203]  # ties
    return torch.randn(40, WIDTH, generator=generator), weight + 0.3


def head(weight: Tensor) -> Head:
    return Head(weight, torch.arange(VOCAB))


def rounded(tensor: Tensor) -> Tensor:
    return tensor.bfloat16().float()


def test_labels_are_those_of_the_fp32_product_of_the_rounded_numbers() -> None:
    rows, weight = draw()
    decoder = Decoder(head(weight), "bf16", rows)
    decoded, outcome = decoder.decode(rows, 20, 10)
    expected = decode(rounded(rows), head(rounded(weight)), 21, 11)
    plain = decode(rows, head(weight), 20, 10)
    for lens in Lens:
        assert same(decoded[lens], expected[lens])
        torch.testing.assert_close(decoded[lens].std, expected[lens].std)
        torch.testing.assert_close(decoded[lens].z, expected[lens].z)
        assert not torch.equal(decoded[lens].top.scores, plain[lens].top.scores)  # rounding did happen
        assert decoded[lens].top.scores.dtype is torch.float32
        assert not fits_bf16(decoded[lens].top.scores).any()  # and the scores were not rounded
    assert decoder.precision == "bf16"
    assert outcome.rounded == len(rows) and outcome.checked == 4 and outcome.differed == 0


def test_bf16_weights_lose_nothing() -> None:
    rows, weight = draw()
    rows = rounded(rows)
    decoded, outcome = Decoder(head(weight.bfloat16()), "bf16", rows).decode(rows, 20, 10)
    assert outcome.rounded == 0
    exact = decode(rows, head(rounded(weight)), 21, 11)
    for lens in Lens:
        assert same(decoded[lens], exact[lens])
    rows[7, 0] += 1e-5  # one row that bf16 cannot hold
    assert Decoder(head(weight.bfloat16()), "bf16", rows).decode(rows, 20, 10)[1].rounded == 1


@pytest.mark.parametrize("precision", ["fp32", "certified", "verified"])
def test_a_head_kept_in_bf16_gives_what_the_same_head_in_fp32_gives(precision: Precision) -> None:
    rows, weight = draw()
    decoder = Decoder(head(weight.bfloat16()), precision, rows)
    ours, theirs = decoder.decode(rows, 20, 10)[0], decode(rows, head(rounded(weight)), 21, 11)
    assert decoder.head.weight.dtype is torch.bfloat16
    for lens in Lens:
        assert same(ours[lens], theirs[lens])
        torch.testing.assert_close(ours[lens].std, theirs[lens].std)


def test_a_head_whose_tokens_are_not_its_first_rows() -> None:
    rows, weight = draw()
    ids = torch.arange(5, VOCAB)
    decoded, _ = Decoder(Head(weight, ids), "bf16", rows).decode(rows, 20, 10)
    expected = decode(rounded(rows), Head(rounded(weight), ids), 21, 11)
    for lens in Lens:
        assert same(decoded[lens], expected[lens])
        assert int(decoded[lens].top.ids.min()) >= 5


def test_a_product_of_bf16_is_summed_in_fp32() -> None:
    """256 + 1 + 1 ... is lost in bf16, which has 8 bits."""
    ones = torch.ones(1, 513, dtype=torch.bfloat16)
    tile = torch.ones(2, 513, dtype=torch.bfloat16)
    tile[0, 0] = 256
    assert RowProducts(ones)(tile).tolist() == [[768.0, 513.0]]


def test_the_cpu_is_not_asked_for_bf16() -> None:
    rows, weight = draw()
    assert not bf16_pays(torch.device("cpu"))
    assert Decoder(head(weight.bfloat16()), "auto", rows).precision != "bf16"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_tensor_strays_from_the_device_of_the_rows(precision: Precision, tiny_llama: Path) -> None:
    """Whatever is made without saying where lands on `meta` here, which has no values and does not mix."""
    checkpoint = open_checkpoint(str(tiny_llama))
    vocabulary, rows, weight = read_vocabulary(checkpoint.tokenizer), checkpoint.rows(View.up, 0), checkpoint.head()
    expected, _ = Decoder(Head(weight, torch.tensor(vocabulary.ids)), precision, rows).decode(rows, 21, 11)
    ids = torch.tensor(vocabulary.ids)
    with one_core(), torch.device("meta"):
        whole = Head(weight, ids)
        decoder = Decoder(whole, precision, rows)
        decoded, outcome = decoder.decode(rows, 20, 10)
        control, _ = decoder.decode(mixtures(rows, seed=1), 2, 1)
        odd = odd_tokens(decoder.head, vocabulary)
        for lens in Lens:
            strength = Thresholds.of(reach(control[lens])).strength(reach(decoded[lens]).furthest)
            share = odd_share(decoded[lens].top.ids, odd)
            table = label_rows(0, View.up, lens, torch.linalg.vector_norm(rows, dim=1), decoded[lens], strength, share)
            assert len(table) == len(rows)
        assert len(neighbour_rows(0, View.up, rows)) == len(rows)
    assert outcome.checked == (4 if precision == "bf16" else 0)
    for lens in Lens:
        assert same(decoded[lens], expected[lens], rounding=1e-5)


def test_screening_is_refused_off_the_cpu() -> None:
    rows, weight = draw()
    whole = head(weight)
    whole.weight = weight.to("meta")
    with pytest.raises(EngineError, match="on the CPU only"):
        Decoder(whole, "certified", rows)
