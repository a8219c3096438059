"""Which workflows an event would start: `on:` with its filters, as GitHub reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rehearsal.errors import RehearsalError
from rehearsal.event import Event
from rehearsal.inputs import inputs
from rehearsal.patterns import selected
from rehearsal.workflow import Workflow, as_list

# Where `types:` is not given. Other events start a workflow with any type.
DEFAULT_TYPES = {
    "pull_request": ("opened", "synchronize", "reopened"),
    "pull_request_target": ("opened", "synchronize", "reopened"),
}
# What the token of a job may start.
CHAINED = ("workflow_dispatch", "repository_dispatch")
_SKIP = re.compile(
    r"\[(skip ci|ci skip|no ci|skip actions|actions skip)\]", re.IGNORECASE
)


class Router:
    """The workflows of one commit.

    Parameters
    ----------
    workflows_folder : Path
        ``.github/workflows`` of a work tree.
    """

    def __init__(self, workflows_folder: Path) -> None:
        files = sorted(workflows_folder.glob("*.yml"))
        files += sorted(workflows_folder.glob("*.yaml"))
        self.workflows = [Workflow.read(path) for path in files]

    def starts(self, event: Event) -> list[Workflow]:
        """Return the workflows that start, in the order of their names.

        Raises
        ------
        RehearsalError
            For a dispatch that GitHub would refuse.
        """
        if event.token_kind == "GITHUB_TOKEN" and event.name not in CHAINED:
            return []
        return self._matching(event)

    def waiting(self, event: Event) -> list[Workflow]:
        """Return the workflows that start once a person approves them.

        Those of a pull request that a job opened or pushed to with its GITHUB_TOKEN.
        """
        by_a_job = event.token_kind == "GITHUB_TOKEN"
        opened = event.payload.get("action") in DEFAULT_TYPES["pull_request"]
        if by_a_job and event.name == "pull_request" and opened:
            return self._matching(event)
        return []

    def _matching(self, event: Event) -> list[Workflow]:
        if event.name == "workflow_dispatch":
            workflow = self.dispatched(event)
            inputs(workflow, event)
            return [workflow]
        return [workflow for workflow in self.workflows if matches(workflow, event)]

    def dispatched(self, event: Event) -> Workflow:
        """Return the workflow that a workflow_dispatch names, by file name."""
        requested = Path(str(event.payload.get("workflow", ""))).name
        by_name = {workflow.path.name: workflow for workflow in self.workflows}
        if requested not in by_name:
            known = ", ".join(by_name)
            raise RehearsalError(
                f"there is no workflow {requested!r}; there are {known}"
            )
        if "workflow_dispatch" not in by_name[requested].on:
            raise RehearsalError(
                f"{requested} does not have a `workflow_dispatch` trigger"
            )
        return by_name[requested]

    def schedules(self) -> dict[str, list[str]]:
        """Return the crons of each workflow that has any."""
        found = {}
        for workflow in self.workflows:
            entries = crons(workflow)
            if entries:
                found[workflow.key] = [str(entry.get("cron")) for entry in entries]
        return found


def crons(workflow: Workflow) -> list[Mapping[str, Any]]:
    """Return the entries of `schedule:`."""
    return as_list(workflow.on.get("schedule", {}).get("cron"))


def matches(workflow: Workflow, event: Event) -> bool:
    """Say whether an event starts a workflow."""
    rule = workflow.on.get(event.name)
    if rule is None:
        return False
    special = _SPECIAL.get(event.name, _typed)
    return special(rule, event)


def _typed(rule: Mapping[str, Any], event: Event) -> bool:
    types = as_list(rule.get("types")) or list(DEFAULT_TYPES.get(event.name, ()))
    return not types or event.payload.get("action") in types


def _push(rule: Mapping[str, Any], event: Event) -> bool:
    if event.payload.get("deleted"):
        return False
    message = str((event.payload.get("head_commit") or {}).get("message", ""))
    if _SKIP.search(message):
        return False
    branches = {"branches", "branches-ignore"} & rule.keys()
    tags = {"tags", "tags-ignore"} & rule.keys()
    if event.ref.startswith("refs/tags/"):
        # Path filters say nothing about tags, branch filters exclude them.
        name = event.ref.removeprefix("refs/tags/")
        return _allowed(rule, "tags", name) if tags else not branches
    if tags and not branches:
        return False
    name = event.ref.removeprefix("refs/heads/")
    return _allowed(rule, "branches", name) and _paths(rule, event.changed_files)


def _pull_request(rule: Mapping[str, Any], event: Event) -> bool:
    base = str(event.payload["pull_request"]["base"]["ref"])
    fits = _typed(rule, event) and _allowed(rule, "branches", base)
    return fits and _paths(rule, event.changed_files)


def _merge_group(rule: Mapping[str, Any], event: Event) -> bool:
    base = str(event.payload["merge_group"]["base_ref"]).removeprefix("refs/heads/")
    return _typed(rule, event) and _allowed(rule, "branches", base)


def _workflow_run(rule: Mapping[str, Any], event: Event) -> bool:
    run = event.payload["workflow_run"]
    if run["name"] not in as_list(rule.get("workflows")):
        return False
    return _typed(rule, event) and _allowed(rule, "branches", str(run["head_branch"]))


def _schedule(rule: Mapping[str, Any], event: Event) -> bool:
    due = event.payload.get("schedule")
    return any(one.get("cron") == due for one in as_list(rule["cron"]))


_SPECIAL: dict[str, Callable[[Mapping[str, Any], Event], bool]] = {
    "push": _push,
    "pull_request": _pull_request,
    "pull_request_target": _pull_request,
    "merge_group": _merge_group,
    "workflow_run": _workflow_run,
    "schedule": _schedule,
}


def _allowed(rule: Mapping[str, Any], kind: str, name: str) -> bool:
    if f"{kind}-ignore" in rule:
        return not selected(as_list(rule[f"{kind}-ignore"]), name)
    return kind not in rule or selected(as_list(rule[kind]), name)


def _paths(rule: Mapping[str, Any], files: Iterable[str]) -> bool:
    if "paths-ignore" in rule:
        ignored = as_list(rule["paths-ignore"])
        return any(not selected(ignored, file) for file in files)
    if "paths" not in rule:
        return True
    wanted = as_list(rule["paths"])
    return any(selected(wanted, file) for file in files)
