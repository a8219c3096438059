"""The bill: its jobs are those of the workflows, and its goals are kept."""

from __future__ import annotations

import bill
import pytest

from workflows.githubs_own import GitHubsOwn, Happens, Run

KNOWN = bill.facts()
REPOSITORY = {"private": True, "fork": False, "default_branch": "main"}
STARTED = [
    pytest.param(started, id=f"{one.name}: {started.workflow}")
    for one in bill.BILLS
    for started in one.started
]


@pytest.mark.parametrize("started", STARTED)
def test_the_jobs_that_are_billed_are_those_that_run(
    github: GitHubsOwn, started: bill.Started
) -> None:
    # A schedule's event names no repository.
    about = {} if started.event == "schedule" else {"repository": REPOSITORY}
    contexts = {
        "github": {
            "event_name": started.event,
            "event": {**about, **started.details},
            "ref": "refs/heads/main",
            "repository": "acme/demo",
        },
        "vars": dict(started.variables),
        "inputs": {},
    }
    happens = {job: Happens(outputs=given) for job, given in started.outputs.items()}
    for job in started.failed:
        happens[job] = Happens("failure", started.outputs.get(job, {}))
    jobs = bill.jobs_of(started.workflow)
    run = Run(github, jobs, contexts, happens).play()
    assert set(run.ran()) == set(started.jobs)


# The page says that it is about a repository without these.
NOT_THERE = {
    *("pages.yml:deploy", "scorecard.yml:scorecard"),
    *("security.yml:codeql", "security.yml:dependencies"),
}


def test_every_job_is_on_the_bill_once_at_least() -> None:
    jobs = {
        f"{path.name}:{job}"
        for path in bill.FOLDER.glob("*.yml")
        if "\n  workflow_call:\n" not in path.read_text(encoding="utf-8")
        for job in bill.jobs_of(path.name)
    }
    billed = {
        f"{started.workflow}:{job}"
        for one in bill.BILLS
        for started in one.started
        for job in started.jobs
    }
    assert jobs - billed == NOT_THERE
    assert set(KNOWN["work"]) == billed, "scripts/bill.toml has a time for each"


def test_every_workflow_with_a_schedule_is_on_the_bill() -> None:
    scheduled = {
        path.name
        for path in bill.FOLDER.glob("*.yml")
        if "\n  schedule:\n" in path.read_text(encoding="utf-8")
    }
    billed = {s.workflow for one in bill.SCHEDULES for s in one.started}
    assert scheduled <= billed


@pytest.mark.parametrize(
    "one", [bill.DOCS, bill.PUSH, bill.MERGE], ids=lambda one: one.name
)
def test_a_goal_that_was_met_stays_met(one: bill.Bill) -> None:
    assert one.goal is not None
    assert bill.minutes(one, 1, KNOWN) <= one.goal


def test_a_job_is_billed_by_itself_and_rounded_up() -> None:
    known = {
        "start": 10,
        "setup": {"base": 20},
        "cached": {"base": 15},
        "restore": {"base": 5},
        "work": {"release.yml:plan": 30, "monitor.yml:plan": 30},
    }
    for workflow in ("release.yml", "monitor.yml"):
        known["work"][f"{workflow}:plan"] = 30
        assert bill.minutes_of(workflow, "plan", known) == 1
        known["work"][f"{workflow}:plan"] = 31
        assert bill.minutes_of(workflow, "plan", known) == 2


def test_a_matrix_is_billed_for_each_model() -> None:
    (reproduced,) = (b for b in bill.SCHEDULES if b.name.startswith("reproduce"))
    one = bill.minutes_of("reproduce.yml", "reproduce", KNOWN)
    more = bill.minutes(reproduced, 10, KNOWN) - bill.minutes(reproduced, 1, KNOWN)
    assert one > 0 and more == 9 * one


def test_a_release_with_nothing_new_costs_the_same_for_any_number_of_models() -> None:
    (release,) = (b for b in bill.SCHEDULES if b.name.startswith("release"))
    assert bill.minutes(release, 100, KNOWN) == bill.minutes(release, 1, KNOWN)


@pytest.mark.parametrize("models", [1, 10, 100])
def test_idling_costs_no_more_than_its_goal(models: int) -> None:
    goal = bill.IDLE_GOAL + bill.NEXT_MODEL_GOAL * (models - 1)
    assert bill.idle_month(models, KNOWN) <= goal
