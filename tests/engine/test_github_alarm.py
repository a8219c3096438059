"""The one issue of a model that has drifted, over its life."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.github import webhook
from mlops.io.files import write_json, write_text
from mlops.reporting.markdown import markdown
from mlops.reporting.run_report import RunReport
from mlops.results.data import Expectation, Validation
from mlops.results.monitoring import DriftCheck, QuietPeriod
from mlops.results.runs import Record
from mlops.results.verdict import Condition, RefusedByTest, Verdict
from mlops.runlog.query import checks, retraining_requests

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
        self,
        alarm: bool = True,
        enough: bool = True,
        version: str = "v1.0.0",
        quiet: QuietPeriod | None = None,
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
            "quiet": quiet,
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


def with_monitor(world: World, text: str) -> None:
    """Write what model.yaml says of the monitor."""
    path = world.project.folder("churn") / "model.yaml"
    before = path.read_text().partition("\nmonitor:")[0]
    path.write_text(f"{before.rstrip()}\nmonitor: {text}\n")


def at(monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    """Set the clock of every command."""
    moment = datetime.fromisoformat(f"{day}T06:00:00+00:00")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(moment.timestamp())))


def test_an_alarm_within_the_cool_down_asks_for_nothing_until_it_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_monitor(world, "{cool_down: 10}")
    at(monkeypatch, "2026-11-03")
    world.check()
    world.alarm()  # a job that is run again
    assert len(world.github.dispatches) == 1
    (asked,) = retraining_requests(world.project, "churn")
    assert (asked.version, asked.policy) == ("v1.0.0", "gate")
    at(monkeypatch, "2026-11-05")
    world.check(alarm=False, version="v1.1.0")
    at(monkeypatch, "2026-11-06")
    for _ in range(2):
        world.check(version="v1.1.0")
        (_, issue) = world.issues
        assert "less than 10 days ago (monitor.cool_down)" in issue["body"]
        assert "from 2026-11-14 on" in issue["body"]
        assert len(world.github.dispatches) == 1
    at(monkeypatch, "2026-11-14")
    for _ in range(2):
        world.check(version="v1.1.0")
        assert len(world.github.dispatches) == 2
        assert "Retraining was asked for" in issue["body"]
        assert "cool_down" not in issue["body"]
    assert len(retraining_requests(world.project, "churn")) == 2


def test_alarms_ask_for_no_more_retrainings_than_a_month_allows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_monitor(world, "{retrainings_per_month: 2}")
    for day in ("02", "09", "16"):
        at(monkeypatch, f"2026-11-{day}")
        world.check()
        world.check(alarm=False)
    assert len(world.github.dispatches) == 2
    assert "monitor.retrainings_per_month allows" in world.issues[-1]["body"]
    at(monkeypatch, "2026-12-01")
    world.check()
    assert len(world.github.dispatches) == 3


def test_a_request_that_github_did_not_take_is_counted_and_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_monitor(world, "{cool_down: 10}")
    at(monkeypatch, "2026-11-03")
    world.github.fail("POST dispatches", 500, times=4)
    with pytest.raises(AssertionError, match="GitHub answered 500"):
        world.check()
    assert len(retraining_requests(world.project, "churn")) == 1
    assert world.github.dispatches == [] and world.issues == []
    at(monkeypatch, "2026-11-04")
    world.alarm()  # the job is run again
    assert len(world.github.dispatches) == 1 and len(world.issues) == 1
    assert len(retraining_requests(world.project, "churn")) == 1, "it counts once"


def test_a_retraining_that_is_to_be_proposed_is_not_dispatched(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_monitor(world, "{on_alarm: propose}")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))

    def proposed() -> list[str]:
        lines = (tmp_path / "outputs").read_text().splitlines()
        return list(json.loads(lines[-1].removeprefix("propose=")))

    for _ in range(2):
        world.check()
        found = [proposed()]
        world.alarm()  # a job that is run again
        found.append(proposed())
        (issue,) = world.issues
        assert "Retraining was proposed by a pull request" in issue["body"]
        assert found == ([["churn"]] * 2 if world.day == 2 else [[], []])
    (asked,) = retraining_requests(world.project, "churn")
    assert asked.policy == "propose"
    assert world.github.dispatches == []
    world.check(alarm=False)
    assert proposed() == [] and issue["state"] == "closed"


def test_in_a_quiet_period_an_alarm_is_on_the_run_log_and_starts_nothing(
    world: World,
) -> None:
    quiet = QuietPeriod(since="2026-11-01", until="2026-11-20", reason="a sale")
    world.leave(quiet=quiet)
    (line,) = world.alarm()
    assert line == "churn@v1.0.0: an alarm in a quiet period until 2026-11-20"
    assert world.issues == [] and world.github.dispatches == []
    (kept,) = checks(world.project, "churn")
    assert (kept["alarm"], kept["quiet"]["reason"]) == (True, "a sale")
    world.check()
    (issue,) = world.issues
    body = issue["body"]
    assert len(world.github.dispatches) == 1
    world.leave(quiet=quiet)
    world.alarm()
    assert (issue["body"], issue["state"]) == (body, "open")
    world.check(alarm=False)
    assert issue["state"] == "closed"


def test_a_message_is_sent_of_each_check_and_its_failure_is_a_warning(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []

    def send(address: str, body: bytes, headers: dict[str, str]) -> int:
        assert address == "https://pager.example/x" and headers[webhook.SIGNATURE]
        sent.append(json.loads(body))
        return 404 if len(sent) == 3 else 200

    monkeypatch.setattr(webhook, "_send", send)
    world.check()
    assert sent == []
    monkeypatch.setenv("MLOPS_WEBHOOK", "https://pager.example/x")
    monkeypatch.setenv("MLOPS_WEBHOOK_SECRET", "key")
    world.check()
    world.check(alarm=False)
    assert [one["state"] for one in sent] == ["alarm", "ok"]
    lines = world.check()
    assert lines[-1] == "no message was sent: pager.example answered with status 404"
    quiet = QuietPeriod(since="2026-11-01", until="2026-11-20", reason="a sale")
    world.leave(quiet=quiet)
    world.alarm()
    assert len(sent) == 3


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
