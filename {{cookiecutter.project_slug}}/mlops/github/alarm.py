"""The one issue of a model that has drifted: opened, edited while it lasts, closed when over."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlops.github.client import BOT, ask
from mlops.github.comment import LIMIT, post
from mlops.monitoring.report import DriftCheck

if TYPE_CHECKING:
    from github.Issue import Issue
    from github.Repository import Repository

LABEL, RETRAIN = "model-alarm", "retrain"  # what release.yml listens to
_STATE = re.compile(r"<!-- mlops: alarm (\S+) version (\S+) checks (\d+) -->")


def settle(repository: Repository, check: DriftCheck, text: str, run_url: str | None) -> str:
    """Bring a model's issue in line with a drift check; return what was done, in a sentence.

    `text` is the check as markdown.

    Retraining is asked for where no issue is open, or the open one is about another version. A
    window with too few rows changes nothing.
    """
    name = f"{check.model}@{check.version}"
    issue = ask("list issues", lambda: _open(repository, check.model))
    if not check.alarm:
        if issue is None or not check.enough:
            return f"{name}: no alarm, nothing to do"
        marker = f"<!-- mlops: over {name} {check.until} -->"
        post(repository, issue.number, f"It is over.\n\n{text}{_link(run_url)}", marker)
        ask("close the issue", lambda: issue.edit(state="closed", state_reason="completed"))
        return f"{name}: the alarm is over, {issue.html_url} is closed"
    state = _STATE.match(issue.body or "") if issue else None
    checks = int(state[3]) + 1 if state and state[2] == check.version else 1
    if checks == 1:  # before the issue: killed between the two, it is asked again, not forgotten
        event = {"event_type": RETRAIN, "client_payload": {"model": check.model}}
        url, send = f"{repository.url}/dispatches", repository.requester.requestJsonAndCheck
        ask("start the retraining", lambda: send("POST", url, input=event))
    body = (
        f"<!-- mlops: alarm {check.model} version {check.version} checks {checks} -->\n"
        f"{text[:LIMIT]}\n\nChecks of {check.version} with an alarm: {checks}. "
        f"Retraining was asked for at the first.{_link(run_url)}"
    )
    if issue:
        ask("edit the issue", lambda: issue.edit(body=body))
        return f"{name}: still an alarm, {issue.html_url} is up to date"
    title = f"{check.model}: what is served is no longer what was learned"

    def create() -> Issue:
        there = _open(repository, check.model)
        return there or repository.create_issue(title, body, labels=[LABEL])

    return f"{name}: an alarm, see {ask('open an issue', create).html_url}"


def refused(repository: Repository, model: str, text: str, run_url: str | None) -> str:
    """Say on the issue of a model, where one is open, why a new model does not take its place."""
    issue = ask("list issues", lambda: _open(repository, model))
    if issue is None:
        return f"{model}: no issue is open"
    marker = f"<!-- mlops: gate {run_url} -->"
    post(repository, issue.number, text + _link(run_url), marker)
    return f"{model}: {issue.html_url} says so"


def _open(repository: Repository, model: str) -> Issue | None:
    """Return the open issue of a model; only who may write here can set its label."""
    for issue in repository.get_issues(state="open", labels=[LABEL]):
        state = _STATE.match(issue.body or "")
        if state and state[1] == model and issue.user.type == BOT:
            return issue
    return None


def _link(run_url: str | None) -> str:
    return f"\n\n[The run]({run_url})" if run_url else ""
