"""Contract models are built from typed arguments: a dict would hide a missing or misspelt field from mypy."""

import ast
from pathlib import Path

import pytest

from neuronym import contract

ROOT = Path(__file__).parent.parent
FILES = [file for package in ("app", "worker", "neuronym") for file in sorted((ROOT / package).rglob("*.py"))]


def unpacked(source: str) -> list[str]:
    """The contract models that the source builds from a dict, each with its line."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [
        f"{call.func.id}, line {call.lineno}"
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in contract.__all__
        if any(keyword.arg is None for keyword in call.keywords)
    ]


def test_no_contract_model_is_built_from_a_dict() -> None:
    assert len(FILES) > 100
    found = {str(file.relative_to(ROOT)): unpacked(file.read_text()) for file in FILES}
    assert {file: models for file, models in found.items() if models} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("Token(**values)", ["Token, line 1"]),
        ("a = 1\nb = [Token(token_id=a, **dict(row))]", ["Token, line 2"]),
        ("Token(token_id=1, text='a')", []),
        ("search(**values)", []),
    ],
)
def test_a_dict_is_found(source: str, found: list[str]) -> None:
    assert unpacked(source) == found
