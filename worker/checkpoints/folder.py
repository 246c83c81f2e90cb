"""A model in a folder of transformers' layout: read as transformers reads it, and its tensors also one by one."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils.logging import set_tqdm_hook

from worker.checkpoints.stored import LoadProgress
from worker.checkpoints.weights import UNQUANTISED, SafetensorsFolder
from worker.errors import CheckpointError


class FolderModel:
    """A folder with config.json and safetensors files; `spec` is what the user typed for it."""

    def __init__(self, spec: str, folder: Path) -> None:
        self._spec = spec
        self._folder = folder

    @cached_property
    def config(self) -> PreTrainedConfig:
        if not (self._folder / "config.json").exists():
            raise CheckpointError(f"{self._folder} has no config.json. Give the folder that save_pretrained wrote.")
        try:
            config: PreTrainedConfig = AutoConfig.from_pretrained(self._folder, trust_remote_code=False)
        except Exception as error:  # transformers raises classes of its own and of other libraries, which share no base
            raise CheckpointError(f"The configuration of {self._spec} cannot be read: {_first_line(error)}") from error
        _refuse_quantised(self._spec, config)
        return config.get_text_config()

    @cached_property
    def tensors(self) -> SafetensorsFolder:
        return SafetensorsFolder(self._folder)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        try:
            tokenizer = AutoTokenizer.from_pretrained(self._folder, trust_remote_code=False)
        except Exception as error:  # the tokenizers library raises bare Exceptions
            raise CheckpointError(f"{self._spec} has no tokenizer that can be read: {_first_line(error)}") from error
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise CheckpointError(f"{self._spec} has no fast tokenizer. Save it with a tokenizer.json.")
        return tokenizer

    def model(self, dtype: torch.dtype, progress: LoadProgress) -> PreTrainedModel:
        from transformers import AutoModelForCausalLM  # only here: it is most of transformers, in time and memory

        try:
            with _reporting(progress):
                loaded: Any = AutoModelForCausalLM.from_pretrained(
                    self._folder, dtype=dtype, trust_remote_code=False, output_loading_info=True
                )
        except Exception as error:
            raise CheckpointError(f"{self._spec} cannot be loaded: {_first_line(error)}") from error
        model: PreTrainedModel = loaded[0]
        missing: set[str] = loaded[1]["missing_keys"]
        if missing:  # transformers would fill them with random numbers
            raise CheckpointError(
                f"{self._spec} has no {min(missing)}, which its model needs. Give a complete checkpoint "
                "of a model that writes text."
            )
        return model


def _refuse_quantised(spec: str, config: PreTrainedConfig) -> None:
    """Refuse a model whose configuration says that its weights are quantised: they need scales, which are not read."""
    for part in (config, config.get_text_config()):
        scheme = getattr(part, "quantization_config", None)
        if scheme:
            method = scheme.get("quant_method", "of an unknown method") if isinstance(scheme, dict) else scheme
            raise CheckpointError(
                f"{spec} is quantised ({method}), and its weights are not read with their scales. {UNQUANTISED}"
            )


@contextmanager
def _reporting(progress: LoadProgress) -> Iterator[None]:
    """Pass what transformers' progress bars show on to `progress`. For one thread at a time."""

    def make_bar(make: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        bar = make(*arguments, **options)
        counted = bool(arguments) and hasattr(arguments[0], "__len__")
        return _report_steps(len(arguments[0]), bar, progress) if counted else bar

    hook_before = set_tqdm_hook(make_bar)
    try:
        yield
    finally:
        set_tqdm_hook(hook_before)


def _report_steps(steps: int, bar: Iterable[Any], progress: LoadProgress) -> Iterator[Any]:
    for done, step in enumerate(bar):
        progress(done / steps)
        yield step
    progress(1.0)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
