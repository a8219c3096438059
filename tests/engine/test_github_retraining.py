"""A retraining that an alarm proposes: one pull request, by the token that may."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.github.events import plan_for
from mlops.io.files import write_json
from mlops.results.monitoring import DriftCheck
from rehearsal.hub import Hub
from rehearsal.hub.desk import Desk

from .conftest import git

FILE = "models/churn/retraining.yaml"
HOSTILE = 'v1.0.0"\nrun: |\n  <b>@everyone</b>'


class World:
    """A repository on a hub, and the last two jobs of monitor.yml."""

    def __init__(
        self, hub: Hub, tmp: Path, project: Project, patch: pytest.MonkeyPatch
    ) -> None:
        self.hub, self.tmp, self.patch = hub, tmp, patch
        token = hub.tokens.issue("write-all", actor="alice", kind="user")
        self.desk = Desk(hub, project.root, token)
        self.desk.git("remote", "add", "origin", f"{hub.server_url}/acme/demo.git")
        self.desk.git("push", "--quiet", "origin", "HEAD:main")
        for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "UPDATE_TOKEN"):
            patch.delenv(name, raising=False)
        facts = {
            "REPOSITORY": hub.repository,
            "API_URL": hub.api_url,
            "SERVER_URL": hub.server_url,
        }
        for name, value in facts.items():
            patch.setenv(f"GITHUB_{name}", value)
        patch.setenv("MLOPS_RETRY_SECONDS", "0.001")
        patch.setenv("HOME", str(tmp))

    def job(self) -> Project:
        """Check main out afresh, as a job does."""
        folder = self.tmp / "job"
        subprocess.run(["rm", "-rf", str(folder)], check=True)
        url = f"{self.hub.server_url}/acme/demo.git"
        git(self.tmp, "clone", "--quiet", url, "job")
        self.patch.chdir(folder)
        return Project(folder)

    def command(self, *words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, [*words])
        assert done.exit_code == code, done.output
        assert "defect of mlops" not in done.output
        return str(done.output)

    def alarm(self) -> None:
        """Open the issue of an alarm, as the job `alarm` does."""
        token = self.hub.tokens.issue({"issues": "write"})
        issue = {
            "title": "churn: data drift detected",
            "body": "<!-- mlops: alarm churn version v1.0.0 checks 1 by 1 -->",
            "labels": ["model-alarm"],
        }
        status, _, _ = Desk(self.hub, self.tmp, token).ask("POST", "/issues", issue)
        assert status == 201

    def leave(self, project: Project, day: int, **update: Any) -> None:
        facts: dict[str, Any] = {
            "model": "churn",
            "version": "v1.0.0",
            "stage": "production",
            "since": f"2026-11-{day - 1:02}T00:00+00:00",
            "until": f"2026-11-{day:02}T00:00+00:00",
            "began": "2026-11-02T00:00+00:00",
            "alarm": True,
            "enough": True,
            "rows": 500,
            "labelled": 0,
            "compared": (500, 500),
        }
        check = DriftCheck(**facts | update)
        path = project.build("churn") / "monitor.json"
        write_json(path, check.model_dump(mode="json"))

    def propose(self, day: int, code: int = 0, **update: Any) -> str:
        """Run the job `propose` on a check of a day."""
        project = self.job()
        self.leave(project, day, **update)
        job = {"issues": "write", "contents": "read"}
        self.patch.setenv("GITHUB_TOKEN", self.hub.tokens.issue(job))
        return self.command("github", "retrain", "--models", '["churn"]', code=code)

    def may(self, **permissions: str) -> None:
        granted = {name.replace("_", "-"): level for name, level in permissions.items()}
        token = self.hub.tokens.issue(granted, "acme", kind="user")
        self.patch.setenv("UPDATE_TOKEN", token)

    @property
    def pulls(self) -> list[dict[str, Any]]:
        return list(self.hub.state.pulls.values())

    @property
    def comments(self) -> list[str]:
        return [c["body"] for c in self.hub.state.comments(1)]


@pytest.fixture(name="world")
def world_fixture(
    tmp_path: Path,
    make_project: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.com")
    project = make_project(monitor={"on_alarm": "propose"})
    with Hub(tmp_path / "hub") as hub:
        yield World(hub, tmp_path, project, monkeypatch)


ENOUGH = {"contents": "write", "pull_requests": "write"}


def test_a_retraining_is_proposed_by_one_pull_request_of_what_makes_it_train(
    world: World,
) -> None:
    world.alarm()
    world.may(**ENOUGH)
    assert "pull/2 proposes it" in world.propose(3)
    (pull,) = world.pulls
    assert pull["title"] == "Retrain churn on the data of today"
    assert pull["user"] == "acme"
    assert pull["head"]["ref"] == "retrain-churn"
    assert "Merging releases it" in pull["body"]
    folder = world.job().root
    git(folder, "fetch", "--quiet", "origin", "retrain-churn")
    changed = git(folder, "diff", "--name-only", "HEAD", "FETCH_HEAD").split()
    assert changed == [FILE]
    text = git(folder, "show", f"FETCH_HEAD:{FILE}")
    assert YAML(typ="safe").load(text) == {
        "alarm": "2026-11-02T00:00+00:00",
        "check": "2026-11-03T00:00+00:00",
        "version": "v1.0.0",
        "run": "",
    }
    plan = plan_for(changed, ["churn", "other"])
    assert plan.models == ["churn"]
    (comment,) = world.comments
    assert comment.startswith(f"<!-- mlops: retrain churn {digest_of(pull)} -->")
    assert "/pull/2 proposes it." in comment


def digest_of(pull: dict[str, Any]) -> str:
    """Return what says which alarm a pull request is of."""
    return str(pull["body"].split()[4])


def test_one_alarm_has_one_pull_request_also_where_it_was_closed(world: World) -> None:
    world.alarm()
    world.may(**ENOUGH)
    world.propose(3)
    assert "has it already, and is open" in world.propose(4)
    world.desk.ask("PATCH", "/pulls/2", {"state": "closed"})
    assert "has it already, and is closed" in world.propose(5)
    assert len(world.pulls) == 1 and len(world.comments) == 1
    world.may(**ENOUGH)
    later = {"began": "2026-11-20T00:00+00:00"}
    assert "pull/3 proposes it" in world.propose(20, **later)


def test_without_the_token_the_issue_says_how_to_open_it(world: World) -> None:
    world.alarm()
    assert "issues/1" in world.propose(3)
    assert "issues/1" in world.propose(4)
    (comment,) = world.comments
    assert f"write the date into `{FILE}`" in comment
    assert "UPDATE_TOKEN" in comment and world.pulls == []


def test_texts_of_the_check_are_data(world: World) -> None:
    """The job that made it has run the code of a model."""
    world.alarm()
    world.may(**ENOUGH)
    reasons = ("<b>@everyone</b>",)
    world.propose(3, version=HOSTILE, reasons=reasons)
    (pull,) = world.pulls
    assert "<b>" not in pull["body"] and "@everyone" not in pull["body"]
    folder = world.job().root
    git(folder, "fetch", "--quiet", "origin", "retrain-churn")
    text = git(folder, "show", f"FETCH_HEAD:{FILE}")
    assert YAML(typ="safe").load(text)["version"] == HOSTILE


@pytest.mark.parametrize(
    "update", [{"alarm": False}, {"model": "other"}], ids=["no alarm", "another model"]
)
def test_what_is_no_alarm_of_the_model_is_not_proposed(
    world: World, update: dict[str, Any]
) -> None:
    world.may(**ENOUGH)
    assert "is no alarm of the model" in world.propose(3, code=2, **update)
    assert world.pulls == []


def test_a_token_that_may_not_push_is_named(world: World) -> None:
    world.alarm()
    world.may(pull_requests="write", contents="read")
    assert "check what UPDATE_TOKEN can write" in world.propose(3, code=3)
    assert world.pulls == [] and world.comments == []
