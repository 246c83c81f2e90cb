"""Base and instruct as a pair: known pairs by name, whether two checkpoints can be compared, and how far rows moved.

Knows checkpoints; what the labels of a pair have in common is derived where the label file is built.
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
from worker.mapping.recipe import Recipe
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
    """Two mapped models in their roles, with the shards that say how far each row moved."""

    name: str
    base: str
    instruct: str
    note: str | None
    shards: ShardFolder
    part: range | None = None  # of the layers; None is all of them


def check_comparable(base: Checkpoint, instruct: Checkpoint, tokenizers: tuple[str, str]) -> None:
    """Refuse two checkpoints whose neurons do not stand at the same places, or whose tokens differ.

    Raises:
        CheckpointError: names all that differs.
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


def measure_drift(base: Checkpoint, instruct: Checkpoint, recipe: Recipe, shards: ShardFolder) -> None:
    """Cosine between each neuron's two rows, as one shard a layer; layers that are done are skipped."""
    for layer in recipe.mapped(base):
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
    """Cosine of each row with its counterpart, `(rows,)`; two zero rows are alike.

    In fp64: fp32 would blur the difference between a row that stayed and one that moved by 1e-4.
    """
    one, other = before.double(), after.double()
    lengths = torch.linalg.vector_norm(one, dim=1) * torch.linalg.vector_norm(other, dim=1)
    both_zero = (one.abs().amax(1) + other.abs().amax(1)) == 0
    cosine = torch.linalg.vecdot(one, other) / lengths.clamp(min=torch.finfo(torch.float64).tiny)
    return torch.where(both_zero, 1.0, cosine).clamp(-1, 1).float()
