"""The tokenizer that a GGUF file holds among its settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from worker.checkpoints.gguf_header import Header, Value
from worker.errors import CheckpointError

_PREFIX = "tokenizer.ggml."
# What the converter calls each setting.
_PARTS = {
    "tokenizer_type": "model",
    "pre_tokenizer_type": "pre",
    "tokens": "tokens",
    "scores": "scores",
    "token_type": "token_type",
    "merges": "merges",
    "add_prefix_space": "add_space_prefix",
}
_SPECIAL = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}
_FLAGS = ("add_bos_token", "add_eos_token")


def read_tokenizer(header: Header) -> PreTrainedTokenizerFast:
    """The fast tokenizer, with its special tokens and its chat template.

    Raises:
        CheckpointError: the file has none, or of a kind that transformers cannot make.
    """
    from transformers.integrations import gguf as converting  # only here: it brings in tokenizers of many families

    said = header.settings
    parts = _named(said, _PARTS)
    tokens = parts.get("tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
        raise CheckpointError(f"{header.file.name} has no tokenizer. Give another conversion of the model.")
    special = {name: _token(header.file, tokens, said.get(_PREFIX + key)) for name, key in _SPECIAL.items()}
    flags = _named(said, {name: name for name in _FLAGS})
    if parts.get("tokenizer_type") == "llama":
        flags.setdefault("add_bos_token", True)  # llama.cpp's default for SentencePiece
    template = said.get("tokenizer.chat_template")
    try:
        converted, _ = converting.convert_gguf_tokenizer(  # type: ignore[attr-defined]
            str(said.get("general.architecture")), parts
        )
        tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=converted, chat_template=template, **special, **flags
        )
    except Exception as error:  # the tokenizers library raises nothing narrower
        why = " ".join(str(error).split())
        raise CheckpointError(
            f"{header.file.name} has no tokenizer that can be read ({why}). Give another conversion of the model."
        ) from error
    return tokenizer


def _named(said: Mapping[str, Value], names: Mapping[str, str]) -> dict[str, Any]:
    """The settings that are there, under other names."""
    return {name: said[_PREFIX + key] for name, key in names.items() if _PREFIX + key in said}


def _token(file: Path, tokens: list[Any], number: Value | None) -> str | None:
    """The token that a setting names, or None if it names none."""
    if number is None:
        return None
    if not isinstance(number, int) or not 0 <= number < len(tokens):
        raise CheckpointError(f"{file.name} names a special token {number} that it does not have. Download it again.")
    return str(tokens[number])
