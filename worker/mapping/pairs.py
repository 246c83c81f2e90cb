"""Pairs of base and instruct model: known pairs, whether two checkpoints compare, and how far neurons moved.

Knows checkpoints; the label file's builder compares the labels of a pair.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import torch

from neuronym.label_tables import code
from worker.checkpoints import standin
from worker.checkpoints.checkpoint import Checkpoint
from worker.checkpoints.sources import DEMO, STANDIN
from worker.errors import CheckpointError
from worker.mapping.recipe import MapRecipe
from worker.mapping.shards import ShardFolder, column, constant


@dataclass(frozen=True)
class KnownPair:
    """The checkpoints of a pair that is known by name."""

    base: str
    instruct: str
    note: str | None = None


DEMO_PAIR = "smollm2-135m-demo"
KNOWN_PAIRS: Mapping[str, KnownPair] = {
    DEMO_PAIR: KnownPair(STANDIN, DEMO, standin.NOTE),
    "smollm2-135m": KnownPair("HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct"),
    "smollm2-360m": KnownPair("HuggingFaceTB/SmolLM2-360M", "HuggingFaceTB/SmolLM2-360M-Instruct"),
    "smollm2-1.7b": KnownPair("HuggingFaceTB/SmolLM2-1.7B", "HuggingFaceTB/SmolLM2-1.7B-Instruct"),
    "llama-3.1-8b": KnownPair("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct"),
    "llama-3.2-1b": KnownPair("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-1B-Instruct"),
    "llama-3.2-3b": KnownPair("meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-3B-Instruct"),
    "qwen2.5-0.5b": KnownPair("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B-Instruct"),
    "qwen2.5-7b": KnownPair("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B-Instruct"),
    "mistral-7b-v0.3": KnownPair("mistralai/Mistral-7B-v0.3", "mistralai/Mistral-7B-Instruct-v0.3"),
    "gemma-2-2b": KnownPair("google/gemma-2-2b", "google/gemma-2-2b-it"),
}


@dataclass(frozen=True)
class MappedPair:
    """Two mapped models in their roles, with the shards of how far each neuron's row moved."""

    name: str
    base: str
    instruct: str
    note: str | None
    shards: ShardFolder
    part: range | None = None  # of the layers; None is all of them


def check_comparable(base: Checkpoint, instruct: Checkpoint, tokenizers: tuple[str, str]) -> None:
    """Refuse two checkpoints that do not differ, or that differ in shape or tokenizer: their neurons do not correspond.

    Raises:
        CheckpointError: the checkpoints differ, and the message names every difference; or they have the same weights.
    """
    facts = ("architecture", "layers", "neurons", "width", "views")
    differences = [
        f"{fact} ({getattr(base, fact)} and {getattr(instruct, fact)})"
        for fact in facts
        if getattr(base, fact) != getattr(instruct, fact)
    ]
    if tokenizers[0] != tokenizers[1]:
        differences.append(f"tokenizer ({tokenizers[0]} and {tokenizers[1]})")
    if differences:
        raise CheckpointError(
            f"{base.name} and {instruct.name} cannot be compared: they differ in {', '.join(differences)}. "
            "Map them in two runs, or give two checkpoints of one model."
        )
    if base.source_hash == instruct.source_hash:
        raise CheckpointError(
            f"{base.source.spec} and {instruct.source.spec} are one checkpoint: their weights are the same to the last "
            "byte. Give the one before and the one after training."
        )


def measure_drift(base: Checkpoint, instruct: Checkpoint, recipe: MapRecipe, shards: ShardFolder) -> None:
    """Write the cosine between each neuron's two rows, one shard a layer; skip layers that have theirs."""
    for layer in recipe.layers_of(base):
        if shards.has("drift", layer):
            continue
        tables = []
        for view in recipe.views:
            before, after = base.rows(view, layer), instruct.rows(view, layer)  # (neurons, width)
            cosine = row_cosine(before, after)
            neurons = len(cosine)
            tables.append(
                pa.table(
                    {
                        "view": constant(code(view), neurons),
                        "layer": constant(layer, neurons),
                        "neuron": pa.array(range(neurons), pa.int32()),
                        "cosine": column(cosine, neurons, pa.float32()),
                    }
                )
            )
        shards.write("drift", layer, pa.concat_tables(tables))


def row_cosine(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """The cosine of each row with its counterpart, `(rows,)`; 1 for two zero rows.

    In fp64: fp32 would blur the difference between a row that stayed and one that moved by 1e-4.
    """
    first, second = before.double(), after.double()
    lengths = torch.linalg.vector_norm(first, dim=1) * torch.linalg.vector_norm(second, dim=1)
    both_zero = (first.abs().amax(1) + second.abs().amax(1)) == 0
    cosine = torch.linalg.vecdot(first, second) / lengths.clamp(min=torch.finfo(torch.float64).tiny)
    return torch.where(both_zero, 1.0, cosine).clamp(-1, 1).float()
