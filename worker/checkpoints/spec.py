"""What a user typed for a model, taken apart: a model alone, or a model and an adapter with a plus between them.

A folder may have pluses in its name, so the parts are what lies on disk, or else what can be on the hub. Opens nothing.
"""

import re
from pathlib import Path

from worker.errors import CheckpointError

HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_PATH_STARTS = (".", "/", "~")

Reading = tuple[str, str | None]  # a model, and an adapter or None


def split_spec(spec: str) -> Reading:
    """The model and the adapter that `spec` names; where neither is found, as they were most likely meant.

    An absolute path that exists is a model as it stands.

    Raises:
        CheckpointError: the disk has several models that `spec` can mean.
    """
    whole = expand(spec)
    if "+" not in spec or (whole.is_absolute() and whole.exists()):
        return spec, None
    pluses = [place for place, letter in enumerate(spec) if letter == "+" and 0 < place < len(spec) - 1]
    splits = [(spec[:place], spec[place + 1 :]) for place in pluses]
    alone: list[Reading] = [(spec, None)] if whole.exists() else []
    on_disk = [*alone, *(split for split in splits if expand(split[0]).exists() and expand(split[1]).is_dir())]
    if len(on_disk) > 1:
        on_disk = [reading for reading in on_disk if _is_adapter(reading[1])]
    if len(on_disk) > 1:
        raise CheckpointError(_ambiguous(spec, on_disk))
    return next(iter([*on_disk, *sorted(splits, key=_likelihood, reverse=True)]), (spec, None))


def expand(spec: str) -> Path:
    """The path that `spec` would be, `~` expanded.

    Raises:
        CheckpointError: nobody has the home folder that it names.
    """
    try:
        return Path(spec).expanduser()
    except RuntimeError as error:
        raise CheckpointError(f"There is no home folder for {spec!r}. Give the whole path.") from error


def is_path(spec: str) -> bool:
    """Whether `spec` is written as a path, which no hub id is."""
    return spec.startswith(_PATH_STARTS) or spec.count("/") > 1


def may_be_adapter_on_hub(spec: str) -> bool:
    """Whether an adapter may be on the hub: `org/adapter`, with an optional revision."""
    return not is_path(spec) and "/" in spec and HUB_ID.match(spec.partition("@")[0]) is not None


def without_folders(spec: str, adapter: str | None = None) -> str:
    """A recorded spec with nothing but the last part of its paths; hub ids and known names stay.

    Args:
        adapter: the folder of its adapter, where it has one.
    """
    if adapter is None:
        return _last_part(spec)
    if spec.endswith(f"+{adapter}"):  # a folder may have pluses in its name
        return f"{_last_part(spec.removesuffix(f'+{adapter}'))}+{_last_part(adapter)}"
    model, plus, added = spec.rpartition("+")
    return f"{_last_part(model)}{plus}{_last_part(added)}"


def _last_part(spec: str) -> str:
    return Path(spec).name if is_path(spec) else spec


def _is_adapter(spec: str | None) -> bool:
    """Whether an adapter's folder holds one; a model alone needs none."""
    return spec is None or (expand(spec) / "adapter_config.json").exists()


def _likelihood(split: tuple[str, str]) -> tuple[bool, bool, bool, bool]:
    """How likely a split is meant of which a part is not on disk; larger is likelier."""
    model, adapter = split
    exists, complete = expand(model).exists(), expand(adapter).is_dir()
    may_be_model = exists or HUB_ID.match(model.partition("@")[0]) is not None
    may_be_adapter = complete or may_be_adapter_on_hub(adapter)
    return may_be_model and may_be_adapter, exists, complete, may_be_adapter or adapter.startswith(_PATH_STARTS)


def _ambiguous(spec: str, readings: list[Reading]) -> str:
    ways = ", or ".join(
        f"{model!r} with adapter {adapter!r}" if adapter else f"{model!r}" for model, adapter in readings
    )
    return (
        f"{spec!r} can be read as {ways}. Write `./` before the adapter, or the absolute path of a model without one."
    )
