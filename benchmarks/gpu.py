"""A GPU at work on random weights in the shape of Llama 3.1 8B: labels, measured names, clamps.

Three parts, each timed turn by turn. **lens**: weights to labels, beside the bare product in the same precision and a
plain script. **names**: the tokens that move each neuron most, found by running the whole vocabulary, beside the bare
pass. **clamps**: generation with clamps beside generation without. Weights are made on the card, for labels and names a
layer at a time. `--minutes` bounds the timing, `--layers` the layers, `--parts` picks parts; what cannot be imported is
`skipped`, with the reason. `python -m benchmarks.gpu --device cpu --size tiny` tries all of it out without a GPU.

A machine with a GPU needs torch, numpy, this repository and a few wheels, 24 MB; it needs no network. They are fetched
elsewhere, for that machine's Python, in the repository (the first four, 2.8 MB, are enough for `lens`; `names` needs
none; pyarrow, 55 MB, is not needed):

    pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 \\
      --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --constraint lock.txt --dest wheels \\
      annotated-types pydantic pydantic-core typing-inspection \\
      transformers tokenizers huggingface-hub safetensors regex pyyaml packaging tqdm typer click \\
      httpx2 httpcore2 truststore h11 idna anyio

and used there, in the repository, with the Python that has torch:

    python -m pip install --no-index --no-deps --target site wheels/*.whl
    PYTHONPATH=site python -m benchmarks.gpu > benchmarks/results/gpu.json

What that writes is shown here after `python -m benchmarks.report`.
"""

import argparse
import json
import sys
import traceback
from importlib import import_module
from time import monotonic

import torch

from benchmarks.gpu_trial import Figures, Trial
from benchmarks.shapes import LLAMA_8B, TINY
from benchmarks.timing import describe_machine

PARTS = ("lens", "names", "clamps")
SIZES = {"8b": LLAMA_8B, "tiny": TINY}
LAYERS = {"lens": 6, "names": 4, "clamps": LLAMA_8B.layers}  # at most, unless `--layers` says fewer


def measure_part(name: str, trial: Trial) -> Figures:
    """Measure a part; a package that is missing skips it, and an error in it leaves the other parts their figures."""
    began = monotonic()
    try:
        figures: Figures = import_module(f"benchmarks.gpu_{name}").measure(trial)
    except ImportError as error:
        return {"skipped": str(error)}
    except Exception as error:  # a device is lent for minutes: what the other parts measure is kept
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}
    return figures | {"whole part, seconds": round(monotonic() - began, 1)}


def describe_card(device: torch.device) -> Figures:
    """The name of the GPU and its memory; nothing of a CPU."""
    if device.type != "cuda":
        return {}
    card = torch.cuda.get_device_properties(device)
    return {"card": card.name, "card's memory, GB": round(card.total_memory / 1e9), "CUDA": str(torch.version.cuda)}


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Labels, measured names and clamps on a GPU, as JSON.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", choices=SIZES, default="8b")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--layers", type=int, default=LLAMA_8B.layers, help="at most, in each part")
    parser.add_argument("--minutes", type=float, default=3.0, help="that all timing together may take")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no GPU here. `--device cpu --size tiny` tries the benchmark out.")
    return options


def main() -> None:
    """Measure the parts, each told on standard error when it is done, and print everything."""
    options, figures = read_options(), {}
    device, seconds = torch.device(options.device), 60 * options.minutes / len(options.parts)
    machine = describe_machine() | describe_card(device)
    for name in options.parts:
        trial = Trial(device, SIZES[options.size], min(options.layers, LAYERS[name]), seconds)
        figures[name] = measure_part(name, trial)
        print(f"{name}: {json.dumps(figures[name])}", file=sys.stderr, flush=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()
    print(json.dumps({"machine": machine, "figures": figures}, indent=2))
    if any("failed" in part for part in figures.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
