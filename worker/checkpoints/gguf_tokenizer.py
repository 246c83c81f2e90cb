"""The tokenizer in the settings of a GGUF file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from worker.checkpoints.gguf_cursor import SettingValue
from worker.checkpoints.gguf_header import GGUFHeader
from worker.errors import CheckpointError

_PREFIX = "tokenizer.ggml."
# transformers' converter's name of each setting -> GGUF's.
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


def read_tokenizer(header: GGUFHeader) -> PreTrainedTokenizerFast:
    """Build the fast tokenizer of a GGUF file, with its special tokens and its chat template.

    Raises:
        CheckpointError: the file has no tokenizer, or one of a kind that transformers cannot build.
    """
    from transformers.integrations import gguf as converting  # only here: it imports tokenizers of many families

    settings = header.settings
    parts = _renamed(settings, _PARTS)
    tokens = parts.get("tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
        raise CheckpointError(f"{header.file.name} has no tokenizer. Give another conversion of the model.")
    special = {name: _special_token(header.file, tokens, settings.get(_PREFIX + key)) for name, key in _SPECIAL.items()}
    flags = _renamed(settings, {name: name for name in _FLAGS})
    if parts.get("tokenizer_type") == "llama":
        flags.setdefault("add_bos_token", True)  # llama.cpp's default for SentencePiece
    template = settings.get("tokenizer.chat_template")
    try:
        converted, _ = converting.convert_gguf_tokenizer(  # type: ignore[attr-defined]
            str(settings.get("general.architecture")), parts
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


def _renamed(settings: Mapping[str, SettingValue], names: Mapping[str, str]) -> dict[str, Any]:
    """The settings among `names` (new name -> GGUF's) that the file has, by their new names."""
    return {name: settings[_PREFIX + key] for name, key in names.items() if _PREFIX + key in settings}


def _special_token(file: Path, tokens: list[Any], number: SettingValue | None) -> str | None:
    """The token with the id `number`, or None without an id."""
    if number is None:
        return None
    if not isinstance(number, int) or not 0 <= number < len(tokens):
        raise CheckpointError(f"{file.name} names a special token {number} that it does not have. Download it again.")
    return str(tokens[number])
