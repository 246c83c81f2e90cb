"""A processor that adds int8 products up wrongly is found out before anything is screened on it."""

import os
import subprocess
import sys

import pytest

LOOK = """
import torch
from worker.lens.decoder import Decoder, int8_is_exact
from worker.lens.exact import Head

right = torch._int_mm(torch.full((32, 576), 127, dtype=torch.int8), torch.full((576, 32), 127, dtype=torch.int8))
assert int8_is_exact(576) == bool((right == 127 * 127 * 576).all()), int(right[0, 0])
head = Head(torch.randn(4096, 576), torch.arange(4096))
print(int8_is_exact(576), Decoder(head, "auto", torch.randn(256, 576)).precision)
"""


@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE", "DEFAULT"])
def test_screening_is_off_where_int8_products_saturate(instructions: str) -> None:
    """oneDNN is told to use the instructions of older processors; the right sum is arithmetic."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": instructions}
    done = subprocess.run([sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    exact, precision = done.stdout.split()
    assert exact == "True" or precision == "fp32"
