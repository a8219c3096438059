"""Which models a command is about: patterns and owners."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.cli.selection import select
from mlops.config.project import Project
from mlops.errors import UsageError

from .grown import Grown, Size


@pytest.fixture(name="project")
def project_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Five models: m000 and m004 are @ana's, m001 is @ben's, and so on."""
    made = Grown(tmp_path / "acme", Size(models=5, versions=10, runs=10))
    project = Project(made.root)
    made.fill(project.store)
    monkeypatch.chdir(made.root)
    return project


def ask(*words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--json"])
    return json.loads(done.stdout)


def test_names_and_patterns_stand_for_models_each_once(project: Project) -> None:
    assert select(project) == ["m000", "m001", "m002", "m003", "m004"]
    assert select(project, ["m00[34]", "m003", "m001"]) == ["m003", "m004", "m001"]
    assert select(project, ["nobody"]) == ["nobody"]  # whoever uses it says so
    with pytest.raises(UsageError, match="no model matches this pattern"):
        select(project, ["x*"])


@pytest.mark.parametrize("owner", ["@ana", "ana", "@Ana"])
def test_an_owner_is_a_person_however_the_handle_is_written(
    project: Project, owner: str
) -> None:
    assert select(project, owner=owner) == ["m000", "m004"]
    assert select(project, ["m00[0-3]"], owner) == ["m000"]


def test_an_owner_without_a_model_is_an_error_that_names_the_owners(
    project: Project,
) -> None:
    with pytest.raises(UsageError) as failure:
        select(project, owner="@anna")
    text = str(failure.value)
    assert "--owner" in text and "@ana, @ben, @cleo, @dan" in text
    with pytest.raises(UsageError):
        select(project, ["m001"], "@ana")


def test_lists_show_the_models_of_one_owner(project: Project) -> None:
    versions = ask("registry", "list", "--owner", "@ana")
    refs = [f"{name}@{v}" for name in ("m000", "m004") for v in ("v1.1.0", "v1.0.0")]
    assert [row["version"] for row in versions] == refs
    runs = ask("runs", "list", "--owner", "@ben", "--limit", "1")
    assert [run["model"] for run in runs] == ["m001"]
    assert len(ask("runs", "list", "--owner", "@ana")) == 4


def test_doctor_looks_at_the_releases_of_one_owner(project: Project) -> None:
    for name in ("m000", "m001"):
        (project.store / name / "v1.1.0" / "model.skops").write_bytes(b"other")

    def registry(*words: str) -> str:
        (finding,) = (f for f in ask("doctor", *words) if f["check"] == "registry")
        return str(finding["found"])

    assert "m000@" in registry() and "m001@" in registry()
    assert "m000@" in registry("--owner", "@ana")
    assert "m001@" not in registry("--owner", "@ana")
    assert registry("--owner", "@dan") == ""


def test_a_run_of_the_models_of_nobody_runs_none(project: Project) -> None:
    done = CliRunner().invoke(app, ["run", "--owner", "@nobody"])
    assert (
        done.exit_code == 2 and "no model that is meant has this owner" in done.output
    )
    assert not (project.root / "build").exists()
