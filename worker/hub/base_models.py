"""The models on the hub that labels were read from, their licence and gating, and what these allow of the labels.

Labels are made of a model's weights, so they are never given out more openly than it is without a word of the user.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from huggingface_hub import HfApi
from huggingface_hub import errors as hub

from worker.errors import LabelFileError
from worker.hub.refusals import hub_refusals

Access = Literal["open", "gated", "private", "not to be seen"]  # by who asks, of a model on the hub
_PINNED = re.compile(r"([\w.-]+(?:/[\w.-]+)?)@([0-9a-f]{40})")  # a hub id and the commit that was mapped
_LICENCE = re.compile(r"[\w.+-]{1,60}")


@dataclass(frozen=True)
class BaseModel:
    """A model on the hub: the commit that was mapped, and what the hub says of its use, as far as it can be read."""

    id: str
    commit: str
    licence: str | None
    access: Access


@dataclass(frozen=True)
class Origins:
    """Where the labels of some models come from; `elsewhere` are sources that are no repository of the hub."""

    models: Sequence[BaseModel]
    elsewhere: Sequence[str]

    @property
    def licence(self) -> str | None:
        """The licence of all of them; None if one has none that can be read, or they differ."""
        licences = {model.licence for model in self.models}
        return licences.pop() if len(licences) == 1 and not self.elsewhere else None

    def reason_for_privacy(self) -> str | None:
        """Why the labels may not be public without more being said, if there is a reason."""
        if self.elsewhere:
            return f"the hub does not say under which licence {' and '.join(map(repr, self.elsewhere))} is"
        for model in self.models:
            if model.access in ("gated", "private"):
                return f"{model.id} is {model.access}"
            if model.licence is None:
                return f"the hub does not say under which licence {model.id} is"
        return None if self.licence else "its models have different licences"


def find_origins(rows: Sequence[Mapping[str, Any]]) -> Origins:
    """Ask the hub about the sources of models, given their rows of a label file.

    Raises:
        LabelFileError: the hub cannot be asked.
    """
    sources = dict.fromkeys(source for row in rows for source in _sources(row))
    pinned = {source: match.groups() for source in sources if (match := _PINNED.fullmatch(source))}
    elsewhere = [source for source in sources if source not in pinned]
    return Origins([_base_model(*found) for found in pinned.values()], elsewhere)


def check_licence(licence: str) -> None:
    """Check that a text can be the name of a licence.

    Raises:
        LabelFileError: it cannot.
    """
    if not _LICENCE.fullmatch(licence):
        raise LabelFileError(f"{licence[:60]!r} is no licence's name. Give one such as apache-2.0, llama3.2 or other.")


def _sources(row: Mapping[str, Any]) -> list[str]:
    """The parts of a source, those of the hub with their commits."""
    if row["adapter"] is not None:
        return str(row["source"]).split("+")
    pinned = f"{row['source']}@{row['revision']}"
    return [pinned if _PINNED.fullmatch(pinned) else str(row["source"])]


def _base_model(id_: str, commit: str) -> BaseModel:
    with hub_refusals(id_):
        try:
            info = HfApi().model_info(id_, revision=commit)
        except (hub.RepositoryNotFoundError, hub.RevisionNotFoundError):
            return BaseModel(id_, commit, None, "not to be seen")
    licence = info.card_data.get("license") if info.card_data else None
    readable = isinstance(licence, str) and _LICENCE.fullmatch(licence) is not None
    access: Access = "gated" if info.gated else "private" if info.private else "open"
    return BaseModel(id_, commit, licence if readable else None, access)
