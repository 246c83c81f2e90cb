"""What clamps cost a live model on a GPU: the project's generation loop with and without them, and transformers' own.

The model has random weights, made on the device by transformers. One neuron is clamped in the first layer, in the
middle and in the last. Contenders take turns. Needs transformers and pydantic.
"""

from collections.abc import Sequence

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from benchmarks.gpu_trial import Contenders, Figures, Trial
from benchmarks.timing import median_ratio, median_seconds
from neuronym.contract import Clamp
from worker.checkpoints.families import FAMILIES
from worker.steering.clamp import Edits, Sites, prepare
from worker.steering.engine import UNCLAMPED, Sampler, decode

PROMPT = 64  # tokens
TOKENS = {"cpu": 4, "cuda": 48}  # generated
TURNS = 5
NEURON, VALUE = 7, 20.0


def make_model(trial: Trial, layers: int) -> PreTrainedModel:
    """Make a random model of some layers on the device."""
    shape = trial.shape
    config = LlamaConfig(
        vocab_size=shape.vocab,
        hidden_size=shape.width,
        intermediate_size=shape.neurons,
        num_hidden_layers=layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        rms_norm_eps=shape.norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_base},
        bos_token_id=None,
        eos_token_id=None,  # so that no run ends early
    )
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(trial.dtype)
    try:
        with trial.device:
            model: PreTrainedModel = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(default)
    model.eval()  # type: ignore[no-untyped-call]
    return model


def generate(model: PreTrainedModel, prompt: list[int], edits: Edits, rows: int, count: int) -> list[list[int]]:
    """Generate as the project does; the clamps touch the last row. Returns the tokens of each step."""
    columns = decode(model, prompt, edits, rows=rows, positions="all", sampler=Sampler(), max_new_tokens=count)
    return [column.token_ids for column in columns if column is not None]


def generate_plain(model: PreTrainedModel, prompt: list[int], count: int) -> list[int]:
    """Generate one row as transformers does; return the new tokens."""
    tokens = torch.tensor([prompt], device=model.device)
    text = model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=count, do_sample=False)  # type: ignore[operator]
    new: list[int] = text[0, len(prompt) :].tolist()
    return new


def measure(trial: Trial) -> Figures:
    """Measure generation by a model of the trial's shape, with as many layers as the shape has and the trial allows."""
    layers = min(trial.shape.layers, trial.layers)
    model, count = make_model(trial, layers), TOKENS[trial.device.type]
    sites = Sites(model, FAMILIES["llama"], layers, trial.shape.neurons)
    clamped = sorted({0, layers // 2, layers - 1})
    edits = prepare([Clamp(layer=layer, index=NEURON, value=VALUE) for layer in clamped], sites)
    prompt = list(range(1, PROMPT + 1))
    runs: Contenders = {
        "transformers": lambda: generate_plain(model, prompt, count),
        "plain": lambda: generate(model, prompt, UNCLAMPED, 1, count),
        "clamped": lambda: generate(model, prompt, edits, 1, count),
        "pair": lambda: generate(model, prompt, edits, 2, count),
    }
    times = trial.time(TURNS, lambda _: runs)
    return {
        "model": f"{layers} layers, {sum(part.numel() for part in model.parameters()) / 1e9:.2f} billion weights",
        "dtype": str(trial.dtype).removeprefix("torch."),
        "tokens": f"{count} after {PROMPT}, clamps in {len(clamped)} layers, {len(times)} turns",
        "clamped / plain": median_ratio(times, "clamped", "plain"),
        "both in one batch / plain": median_ratio(times, "pair", "plain"),
        "both in one batch / transformers": median_ratio(times, "pair", "transformers"),
        **{f"tokens a second, {name}": round(count / median_seconds(times, name), 1) for name in runs},
        **trial.peak_gb(runs["pair"]),
        "texts of plain and transformers agree for, tokens": agreement(model, prompt, count),
    }


def agreement(model: PreTrainedModel, prompt: Sequence[int], count: int) -> int:
    """Count the tokens until the project's loop and transformers' part; bf16 sums may part them late."""
    ours = [column[0] for column in generate(model, list(prompt), UNCLAMPED, 1, count)]
    theirs = generate_plain(model, list(prompt), count)
    return next((place for place, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b), count)
