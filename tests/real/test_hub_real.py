"""A layer of the demo model goes to a hub and comes back whole; of all thirty that takes most of a minute."""

import json
from pathlib import Path

import pytest

from neuronym.settings import Settings
from tests.local_hub import TOKENS, served_hub, use_hub
from tests.worker.library.exported_files import command, current, rows
from worker.checkpoints.sources import DEMO, DEMO_NAME, DEMO_PACKAGE
from worker.map_run import MapRun
from worker.mapping.recipe import MapRecipe

pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning"),  # in huggingface_hub
]
HERE = f"olga/neuronym-{DEMO_NAME}"


def test_the_demo_model_is_pushed_and_pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = tmp_path / "mapped"
    MapRun(Settings(data=mapped), MapRecipe(layers=range(29, 30))).map([DEMO])
    monkeypatch.setenv("HF_TOKEN", next(iter(TOKENS)))
    with served_hub() as hub:
        use_hub(hub, monkeypatch, tmp_path / "hf-home")
        assert "the hub does not say under which licence" in command(mapped, "push", DEMO_NAME, "--public").output
        assert command(mapped, "push", DEMO_NAME).exit_code == 0
        assert command(tmp_path / "data", "pull", HERE, "--json").exit_code == 0
        card = hub.datasets[HERE].commits[hub.datasets[HERE].head]["README.md"].decode()
    assert "Layers: 30, of 1,536 neurons each; mapped: layer 29 alone, 1,536 neurons" in card
    assert f"mapped from `demo` at revision `{DEMO_PACKAGE}`, llama" in card
    assert "Views: up, gate, down; lenses: logit, cosine" in card and "Not measured: activity, effect" in card
    left, came = current(mapped, DEMO_NAME), current(tmp_path / "data", DEMO_NAME)
    for table in ("label", "label_by_token", "neighbour", "token"):
        content = f"SELECT count(*), bit_xor(hash(one)), sum(hash(one)) FROM {table} AS one"
        assert rows(came, content) == rows(left, content), table
    ((settings,),) = rows(came, "SELECT settings FROM model")
    assert json.loads(settings)["added"]["repository"] == HERE
