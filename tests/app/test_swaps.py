"""Publishing again and again leaves nothing behind in the app: no state of before, and none of its files."""

import gc
import os
import weakref
from pathlib import Path

from starlette.testclient import TestClient

from app.labelfile.library import Library
from app.main import create_app
from neuronym.label_tables import counterparts_file
from neuronym.library import label_file, replace_catalogue
from neuronym.settings import Settings
from tests.app.label_files import write_library

ASKED = (
    "/",
    "/search?q=California",
    "/neurons/tiny-chat/2/1",
    "/layers/tiny-chat/2",
    "/compare/tiny-base/tiny-chat/changed",
    "/models/tiny-chat",
    "/api/v1/search?q=dog&agreement=same",
    "/api/v1/export/labels.csv?q=California",
)


def test_swaps_leave_no_former_state_behind(tmp_path: Path) -> None:
    catalogue = write_library(tmp_path)
    app = create_app(Settings(data=tmp_path))
    states: list[weakref.ref[Library]] = []
    descriptors = []
    with TestClient(app) as client:
        for swap in range(6):
            replace_catalogue(tmp_path, catalogue.model_copy(update={"run": f"state-{swap}"}))
            for path in ASKED:
                client.get(path).raise_for_status()
            states.append(weakref.ref(app.state.catalog.current()))
            assert client.get("/api/v1/models").json()["run"] == f"state-{swap}"
            gc.collect()
            descriptors.append(open_label_files(tmp_path))
    assert [state() is None for state in states] == [True] * 5 + [False]
    files = [label_file(tmp_path, kind, entry) for kind in ("model", "pair") for entry in catalogue.entries(kind)]
    files += [counterparts_file(label_file(tmp_path, "pair", entry)) for entry in catalogue.pairs]
    assert set(descriptors[-1]) == {str(file) for file in files}
    assert len(descriptors[-1]) == len(descriptors[0])  # a file that stays is not opened once more a state


def open_label_files(data: Path) -> list[str]:
    """The label files of a data folder that this process has open, each as often as it is."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
    return [path for path in map(os.path.realpath, links) if path.startswith(f"{data}/library/") and "." in path]
