"""The tokenizer of a model's folder, read by transformers from the files that it finds there.

Refuses one that no file stands behind: transformers makes up an empty tokenizer for a folder that has none.
"""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerFast
from transformers.utils.import_utils import is_protobuf_available, is_sentencepiece_available

from worker.errors import CheckpointError, first_line

_OF_ANY_CLASS = {"tokenizer.json", "tokenizer.model", "tiktoken.model", "tekken.json"}
_OF_SOME = {"vocab.json", "vocab.txt"}


def read_tokenizer(spec: str, folder: Path, config: PreTrainedConfig | None = None) -> PreTrainedTokenizerFast:
    """Read the fast tokenizer of a folder.

    Args:
        spec: what the user typed for it.
        folder: the folder.
        config: the model's configuration, where the folder itself holds none.

    Raises:
        CheckpointError: the folder has no tokenizer, or none that can be read or is fast.
    """
    _check_files(spec, folder, _OF_ANY_CLASS | _OF_SOME)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, config=config, trust_remote_code=False)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the tokenizers library raises bare Exceptions, and panics as a BaseException
        raise CheckpointError(_unreadable(spec, folder, error)) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise CheckpointError(
            f"{spec} has no fast tokenizer, but one of the class {type(tokenizer).__name__}. "
            "Give its folder the tokenizer.json of the same tokenizer."
        )
    _check_files(spec, folder, _OF_ANY_CLASS | set(tokenizer.vocab_files_names.values()))
    return tokenizer


def _check_files(spec: str, folder: Path, names: set[str]) -> None:
    """Refuse a folder that has none of these files."""
    if not any((folder / name).is_file() for name in names):
        raise CheckpointError(
            f"{spec} has no tokenizer: its folder has no {', no '.join(sorted(names))}. Give it that of the model it "
            f"was made from: AutoTokenizer.from_pretrained(MODEL).save_pretrained({str(folder)!r})."
        )


def _unreadable(spec: str, folder: Path, error: BaseException) -> str:
    """The sentence on a tokenizer that transformers cannot read."""
    readers = {"sentencepiece": is_sentencepiece_available(), "protobuf": is_protobuf_available()}
    lacking = [package for package, available in readers.items() if not available]
    if lacking and (folder / "tokenizer.model").is_file() and not (folder / "tokenizer.json").exists():
        return (
            f"{spec} has a tokenizer.model but no tokenizer.json, and what reads it is not installed. "
            f"Run `pip install {' '.join(lacking)}`, or save a tokenizer.json where that is: "
            f"AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})."
        )
    return f"{spec} has no tokenizer that can be read: {first_line(error)}. Give it a tokenizer.json."
