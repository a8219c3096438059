"""Issues: one per model with an alarm, opened, edited and closed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlops.github.client import BOT, ask
from mlops.github.comment import post
from mlops.github.events import LIMIT

if TYPE_CHECKING:
    from github.Issue import Issue
    from github.Repository import Repository

    from mlops.results.monitoring import DriftCheck


LABEL, RETRAIN = "model-alarm", "retrain"  # what release.yml listens to

_STATE = re.compile(r"<!-- mlops: alarm \S+ version (\S+) checks (\d+) by (\S+) -->")


def opened(repository: Repository, label: str, begin: str = "") -> Issue | None:
    """Return our open issue of a label, whose text begins so; who may not write sets no label."""

    def find() -> Issue | None:
        for issue in repository.get_issues(state="open", labels=[label]):
            if issue.user.type == BOT and (issue.body or "").startswith(begin):
                return issue
        return None

    return ask("list issues", find)


def keep(
    repository: Repository, label: str, title: str, body: str, begin: str = ""
) -> tuple[Issue, bool]:
    """Open an issue, or edit the one that is open; return it, and whether it is new."""

    def act() -> tuple[Issue, bool]:
        if (issue := opened(repository, label, begin)) is None:
            return repository.create_issue(title, body[:LIMIT], labels=[label]), True
        if issue.body != body[:LIMIT]:
            issue.edit(body=body[:LIMIT])
        return issue, False

    return ask("open an issue, or edit it", act)


def close(repository: Repository, issue: Issue, text: str, marker: str) -> None:
    """Say why an issue is over, once, and close it."""
    post(repository, issue.number, text, marker)
    ask("close the issue", lambda: issue.edit(state="closed", state_reason="completed"))


def settle(
    repository: Repository, check: DriftCheck, text: str, run_url: str | None
) -> str:
    """Bring a model's issue in line with a drift check; return what was done, in a sentence.

    `text` is the check as markdown.

    Retraining is asked for where no issue is open, or the open one is about another version. A
    window with too few rows changes nothing.
    """
    name, begin = f"{check.model}@{check.version}", _begin(check.model)
    issue = opened(repository, LABEL, begin)
    if not check.alarm:
        if issue is None or not check.enough:
            return f"{name}: no alarm, nothing to do"
        marker = f"<!-- mlops: over {name} {check.until} -->"
        close(repository, issue, f"It is over.\n\n{text}{_link(run_url)}", marker)
        return f"{name}: the alarm is over, {issue.html_url} is closed"
    state = _STATE.match(issue.body or "") if issue else None
    known = state if state and state[1] == check.version else None
    run = run_url or check.until
    checks = (
        int(known[2]) + (known[3] != run) if known else 1
    )  # a run again counts once
    if (
        not known
    ):  # before the issue: killed between the two, it is asked again, not forgotten
        event = {"event_type": RETRAIN, "client_payload": {"model": check.model}}
        url, send = (
            f"{repository.url}/dispatches",
            repository.requester.requestJsonAndCheck,
        )
        ask("start the retraining", lambda: send("POST", url, input=event))
    body = (
        f"{begin}{check.version} checks {checks} by {run} -->\n"
        f"{text[:LIMIT]}\n\nChecks of {check.version} with an alarm: {checks}. "
        f"Retraining was asked for at the first.{_link(run_url)}"
    )
    title = f"{check.model}: what is served is no longer what was learned"
    issue, new = keep(repository, LABEL, title, body, begin)
    if new:
        return f"{name}: an alarm, see {issue.html_url}"
    return f"{name}: still an alarm, {issue.html_url} is up to date"


def refused(repository: Repository, model: str, text: str, run_url: str | None) -> str:
    """Say on the issue of a model, where one is open, why a new model does not take its place."""
    issue = opened(repository, LABEL, _begin(model))
    if issue is None:
        return f"{model}: no issue is open"
    marker = f"<!-- mlops: gate {run_url} -->"
    post(repository, issue.number, text + _link(run_url), marker)
    return f"{model}: {issue.html_url} says so"


def _begin(model: str) -> str:
    """Return how the issue of a model begins."""
    return f"<!-- mlops: alarm {model} version "


def _link(run_url: str | None) -> str:
    return f"\n\n[The run]({run_url})" if run_url else ""
