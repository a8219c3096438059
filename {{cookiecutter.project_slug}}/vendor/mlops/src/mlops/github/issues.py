"""Issues: one per model with an alarm, opened, edited and closed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlops.github.client import BOT, Gone, ask
from mlops.github.comment import post
from mlops.github.events import LIMIT

if TYPE_CHECKING:
    from github.Issue import Issue
    from github.Repository import Repository

    from mlops.results.monitoring import DriftCheck


LABEL = "model-alarm"

_MOST_LABEL = 50  # characters

RETRAIN = "retrain"  # what release.yml listens to

_HANDLE = re.compile(r"@[A-Za-z0-9-]+(/[A-Za-z0-9._-]+)?")

_STATE = re.compile(r"<!-- mlops: alarm \S+ version (\S+) checks (\d+) by (\S+) -->")


# What the issue says of retraining.
_FOLLOWS = {
    "gate": "Retraining was asked for at the first.",
    "propose": "Retraining was proposed by a pull request at the first.",
    "never": "Retraining is not requested: `monitor.on_alarm` is `never`.",
    "lasts": "Another version did not end the alarm, so no further retraining is "
    "requested: people have to decide. Fix the source of the data, accept what is new "
    "(`mlops monitor accept`), or change the model.",
}

# In the text of an issue whose alarm asked for no retraining yet.
_HELD = "<!-- mlops: held -->"

# In the text of an issue whose alarm another version has not ended.
_LASTS = "<!-- mlops: lasts -->"


class AboutAlarm(NamedTuple):
    """What an issue says of an alarm beside the check, and whether it retrains.

    Retraining is not asked for while there is a reason not to; the issue says it.

    Parameters
    ----------
    title : str
        Of a new issue.
    owner : str
        Is mentioned, where it is a GitHub handle.
    policy : {"never", "propose", "gate"}
        What the model's specification says of retraining.
    held : str
        Why none is asked for now, as a sentence; empty where one may be.
    """

    title: str
    owner: str = ""
    policy: Literal["never", "propose", "gate"] = "gate"
    held: str = ""


def opened(repository: Repository, label: str, begin: str = "") -> Issue | None:
    """Return our open issue of a label, whose text begins so.

    Who may not write sets no label. None too where Issues are switched off.
    """
    try:
        return _find(repository, label, begin)
    except Gone:
        return None


def _find(repository: Repository, label: str, begin: str) -> Issue | None:
    """Return our open issue of a label; `Gone` where Issues are switched off."""

    def find() -> Issue | None:
        for issue in repository.get_issues(state="open", labels=[label]):
            if issue.user.type == BOT and (issue.body or "").startswith(begin):
                return issue
        return None

    return ask("list issues", find)


def open_or_edit(
    repository: Repository,
    label: str,
    title: str,
    body: str,
    begin: str = "",
    owner: str = "",
) -> tuple[Issue, bool]:
    """Open an issue, or edit the one that is open; return it, and whether it is new.

    A new one has a label of the `owner`, too.
    """

    def act() -> tuple[Issue, bool]:
        issue = _find(repository, label, begin)
        if issue is None:
            labels = [label, f"owner: {owner}"[:_MOST_LABEL]] if owner else [label]
            return repository.create_issue(title, body[:LIMIT], labels=labels), True
        if issue.body != body[:LIMIT]:
            issue.edit(body=body[:LIMIT])
        return issue, False

    return ask("open an issue, or edit it", act)


def close(repository: Repository, issue: Issue, text: str, marker: str) -> None:
    """Say why an issue is over, once, and close it."""
    post(repository, issue.number, text, marker)
    ask("close the issue", lambda: issue.edit(state="closed", state_reason="completed"))


def settle(
    repository: Repository,
    check: DriftCheck,
    text: str,
    run_url: str | None,
    about: AboutAlarm,
    log: Callable[[], object],
) -> str:
    """Bring a model's issue in line with a drift check.

    Return what was done, in a sentence.

    `text` is the check as markdown. `log` writes down that a retraining is asked for,
    before it is: a budget counts what was asked for, also where the call is lost.

    Retraining is asked for where no issue is open, and the policy of the model allows
    it. What the policy proposes is only written down here: a pull request takes another
    token. Where the open issue is about another version, that was replaced and the
    alarm has not ended: people have to decide. A window with too few rows changes
    nothing. In a quiet period an alarm starts nothing, and the issue stays as it is.

    Raises
    ------
    Gone
        On an alarm where Issues are switched off: nobody could be told, and the issue
        is what remembers that retraining was asked for.
    """
    name = f"{check.model}@{check.version}"
    if check.alarm and check.quiet:
        return f"{name}: an alarm in a quiet period until {check.quiet.until}"
    begin = _begin(check.model)
    find = _find if check.alarm else opened
    issue = find(repository, LABEL, begin)
    if not check.alarm:
        if issue is None or not check.enough:
            return f"{name}: no alarm, nothing to do"
        marker = f"<!-- mlops: over {name} {check.until} -->"
        close(repository, issue, f"It is over.\n\n{text}{_link(run_url)}", marker)
        return f"{name}: the alarm is over, {issue.html_url} is closed"
    run = run_url or check.until
    checks = _checks(issue, check.version, run)
    # Before the issue: killed between the two, it is asked again, not forgotten.
    follows = _retrain_or_not(repository, issue, check, about, log)
    if checks is None:
        checks = 1
    shown = f"{text[:LIMIT]}{_mention(about.owner)}"
    lasts = f"{_LASTS}\n" if follows == _FOLLOWS["lasts"] else ""
    body = (
        f"{begin}{check.version} checks {checks} by {run} -->\n"
        f"{lasts}{shown}\n\nChecks of {check.version} with an alarm: {checks}. "
        f"{follows}{_link(run_url)}"
    )
    issue, new = open_or_edit(repository, LABEL, about.title, body, begin, about.owner)
    if new:
        return f"{name}: an alarm, see {issue.html_url}"
    return f"{name}: still an alarm, {issue.html_url} is up to date"


def _retrain_or_not(
    repository: Repository,
    issue: Issue | None,
    check: DriftCheck,
    about: AboutAlarm,
    log: Callable[[], object],
) -> str:
    """Ask for retraining where that is due; return what the issue says of it."""
    if about.policy == "never":
        return _FOLLOWS["never"]
    body = (issue.body or "") if issue else ""
    waits = _FOLLOWS["never"] in body or _HELD in body
    if issue is not None and not waits:
        if _lasts(issue, check.version):
            return _FOLLOWS["lasts"]
        return _FOLLOWS["propose" if _FOLLOWS["propose"] in body else "gate"]
    if about.held:
        return f"{_HELD}{about.held}"
    log()
    if about.policy == "gate":
        retrain(repository, check.model)
    return _FOLLOWS[about.policy]


def _lasts(issue: Issue, version: str) -> bool:
    """Return whether the alarm of an issue began with an earlier version."""
    body = issue.body or ""
    state = _STATE.match(body)
    return _LASTS in body or (state is not None and state[1] != version)


def _checks(issue: Issue | None, version: str, run: str) -> int | None:
    """Return how many checks of a version had an alarm, None where this is the first.

    A run that is run again counts once.
    """
    state = _STATE.match(issue.body or "") if issue else None
    if state is None or state[1] != version:
        return None
    return int(state[2]) + (state[3] != run)


def retrain(repository: Repository, model: str) -> None:
    """Ask for retraining: release.yml listens."""
    event = {"event_type": RETRAIN, "client_payload": {"model": model}}
    url = f"{repository.url}/dispatches"
    send = repository.requester.requestJsonAndCheck
    ask("start the retraining", lambda: send("POST", url, input=event))


def refused(repository: Repository, model: str, text: str, run_url: str | None) -> str:
    """Say on the issue of a model.

    Where one is open, why a new model does not take its place.
    """
    marker = f"<!-- mlops: gate {run_url} -->"
    return tell(repository, model, text + _link(run_url), marker)


def tell(repository: Repository, model: str, text: str, marker: str) -> str:
    """Say something on the issue of a model, once for a marker, where one is open."""
    issue = opened(repository, LABEL, _begin(model))
    if issue is None:
        return f"{model}: no issue is open"
    post(repository, issue.number, text, marker)
    return f"{model}: {issue.html_url} says so"


def _begin(model: str) -> str:
    """Return how the issue of a model begins."""
    return f"<!-- mlops: alarm {model} version "


def _mention(owner: str) -> str:
    """Return a line that calls the owner of a model, where that is a GitHub handle."""
    return f"\n\nOwner: {owner}" if _HANDLE.fullmatch(owner) else ""


def _link(run_url: str | None) -> str:
    return f"\n\n[The run]({run_url})" if run_url else ""
