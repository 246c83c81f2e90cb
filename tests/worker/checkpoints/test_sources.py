"""The ways to name a model, and one sentence for each way that finding it can fail."""

from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import httpx2 as httpx
import pytest
from huggingface_hub import errors as hub

from worker.checkpoints import sources
from worker.checkpoints.sources import resolve, slug
from worker.errors import CheckpointError


def test_folders_and_gguf_files(tmp_path: Path) -> None:
    folder = tmp_path / "Llama_3.1 8B"
    folder.mkdir()
    assert resolve(str(folder)).name == "llama-3.1-8b"
    file = folder / "Model.Q4_1.gguf"
    file.write_bytes(b"GGUF....")
    source = resolve(str(file))
    assert (source.folder, source.gguf, source.name) == (folder, "Model.Q4_1.gguf", "model.q4-1")


@pytest.mark.parametrize("text, name", [("Meta-Llama/3", "meta-llama-3"), ("..", "model"), ("A  b", "a-b")])
def test_slug(text: str, name: str) -> None:
    assert slug(text) == name


def test_paths_that_are_not_there(tmp_path: Path) -> None:
    for spec in (str(tmp_path / "gone"), "./gone", "gone.gguf"):
        with pytest.raises(CheckpointError, match="no folder or file"):
            resolve(spec)


def test_a_file_that_is_not_gguf(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"nope")
    with pytest.raises(CheckpointError, match="not a GGUF file"):
        resolve(str(tmp_path / "x.gguf"))


def test_text_that_names_nothing() -> None:
    with pytest.raises(CheckpointError, match="no hub id"):
        resolve("what is this?")


@pytest.mark.parametrize(
    "error, words",
    [
        (hub.GatedRepoError, "gated: ask for access"),
        (hub.RevisionNotFoundError, "no revision 'v9'"),
        (hub.RepositoryNotFoundError, "no model org/model"),
        (hub.HfHubHTTPError, "hub cannot be reached"),
    ],
)
def test_the_hubs_answers(error: type[hub.HfHubHTTPError], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's own errors, raised where its library raises them: no hub is reachable from a test."""

    def answer(*_: object, **__: object) -> str:
        raise error("from the hub", response=httpx.Response(403, request=httpx.Request("GET", "http://127.0.0.1")))

    monkeypatch.setattr(sources, "snapshot_download", answer)
    with pytest.raises(CheckpointError, match=words):
        resolve("org/model@v9")


def test_a_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real download code, pointed at a port where nothing listens."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="hub cannot be reached"):
        resolve("org/model")


def test_a_hub_snapshot_that_is_on_disk(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model in the hub's cache needs no hub: source, revision and commit are recorded."""
    commit = "a" * 40
    on_hub(tmp_path, "org/tiny", commit, tiny_llama, "v1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    source = resolve("org/tiny@v1")
    assert (source.spec, source.name, source.revision) == ("org/tiny", "tiny", commit)


def test_the_demo_without_its_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(CheckpointError, match="make setup"):
        resolve("demo")


def on_hub(cache: Path, repository: str, commit: str, folder: Path, revision: str = "main") -> None:
    """Put a folder into the hub's cache, as the snapshot of a commit."""
    cached = cache / f"models--{repository.replace('/', '--')}"
    (cached / "snapshots").mkdir(parents=True)
    (cached / "snapshots" / commit).symlink_to(folder, target_is_directory=True)
    (cached / "refs").mkdir()
    (cached / "refs" / revision).write_text(commit)


def test_what_opens_the_same_checkpoint_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    (tmp_path / "lora").mkdir()
    for typed, portable in [
        ("./model", f"{tmp_path}/model"),
        ("~/model", f"{tmp_path}/model"),
        ("./model+./lora", f"{tmp_path}/model+{tmp_path}/lora"),
        ("~/model+~/lora", f"{tmp_path}/model+{tmp_path}/lora"),
        ("demo", "demo"),
        ("standin", "standin"),
        ("demo+lora", f"demo+{tmp_path}/lora"),
    ]:
        source = resolve(typed)
        assert (source.portable, source.recorded) == (portable, portable)
        assert replace(resolve(portable), spec=typed) == source


def test_what_opens_the_same_hub_models_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    lora = tmp_path / "lora"
    lora.mkdir()
    on_hub(tmp_path, "org/model", "a" * 40, lora, "v1")
    on_hub(tmp_path, "org/tune", "b" * 40, lora)
    model = resolve("org/model@v1")
    assert (model.portable, model.recorded) == (f"org/model@{'a' * 40}", "org/model")
    tuned = resolve("org/model@v1+org/tune")
    assert tuned.name == "model-tune"
    assert tuned.portable == tuned.recorded == f"org/model@{'a' * 40}+org/tune@{'b' * 40}"
    assert resolve("org/model@v1+lora").recorded == f"org/model@{'a' * 40}+{lora}"


def test_a_home_that_nobody_has() -> None:
    with pytest.raises(CheckpointError, match="no home folder"):
        resolve("~nobody-of-this-name/model")


def test_a_second_adapter() -> None:
    with pytest.raises(CheckpointError, match="an adapter already"):
        resolve("standin+./tests")


def test_what_is_fetched_of_an_adapter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The files whose names match the patterns that the hub is asked for."""
    beside = ["README.md", "adapter_model.bin", "optimizer.pt", "checkpoint-500/tokenizer.json", "model.safetensors"]
    wanted = ["adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "tokenizer.json"]
    wanted += ["tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "tokenizer.model"]
    fetched: list[str] = []

    def download(_: str, allow_patterns: list[str], ignore_patterns: list[str], **__: object) -> str:
        assert not any(fnmatch(name, pattern) for name in wanted for pattern in ignore_patterns)
        fetched.extend(name for name in beside + wanted if any(fnmatch(name, pattern) for pattern in allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(sources, "snapshot_download", download)
    (tmp_path / "model").mkdir()
    assert resolve(f"{tmp_path / 'model'}+org/lora").adapter == tmp_path
    assert fetched == wanted


@pytest.mark.real
def test_each_demo_model_goes_by_its_own_name() -> None:
    assert resolve(sources.DEMO_NAME) == resolve(sources.DEMO)
    assert resolve(sources.STANDIN_NAME) == resolve(sources.STANDIN)
