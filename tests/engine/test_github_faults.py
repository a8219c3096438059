"""Every call to GitHub by every command, met by every fault: never half a state."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project

from .conftest import ENGINE, git
from .github_world import GitHub, github_fixture  # noqa: F401
from .test_github_alarm import World as AlarmWorld
from .test_github_alarm import leave_a_run
from .test_github_comment import RUN, pull, results

# An answer of 403 will not change; the others may pass.
ANSWERS: tuple[int | str, ...] = (500, 502, 429, 403, "lost", "late")


class Command:
    """A command that is run on a prepared world; `state` is all that it may change."""

    def __init__(self, github: GitHub, project: Project, command: list[str]) -> None:
        self.github, self.project, self.command = github, project, command

    def prepare(self) -> None:
        """Make the world what it is before the command."""
        github, root = self.github, self.project.root
        for things in (github.issues, github.comments, github.dispatches):
            things.clear()
        for ref in git(root, "for-each-ref", "--format=%(refname)").split():
            if ref == "refs/heads/journal" or "#production#" in ref:
                git(root, "update-ref", "-d", ref)

    def run(self) -> tuple[int, str]:
        """Run the command; return its exit code and all that it said."""
        self.github.requests.clear()
        done = CliRunner().invoke(app, self.command)
        assert done.exit_code in (0, 3), done.output
        return done.exit_code, done.output

    def state(self) -> Any:
        """Return what the command has made of the world, without what it counts up."""
        github, root = self.github, self.project.root
        refs = git(root, "for-each-ref", "--format=%(refname)").split()
        runs = (
            git(root, "ls-tree", "-r", "--name-only", "journal")
            if JOURNAL in refs
            else ""
        )
        issues = [(i["state"], i["body"]) for i in github.issues.values()]
        comments = [(c["on"], c["body"]) for c in github.comments.values()]
        shown = (
            json.dumps([issues, comments]) if not github.issues else issues_of(github)
        )
        return refs, runs, shown, bool(github.dispatches)


JOURNAL = "refs/heads/journal"


def issues_of(github: GitHub) -> Any:
    """Return issues and comments, without the ids, which count the requests."""
    return [
        (
            i["state"],
            i["body"],
            [c["body"] for c in github.comments.values() if c["on"] == n],
        )
        for n, i in github.issues.items()
    ]


class Comment(Command):
    """`mlops comment`; with `again` there is a comment of an older run."""

    def __init__(
        self,
        github: GitHub,
        project: Project,
        folder: Path,
        patch: pytest.MonkeyPatch,
        again: bool,
    ) -> None:
        super().__init__(github, project, ["comment", "--report", str(folder)])
        self.again = again
        github.pulls = [pull(5)]
        event = folder / "event.json"
        results(folder, project)
        event.write_text(json.dumps({"workflow_run": RUN}))
        patch.setenv("GITHUB_EVENT_PATH", str(event))

    def prepare(self) -> None:
        super().prepare()
        if self.again:
            old = {
                "on": 5,
                "user": self.github.user(),
                "body": "<!-- mlops: report -->\nold",
            }
            self.github.new(self.github.comments, "issues/comments", **old)

    def state(self) -> Any:
        return (
            *super().state()[:2],
            [(c["on"], c["body"]) for c in self.github.comments.values()],
        )


class Alarm(Command):
    """`mlops alarm` after some checks."""

    def __init__(
        self, github: GitHub, project: Project, before: int, alarm: bool
    ) -> None:
        super().__init__(github, project, ["alarm"])
        self.world, self.before, self.alarm = AlarmWorld(project, github), before, alarm

    def prepare(self) -> None:
        super().prepare()
        self.world.day = 1
        for _ in range(self.before):
            self.world.check()
        self.world.leave(self.alarm)


class Gate(Alarm):
    """`mlops alarm --gate` after an alarm whose retraining was refused."""

    def __init__(self, github: GitHub, project: Project) -> None:
        super().__init__(github, project, before=1, alarm=True)
        self.command = ["alarm", "--gate"]

    def prepare(self) -> None:
        super().prepare()
        leave_a_run(self.project, "reject", "worse")


@pytest.fixture(name="project")
def project_fixture(
    make_project: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Project:
    project = make_project()
    monkeypatch.chdir(project.root)
    for key, value in {
        "SERVER_URL": "https://x.test",
        "RUN_ID": "7",
        "ACTOR": "ana",
    }.items():
        monkeypatch.setenv(f"GITHUB_{key}", value)
    event = tmp_path / "event-of-main.json"
    event.write_text(json.dumps({"repository": {"default_branch": "main"}}))
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    monkeypatch.setenv("GITHUB_REF", "refs/heads/main")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    # Of two runs at different times the run log would hold other files.
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1793000000")
    return project


def cases(command: Command, answer: int | str) -> Iterator[tuple[int, str, bool]]:
    """Yield each call of a command, and whether it is obeyed although it fails."""
    command.prepare()
    assert command.run()[0] == 0
    for at, line in enumerate(list(command.github.requests)):
        for obeyed in (False, True):
            if not obeyed or not line.startswith("GET"):
                yield at, line, obeyed


def every_call_fails(command: Command, answer: int | str) -> None:
    """Let each call fail once, and for good; the next run ends as one without."""
    calls = list(cases(command, answer))
    expected = command.state()
    for at, line, obeyed in calls:
        for times in (1, 99):
            if (times, answer) == (99, "late") and at:
                continue  # it takes its time, and is "lost" to the command
            command.prepare()
            command.github.fail(".*", answer, obeyed, times)
            command.github.spared = at
            code, said = command.run()
            case = f"{line} answered {answer}, obeyed: {obeyed}, times: {times}"
            stays = times > 1 or answer == 403
            assert code == (3 if stays else 0), f"{case}\n{said}"
            if stays:
                assert "GitHub " in said and "when asked to " in said, case
                assert "Traceback" not in said, case
                command.github.faults.clear()
                assert command.run()[0] == 0, case
            assert command.state() == expected, case
            if times == 1:  # asked twice is trained once: the same bytes
                assert len(command.github.dispatches) <= 2, case


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("again", [False, True], ids=["first", "edited"])
def test_comment(
    github: GitHub,
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: int | str,
    again: bool,
) -> None:
    every_call_fails(
        Comment(github, project, tmp_path / "report", monkeypatch, again), answer
    )


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(
    ("before", "alarm"),
    [(0, True), (1, True), (1, False)],
    ids=["opened", "edited", "closed"],
)
def test_alarm(
    github: GitHub, project: Project, answer: int | str, before: int, alarm: bool
) -> None:
    every_call_fails(Alarm(github, project, before, alarm), answer)


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_refused_retraining(
    github: GitHub, project: Project, answer: int | str
) -> None:
    every_call_fails(Gate(github, project), answer)


def test_a_plan_asks_nobody(github: GitHub, project: Project) -> None:
    github.fail(".*", 500, times=99)
    assert Command(github, project, ["plan", "--base", "HEAD"]).run()[0] == 0
    assert not github.requests


def test_promotion(
    github: GitHub, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Approval is read, the release is read and verified, then there is the tag."""
    (project.root / "project.yaml").write_text(
        'name: acme\nowner: "@acme"\nstages:\n  - name: staging\n'
        '  - {name: production, after: staging, approvers: ["@ben"]}\n'
    )
    git(project.root, "commit", "-qam", "Approvers")
    monkeypatch.setenv("PYTHONPATH", str(ENGINE / "vendor/mlops/src"))
    review = {"state": "approved", "environments": [{"name": "production"}]}
    github.approvals = [{**review, "user": {"login": "ben"}}]
    for command in (["run"], ["register"], ["promote", "churn@latest", "staging"]):
        assert CliRunner().invoke(app, command).exit_code == 0
    command = Command(
        github, project, ["promote", "churn@staging", "production", "--ask"]
    )
    for answer in (502, 403, "lost"):
        every_call_fails(command, answer)
    assert any("#production#" in ref for ref in command.state()[0])
