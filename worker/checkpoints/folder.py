"""A model in a folder of transformers' layout: read as transformers reads it, and its tensors also one by one."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerFast
from transformers.utils.logging import set_tqdm_hook, tqdm

from worker.checkpoints.folder_tokenizer import read_tokenizer
from worker.checkpoints.quantised import Quantisation, quantisation_of
from worker.checkpoints.stored import LoadProgress
from worker.checkpoints.weights import SafetensorsFolder
from worker.errors import CheckpointError, first_line

if TYPE_CHECKING:  # importing it takes longer than the rest of transformers
    from transformers import PreTrainedModel

_ADAPTER = "adapter_config.json"


class FolderModel:
    """A folder with config.json and safetensors files; `spec` is what the user typed for it."""

    def __init__(self, spec: str, folder: Path) -> None:
        self._spec = spec
        self._folder = folder

    @cached_property
    def _stored_config(self) -> PreTrainedConfig:
        if not (self._folder / "config.json").exists():
            raise CheckpointError(_no_configuration(self._folder))
        if (self._folder / _ADAPTER).exists():  # transformers would load it into the live model, if peft is installed
            raise CheckpointError(
                f"{self._folder} holds an adapter beside a whole model. Move {_ADAPTER} and the adapter's weights to a "
                "folder of their own, and give MODEL or MODEL+ADAPTER, whichever is meant."
            )
        try:
            config: PreTrainedConfig = AutoConfig.from_pretrained(self._folder, trust_remote_code=False)
        except Exception as error:  # transformers raises classes of its own and of other libraries, which share no base
            raise CheckpointError(f"The configuration of {self._spec} cannot be read: {first_line(error)}") from error
        return config

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The configuration, as of a model that is not quantised."""
        config = deepcopy(self._stored_config)
        if config.get_text_config() is not config:
            raise CheckpointError(
                f"{self._spec} is a multimodal model ({config.model_type}), and its text model is not read out of it. "
                "Give a checkpoint of the text model alone."
            )
        if getattr(config, "quantization_config", None):
            del config.quantization_config
        return config

    @cached_property
    def _quantisation(self) -> Quantisation | None:
        scheme = getattr(self._stored_config, "quantization_config", None)
        return quantisation_of(self._spec, self._folder, scheme) if scheme else None

    @cached_property
    def tensors(self) -> SafetensorsFolder:
        return SafetensorsFolder(self._folder, self._quantisation)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        return read_tokenizer(self._spec, self._folder)

    def model(self, dtype: torch.dtype, progress: LoadProgress) -> "PreTrainedModel":
        load = self._load_dequantised if self.tensors.quantised else self._load_stored
        try:
            with _reporting(progress):
                model, missing = load(dtype)
        except CheckpointError:
            raise
        except Exception as error:
            why = first_line(error)
            if "ignore_mismatched_sizes" in why:
                why = "its configuration and its weights are of different sizes. Take both from one model"
            raise CheckpointError(f"{self._spec} cannot be loaded: {why}.") from error
        if missing:  # transformers would fill them with random numbers
            raise CheckpointError(
                f"{self._spec} has no {min(missing)}, which its model needs. Give a complete checkpoint "
                "of a model that writes text."
            )
        return model

    def _load_stored(self, dtype: torch.dtype) -> "tuple[PreTrainedModel, set[str]]":
        """Load the files as transformers does; return the model and the names of the parameters that they lack."""
        from transformers import AutoModelForCausalLM  # only here: it is most of transformers, in time and memory

        loaded: Any = AutoModelForCausalLM.from_pretrained(
            self._folder, config=self.config, dtype=dtype, trust_remote_code=False, output_loading_info=True
        )
        return loaded[0], loaded[1]["missing_keys"]

    def _load_dequantised(self, dtype: torch.dtype) -> "tuple[PreTrainedModel, set[str]]":
        """Load the values that labels are made from, so that clamps and labels are of one model on every machine."""
        from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, GenerationConfig

        kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(self.config)]
        values = {name: self.tensors.read(name).to(dtype) for name in tqdm(self.tensors.parameters)}
        loaded = kind.from_pretrained(
            None, config=self.config, state_dict=values, dtype=dtype, output_loading_info=True
        )
        if (self._folder / "generation_config.json").exists():
            loaded[0].generation_config = GenerationConfig.from_pretrained(self._folder)
        return loaded[0], loaded[1]["missing_keys"]


def _no_configuration(folder: Path) -> str:
    if (folder / _ADAPTER).exists():
        return f"{folder} is an adapter. Give the model that it was made for, too: MODEL+{folder}."
    files = sorted(folder.glob("*.gguf"))
    if files:
        return f"{folder} has no config.json, but GGUF files. Give one of these itself, such as {files[0]}."
    return f"{folder} has no config.json. Give the folder that save_pretrained wrote."


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
