"""The documents are true where a machine can tell: what they name exists."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
import reference

from mlops import settings

ROOT = Path(__file__).parents[1]
GENERATED = ROOT / "{{cookiecutter.project_slug}}"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CAPABILITIES = ROOT / "docs" / "reference" / "capabilities.md"  # written by hand
NAMED = re.findall(
    r"`((?:tests|rehearsal)/[\w/]+\.py)::(\w+)`",
    CAPABILITIES.read_text(encoding="utf-8"),
)


def test_capabilities_name_tests() -> None:
    assert len(NAMED) > 20


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_exists(file: str, name: str) -> None:
    assert re.search(
        rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.M
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(
        r"\]\(([^)#]+)(?:#[\w-]*)?\)", page.read_text(encoding="utf-8")
    ):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    "page", [*PAGES, GENERATED / "README.md"], ids=lambda p: p.parent.name
)
def test_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    targets |= set(
        re.findall(r"^([a-z-]+):", (GENERATED / "Makefile").read_text(), re.M)
    )
    for target in re.findall(r"(?:^|`)make (?:-C \S+ )?([a-z-]+)", text, re.M):
        assert target in targets, target
    cells = re.findall(
        r"^\| (`mlops .+?) \|", (GENERATED / "README.md").read_text("utf-8"), re.M
    )
    commands = {
        name for cell in cells for name in re.findall(r"`(?:mlops )?([a-z]+)", cell)
    }
    for name in re.findall(r"`mlops ([a-z]+)", text):
        assert name in commands, name


@pytest.mark.parametrize("page", ["one-row.md", "one-model.md"])
def test_the_calls_of_a_walk_exist(page: str) -> None:
    text = (ROOT / "docs" / "explanation" / page).read_text(encoding="utf-8")
    calls = re.findall(r"`([a-z_]+\.[\w.]+)\(\)`", text)
    assert len(calls) > 8
    for call in calls:
        package, module, *names = call.split(".")
        path = GENERATED / "vendor/mlops/src/mlops" / package / f"{module}.py"
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for name in names:
            (found,) = [node for node in body if getattr(node, "name", "") == name]
            body = getattr(found, "body", [])


def test_the_reference_is_what_the_code_says() -> None:
    pages = reference.pages()
    stale = [
        path.name
        for path, text in pages.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert not stale, "run `make reference`"
    assert set(reference.PAGES.glob("*.md")) - {CAPABILITIES} == set(pages)


@pytest.mark.parametrize("page", ["model-yaml.md", "project-yaml.md"])
def test_every_key_of_a_specification_is_explained(page: str) -> None:
    text = (reference.PAGES / page).read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 10
    for row in rows:
        assert len(row) == 4 and len(row[3].split()) > 2, row[0]


def test_every_environment_variable_that_is_read_is_documented() -> None:
    source = (GENERATED / "vendor/mlops/src/mlops/settings.py").read_text("utf-8")
    functions = [
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)
    ]
    read = {
        str(node.value)
        for reader in functions
        if reader.name not in ("prepare_process", "alike_kernels")  # which set them
        for node in ast.walk(reader)
        if isinstance(node, ast.Constant)
        and re.fullmatch("[A-Z_]{3,}", str(node.value))
    }
    documented = (*settings.VARIABLES, *settings.SYSTEM_VARIABLES)
    names = [variable.name for variable in documented]
    assert len(names) == len(set(names))
    assert set(names) == read | set(settings.SECRETS)


def test_one_version_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "version"
    ]
    engine = GENERATED / "vendor" / "mlops"
    text = (engine / "src/mlops/__init__.py").read_text("utf-8")
    assert re.findall(r'^__version__ = "(.+)"$', text, re.M) == [version]
    for changelog in (ROOT / "CHANGELOG.md", engine / "CHANGELOG.md"):
        newest = re.search(r"^## (.+)$", changelog.read_text("utf-8"), re.M)
        assert newest and newest[1] == version, changelog


def test_every_package_of_the_brief_is_a_dependency() -> None:
    files = ("pyproject.toml", "vendor/mlops/pyproject.toml")
    project = "".join((GENERATED / file).read_text("utf-8") for file in files)
    for package in (
        "scikit-learn",
        "pandas",
        "great-expectations",
        "evidently",
        "pytest",
    ):
        assert f'"{package}>=' in project
    assert '"pre-commit>=' in project
    assert "cookiecutter>=" in (ROOT / "requirements-dev.in").read_text(
        encoding="utf-8"
    )
