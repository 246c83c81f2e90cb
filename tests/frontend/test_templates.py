"""What templates, scripts and style sheets are held to: short lines, djlint, Biome. Every rule meets a breach of it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neuronym.settings import ROOT

FRONTEND = ROOT / "frontend"
TEMPLATES = FRONTEND / "templates"
LONGEST = 160  # characters of a line


def long_lines(folder: Path) -> list[str]:
    """The lines of a folder's templates that are too long, as file:line."""
    return [
        f"{path.relative_to(folder)}:{number}"
        for path in sorted(folder.rglob("*.html"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > LONGEST
    ]


def djlint(path: Path) -> str:
    """What djlint says of a template or of a folder of them, under this project's settings."""
    command = [sys.executable, "-m", "djlint", str(path), "--quiet", "--configuration", str(ROOT / "pyproject.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def biome(folder: Path) -> str:
    """What `npm run check` says of a folder that is laid out like frontend/."""
    name, *options = json.loads((FRONTEND / "package.json").read_text())["scripts"]["check"].split()
    command = [str(FRONTEND / "node_modules" / ".bin" / name), *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_lines_of_templates_are_short() -> None:
    assert long_lines(TEMPLATES) == []


def test_a_long_line_is_caught(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<p>{'a' * 153}</p>\n<p>{'a' * 154}</p>\n")
    assert long_lines(tmp_path) == ["page.html:2"]


def test_djlint_has_nothing_to_say() -> None:
    assert djlint(TEMPLATES) == ""


@pytest.mark.parametrize(
    ("template", "rule"),
    [
        ("<div><p>never closed</p>\n", "H025"),
        ('<p id="a" id="b">twice</p>\n', "H037"),
        ("<p>{{name}}</p>\n", "T001"),
        ("<h1>Title</h1><p>beside it</p>\n", "H015"),
    ],
)
def test_djlint_catches_a_breach(tmp_path: Path, template: str, rule: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(template)
    assert rule in djlint(page)


def test_biome_has_nothing_to_say() -> None:
    assert biome(FRONTEND) == ""


@pytest.mark.parametrize(
    ("name", "source", "rule"),
    [
        ("page.css", "a {\n  colour: red;\n}\n", "lint/correctness/noUnknownProperty"),
        ("page.css", "a {\n  color: red;\n", "parse"),
        ("page.css", "a { color: red }\n", "format"),
        ("page.js", "const unused = 1;\n", "lint/correctness/noUnusedVariables"),
        ("page.js", "anounce(1);\n", "lint/correctness/noUndeclaredVariables"),
        ("page.js", "announce( 1 );\n", "format"),
    ],
)
def test_biome_catches_a_breach(tmp_path: Path, name: str, source: str, rule: str) -> None:
    shutil.copy(FRONTEND / "biome.jsonc", tmp_path)
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / name).write_text(source)
    said = biome(tmp_path)
    assert f"static/{name}" in said
    assert rule in said
