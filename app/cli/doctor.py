"""`neuronym doctor`: checks the installation, the library, disk space and the worker.

It changes nothing. Each check that fails names the mend.
"""

import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import httpx2
from pydantic import BaseModel, ValidationError

from app import __version__
from app.errors import Problem
from app.health import Alive, MappingReport
from app.labelfile.catalog import Catalog
from app.web.static import HTMX, HTMX_FILES
from neuronym.access import bearer
from neuronym.contract import ErrorAnswer, ModelSummary, WorkerStatus, name_layers
from neuronym.settings import Settings

ROOM = 2 * 10**9  # bytes below which a mapping may not fit


class Check(BaseModel):
    """One line of the report. The state `note` is neither good nor bad."""

    name: str
    state: Literal["ok", "note", "wrong"]
    says: str


class DoctorReport(BaseModel):
    """All checks; `ok` is false when one of them is wrong."""

    ok: bool
    checks: list[Check]


def examine(settings: Settings) -> DoctorReport:
    """Make all checks."""
    mapping = _mapping_beside(_app_address(settings))
    waiting = mapping is not None and mapping.state == "running"  # what is not there yet is on its way
    data, service = _check_data(settings, waiting), _check_service(settings, waiting)
    checks = [*_check_packages(), _check_pages(), *data, *_check_mapping(mapping), service]
    return DoctorReport(ok=all(check.state != "wrong" for check in checks), checks=checks)


def _check_packages() -> Iterator[Check]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "sqlalchemy", "fastapi", "tokenizers"))
    python = ".".join(map(str, sys.version_info[:3]))
    yield Check(name="app", state="ok", says=f"neuronym {__version__}, Python {python}, {packages}")
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        mend = (
            "Install them with `pip install 'neuronym[worker]'`, or name a worker elsewhere with NEURONYM_WORKER_URL."
        )
        yield Check(name="worker parts", state="wrong", says=f"{' and '.join(missing)} not installed. {mend}")
    else:
        versions = ", ".join(f"{name} {_installed_version(name)}" for name in ("torch", "transformers"))
        yield Check(name="worker parts", state="ok", says=versions)


def _installed_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "of unknown version"


def _check_pages() -> Check:
    missing = [name for name in HTMX_FILES if not (HTMX / name).is_file()]
    if missing:
        return Check(name="pages", state="wrong", says="htmx is not installed. Run `make setup`.")
    return Check(name="pages", state="ok", says=f"htmx at {HTMX}")


def _app_address(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.port}"


def _mapping_beside(address: str) -> MappingReport | None:
    """What the app at an address says is being mapped beside it; None if nothing is, or no app answers."""
    try:
        return Alive.model_validate_json(_get(f"{address}/healthz").content).mapping
    except (httpx2.HTTPError, ValidationError):
        return None


def _check_mapping(mapping: MappingReport | None) -> Iterator[Check]:
    if mapping:
        yield Check(name="mapping", state="note" if mapping.state == "running" else "wrong", says=mapping.says)


def _check_data(settings: Settings, waiting: bool) -> Iterator[Check]:
    data = settings.data.absolute()
    yield _check_library(settings, waiting)
    free = shutil.disk_usage(_nearest_folder(data)).free
    room = f"{free / 1e9:.1f} GB free at {data}"
    if free < ROOM:
        yield Check(name="disk", state="wrong", says=f"{room}. Make room, or move the data folder with NEURONYM_DATA.")
    else:
        yield Check(name="disk", state="ok", says=room)


def _nearest_folder(path: Path) -> Path:
    """The path itself if it exists, else its nearest parent that does."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _check_library(settings: Settings, waiting: bool) -> Check:
    catalog = Catalog(settings)
    try:
        labels = catalog.current()
    except Problem as problem:
        return Check(name="library", state="note" if waiting else "wrong", says=str(problem))
    finally:
        catalog.close()
    if labels.unreadable:
        return Check(name="library", state="wrong", says=" ".join(labels.unreadable.values()))
    models = ", ".join(f"{model.name} ({_size(model)})" for model in labels.models.values())
    says = f"run {labels.run}, {labels.size / 1e6:.0f} MB, built {labels.holdings.built_at}: {models}"
    return Check(name="library", state="ok", says=says)


def _size(model: ModelSummary) -> str:
    part = f", {name_layers(model.mapped)} mapped" if model.mapped_layers else ""
    return f"{model.layers} x {model.neurons} neurons{part}"


def _check_service(settings: Settings, waiting: bool) -> Check:
    """Check the worker that the settings name, or else the app on the settings' port, which starts a worker."""
    return (
        _check_worker(settings.worker_url, bearer(settings.worker_secret))
        if settings.worker_url
        else _check_app(_app_address(settings), waiting)
    )


def _check_worker(url: str, headers: Mapping[str, str]) -> Check:
    try:
        status = WorkerStatus.model_validate_json(_get(f"{url}/v1/status", headers).raise_for_status().content)
    except httpx2.HTTPStatusError as error:
        return Check(name="worker", state="wrong", says=f"{url} refuses: {_refusal_sentence(error.response)}")
    except (httpx2.HTTPError, ValidationError, ValueError):
        says = f"{url} does not answer. Start it with `neuronym-worker serve`, or unset NEURONYM_WORKER_URL."
        return Check(name="worker", state="wrong", says=says)
    if failed := [model.error for model in status.models if model.error]:
        return Check(name="worker", state="wrong", says=f"{url}: {' '.join(failed)}")
    models = ", ".join(f"{model.name} {model.state}" for model in status.models) or "no model"
    says = f"{url} on {status.device}: {models}; {status.running} running, {status.waiting} waiting"
    return Check(name="worker", state="ok", says=says)


def _check_app(url: str, waiting: bool) -> Check:
    try:
        response = _get(f"{url}/readyz")
    except httpx2.HTTPError:
        return Check(name="worker", state="note", says=f"no app runs at {url}. Start both with `neuronym serve`.")
    if response.is_success:
        return Check(name="worker", state="ok", says=f"the app at {url} has its worker")
    try:
        says = ErrorAnswer.model_validate_json(response.content).error
    except ValidationError:
        says = f"something else listens at {url}. Give another port with NEURONYM_PORT."
    return Check(name="worker", state="note" if waiting else "wrong", says=says)


def _refusal_sentence(response: httpx2.Response) -> str:
    """The sentence of a refusal, or one that says that the answer is not Neuronym's."""
    try:
        return ErrorAnswer.model_validate_json(response.content).error
    except ValidationError:
        return f"it answered {response.status_code}, as Neuronym would not"


def _get(url: str, headers: Mapping[str, str] = {}) -> httpx2.Response:
    with httpx2.Client(timeout=5, trust_env=False, headers=headers) as http:
        return http.get(url)
