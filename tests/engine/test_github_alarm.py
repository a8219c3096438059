"""The one issue of a model that has drifted, over its life."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.io.files import write_json, write_text
from mlops.reporting.markdown import markdown
from mlops.reporting.run_report import RunReport
from mlops.results.data import Expectation, Validation
from mlops.results.monitoring import DriftCheck
from mlops.results.runs import Record
from mlops.results.verdict import Condition, RefusedByTest, Verdict
from mlops.runlog.query import checks

from .conftest import git
from .github_world import GitHub, github_fixture  # noqa: F401


class World:
    """A repository, its GitHub, and what is done there."""

    def __init__(self, project: Project, github: GitHub) -> None:
        self.project, self.github, self.day = project, github, 1

    def check(
        self, alarm: bool = True, enough: bool = True, version: str = "v1.0.0"
    ) -> Any:
        """Leave what `mlops monitor` leaves, and run `mlops alarm`."""
        self.leave(alarm, enough, version)
        return self.alarm()

    def leave(
        self, alarm: bool = True, enough: bool = True, version: str = "v1.0.0"
    ) -> None:
        """Leave what `mlops monitor` leaves of the next day."""
        self.day += 1
        facts = {
            "model": "churn",
            "version": version,
            "stage": "production",
            "since": f"2026-11-{self.day:02}T00:00+00:00",
            "until": f"2026-11-{self.day + 1:02}T00:00+00:00",
            "alarm": alarm,
            "enough": enough,
            "rows": 500,
            "labelled": 0,
            "compared": (500, 500),
            "reasons": ["plan <b>@everyone</b> has drifted"] if alarm else [],
        }
        check = DriftCheck(**facts)
        write_json(
            self.project.build("churn") / "monitor.json", check.model_dump(mode="json")
        )

    def alarm(self, *options: str) -> Any:
        done = CliRunner().invoke(app, ["alarm", *options, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    @property
    def issues(self) -> list[dict[str, Any]]:
        return list(self.github.issues.values())


@pytest.fixture(name="world")
def world_fixture(
    make_project: Callable[..., Project],
    github: GitHub,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    project = make_project()
    monkeypatch.chdir(project.root)
    return World(project, github)


def test_one_issue_from_the_first_alarm_to_the_last(world: World) -> None:
    for count in (1, 2, 3):
        world.check()
        world.alarm()  # a job that is run again is the same check
        (issue,) = world.issues
        assert (issue["state"], len(world.github.dispatches)) == ("open", 1)
        assert f"Checks of v1.0.0 with an alarm: {count}." in issue["body"]
        assert f"2026-11-{world.day:02}" in issue["body"]
        assert "\n\nOwner: @acme\n\n" in issue["body"]  # who is mentioned
    assert world.github.dispatches == [
        {"event_type": "retrain", "client_payload": {"model": "churn"}}
    ]
    assert "@everyone" not in issue["body"] and "<b>" not in issue["body"]
    world.check(alarm=False, enough=False, version="v1.1.0")
    assert issue["state"] == "open"
    world.check(alarm=False, version="v1.1.0")
    assert (issue["state"], issue["state_reason"]) == ("closed", "completed")
    (comment,) = world.github.comments.values()
    assert "It is over." in comment["body"]
    world.check(alarm=False, version="v1.1.0")
    assert len(world.github.comments) == 1
    world.check(version="v1.1.0")
    assert [i["state"] for i in world.issues] == ["closed", "open"]
    assert len(world.github.dispatches) == 2


def test_drift_that_another_version_did_not_end_goes_to_people(world: World) -> None:
    """Retraining has not helped: once more would not either."""
    world.check()
    for count in (1, 2):
        world.check(version="v1.1.0")
        (issue,) = world.issues
        assert f"Checks of v1.1.0 with an alarm: {count}." in issue["body"]
        assert "people have to decide" in issue["body"]
        assert len(world.github.dispatches) == 1
    world.check(alarm=False, version="v1.1.0")
    assert issue["state"] == "closed"
    world.check(version="v1.1.0")
    assert len(world.github.dispatches) == 2, "a new alarm is a new beginning"
    assert "people have to decide" not in world.issues[1]["body"]


def test_a_model_may_have_alarms_and_no_retraining(world: World) -> None:
    path = world.project.folder("churn") / "model.yaml"
    path.write_text(path.read_text() + "\nmonitor: {on_alarm: never}\n")
    world.check()
    world.check()
    (issue,) = world.issues
    assert world.github.dispatches == []
    assert "`monitor.on_alarm` is `never`" in issue["body"]
    assert "Checks of v1.0.0 with an alarm: 2." in issue["body"]
    path.write_text(path.read_text().replace("never", "gate"))
    for _ in range(2):
        world.check()
        assert len(world.github.dispatches) == 1
    assert "Retraining was asked for" in world.issues[0]["body"]


def test_an_issue_that_somebody_made_up_is_not_ours(world: World) -> None:
    world.check()
    body = world.issues[0]["body"]
    world.github.issues.clear()
    world.github.kind = "User"
    world.github.answer(
        "POST",
        "issues",
        {},
        json.dumps({"title": "x", "body": body, "labels": ["model-alarm"]}).encode(),
    )
    world.github.kind = "Bot"
    world.check()
    assert len(world.issues) == 2 and world.issues[0]["body"] == body


@pytest.mark.parametrize("obeyed", [False, True])
@pytest.mark.parametrize("answer", [502, "lost", 429])
@pytest.mark.parametrize(
    "call",
    [
        "GET issues",
        "POST issues",
        "POST dispatches",
        "PATCH issues/[0-9]+",
        "POST .*/comments",
    ],
)
def test_a_call_that_fails_once(
    world: World, call: str, answer: int | str, obeyed: bool
) -> None:
    world.github.fail(call, answer, obeyed)
    world.check()
    world.check()
    world.check(alarm=False)
    assert not world.github.faults, "the call was never made"
    (issue,) = world.issues
    assert issue["state"] == "closed"
    assert len(world.github.comments) == 1
    assert (
        1 <= len(world.github.dispatches) <= 2
    )  # asked twice is trained once: the same bytes


def test_killed_before_the_issue_the_next_check_goes_on(world: World) -> None:
    world.github.fail("POST issues", 500, times=4)
    done = CliRunner().invoke(app, ["alarm"])
    assert done.exit_code == 0  # nothing was checked yet
    with pytest.raises(
        AssertionError, match="GitHub answered 500 when asked to open an issue"
    ):
        world.check()
    assert not world.issues
    world.check()
    assert len(world.issues) == 1 and len(world.github.dispatches) == 2


def test_every_check_is_kept_in_the_journal(world: World) -> None:
    world.check(alarm=True)
    world.check(alarm=False)
    world.alarm()  # the same results once more, as where a job is run again
    kept = checks(world.project, "churn")
    assert [(check["until"][:10], check["alarm"]) for check in kept] == [
        ("2026-11-03", True),
        ("2026-11-04", False),
    ]
    assert DriftCheck.model_validate(kept[0]).reasons == (
        "plan <b>@everyone</b> has drifted",
    )


@pytest.mark.parametrize("outcome", ["inconclusive", "validate"])
def test_a_retraining_that_is_refused_says_so_on_the_issue(
    world: World, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    for key, value in {
        "SERVER_URL": "https://x.test",
        "RUN_ID": "7",
        "ACTOR": "ana",
    }.items():
        monkeypatch.setenv(f"GITHUB_{key}", value)
    leave_a_run(world.project, outcome, "<b> p = 0.4")
    assert world.alarm("--gate", "churn") == ["churn: no issue is open"]
    world.check()
    for _ in range(2):
        world.alarm("--gate", "churn")
    (comment,) = world.github.comments.values()
    why = {
        "inconclusive": "Do not put this model into production",
        "validate": "data validation failed",
    }
    assert why[outcome] in comment["body"] and "p = 0.4" in comment["body"]
    assert "The version in production stays." in comment["body"]
    assert "<b>" not in comment["body"]
    assert "https://x.test/acme/demo/actions/runs/7" in comment["body"]
    assert "r1.json" in git(
        world.project.root, "ls-tree", "-r", "--name-only", "journal"
    )


def test_a_retraining_that_was_promoted_says_nothing(world: World) -> None:
    world.check()
    leave_a_run(world.project, "promote", "fine")
    assert world.alarm("--gate") == []
    assert not world.github.comments


def test_a_merge_that_the_test_part_refused_is_told_on_its_pull_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    leave_a_run(world.project, "reject", "fine")
    verdict = Verdict(decision="reject", rule="superiority", grounds=(RefusedByTest(),))
    verdict.save(world.project.build("churn"))
    merge = git(world.project.root, "rev-parse", "HEAD")
    open_one = {"number": 8, "merged_at": None, "merge_commit_sha": merge}
    world.github.pulls = [open_one]
    (_, nobody) = world.alarm("--gate", "churn")
    assert nobody == "churn: this commit is the merge of no pull request"
    world.github.pulls = [
        open_one,
        {"number": 9, "merged_at": "2026-11-30", "merge_commit_sha": merge},
    ]
    for _ in range(2):
        world.alarm("--gate", "churn")
    (comment,) = world.github.comments.values()
    assert comment["on"] == 9
    assert "the test part refused `churn`" in comment["body"]
    assert "The version in production stays." in comment["body"]


def leave_a_run(project: Project, outcome: str, message: str) -> None:
    """Leave what `mlops run` leaves of one that ends so."""
    build, said = project.build("churn"), {}
    if outcome == "validate":
        broken = Expectation(name="range", column="tenure", ok=False, message=message)
        said = {"validation": Validation(ok=False, expectations=(broken,))}
    else:
        bad = Condition(name="checks", ok=outcome == "promote", message=message)
        said = {
            "verdict": Verdict(
                decision=outcome, rule="first version", conditions=(bad,)
            )
        }
    report = markdown(RunReport("churn", project.model("churn"), **said))
    write_text(build / "report.md", report)
    facts = {
        "id": "r1",
        "model": "churn",
        "started": "2026-11-23T12:00:00+00:00",
        "seconds": 1.0,
    }
    Record(**facts, stages={}, outcome=outcome).save(build)


def test_an_alarm_that_nobody_can_be_told_of_is_in_the_run_log_and_red(
    world: World,
) -> None:
    """Issues are switched off: no retraining, for nothing would remember it."""
    world.github.fail("GET issues", 410, times=99)
    world.github.fail("POST issues", 410, times=99)
    world.leave()
    done = CliRunner().invoke(app, ["alarm"])
    assert done.exit_code == 3
    assert "Issues are switched off here" in done.output
    assert "Settings, General, Features" in done.output
    assert not world.github.dispatches
    assert [check["alarm"] for check in checks(world.project, "churn")] == [True]
    world.leave(alarm=False)
    assert world.alarm() == ["churn@v1.0.0: no alarm, nothing to do"]
