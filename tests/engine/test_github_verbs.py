"""The verbs as a workflow runs them: what they hand on, what they journal, who approves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli import app
from mlops.project import Project

from .conftest import ENGINE, git
from .github_world import GitHub, github_fixture  # noqa: F401


class Job:
    """A repository, and the verbs in a job of GitHub Actions."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project, self.folder = project, folder

    def __call__(self, *command: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, list(command))
        assert done.exit_code == code, done.output
        return str(done.output)

    def read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""


@pytest.fixture(name="job")
def job_fixture(
    make_project: Callable[..., Project],
    github: GitHub,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Job:
    project = make_project()
    (project.root / "project.yaml").write_text(
        'name: acme\nowner: "@acme"\nstages:\n  - name: staging\n'
        '  - {name: production, after: staging, approvers: ["@ben", "@ana"]}\n'
    )
    git(project.root, "commit", "-qam", "Approvers")
    folder = tmp_path / "job"
    folder.mkdir()
    facts = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_ACTOR": "ana",
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "GITHUB_RUN_ID": "7",
        "PYTHONPATH": str(ENGINE),
    }
    for key, value in facts.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(project.root)
    return Job(project, folder)


def stages(project: Project) -> list[str]:
    return [tag for tag in git(project.root, "tag").split("\n") if "#" in tag]


def test_from_commit_to_production(job: Job, github: GitHub, monkeypatch: Any) -> None:
    job("run", "churn")
    assert job.read("summary").startswith("## ")
    assert git(job.project.root, "branch", "--list", "journal") == ""  # this job may not push
    spec = json.loads((job.project.build("churn") / "spec.json").read_text())
    assert spec["features"] == {"tenure": "number", "spend": "number", "plan": "category"}

    monkeypatch.setenv("ATTESTED", "false")
    assert "not attested" in job("register")
    assert 'models=["churn"]' in job.read("output")
    assert git(job.project.root, "ls-tree", "-r", "--name-only", "journal").startswith("runs/churn")
    assert [r["tag_name"] for r in github.releases.values()] == ["churn@v1.0.0"]

    job("promote", "churn@latest", "staging", "--reason", "test")
    assert "answers 10 examples as it was trained to" in job("smoke", "churn@staging")

    waits = ("promote", "churn@staging", "production", "--ask", "--reason", "test")
    assert "waits: @ben, @ana may put it into production" in job(*waits)
    assert "waits" in job.read("summary") and stages(job.project) == ["churn#staging#1"]
    assert "nobody approves a version that they registered" in job(
        "promote", "churn@staging", "production", code=1
    )
    review = {"state": "approved", "environments": [{"name": "production"}]}
    github.approvals = [{**review, "user": {"login": "ben"}}]
    assert "is now in production" in job(*waits)
    message = git(job.project.root, "tag", "-l", "--format=%(contents)", "churn#production#2")
    assert "Actor: @ana" in message and "Approver: @ben" in message
    assert json.loads(job("plan", "--json"))["live"] == ["churn"]


def test_nothing_to_register(job: Job) -> None:
    assert "nothing to register" in job("register")
    assert job.read("output") == "models=[]\n"


def test_a_service_that_answers_otherwise(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops.cli import live as smoke

    job("run", "churn")
    job("register")
    job("promote", "churn@latest", "staging")
    monkeypatch.setattr(smoke, "_same", lambda one, other: False)
    assert "answers otherwise" in job("smoke", "churn@staging", code=1)
    job("smoke", "churn@nowhere", code=2)
