"""What of the list of switches a repository on GitHub is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from mlops.errors import listed
from mlops.github.ref_patterns import selects
from mlops.github.switches import SWITCHES

# Labels of GitHub's own runners; larger ones have names that their owner chose.
_HOSTED = re.compile(r"(ubuntu|windows|macos)-[\w.-]+", re.IGNORECASE)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SWITCHED_OFF = ("off", "false")
# The accounts whose actions are GitHub's own.
_GITHUBS = ("actions", "github")


class Missing(NamedTuple):
    """A switch that is not as the workflows expect it.

    Parameters
    ----------
    name : str
        Of `SWITCHES`.
    details : str
        What was found; empty where the effect says it all.
    """

    name: str
    details: str = ""

    @property
    def blocks(self) -> bool:
        """Whether workflows fail, or code goes unreviewed, for want of it."""
        return SWITCHES[self.name].blocks

    def text(self) -> str:
        """Return what is wrong and where to change it."""
        switch = SWITCHES[self.name]
        found = f" ({self.details})" if self.details else ""
        return f"{switch.effect}{found}: {switch.remedy}"


class ScheduledWorkflow(NamedTuple):
    """When a workflow last ran by its schedule.

    Parameters
    ----------
    file : str
    period : timedelta
        Between two runs.
    since : datetime
        Of the last run by the schedule; where there was none, when GitHub first saw the
        workflow.
    state : str
        As GitHub's API has it: ``active``, ``disabled_inactivity`` ...
    """

    file: str
    period: timedelta
    since: datetime
    state: str = "active"


@dataclass(frozen=True)
class WorkflowFiles:
    """What the workflow files of a work tree name.

    Parameters
    ----------
    actions : mapping
        The actions of each file, as ``owner/name@ref``.
    branches : mapping
        The branches, in order, to which a push means a merge, of each file that names
        some.
    crons : mapping
        The schedule of each file that has one.
    """

    actions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    branches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    crons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RepositoryFacts:
    """What GitHub shows of a repository; None where the token may not see it.

    Parameters
    ----------
    private, archived, issues : bool
    moved_to : str
        The repository's name, where it was asked for by a former one.
    default_branch : str
    policy : mapping, optional
        ``enabled``, ``allowed_actions`` and, where some are selected,
        ``github_owned_allowed``, ``verified_allowed`` and ``patterns_allowed``.
    pages : str, optional
        ``off``, ``branch`` or ``workflow``.
    labels : frozenset of str, optional
    owner_errors : tuple of str, optional
    variables : mapping, optional
    schedules : tuple of ScheduledWorkflow, optional
    has_update_token : bool, optional
        Whether the job that proposes retrainings has its token.
    proposing : tuple of str
        The models whose alarm proposes a retraining.
    unseen : tuple of str
        What the token may not see.
    """

    private: bool = False
    archived: bool = False
    issues: bool = True
    moved_to: str = ""
    default_branch: str = "main"
    policy: Mapping[str, Any] | None = None
    pages: str | None = None
    labels: frozenset[str] | None = None
    owner_errors: tuple[str, ...] | None = None
    variables: Mapping[str, str] | None = None
    schedules: tuple[ScheduledWorkflow, ...] | None = None
    has_update_token: bool | None = None
    proposing: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


def missing(
    facts: RepositoryFacts,
    files: WorkflowFiles,
    labels: Iterable[str],
    now: datetime,
    trusted: str = "",
) -> list[Missing]:
    """Return what a repository is missing, in the order in which to change it.

    Parameters
    ----------
    facts : RepositoryFacts
    files : WorkflowFiles
    labels : iterable of str
        Those that .github/settings.yaml declares. Every plan has labels, and no job
        makes one by itself: without them the settings were never applied.
    now : datetime
        With a time zone.
    trusted : str
        The branch that this clone takes for origin's default branch; empty where it
        knows none, and trusts what is checked out.
    """
    policy = facts.policy or {}
    details: dict[str, str | None] = {
        **_switched_off(facts, policy),
        "actions policy": _several(refused_actions(files, policy)),
        "default branch": _naming_others(files, facts.default_branch),
        "clone": trusted if trusted not in ("", facts.default_branch) else None,
        "settings": _never_applied(facts, labels),
        "UPDATE_TOKEN": _without_token(facts),
        "code owners": _several(facts.owner_errors or ()),
        "runner": _own_machines(facts),
        "schedules": _several(_silent_here(facts, now)),
    }
    found = []
    for name in SWITCHES:
        text = details.get(name)
        if text is not None:
            found.append(Missing(name, text))
    return found


def _several(items: Sequence[str]) -> str | None:
    """Return items in a line, None where there are none."""
    return listed(items, 4) if items else None


def _switched_off(
    facts: RepositoryFacts, policy: Mapping[str, Any]
) -> dict[str, str | None]:
    """Return what is simply off, and what there is to add."""
    found: dict[str, str | None] = {}
    if facts.archived:
        found["archived"] = ""
    if facts.moved_to:
        found["name"] = f"it is {facts.moved_to}"
    if policy.get("enabled") is False:
        found["Actions"] = ""
    if not facts.issues:
        found["Issues"] = ""
    if facts.pages == "off":
        found["Pages"] = "not every plan has it here" if facts.private else ""
    elif facts.pages == "branch":
        found["Pages"] = "it is built from a branch"
    return found


def _without_token(facts: RepositoryFacts) -> str | None:
    """Return which models propose retrainings; None where a job can open them."""
    if facts.has_update_token is not False:
        return None
    names = listed(facts.proposing, 4)
    return f"`monitor.on_alarm` is `propose`: {names}" if facts.proposing else None


def _never_applied(facts: RepositoryFacts, labels: Iterable[str]) -> str | None:
    """Return which declared labels are not there; None where it is not known."""
    if facts.labels is None:
        return None
    lost = [name for name in labels if name not in facts.labels]
    return f"no label {listed(lost)}" if lost else None


def refused_actions(files: WorkflowFiles, policy: Mapping[str, Any]) -> list[str]:
    """Return the workflows that a policy refuses, each with an action that it names.

    An action of a verified creator is not among them where those are allowed: who is
    one, GitHub does not say.

    References
    ----------
    https://docs.github.com/rest/actions/permissions
    """
    refused = []
    for file, actions in files.actions.items():
        for action in sorted(actions):
            name, _, version = action.partition("@")
            if policy.get("sha_pinning_required") and not _COMMIT.fullmatch(version):
                refused.append(f"{file}: {name}, which is not pinned to a commit")
                break
            if not _allows(policy, action):
                refused.append(f"{file}: {name}")
                break
    return refused


def _allows(policy: Mapping[str, Any], action: str) -> bool:
    """Return whether a policy lets an action run, by whose it is.

    Of the patterns, those that begin with `!` block what others allow.
    """
    allowed = policy.get("allowed_actions", "all")
    if allowed != "selected":
        return bool(allowed == "all")
    patterns = [str(one).lower() for one in policy.get("patterns_allowed") or ()]
    name = action.lower()
    if any(fnmatchcase(name, one[1:]) for one in patterns if one.startswith("!")):
        return False
    kind = "github_owned_allowed"
    if name.split("/")[0] not in _GITHUBS:
        kind = "verified_allowed"
    return bool(policy.get(kind)) or any(fnmatchcase(name, one) for one in patterns)


def _naming_others(files: WorkflowFiles, branch: str) -> str | None:
    """Return which files name branches, and none of them is the default branch."""
    others = [
        file
        for file, patterns in files.branches.items()
        if not selects(patterns, branch)
    ]
    return f"it is {branch}: {listed(others)}" if others else None


def _own_machines(facts: RepositoryFacts) -> str | None:
    """Return which variables may name a machine of the owner that takes pull requests.

    In a public repository a pull request of anybody can name any label in its own copy
    of a workflow, so that each variable counts.
    """
    variables = facts.variables or {}
    names = ["RUNNER"] if facts.private else ["RUNNER", "MONITOR_RUNNER"]
    found = []
    for name in names:
        label = variables.get(name, "")
        if label and not _HOSTED.fullmatch(label):
            found.append(f"{name} is {label}")
    if not found:
        return None
    who = "whoever may push" if facts.private else "anybody, from a fork"
    return f"{listed(found)}; here that is {who}"


def _silent_here(facts: RepositoryFacts, now: datetime) -> list[str]:
    """Return the silent schedules; none where a variable switches them all off."""
    variables = facts.variables or {}
    # A workflow's `contains` does not tell capitals from small letters.
    if variables.get("SCHEDULES", "").lower() in _SWITCHED_OFF:
        return []
    return silent(facts.schedules or (), now)


def silent(schedules: Iterable[ScheduledWorkflow], now: datetime) -> list[str]:
    """Return in words the schedules of which two periods have passed without a run."""
    found = []
    for one in schedules:
        if one.state.startswith("disabled"):
            found.append(f"{one.file} is {one.state.replace('_', ' by ', 1)}")
        elif now - one.since > 2 * one.period:
            found.append(
                f"{one.file} is due every {_days(one.period)} and has not run since "
                f"{one.since:%Y-%m-%d}"
            )
    return found


def _days(period: timedelta) -> str:
    return "day" if period.days <= 1 else f"{period.days} days"


def period_of(cron: str) -> timedelta:
    """Return the longest time between two runs of a schedule, in whole days.

    Parameters
    ----------
    cron : str
        Five fields: minute, hour, day of the month, month, day of the week.
    """
    _, _, day, month, weekday = cron.split()
    if month != "*":
        return timedelta(days=366)
    if day != "*":
        return timedelta(days=31)
    if weekday != "*":
        return timedelta(days=7)
    return timedelta(days=1)
