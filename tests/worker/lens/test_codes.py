"""A processor that adds int8 products up wrongly is found out, and screened on with codes that it adds up rightly."""

import os
import subprocess
import sys

import pytest
import torch

from worker.lens.codes import largest_code
from worker.lens.exact import Head
from worker.lens.screen import Screen

LOOK = """
import torch
from worker.lens.codes import CODES, adds_up, largest_code
from worker.lens.decoder import Decoder
from worker.lens.exact import Head, decode

WIDTH = 576
for code in CODES:
    right = torch._int_mm(*(torch.full(shape, code, dtype=torch.int8) for shape in ((32, WIDTH), (WIDTH, 32))))
    assert adds_up(WIDTH, code) == bool((right == code * code * WIDTH).all()), int(right[0, 0])
torch.manual_seed(0)
head, rows = Head(torch.randn(4096, WIDTH), torch.arange(4096)), torch.randn(64, WIDTH)
for bound in ("certified", "verified"):
    found, outcome = Decoder(head, bound, rows).decode(rows, 20, 10)
    for lens, expected in decode(rows, head, 20, 10).items():
        assert torch.equal(found[lens].top.ids, expected.top.ids), bound
        assert torch.equal(found[lens].bottom.ids, expected.bottom.ids), bound
    assert outcome.differed == 0
print(largest_code(WIDTH))
"""


@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE", "DEFAULT"])
def test_labels_are_exact_with_the_instructions_of_older_processors(instructions: str) -> None:
    """oneDNN is told to use them; the right sum is arithmetic, the right labels those of the fp32 product."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": instructions}
    done = subprocess.run([sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("127", "63")


def test_half_codes_are_used_where_whole_ones_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.lens.codes.adds_up", lambda _, code: code < 100)
    largest_code.cache_clear()
    try:
        screen = Screen(Head(torch.randn(600, 24), torch.arange(600)))
        assert max(int(codes.abs().max()) for codes in screen._rounded.codes) == 63
        assert int(screen._rounded.round_rows(torch.randn(9, 24)).codes.abs().max()) == 63
    finally:
        largest_code.cache_clear()
