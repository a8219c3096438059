"""Which workflows an event would start: `on:` with its filters, as GitHub reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rehearsal.event import Event
from rehearsal.workflow import RehearsalError, Workflow, as_list

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
MOST_INPUTS = 25


class Router:
    """The workflows of one commit.

    Parameters
    ----------
    workflows_folder : Path
        ``.github/workflows`` of a work tree.
    """

    def __init__(self, workflows_folder: Path) -> None:
        files = sorted(workflows_folder.glob("*.yml")) + sorted(
            workflows_folder.glob("*.yaml")
        )
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
        opened = event.payload.get("action") in DEFAULT_TYPES["pull_request"]
        if (
            event.token_kind != "GITHUB_TOKEN"
            or event.name != "pull_request"
            or not opened
        ):
            return []
        return self._matching(event)

    def _matching(self, event: Event) -> list[Workflow]:
        if event.name == "workflow_dispatch":
            workflow = self.dispatched(event)
            inputs(workflow, event)
            return [workflow]
        return [workflow for workflow in self.workflows if matches(workflow, event)]

    def dispatched(self, event: Event) -> Workflow:
        """Return the workflow that a workflow_dispatch names, by file name."""
        asked = Path(str(event.payload.get("workflow", ""))).name
        for workflow in self.workflows:
            if workflow.path.name == asked:
                if "workflow_dispatch" not in workflow.on:
                    raise RehearsalError(
                        f"{asked} does not have a `workflow_dispatch` trigger"
                    )
                return workflow
        known = ", ".join(workflow.path.name for workflow in self.workflows)
        raise RehearsalError(f"there is no workflow {asked!r}; there are {known}")

    def schedules(self) -> dict[str, list[str]]:
        """Return the crons of each workflow that has any."""
        found = {
            w.key: [str(one.get("cron")) for one in crons(w)] for w in self.workflows
        }
        return {key: values for key, values in found.items() if values}


def crons(workflow: Workflow) -> list[Mapping[str, Any]]:
    """Return the entries of `schedule:`."""
    return as_list(workflow.on.get("schedule", {}).get("cron"))


def matches(workflow: Workflow, event: Event) -> bool:
    """Say whether an event starts a workflow."""
    rule = workflow.on.get(event.name)
    if rule is None:
        return False
    special: Callable[[Mapping[str, Any], Event], bool] = _SPECIAL.get(
        event.name, _others
    )
    return special(rule, event)


def _typed(rule: Mapping[str, Any], event: Event) -> bool:
    types = as_list(rule.get("types")) or list(DEFAULT_TYPES.get(event.name, ()))
    return not types or event.payload.get("action") in types


def _others(rule: Mapping[str, Any], event: Event) -> bool:
    return _typed(rule, event)


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
    named = run["name"] in as_list(rule.get("workflows"))
    return (
        named
        and _typed(rule, event)
        and _allowed(rule, "branches", str(run["head_branch"]))
    )


def _schedule(rule: Mapping[str, Any], event: Event) -> bool:
    return any(
        one.get("cron") == event.payload.get("schedule")
        for one in as_list(rule["cron"])
    )


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
    return "paths" not in rule or any(
        selected(as_list(rule["paths"]), file) for file in files
    )


def selected(patterns: Iterable[str], name: str) -> bool:
    """Say whether patterns select a name: the last one that matches decides, `!` takes out."""
    found = False
    for pattern in patterns:
        if pattern.startswith("!"):
            found = found and not pattern_to_regex(pattern[1:]).fullmatch(name)
        else:
            found = found or bool(pattern_to_regex(pattern).fullmatch(name))
    return found


def pattern_to_regex(pattern: str) -> re.Pattern[str]:
    """Translate GitHub's filter pattern.

    ``*`` stops at a slash, ``**`` does not (and ``**/`` may be nothing), ``?`` and ``+`` repeat
    the character before them, ``[]`` is a set, a backslash takes the meaning from what follows.
    """
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("**/") and (at == 0 or pattern[at - 1] == "/"):
            parts.append("(?:.*/)?")
            at += 3
        elif rest.startswith("**"):
            parts.append(".*")
            at += 2
        elif rest[0] == "*":
            parts.append("[^/]*")
            at += 1
        elif rest[0] in "?+" and at:
            parts.append(rest[0])
            at += 1
        elif rest[0] == "[" and "]" in rest:
            end = rest.index("]") + 1
            parts.append(rest[:end])
            at += end
        elif rest[0] == "\\" and len(rest) > 1:
            parts.append(re.escape(rest[1]))
            at += 2
        else:
            parts.append(re.escape(rest[0]))
            at += 1
    return re.compile("".join(parts))


def inputs(workflow: Workflow, event: Event) -> dict[str, str]:
    """Return the inputs of a workflow_dispatch, defaults filled in, as `github.event.inputs`.

    Raises
    ------
    RehearsalError
        For every input that GitHub would refuse: unknown, missing, of another type.
    """
    rules = workflow.on["workflow_dispatch"].get("inputs") or {}
    declared = {name: dict(rule or {}) for name, rule in rules.items()}
    given = {k: _text(v) for k, v in (event.payload.get("inputs") or {}).items()}
    problems = [f"unexpected input `{name}`" for name in given.keys() - declared.keys()]
    if len(declared) > MOST_INPUTS:
        problems.append(f"{len(declared)} inputs; GitHub takes {MOST_INPUTS}")
    filled = {}
    for name, what in declared.items():
        value = given.get(name, "")
        if name not in given:
            value = _text(
                what.get("default", "false" if what.get("type") == "boolean" else "")
            )
        if not value and what.get("required"):
            problems.append(f"input `{name}` is required")
        elif value and (problem := _wrong(what, value)):
            problems.append(f"input `{name}` is {value!r}: {problem}")
        filled[name] = value
    if problems:
        raise RehearsalError(
            *(f"{workflow.path.name}: {problem}" for problem in problems)
        )
    return filled


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wrong(what: Mapping[str, Any], value: str) -> str:
    kind = what.get("type", "string")
    if kind == "boolean" and value not in ("true", "false"):
        return "true or false"
    if kind == "number" and not re.fullmatch(r"-?\d+(\.\d+)?", value):
        return "a number"
    options = [_text(option) for option in as_list(what.get("options"))]
    if kind == "choice" and value not in options:
        return f"one of {', '.join(options)}"
    return ""
