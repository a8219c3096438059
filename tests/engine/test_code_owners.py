"""Who must review a change: the patterns of CODEOWNERS, and what doctor says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.github.code_owners import judging, parse, without_owner

from .conftest import git

GENERATED = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*", "vendor/mlops/a.py", True),
        ("*.py", "vendor/mlops/a.py", True),
        ("*.py", "vendor/mlops/a.pyi", False),
        ("/vendor/", "vendor/mlops/a.py", True),
        ("/vendor", "vendor/mlops/a.py", True),
        ("/vendor/", "attic/vendor/a.py", False),
        ("vendor/", "attic/vendor/a.py", True),
        ("vendor/", "vendor", False),
        ("vendor/mlops/", "vendor/mlops/a.py", True),
        ("vendor/mlops/", "x/vendor/mlops/a.py", False),
        ("vendor/*", "vendor/mlops/a.py", False),
        ("vendor/*", "vendor/a.py", True),
        ("vendor/**", "vendor/mlops/a.py", True),
        ("**/gate/*.py", "vendor/mlops/gate/a.py", True),
        ("vendor/**/a.py", "vendor/a.py", True),
        ("/project.yaml", "project.yaml", True),
        ("/project.yaml", "models/project.yaml", False),
        ("/requirements/?ase.txt", "requirements/base.txt", True),
        ("/.github/", "xgithub/a", False),
        ("/a\\ b/", "a b/c", True),
        ("/VENDOR/", "vendor/a.py", False),
    ],
)
def test_a_pattern_fits_what_it_fits_on_github(
    pattern: str, path: str, fits: bool
) -> None:
    lost = without_owner(parse(f"{pattern} @someone\n"), [path])
    assert lost == ([] if fits else [path])


@pytest.mark.parametrize(
    ("text", "owned"),
    [
        ("* @one\n/vendor/ @org/team # because\n", True),
        ("* one@example.com\n", True),
        ("* @one\n/vendor/\n", False),
        ("/vendor/ @one\n* \n", False),
        ("# * @one\n", False),
        ("* one\n", False),
        ("!/vendor/ @one\n", False),
        ("/[v]endor/ @one\n", False),
        ("", False),
    ],
)
def test_the_last_line_that_fits_decides_and_may_name_nobody(
    text: str, owned: bool
) -> None:
    assert bool(without_owner(parse(text), ["vendor/a.py"])) is not owned


def test_what_judges_models_is_at_the_top_of_the_repository() -> None:
    paths = ["vendor/a", "models/vendor/a", "project.yaml", "x/CODEOWNERS", "vendor/a"]
    assert judging(paths) == ["project.yaml", "vendor/a", "x/CODEOWNERS"]


def test_a_generated_repository_has_an_owner_for_all_that_judges() -> None:
    template = (GENERATED / ".github/CODEOWNERS").read_text(encoding="utf-8")
    rules = parse(template.replace("{{ cookiecutter.github_owner }}", "acme"))
    own_lines = [
        rule for rule in rules if rule.pattern.pattern != "(?:.*/)?[^/]*(?:/.*)?"
    ]
    files = judging(
        path.relative_to(GENERATED).as_posix()
        for path in GENERATED.rglob("*")
        if path.is_file()
    )
    assert len(files) > 100
    assert without_owner(own_lines, files) == [], "also without the line for everything"


def found(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(project.root)
    done = CliRunner().invoke(app, ["doctor", "--json"])
    (row,) = [r for r in json.loads(done.stdout) if r["check"] == "code owners"]
    assert row["ok"] is not bool(row["found"])
    return str(row["found"])


def test_doctor_names_what_nobody_owns(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project()
    workflows = project.root / ".github" / "workflows"
    workflows.mkdir(parents=True)
    (workflows / "release.yml").write_text("name: release\n")
    git(project.root, "add", "-A")
    assert "there is no .github/CODEOWNERS" in found(project, monkeypatch)
    owners = project.root / ".github" / "CODEOWNERS"
    owners.write_text("* @acme\n/.github/workflows/\n")
    git(project.root, "add", "-A")
    said = found(project, monkeypatch)
    assert said == ".github/CODEOWNERS gives no owner to .github/workflows/release.yml"
    owners.write_text("* @acme\n/.github/workflows/ @acme/engineers\n")
    assert found(project, monkeypatch) == ""
