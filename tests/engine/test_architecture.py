"""The arrows between the rooms, the size of modules, and files that are derived from others."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import pytest
from schema import schemas

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "{{cookiecutter.project_slug}}" / "mlops"
ROOMS = ("data", "training", "evaluation", "registry", "serving", "monitoring")
SPINE = ("files", "spec", "project", "results")  # and the package itself: the errors
MODULES = sorted(ENGINE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Return the rooms and modules of the spine that a module imports, anywhere in it."""
    out = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.startswith("mlops."):
                out.add(name.split(".")[1])
    return out & {path.relative_to(ENGINE).parts[0].removesuffix(".py") for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ENGINE).as_posix())
def test_arrows_go_one_way(path: Path) -> None:
    room = path.relative_to(ENGINE).parts[0].removesuffix(".py")
    used = imports(path)
    if room in ("cli", "__main__", "__init__"):
        return
    if room in ROOMS:
        allowed = set(SPINE) | set(ROOMS[: ROOMS.index(room) + 1])
    elif room in SPINE:
        allowed = set(SPINE)
    else:  # reporting, scaffold, github: used by the command line alone
        allowed = set(SPINE) | set(ROOMS) | {room}
    assert used <= allowed, f"{path.name} imports {sorted(used - allowed)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ENGINE).as_posix())
def test_a_module_is_short_and_says_why_it_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "the first line says the reason to exist"
    assert lines_of_code(text) <= 250
    assert len(text.splitlines()) <= 400


def lines_of_code(text: str) -> int:
    """Return how many lines hold code: no blank line, comment or docstring."""
    prose: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                prose |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    quiet = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (*quiet, tokenize.ENDMARKER):
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - prose)


def test_the_engine_does_not_grow() -> None:
    """What they are for is in docs/architecture.md; the figure only goes down."""
    assert sum(lines_of_code(path.read_text(encoding="utf-8")) for path in MODULES) <= 9514


@pytest.mark.parametrize("name", ["model", "manifest"])
def test_the_json_schema_is_that_of_the_classes(name: str) -> None:
    ((path, text),) = [item for item in schemas().items() if item[0].name.startswith(name)]
    assert path.read_text(encoding="utf-8") == text, "run `make schema`"
