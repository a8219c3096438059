"""The report says what changed since production, slice by slice and over versions."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project

from .conftest import git

SLICES = {"columns": ["plan"], "min_rows": 20}
CHECKS = {"latency_ms": 5000}  # a busy machine is no reason to refuse a version


def mlops(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), prog_name="mlops")
    assert done.exit_code in (0, 1), done.output
    return done.output


def in_production(project: Project) -> None:
    """Train a model, and put its first version into production."""
    mlops("run", "churn")
    assert "is registered" in mlops("register", "churn", "-m", "first")
    mlops("promote", "churn@v1.0.0", "staging")
    mlops("promote", "churn@v1.0.0", "production", "--yes")


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def section(report: str, title: str) -> str:
    found = re.search(rf"^### {title}\n(.*?)(?=^### |\Z)", report, re.DOTALL | re.M)
    assert found, report
    return found[1]


@pytest.fixture(name="project")
def project_fixture(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> Project:
    project = make_project(n=900, slices=SLICES, checks=CHECKS)
    monkeypatch.chdir(project.root)
    in_production(project)
    return project


def test_what_changed_is_named_with_both_values(project: Project) -> None:
    folder = project.folder("churn")
    edit(folder / "model.yaml", "learner: logistic", "C: 0.01\n    learner: logistic")
    edit(project.lock, "scikit-learn==1.0", "scikit-learn==1.1")
    rows = folder / "data" / "rows.csv"
    rows.write_text("\n".join(rows.read_text().splitlines()[:-50]) + "\n")
    git(project.root, "commit", "-qam", "Stronger regularisation, fewer rows")
    mlops("run", "churn")
    report = (project.build("churn") / "report.md").read_text()
    changed = section(report, "What changed since v1.0.0")
    assert re.search(r"\| Parameter C \| . \| 0\.01 \|", changed)
    assert re.search(r"\| Library scikit-learn \| 1\.0 \| 1\.1 \|", changed)
    assert re.search(r"\| Data .* \| 900 .* \| 850 ", changed)
    assert "seed" not in changed and "Feature" not in changed
    slices = section(report, "Slices")
    assert "| Better by | 95% CI of it |" in slices
    assert re.search(r"plan = basic \| holds \| .* .?0\.\d+ to .?0\.\d+ \|", slices)
    versions = section(report, "Over versions")
    assert versions.index("| v1.0.0 |") < versions.index("| this run |")
    page = (project.build("churn") / "report.html").read_text()
    assert "From version to version" in page and "What each feature adds" in page


def test_where_nothing_changed_it_says_so(project: Project) -> None:
    mlops("run", "churn", "--force")
    report = (project.build("churn") / "report.md").read_text()
    assert "Nothing: the same code, parameters, data and libraries." in section(
        report, "What changed since v1.0.0"
    )


def test_a_lock_that_is_not_known_is_compared_by_its_digest(project: Project) -> None:
    """Of a version whose commit is not in this clone, say."""
    from mlops.registry.changes import changes
    from mlops.registry.queries import show
    from mlops.results.data import Snapshot
    from mlops.results.training import Training

    _, manifest = show(project, "churn@v1.0.0")
    training = Training.load(project.build("churn"))
    snapshot = Snapshot.load(project.build("churn"))
    other = training.model_copy(update={"lock": "f" * 64})
    (found,) = changes(manifest, other, snapshot, None)
    assert (found.kind, found.name, found.after) == ("library", "lock", "f" * 12)
    assert changes(manifest, training, snapshot, None) == ()


def test_a_first_version_has_nothing_to_be_compared_with(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(n=900, slices=SLICES, checks=CHECKS)
    monkeypatch.chdir(project.root)
    mlops("run", "churn")
    report = (project.build("churn") / "report.md").read_text()
    assert "What changed" not in report and "Over versions" not in report
    assert "Better by" not in report
