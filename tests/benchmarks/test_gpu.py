"""The benchmark for a GPU runs, at a tiny size on a CPU, and what it compares with is right."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import gpu, gpu_clamps, gpu_layer, gpu_lens, gpu_names
from benchmarks.gpu_trial import Trial, count_wrong
from benchmarks.shapes import TINY, make_vectors
from neuronym.settings import ROOT
from worker.lens.decoder import Decoder
from worker.lens.exact import Head

CPU = torch.device("cpu")
TRIAL = Trial(CPU, TINY, layers=1, seconds=60)
SMALL = ["--device", "cpu", "--size", "tiny", "--layers", "1"]
WITHOUT = """
import sys
sys.modules |= dict.fromkeys(["pydantic", "transformers", "tokenizers", "safetensors", "pyarrow", "duckdb"])
from benchmarks.gpu import main
main()
"""


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", *SMALL, *options])
    gpu.main()


def test_every_part_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch)
    result = json.loads(capsys.readouterr().out)
    figures = result["figures"]
    assert set(figures) == {"lens", "names", "clamps"} and result["machine"]["cores"] > 0
    ratios = {"lens": "ours / bare product", "names": "keeping / bare pass", "clamps": "clamped / plain"}
    assert all(figures[part][ratio] > 0 for part, ratio in ratios.items())
    assert figures["lens"]["of these wrong"] == figures["names"]["of these wrong"] == 0
    assert figures["clamps"]["texts of plain and transformers agree for, tokens"] == gpu_clamps.TOKENS["cpu"]


def test_torch_and_numpy_are_enough_and_what_is_missing_is_told() -> None:
    command = [sys.executable, "-c", WITHOUT, *SMALL]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    figures = json.loads(done.stdout)["figures"]
    assert "pydantic" in figures["lens"]["skipped"] and "transformers" in figures["clamps"]["skipped"]
    assert figures["names"]["keeping / bare pass"] > 0


def test_a_part_that_fails_leaves_the_others_their_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_names, "run_vocabulary", None)
    with pytest.raises(SystemExit, match="1"):
        run(monkeypatch, "--parts", "names", "lens")
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["names"]["failed"].startswith("TypeError") and figures["lens"]["ours / bare product"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_how_to_try_it_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit, match="2"):
        gpu.main()
    assert "--device cpu --size tiny" in capsys.readouterr().err


def test_no_turn_begins_when_the_time_is_up() -> None:
    times = Trial(CPU, TINY, layers=9, seconds=0).time(9, lambda _: {"nothing": lambda: None})
    assert len(times) == 1


def test_misplaced_tokens_are_counted_but_not_those_that_score_alike() -> None:
    scores = torch.tensor([[5.0, 4.0, 4.0004, 1.0], [1.0, 2.0, 3.0, 4.0]])
    assert count_wrong(scores, torch.tensor([[0, 1], [3, 2]]), 1) == 0
    assert count_wrong(scores, torch.tensor([[0, 3], [2, 3]]), 1) == 3
    assert count_wrong(scores, torch.tensor([[3, 1], [0, 2]]), -1) == 1


def test_a_decoder_of_another_head_is_found_out() -> None:
    weight = make_vectors(TINY.vocab, TINY.width, 1, dtype=torch.bfloat16)
    decoder = Decoder(Head(weight.roll(1, 0), torch.arange(TINY.vocab)), "fp32", weight[:1].float())
    assert gpu_lens.differences(decoder, weight, gpu_lens.make_rows(TRIAL, 0)) > 1000


def test_the_plain_script_has_the_labels_of_the_decoder() -> None:
    weight, rows = make_vectors(TINY.vocab, TINY.width, 1), gpu_lens.make_rows(TRIAL, 0)
    decoder = Decoder(Head(weight, torch.arange(TINY.vocab)), "fp32", rows)
    decoded = decoder.decode(rows, gpu_lens.TOP, gpu_lens.BOTTOM)[0]
    for lens, plain in zip(decoded, gpu_lens.plain_labels(next(gpu_lens.products(rows, weight)), weight), strict=True):
        assert torch.equal(plain[1], decoded[lens].top.ids) and torch.equal(plain[3], decoded[lens].bottom.ids)


@torch.inference_mode()
def test_the_layer_computes_what_transformers_computes() -> None:
    stack = gpu_names.Stack(TRIAL)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=TINY.vocab,
            hidden_size=TINY.width,
            intermediate_size=TINY.neurons,
            num_hidden_layers=2,
            num_attention_heads=TINY.heads,
            num_key_value_heads=TINY.key_heads,
            rms_norm_eps=TINY.norm_epsilon,
            rope_parameters={"rope_type": "default", "rope_theta": TINY.rope_base},
        )
    ).eval()  # type: ignore[no-untyped-call]
    weights = {"model.embed_tokens.weight": stack.stream}
    for number in range(2):
        made = gpu_layer.make_weights(TINY, 1 + number, CPU, torch.float32)
        weights |= {f"model.layers.{number}.{name}.weight": weight for name, weight in made.items()}
    assert model.load_state_dict(weights, strict=False).unexpected_keys == []
    token, seen = 77, list[torch.Tensor]()
    for number in range(2):
        down = model.get_submodule(f"model.layers.{number}.mlp.down_proj")
        assert isinstance(down, nn.Linear)
        down.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, -1]))
    model(torch.tensor([[*range(gpu_names.CARRIER), token]]))
    for number in range(2):
        stack.go_to(number)
        assert torch.allclose(stack.layer.run(stack.stream[[token]])[1][0], seen[number], rtol=1e-4, atol=1e-6)


@torch.inference_mode()
def test_each_neuron_keeps_its_furthest_tokens_and_a_wrong_one_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_names, "AT_ONCE", 100)
    stack = gpu_names.Stack(TRIAL)
    assert stack.differences() == 0
    values = stack.layer.run(stack.stream)[1]  # (vocab, neurons)
    kept = stack.keep()
    assert torch.equal(kept.tokens[1], values.T.argsort(1, descending=True)[:, : gpu_names.KEPT])
    assert torch.equal(kept.tokens[-1], values.T.argsort(1)[:, : gpu_names.KEPT])
    kept.tokens[1] = kept.tokens[1].flip(1)
    monkeypatch.setattr(stack, "keep", lambda: kept)
    assert stack.differences() > 100
