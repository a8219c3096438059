"""The base needs no extra, and who lacks one is told which."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
import typer

from mlops.cli.extras import EXTRAS, MODULES
from mlops.cli.main import app

from .conftest import ENGINE
from .registry_world import MODEL, World, world_fixture  # noqa: F401

SOURCE = ENGINE / "vendor" / "mlops" / "src"
PROJECT = tomllib.loads((ENGINE / "vendor/mlops/pyproject.toml").read_text("utf-8"))[
    "project"
]

# A Python in which nothing of the extras is installed.
BARE = f"""
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(MODULES)}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Nothing())
from mlops.cli.main import main
main()
"""


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a Python without the extras."""
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run(
        [sys.executable, "-c", BARE, *command],
        cwd=root,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def providers(module: str) -> frozenset[str]:
    """Return the distributions that install a module."""
    return frozenset(map(distribution, installed()[module]))


@cache
def installed() -> dict[str, list[str]]:
    """Return the distributions of every module that is installed."""
    return dict(metadata.packages_distributions())


def distribution(requirement: str) -> str:
    """Return the name of what a requirement asks for."""
    return re.split(r"[\[<>=~! ]", requirement)[0].lower().replace("_", "-")


@cache
def imports(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return which modules of the engine and which packages a module ever imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    only_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    named: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in only_types:
            continue
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named |= {f"{node.module}.{alias.name}" for alias in node.names}
            named.add(node.module)
    own = {name for name in named if name.split(".")[0] == "mlops"}
    return frozenset(own), frozenset(name.split(".")[0] for name in named - own)


def reached(module: str) -> dict[str, list[str]]:
    """Return the packages that a module can reach, each with the modules on the way."""
    ways, waiting = {module: [module]}, [module]
    found: dict[str, list[str]] = {}
    while waiting:
        name = waiting.pop(0)
        path = SOURCE / Path(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not path.is_file():  # the name of a function or a class
            continue
        own, packages = imports(path)
        for package in packages:
            found.setdefault(package, ways[name])
        for other in sorted(own - set(ways)):
            ways[other] = [*ways[name], other]
            waiting.append(other)
    return found


@pytest.mark.parametrize("group", ["workflow", "github", "rehearse", "context", "app"])
def test_what_jobs_wait_for_reaches_no_extra_at_all(group: str) -> None:
    found = reached(f"mlops.cli.{group}")
    assert {"typer", "pydantic"} <= set(found)
    assert {name: way for name, way in found.items() if name in MODULES} == {}


def test_every_command_of_the_registry_works_without_the_extras(world: World) -> None:
    number = world.release("one")
    commands = (
        ("--help",),
        ("plan",),
        ("promote", f"{MODEL}@{number}", "staging", "--reason", "it is better"),
        ("registry", "list"),
        ("registry", "show", f"{MODEL}@{number}"),
        ("registry", "history", MODEL),
        ("registry", "lineage", f"{MODEL}@{number}"),
        ("registry", "best", MODEL, "--metric", "roc_auc"),
        ("registry", "prune", MODEL),
        ("runs", "list"),
        ("pages", "--out", "site"),
        ("pull", f"{MODEL}@staging"),
        ("rollback", MODEL, "staging", "--reason", "complaints"),
        ("deprecate", MODEL, "--reason", "no more"),
    )
    for command in commands:
        done = run(world.root, *command)
        said = done.stdout + done.stderr
        assert "Traceback" not in said and "not installed" not in said, command
        assert done.returncode in (0, 1), (command, said)
        if command[0] not in ("rollback",):
            assert done.returncode == 0, (command, said)
    assert "pre-commit" in run(world.root, "doctor").stdout


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("run", MODEL), "train"),
        (("validate", MODEL), "train"),
        (("predict", f"{MODEL}@v1.0.0", "rows.csv", "--out", "out.csv"), "serve"),
        (("serve", f"{MODEL}@staging"), "serve"),
        (("monitor", f"{MODEL}@v1.0.0"), "monitor"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_who_lacks_an_extra_is_told_which(
    world: World, command: tuple[str, ...], extra: str
) -> None:
    world.promote(world.release("one"), "staging")
    (world.root / "rows.csv").write_text("age,plan\n1,basic\n")
    done = run(world.root, *command)
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"error: this needs the packages of the extra `{extra}`" in done.stderr
    assert f"make setup KIND={extra}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_table_of_extras_is_that_of_the_package() -> None:
    declared = {
        extra: {distribution(text) for text in needed}
        for extra, needed in PROJECT["optional-dependencies"].items()
    }
    for module, extra in MODULES.items():
        assert providers(module) & declared[extra], module
    base = {distribution(text) for text in PROJECT["dependencies"]}
    known = {name for module in MODULES for name in providers(module)}
    assert set().union(*declared.values()) - base <= known
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(EXTRAS) <= set(commands)
    assert set(EXTRAS.values()) == set(declared)


def test_what_the_engine_imports_it_declares() -> None:
    declared = {distribution(text) for text in PROJECT["dependencies"]}
    for needed in PROJECT["optional-dependencies"].values():
        declared |= {distribution(text) for text in needed}
    ours = {*sys.stdlib_module_names, "pydantic_core"}  # pydantic's own, bound to it
    for path in sorted((SOURCE / "mlops").rglob("*.py")):
        for module in imports(path)[1] - ours:
            assert providers(module) & declared, f"{path} imports {module}"
