"""The tokenizer of a model with an adapter: the adapter's, where its folder holds one, else the base model's.

A chat template alone goes with the base model's tokenizer. Knows nothing of weights.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, PreTrainedTokenizerFast

from worker.checkpoints.folder_tokenizer import read_tokenizer
from worker.errors import CheckpointError

_CONFIG, _TEMPLATE = "tokenizer_config.json", "chat_template.jinja"
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json")


def read_adapter_tokenizer(
    folder: Path, config: PreTrainedConfig, read_base: Callable[[], PreTrainedTokenizerFast]
) -> PreTrainedTokenizerFast:
    """Read the tokenizer that a model is used with once the adapter in `folder` is merged.

    Args:
        folder: the adapter's folder.
        config: the base model's configuration; its head has `vocab_size` rows.
        read_base: reads the base model's tokenizer.

    Raises:
        CheckpointError: a tokenizer or template cannot be read, or has tokens that the head has no row for.
    """
    vocabulary = next((name for name in _VOCABULARIES if (folder / name).exists()), None)
    if vocabulary is None:
        tokenizer = read_base()
        template = _read_template(folder)
        if template is not None:
            tokenizer.chat_template = template
        return tokenizer
    if not (folder / _CONFIG).exists():
        raise CheckpointError(
            f"{folder} holds {vocabulary} without {_CONFIG}, which says how it is used. Add that file, or take "
            f"{vocabulary} away to use the base model's tokenizer."
        )
    tokenizer = read_tokenizer(str(folder), folder, config)
    _refuse_more_tokens(folder, tokenizer, config.vocab_size, read_base)
    return tokenizer


def _refuse_more_tokens(
    folder: Path, tokenizer: PreTrainedTokenizerFast, rows: int, read_base: Callable[[], PreTrainedTokenizerFast]
) -> None:
    """Refuse tokens that the head has no row for, except those that the base model's own tokenizer has, too."""
    beyond = {(number, token) for token, number in tokenizer.get_vocab().items() if number >= rows}
    if beyond:
        beyond -= {(number, token) for token, number in read_base().get_vocab().items()}
    if beyond:
        number, token = min(beyond)
        raise CheckpointError(
            f"{folder} brings a tokenizer with the token {token!r} of id {number}, but the model's head has {rows} "
            "rows: it was trained with more tokens. Merge it with peft's merge_and_unload into a model of that size, "
            "save that with its tokenizer, and give that folder."
        )


def _read_template(folder: Path) -> Any:
    """The chat template in a folder without a tokenizer, by name if there are several, or None."""
    try:
        if (folder / _TEMPLATE).exists():
            return (folder / _TEMPLATE).read_text(encoding="utf-8")
        if not (folder / _CONFIG).exists():
            return None
        template = json.loads((folder / _CONFIG).read_text(encoding="utf-8")).get("chat_template")
        if isinstance(template, list):
            template = {named["name"]: named["template"] for named in template}
        if not isinstance(template, str | dict | None):
            raise TypeError(type(template))
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(f"The chat template in {folder} cannot be read. Restore or download it again.") from error
    return template
