"""Reckon what the workflows cost in a private repository, for docs/reference/bill.md.

`make reference` writes the page. Each job is billed by itself, rounded up to a minute.
Which jobs run stands here and is compared with the workflows by
tests/workflows/test_bill.py, which asks GitHub's own evaluator. How long they take
stands in scripts/bill.toml.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "{{cookiecutter.project_slug}}" / ".github" / "workflows"
FACTS = ROOT / "scripts" / "bill.toml"
TARGET = ROOT / "docs" / "reference" / "bill.md"

DAYS = 30
WEEKS = DAYS / 7
SETUP = "./.github/actions/setup"


@dataclass(frozen=True)
class Started:
    """A workflow that an event starts.

    Parameters
    ----------
    workflow : str
        Its file.
    event : str
    jobs : tuple of str
        Those that run.
    outputs : mapping
        What jobs say that decides about others: by job, then by name.
    details : mapping
        Of the event's payload, where a condition asks for it.
    variables : mapping
        Of the repository.
    own : tuple of str
        Jobs on a machine of one's own, which GitHub does not bill.
    failed : tuple of str
        Of those that run, the jobs that fail.
    """

    workflow: str
    event: str
    jobs: tuple[str, ...]
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bill:
    """What something costs, and what it may cost.

    Parameters
    ----------
    name : str
    started : tuple of Started
    goal : int or None
        Minutes.
    times : float
        How often it happens in an idle month.
    """

    name: str
    started: tuple[Started, ...]
    goal: int | None = None
    times: float = 0.0


def _planned(models: list[str], code: str = "false") -> dict[str, dict[str, str]]:
    outputs = {"models": json.dumps(models), "code": code, "deploy": "[]"}
    live = {"live": '["a"]', "jobs": json.dumps(models or ["a"])}
    return {"plan": {**outputs, **live}}


_PULL = ("pull-request.yml", "pull_request")
_ENDED = {"workflow_run": {"event": "pull_request", "conclusion": "success"}}
COMMENT = Started("comment.yml", "workflow_run", ("comment",), details=_ENDED)
_ON_MAIN = {
    "event": "push",
    "conclusion": "success",
    "head_branch": "main",
    "head_repository": {"full_name": "acme/demo"},
}
PAGE = Started(
    "pages.yml",
    "workflow_run",
    ("build",),
    {"build": {"pages": "private"}},
    {"workflow_run": _ON_MAIN},
)
_NEW = {"models": '["a"]', "refs": '{"a": "a@v1.0.0"}'}
DELIVERY = ("plan", "train", "register", "staging", "smoke", "production")

MONITORED = Bill(
    "monitor, daily, with a machine of one's own that has the predictions",
    (
        Started(
            "monitor.yml",
            "schedule",
            ("plan", "check", "alarm"),
            _planned([]),
            variables={"MONITOR_RUNNER": "ours"},
            own=("check",),
        ),
        PAGE,
    ),
)

DOCS = Bill(
    "a pull request that changes documents only",
    (Started(*_PULL, ("plan", "verdict"), _planned([])), COMMENT),
    goal=3,
)
PUSH = Bill(
    "a push to a pull request that changes one model",
    (
        Started(
            *_PULL, ("plan", "code", "model", "verdict"), _planned(["a"], code="true")
        ),
        COMMENT,
        Started("security.yml", "pull_request", ("zizmor",)),
    ),
    goal=9,
)
MERGE = Bill(
    "a merge that delivers one model",
    (
        Started("release.yml", "push", DELIVERY, {**_planned(["a"]), "register": _NEW}),
        PAGE,
    ),
    goal=10,
)
_LOG_AS_ARTIFACTS = {"MLOPS_PREDICTIONS": "artifacts"}
_NEW_FILE = {"plan": {"batch": '["a"]', "artifacts": "true"}}
_NO_FILE = {"plan": {"batch": "[]", "artifacts": "true"}}
BATCHES = (
    Bill(
        "predict, daily, where a model declares a batch and no file is new",
        (
            Started(
                "predict.yml",
                "schedule",
                ("plan",),
                _NO_FILE,
                variables=_LOG_AS_ARTIFACTS,
            ),
        ),
    ),
    Bill(
        "predict, daily, with a new file of one model",
        (
            Started(
                "predict.yml",
                "schedule",
                ("plan", "predict", "record"),
                _NEW_FILE,
                variables=_LOG_AS_ARTIFACTS,
            ),
        ),
    ),
    Bill(
        "monitor, daily, of one model whose batch is logged as artifacts",
        (
            Started(
                "monitor.yml",
                "schedule",
                ("plan", "check", "alarm"),
                _planned([]),
                variables=_LOG_AS_ARTIFACTS,
            ),
            PAGE,
        ),
    ),
)
_PROPOSED = {**_planned([]), "alarm": {"propose": '["a"]'}}
PROPOSED = Bill(
    "the same with an alarm whose retraining is proposed, without the pull request",
    (
        Started(
            "monitor.yml",
            "schedule",
            ("plan", "check", "alarm", "propose"),
            _PROPOSED,
            variables={"MONITOR_RUNNER": "ours"},
            own=("check",),
        ),
        PAGE,
    ),
)
_ROLE = {"MLOPS_PREDICTIONS": "s3://log", "AWS_ROLE_ARN": "arn:aws:iam::1:role/log"}
_AWAY = {"plan": {**_planned([])["plan"], "away": "true"}}
IN_A_BUCKET = Bill(
    "monitor, daily, of one model whose log lies in a bucket",
    (
        Started(
            "monitor.yml",
            "schedule",
            ("plan", "data", "check", "alarm"),
            _AWAY,
            variables=_ROLE,
        ),
        PAGE,
    ),
)
_FILES = {"batch": '["a"]', "read": "true", "files": "true"}
_BATCH_AWAY = {"batch": '["a"]', "artifacts": "false", "away": "true"}
_STORED = {**_planned([])["plan"], "stored": "true"}
FILES_IN_A_BUCKET = (
    Bill(
        "predict, daily, of one model whose files lie in a bucket, with nothing new",
        (
            Started(
                "predict.yml",
                "schedule",
                ("plan", "data"),
                {"plan": _BATCH_AWAY, "data": {"batch": "[]", "read": "false"}},
                variables=_ROLE,
            ),
        ),
    ),
    Bill(
        "the same with a new file",
        (
            Started(
                "predict.yml",
                "schedule",
                ("plan", "data", "predict", "deliver", "record"),
                {"plan": _BATCH_AWAY, "data": _FILES},
                variables=_ROLE,
            ),
        ),
    ),
    Bill(
        "reproduce, monthly, of one model whose rows are stored in a bucket",
        (
            Started(
                "reproduce.yml",
                "schedule",
                ("plan", "data", "reproduce"),
                {"plan": _STORED, "data": {"read": "true"}},
                variables=_ROLE,
            ),
        ),
    ),
)
_ELSEWHERE = {"plan": {**_planned(["a"])["plan"], "data": '["a"]'}}
_FETCHED = {"models": '["a"]', "jobs": '["a"]', "members": '{"a": ["a"]}'}
_OURS = {"pull_request": {"head": {"repo": {"full_name": "acme/demo"}}}}
ELSEWHERE = (
    Bill(
        "a push to a pull request that changes one model whose data lie in a bucket",
        (
            Started(
                *_PULL,
                ("plan", "code", "data", "model", "verdict"),
                {"plan": {**_ELSEWHERE["plan"], "code": "true"}},
                details=_OURS,
            ),
            COMMENT,
            Started("security.yml", "pull_request", ("zizmor",)),
        ),
    ),
    Bill(
        "a merge that delivers one model whose data lie in a bucket",
        (
            Started(
                "release.yml",
                "push",
                ("data", *DELIVERY),
                {**_ELSEWHERE, "data": _FETCHED, "register": _NEW},
            ),
            PAGE,
        ),
    ),
)
_SERVING = {"deploy": '["a"]', "deploy_jobs": '["a"]', "deploy_members": '{"a": ["a"]}'}
OTHERWISE = (
    Bill(
        "a merge of one model that the gate refuses",
        (
            Started(
                "release.yml",
                "push",
                ("plan", "train", "refused", "register"),
                {**_planned(["a"]), "register": {"models": "[]", "refs": "{}"}},
                failed=("train",),
            ),
            PAGE,
        ),
    ),
    Bill(
        "a merge of application code, tried with one model",
        (
            Started(
                "release.yml",
                "push",
                ("plan", "redeploy"),
                {"plan": {**_planned([])["plan"], **_SERVING}},
            ),
            PAGE,
        ),
    ),
    Bill(
        "a decision by hand",
        (Started("promote.yml", "workflow_dispatch", ("promote",)), PAGE),
    ),
)
SCHEDULES = (
    Bill(
        "predict, daily, where no place for its log is named",
        (Started("predict.yml", "schedule", ()),),
        times=DAYS,
    ),
    Bill(
        "monitor, daily, on GitHub's machines, which see no prediction",
        (Started("monitor.yml", "schedule", ()),),
        times=DAYS,
    ),
    Bill(
        "release with nothing new, weekly",
        (
            Started("release.yml", "schedule", ("plan",), _planned([])),
            PAGE,
        ),
        times=WEEKS,
    ),
    Bill(
        "reproduce, monthly",
        (Started("reproduce.yml", "schedule", ("plan", "reproduce"), _planned([])),),
        times=1,
    ),
    Bill(
        "lock, weekly",
        (Started("lock.yml", "schedule", ("compile", "propose")),),
        times=WEEKS,
    ),
    Bill(
        "update, monthly",
        (Started("update.yml", "schedule", ("merge", "propose")),),
        times=1,
    ),
    Bill(
        "settings, weekly",
        (Started("settings.yml", "schedule", ("settings",)),),
        times=WEEKS,
    ),
    Bill(
        "security, weekly",
        (Started("security.yml", "schedule", ("zizmor",)),),
        times=WEEKS,
    ),
    Bill("scorecard, weekly", (Started("scorecard.yml", "schedule", ()),), times=WEEKS),
)
BILLS = (
    *(DOCS, PUSH, MERGE, *OTHERWISE, *ELSEWHERE),
    *(*SCHEDULES, MONITORED, PROPOSED, IN_A_BUCKET, *BATCHES),
    *FILES_IN_A_BUCKET,
)

IDLE_GOAL = 60  # minutes a month for one model
NEXT_MODEL_GOAL = 6  # and for each further one


def facts() -> dict[str, Any]:
    """Return prices and times."""
    return tomllib.loads(FACTS.read_text(encoding="utf-8"))


def jobs_of(workflow: str) -> dict[str, Any]:
    """Return the jobs of a workflow's file."""
    text = (FOLDER / workflow).read_text(encoding="utf-8")
    return dict(yaml.safe_load(text)["jobs"])


def running(job: dict[str, Any]) -> dict[str, Any]:
    """Return the job that runs where one is named: of the workflow that it calls."""
    if "uses" not in job:
        return job
    (called,) = jobs_of(Path(job["uses"]).name).values()
    return dict(called)


def setup_seconds(job: Mapping[str, Any], known: Mapping[str, Any]) -> float:
    """Return how long a job installs what it needs."""
    for step in job["steps"]:
        # Where nothing was planned, `verdict` installs nothing: it is counted as if.
        if step.get("uses") != SETUP:
            continue
        kind = step["with"]["kind"]
        if step["with"].get("cache") == "true":
            return float(known["restore"][kind] + known["cached"][kind])
        return float(known["setup"][kind])
    return 0.0


def minutes_of(workflow: str, job: str, known: Mapping[str, Any]) -> int:
    """Return what one job is billed: its seconds, rounded up to a minute."""
    seconds = known["start"] + setup_seconds(running(jobs_of(workflow)[job]), known)
    seconds += known["work"][f"{workflow}:{job}"]
    return math.ceil(seconds / 60)


def minutes(bill: Bill, models: int, known: Mapping[str, Any]) -> int:
    """Return what one happening costs, with a matrix for each of the models."""
    total = 0
    for started in bill.started:
        jobs = jobs_of(started.workflow)
        for name in set(started.jobs) - set(started.own):
            legs = models if "strategy" in jobs[name] else 1
            total += legs * minutes_of(started.workflow, name, known)
    return total


def idle_month(models: int, known: Mapping[str, Any]) -> int:
    """Return the minutes of a month in which nobody does anything."""
    return round(sum(b.times * minutes(b, models, known) for b in SCHEDULES))


def _row(name: str, spent: int, goal: int | None, price: float) -> str:
    compared = "met" if goal is not None and spent <= goal else "not met"
    wanted = "" if goal is None else f"{goal}: {compared}"
    return f"| {name} | {spent:,} | {spent * price:.2f} | {wanted} |"


def page(known: Mapping[str, Any]) -> str:
    """Return the page's text."""
    price = known["price"]
    rows = [_row(b.name, minutes(b, 1, known), b.goal, price) for b in BILLS]
    one = idle_month(1, known)
    rows.append(_row("a month of idling, 1 model", one, IDLE_GOAL, price))
    for models in (10, 100):
        goal = IDLE_GOAL + NEXT_MODEL_GOAL * (models - 1)
        name = f"a month of idling, {models} models"
        rows.append(_row(name, idle_month(models, known), goal, price))
    table = "\n".join(rows)
    return f"""# The bill

<!-- Made by scripts/bill.py (`make reference`). Do not edit. -->

GitHub bills each job of a private repository by itself, rounded up to a minute. Public
repositories pay nothing. Below is a private repository with `deploy: follow`, no
Advanced Security and no page that is published. Times are those of `scripts/bill.toml`,
which says how each was measured or assumed: nothing here was billed by GitHub. Jobs
that cache what they install are taken to find it. The price is {price} USD a minute.

| what | minutes | USD | goal in minutes |
| --- | --: | --: | --- |
{table}

With `SCHEDULES=off` idling costs nothing, and nothing is watched. A machine that has
the predictions adds its daily look to an idle month; its own job costs nothing. The
weekly release looks first: it trains the models whose data are others than those of
their newest version.
"""
