"""Checkpoints that cannot be read rightly are refused: quantised weights, missing heads, stale shards, code to run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, LlamaForSequenceClassification

from neuronym.contract import View
from tests.checkpoints import make_checkpoint, make_tokenizer
from worker.checkpoints.checkpoint import Checkpoint, open_checkpoint
from worker.checkpoints.quantised import MEND
from worker.errors import CheckpointError

HEAD, UP = "lm_head.weight", "model.layers.1.mlp.up_proj.weight"
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def untied(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "untied", "llama-untied")


def change(folder: Path, tensors: Callable[[Tensors], None] = lambda _: None, **config: object) -> None:
    """Change the weights and the configuration of a folder."""
    weights = load_file(folder / "model.safetensors")
    tensors(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stored | config))


def refused(folder: Path, use: Callable[[Checkpoint], object] = lambda _: None) -> str:
    with pytest.raises(CheckpointError) as caught:
        use(open_checkpoint(str(folder)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def load(checkpoint: Checkpoint) -> object:
    return checkpoint.load(torch.device("cpu"), torch.float32)


def test_a_head_that_is_missing_is_not_taken_for_a_tied_one(untied: Path) -> None:
    change(untied, lambda weights: weights.__delitem__(HEAD))
    assert "no tensor 'lm_head.weight'" in refused(untied, lambda checkpoint: checkpoint.head())
    assert "lm_head.weight" in refused(untied, load)


def test_a_reward_model_is_neither_decoded_nor_clamped(untied: Path, tmp_path: Path) -> None:
    config = AutoModelForCausalLM.from_pretrained(untied).config
    LlamaForSequenceClassification(config).save_pretrained(tmp_path / "reward")  # type: ignore[no-untyped-call]
    make_tokenizer().save_pretrained(tmp_path / "reward")
    assert "lm_head" in refused(tmp_path / "reward", lambda checkpoint: checkpoint.head())
    assert "lm_head" in refused(tmp_path / "reward", load)


def test_a_multimodal_model_is_refused_by_name(untied: Path) -> None:
    text = AutoModelForCausalLM.from_pretrained(untied).config.to_dict()
    change(untied, model_type="llava", text_config=text, vision_config={"model_type": "clip_vision_model"})
    assert "is a multimodal model (llava)" in refused(untied)


@pytest.mark.parametrize("tied", [True, False])
def test_an_embedding_model_is_read_where_its_embedding_is_its_head(tmp_path: Path, tied: bool) -> None:
    """Saved without a head, under the names of the body alone."""
    whole = make_checkpoint(tmp_path / "whole", "llama" if tied else "llama-untied")
    body = AutoModel.from_pretrained(whole)
    body.save_pretrained(tmp_path / "body")
    make_tokenizer().save_pretrained(tmp_path / "body")
    if not tied:
        assert "lm_head" in refused(tmp_path / "body", lambda checkpoint: checkpoint.head())
        assert "lm_head" in refused(tmp_path / "body", load)
        return
    read = open_checkpoint(str(tmp_path / "body"))
    assert torch.equal(read.head(), body.get_input_embeddings().weight)
    assert torch.equal(read.rows(View.up, 3), body.get_parameter("layers.3.mlp.up_proj.weight"))
    model, _ = read.load(torch.device("cpu"), torch.float32)
    assert torch.equal(model.get_parameter("lm_head.weight"), body.get_input_embeddings().weight)


@pytest.mark.parametrize("layers", [3, 5, 0, 10**9])
def test_a_part_of_a_model_is_not_taken_for_the_whole(untied: Path, layers: int) -> None:
    change(untied, num_hidden_layers=layers)
    assert f"has {layers} layers by its configuration" in refused(untied)


def test_a_live_model_lacks_nothing(untied: Path) -> None:
    change(untied, lambda weights: weights.__delitem__("model.layers.2.self_attn.q_proj.weight"))
    assert "model.layers.2.self_attn.q_proj.weight" in refused(untied, load)


def test_the_index_says_what_the_model_is(untied: Path, tmp_path: Path) -> None:
    whole = open_checkpoint(str(untied)).rows(View.up, 1)
    sharded = tmp_path / "sharded"
    AutoModelForCausalLM.from_pretrained(untied).save_pretrained(sharded, max_shard_size="40KB")
    stale = load_file(untied / "model.safetensors")
    for name in ("model-99999-of-99999.safetensors", "consolidated.safetensors", "zzz.safetensors"):
        save_file({UP: stale[UP] + 1}, sharded / name)
    checkpoint = open_checkpoint(str(sharded))
    assert torch.equal(checkpoint.rows(View.up, 1), whole)
    assert not {"zzz.safetensors", "consolidated.safetensors"} & {file.name for file in checkpoint.reader.files}


def test_one_file_is_the_model_where_there_is_no_index(untied: Path) -> None:
    whole = open_checkpoint(str(untied)).rows(View.up, 1)
    save_file({UP: whole + 1}, untied / "zzz.safetensors")
    assert torch.equal(open_checkpoint(str(untied)).rows(View.up, 1), whole)
    (untied / "model.safetensors").unlink()
    assert "zzz.safetensors alone does not" in refused(untied)


@pytest.mark.parametrize(
    "index", ["{", "[]", '{"weight_map": 3}', '{"weight_map": {}}', '{"weight_map": {"a": ["b"]}}', "\udcff"]
)
def test_an_index_that_cannot_be_read(untied: Path, index: str) -> None:
    (untied / "model.safetensors.index.json").write_bytes(index.encode(errors="surrogateescape"))
    assert "index.json" in refused(untied)


@pytest.mark.parametrize("shard", ["../model.safetensors", "/etc/passwd", "gone.safetensors"])
def test_an_index_stays_in_its_folder(untied: Path, shard: str) -> None:
    (untied / "model.safetensors").rename(untied.parent / "model.safetensors")
    (untied / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {UP: shard}}))
    assert shard in refused(untied)


def test_two_sets_of_weights_are_not_taken_for_one_model(untied: Path) -> None:
    """transformers takes model.safetensors before an index."""
    weights = load_file(untied / "model.safetensors")
    save_file(weights, untied / "part.safetensors", metadata={"format": "pt"})
    listed = dict.fromkeys(weights, "part.safetensors")
    (untied / "model.safetensors.index.json").write_text(json.dumps({"weight_map": listed}))
    assert "which may be two models" in refused(untied)


def test_a_live_model_of_other_weights_is_not_clamped(untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = open_checkpoint(str(untied))
    other = AutoModelForCausalLM.from_pretrained(untied)
    with torch.no_grad():
        other.get_parameter("model.layers.3.mlp.down_proj.weight")[0, 0] += 1
    monkeypatch.setattr(checkpoint.stored, "model", lambda *_: other)
    with pytest.raises(CheckpointError, match="read in two ways that differ"):
        load(checkpoint)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's call
def test_an_adapter_beside_a_whole_model_is_not_ignored(untied: Path) -> None:
    """transformers would load it into the live model, and the labels would be of the model without it."""
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(untied), LoraConfig(r=2, target_modules=["up_proj"]))
    tuned.save_pretrained(str(untied))
    assert "holds an adapter beside a whole model" in refused(untied)
    (untied / "config.json").unlink()
    assert "is an adapter. Give the model that it was made for" in refused(untied)


def test_an_adapter_among_the_weights_is_not_ignored(untied: Path) -> None:
    name = UP.replace("weight", "lora_A.default.weight")
    change(untied, lambda weights: weights.update({name: torch.ones(2, 32)}))
    assert "an adapter that is not merged" in refused(untied)


@pytest.mark.parametrize("shape", [(10, 32), (0, 32), (), (320, 16)])
def test_a_head_of_another_size(untied: Path, shape: tuple[int, ...]) -> None:
    change(untied, lambda weights: weights.update({HEAD: torch.ones(shape)}))
    assert f"lm_head has shape {shape}, but the configuration says (320, 32)" in refused(
        untied, lambda checkpoint: checkpoint.head()
    )


def test_sizes_that_differ_from_the_weights(untied: Path) -> None:
    change(untied, lambda weights: weights.update({UP: torch.ones(48, 0)}))
    assert "has shape (48, 0)" in refused(untied, lambda checkpoint: checkpoint.rows(View.up, 1))
    change(untied, vocab_size=310)
    assert "of different sizes" in refused(untied, load)


def test_what_git_leaves_for_a_large_file(untied: Path) -> None:
    (untied / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert refused(untied).endswith("Fetch that: git lfs pull.")
    (untied / "model.gguf").write_bytes((untied / "model.safetensors").read_bytes())
    assert refused(untied / "model.gguf").endswith("Fetch that: git lfs pull.")


def test_names_of_another_layout(untied: Path) -> None:
    weights = load_file(untied / "model.safetensors")
    save_file({f"module.{name}": weight for name, weight in weights.items()}, untied / "model.safetensors")
    assert "has no tensor 'model.layers.0.mlp.down_proj.weight'" in refused(untied)


@pytest.mark.parametrize("spec, words", [("", "No model is named"), ("x" * 5000, "cannot be looked for")])
def test_what_is_no_name(spec: str, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        open_checkpoint(spec)


@pytest.mark.parametrize(
    "beside",
    [
        "weight_scale_inv", "weight_scale", "weight_packed", "qweight", "scales", "weight.absmax", "SCB",
        "weight.quant_state.bitsandbytes__nf4", "gate_up_proj_blocks",
    ],
)  # fmt: skip
def test_scales_beside_weights_are_not_ignored(untied: Path, beside: str) -> None:
    name = UP.replace("weight", beside)
    change(untied, lambda weights: weights.update({name: torch.ones(1)}))
    assert f"{name!r}: its weights are quantised" in refused(untied)


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.int8, torch.uint8])
def test_a_stored_type_that_needs_a_scale(untied: Path, kind: torch.dtype) -> None:
    change(untied, lambda weights: weights.update({UP: weights[UP].to(kind)}))
    assert refused(untied, lambda checkpoint: checkpoint.rows(View.up, 1)).endswith(f"by itself. {MEND}")


@pytest.mark.parametrize("method", ["gptq", "awq", "modelopt", "torchao", "hqq", "mxfp4", None, ["fp8"]])
def test_a_quantisation_that_is_not_read_is_refused_by_name(untied: Path, method: object) -> None:
    change(untied, quantization_config={"quant_method": method})
    assert f"quantised in a way that is not read ({method})" in refused(untied)


def test_code_in_a_repository_is_never_run(untied: Path) -> None:
    (untied / "evil.py").write_text("open('ran', 'w')\nclass Evil: pass\n")
    change(untied, auto_map={"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}, model_type="evil")
    assert "cannot be read" in refused(untied)
    assert not Path("ran").exists()


@pytest.mark.parametrize("family", ["gemma2", "gemma3"])
def test_what_a_neuron_writes_passes_the_norm_behind_the_mlp(tmp_path: Path, family: str) -> None:
    """The change that one neuron makes to the model's residual stream has the direction of its decoded row."""
    folder = make_checkpoint(tmp_path / family, family)
    model = AutoModelForCausalLM.from_pretrained(folder)
    norm = "model.layers.1.post_feedforward_layernorm.weight"
    with torch.no_grad():
        model.get_parameter(norm).copy_(torch.randn(model.config.hidden_size))
    model.save_pretrained(folder)
    layer: Any = model.get_submodule("model.layers.1")
    neuron = torch.zeros(1, 1, model.config.intermediate_size)
    neuron[..., 5] = 3.0
    written = layer.post_feedforward_layernorm(layer.mlp.down_proj(neuron))[0, 0].detach()
    decoded = open_checkpoint(str(folder)).rows(View.down, 1)[5]
    assert torch.cosine_similarity(written, decoded, dim=0) > 1 - 1e-5
    plain = open_checkpoint(str(folder)).stored_rows(View.down, 1)[5]
    assert torch.cosine_similarity(written, plain, dim=0) < 0.95
