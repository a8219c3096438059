"""What holds of the whole engine: files that are derived from others, and names."""

from __future__ import annotations

import ast
import re
import tomllib
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


def imported() -> set[str]:
    """Return the top-level modules that the engine imports anywhere."""
    names = set()
    for path in (ENGINE / "mlops").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names


# Where a distribution's module is not called as it is.
MODULES = {
    "markdown_it_py": "markdown_it",
    "protobuf": "google",
    "pygithub": "github",
    "ruamel.yaml": "ruamel",
    "scikit_learn": "sklearn",
}

# Used without being imported: run as `python -m pytest`, or by uvicorn where they are.
RUN = {"pytest", "httptools", "uvloop"}


def test_every_dependency_is_imported_somewhere() -> None:
    path = ENGINE.parent / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        declared += extra
    names = {re.split(r"[^\w.-]", line)[0].lower() for line in declared}
    modules = {MODULES.get(n.replace("-", "_"), n.replace("-", "_")) for n in names}
    assert len(modules) > 20, "the dependencies are not where they were"
    assert modules - imported() - RUN == set()
