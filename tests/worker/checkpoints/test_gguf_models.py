"""The live model of a GGUF file computes the same as the model that the file was written from, in every family."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from neuronym.contract import View
from tests.checkpoints import LAYERS, VOCAB, configurations
from tests.gguf_files import make_model, model_of, write_gguf
from worker.checkpoints.checkpoint import Checkpoint, open_checkpoint
from worker.checkpoints.gguf_architectures import ARCHITECTURES
from worker.errors import CheckpointError

CPU = torch.device("cpu")
IDS = torch.arange(7, 207)[None] % VOCAB  # long enough for windows and slow rotations to matter
FAMILIES = list(configurations())
# transformers' own reader of GGUF files does not know the first two, and takes Mistral for Llama
COMPARED = [family for family in FAMILIES if family not in ("gemma", "gpt_neox")]


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(IDS).logits
    return logits


def loaded(file: Path) -> PreTrainedModel:
    return open_checkpoint(str(file)).load(CPU, torch.float32)[0]


def assert_same(model: PreTrainedModel, other: PreTrainedModel) -> None:
    torch.testing.assert_close(logits(model), logits(other), atol=1e-4, rtol=1e-4)


def test_every_architecture_is_tested() -> None:
    tested = {configuration.model_type for configuration in configurations().values()}
    assert {architecture.model_type for architecture in ARCHITECTURES.values()} <= tested


@pytest.mark.parametrize("family", FAMILIES)
def test_the_live_model_is_the_one_it_was_written_from(family: str, tmp_path: Path) -> None:
    changes = {"query_pre_attn_scalar": 256} if family in ("gemma2", "gemma3") else {}
    model = make_model(family, **changes)
    live = loaded(write_gguf(tmp_path / "tiny.gguf", model))
    assert_same(live, model)
    assert not live.training
    stops = live.generation_config
    assert stops is not None and (stops.eos_token_id, live.config.eos_token_id) == (2, 2)
    tied = live.get_output_embeddings().weight is live.get_input_embeddings().weight  # type: ignore[no-untyped-call]
    assert tied == model.config.tie_word_embeddings


@pytest.mark.parametrize("family", COMPARED)
def test_transformers_reads_the_same(family: str, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", make_model(family))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file.name, dtype=torch.float32)
    ours = loaded(file)
    assert_same(ours, theirs)
    expected, actual = AutoConfig.from_pretrained(tmp_path, gguf_file=file.name).to_dict(), ours.config.to_dict()
    aside = {
        "_model_name_or_path",
        "_name_or_path",
        "dtype",
        "n_ctx",
        "feed_forward_length",
        "n_inner",
        "pretraining_tp",
    }
    for name in set(expected) - aside:
        assert actual[name] == expected[name], name


@pytest.mark.parametrize("family", FAMILIES)
def test_labels_and_live_model_read_the_same(family: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(write_gguf(tmp_path / "tiny.gguf", make_model(family))))
    model, _ = checkpoint.load(CPU, torch.float32)
    names = {View.up: checkpoint.family.up, View.gate: checkpoint.family.gate, View.down: checkpoint.family.down}
    for view in checkpoint.views:
        weight = model.get_parameter(f"{checkpoint.family.layers_path}.2.{names[view]}.weight")
        rows = weight if weight.shape == (checkpoint.neurons, checkpoint.width) else weight.T
        assert torch.equal(checkpoint.stored_rows(view, 2), rows)
    assert torch.equal(checkpoint.head(), model.get_output_embeddings().weight)  # type: ignore[no-untyped-call]
    assert (checkpoint.layers, checkpoint.reader.dtype) == (LAYERS, "f32")


def rotated(kind: str, **rope: Any) -> PreTrainedModel:
    """A Llama whose rotary wavelengths are multiplied by factors."""
    config: LlamaConfig = configurations()["llama"]  # type: ignore[assignment]
    config.rope_parameters = {"rope_type": kind, "rope_theta": 10000.0, **rope}
    return model_of(config)


def test_the_rotations_of_llama_3(tmp_path: Path) -> None:
    old = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    model = rotated("llama3", factor=8.0, **old)
    plain = model_of(configurations()["llama"])
    assert not torch.allclose(logits(model), logits(plain), atol=1e-2)
    assert_same(loaded(write_gguf(tmp_path / "tiny.gguf", model)), model)


def test_linear_and_yarn_scaling(tmp_path: Path) -> None:
    linear = rotated("linear", factor=4.0)
    settings: dict[str, Any] = {"rope__scaling__type": "linear", "rope__scaling__factor": 4.0}
    assert_same(loaded(write_gguf(tmp_path / "linear.gguf", linear, **settings)), linear)
    yarn = rotated("yarn", factor=4.0, original_max_position_embeddings=64)
    settings |= {"rope__scaling__type": "yarn", "rope__scaling__original_context_length": 64}
    assert_same(loaded(write_gguf(tmp_path / "yarn.gguf", yarn, **settings)), yarn)
    steeper = rotated("yarn", factor=4.0, original_max_position_embeddings=64, beta_fast=8.0, beta_slow=2.0)
    settings |= {"rope__scaling__yarn_beta_fast": 8.0, "rope__scaling__yarn_beta_slow": 2.0}
    assert_same(loaded(write_gguf(tmp_path / "steeper.gguf", steeper, **settings)), steeper)


def test_biases_of_llama(tmp_path: Path) -> None:
    model = make_model("llama", attention_bias=True, mlp_bias=True)
    assert_same(loaded(write_gguf(tmp_path / "tiny.gguf", model)), model)


def test_it_loads_in_another_precision_and_tells_how_far_it_is(tmp_path: Path) -> None:
    shares: list[float] = []
    checkpoint = open_checkpoint(str(write_gguf(tmp_path / "tiny.gguf", make_model())))
    model, _ = checkpoint.load(CPU, torch.bfloat16, shares.append)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert len(shares) > 10
    assert shares == sorted(shares)
    assert shares[-1] == 1


def refused(file: Path, model: PreTrainedModel, **settings: Any) -> str:
    """The sentence that refuses a file."""
    with pytest.raises(CheckpointError) as caught:
        loaded(write_gguf(file, model, **settings))
    assert "\n" not in str(caught.value)
    assert file.name in str(caught.value)
    return str(caught.value)


def test_what_would_be_read_wrongly_is_refused(tmp_path: Path) -> None:
    model, file = make_model(), tmp_path / "tiny.gguf"
    assert "mixture-of-experts" in refused(file, model, expert_count=8)
    assert "'llama.logit_scale', which is not known" in refused(file, model, logit_scale=0.5)
    assert "llama.attention.value_length is 16" in refused(file, model, attention__value_length=16)
    assert "llama.rope.scaling.type is 'longrope'" in refused(
        file, model, rope__scaling__type="longrope", rope__scaling__factor=2.0
    )
    assert "width of 32 is shared by 5 heads" in refused(file, make_model("gpt_neox"), attention__head_count=5)


def test_tensors_that_are_missing_or_of_no_use(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    bare = make_model()
    del bare.get_submodule("model.layers.2.self_attn")._modules["o_proj"]
    assert "no tensor 'blk.2.attn_output.weight'" in refused(file, bare)
    write_gguf(file, make_model("qwen3"))
    file.write_bytes(file.read_bytes().replace(b"qwen3", b"llama"))
    with pytest.raises(CheckpointError, match=r"tiny.gguf has the tensor 'blk.0.attn_._norm.weight', which a llama"):
        loaded(file)
    fewer = make_model()
    del fewer.get_submodule("model.layers")._modules["3"]
    assert "says that it has 4 layers, but holds the tensors of 3" in refused(file, fewer)


def test_an_unknown_architecture(tmp_path: Path) -> None:
    model, file = make_model(), tmp_path / "tiny.gguf"
    write_gguf(file, model)
    file.write_bytes(file.read_bytes().replace(b"llama", b"lhama"))
    with pytest.raises(CheckpointError, match=r"tiny.gguf is of the unknown GGUF architecture 'lhama'. Known: gemma,"):
        open_checkpoint(str(file))


WITHOUT = """
import sys
sys.modules["accelerate"] = None
import torch
from worker.checkpoints.checkpoint import open_checkpoint
model, _ = open_checkpoint(sys.argv[1]).load(torch.device("cpu"), torch.float32)
assert "transformers.modeling_gguf_pytorch_utils" not in sys.modules
print(model.num_parameters())
"""


def test_it_loads_where_accelerate_is_not_installed(tmp_path: Path) -> None:
    model = make_model()
    file = write_gguf(tmp_path / "tiny.gguf", model)
    run = subprocess.run([sys.executable, "-c", WITHOUT, str(file)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) == model.num_parameters()


def test_no_module_of_ours_touches_transformers_reader_of_gguf_files() -> None:
    root = Path(__file__).parents[3]
    for module in [*(root / "worker").rglob("*.py"), *(root / "app").rglob("*.py")]:
        assert "modeling_gguf_pytorch_utils" not in module.read_text(), module
        assert "gguf_file=" not in module.read_text(), module


def test_an_adapter_is_merged(tmp_path: Path) -> None:
    """An adapter on a GGUF file of GPT-2, whose weights GGUF transposes."""
    file, folder = write_gguf(tmp_path / "tiny.gguf", make_model("gpt2")), tmp_path / "lora"
    folder.mkdir()
    name = "base_model.model.transformer.h.0.mlp.c_fc.lora_"
    a, b = torch.randn(4, 32), torch.randn(128, 4)
    save_file({f"{name}A.weight": a, f"{name}B.weight": b}, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "fan_in_fan_out": True}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    plain: Checkpoint = open_checkpoint(str(file))
    tuned = open_checkpoint(f"{file}+{folder}")
    torch.testing.assert_close(tuned.rows(View.up, 0), plain.rows(View.up, 0) + 2 * b @ a)
    weight = tuned.load(CPU, torch.float32)[0].get_parameter("transformer.h.0.mlp.c_fc.weight")
    torch.testing.assert_close(weight.T, tuned.rows(View.up, 0))
