"""What holds of the whole engine: files that are derived from others, and names."""

from __future__ import annotations

import ast
from collections import defaultdict

import pytest
from engine_digest import record
from mutate import ENGINE
from schema import schemas


@pytest.mark.parametrize("name", ["model", "manifest"])
def test_the_json_schema_is_that_of_the_classes(name: str) -> None:
    ((path, text),) = [
        item for item in schemas().items() if item[0].name.startswith(name)
    ]
    assert path.read_text(encoding="utf-8") == text, "run `make schema`"


def test_the_record_of_the_engine_is_of_its_files() -> None:
    path, text = record()
    assert path.read_text(encoding="utf-8") == text, "run `make engine-digest`"


def test_no_two_classes_share_a_name() -> None:
    """Nor do they differ by an underscore alone: one name, one meaning."""
    where = defaultdict(list)
    for path in sorted((ENGINE / "mlops").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                where[node.name.lstrip("_")].append(f"{path.name}:{node.lineno}")
    assert len(where) > 100, "the classes of the engine are not where they were"
    assert {name: places for name, places in where.items() if len(places) > 1} == {}
