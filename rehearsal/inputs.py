"""The inputs of a workflow that somebody starts by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rehearsal.errors import RehearsalError
from rehearsal.event import Event
from rehearsal.workflow import Workflow, as_list

MOST_INPUTS = 25
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def inputs(workflow: Workflow, event: Event) -> dict[str, str]:
    """Return the inputs of a workflow_dispatch with defaults, as `github.event.inputs`.

    Raises
    ------
    RehearsalError
        For every input that GitHub would refuse: unknown, missing, of another type.
    """
    rules = workflow.on["workflow_dispatch"].get("inputs") or {}
    declared = {name: dict(rule or {}) for name, rule in rules.items()}
    given = {
        name: _text(value)
        for name, value in (event.payload.get("inputs") or {}).items()
    }
    problems = [f"unexpected input `{name}`" for name in given.keys() - declared.keys()]
    if len(declared) > MOST_INPUTS:
        problems.append(f"{len(declared)} inputs; GitHub takes {MOST_INPUTS}")
    filled = {}
    for name, rule in declared.items():
        filled[name] = given.get(name, _default(rule))
        problem = _problem(rule, filled[name])
        if problem:
            problems.append(f"input `{name}` {problem}")
    if problems:
        raise RehearsalError(
            *(f"{workflow.path.name}: {problem}" for problem in problems)
        )
    return filled


def _default(rule: Mapping[str, Any]) -> str:
    without = "false" if rule.get("type") == "boolean" else ""
    return _text(rule.get("default", without))


def _problem(rule: Mapping[str, Any], value: str) -> str:
    """Return why GitHub would refuse a value; empty when it would not."""
    if not value:
        return "is required" if rule.get("required") else ""
    kind = rule.get("type", "string")
    options = [_text(option) for option in as_list(rule.get("options"))]
    if kind == "boolean" and value not in ("true", "false"):
        return f"is {value!r}: true or false"
    if kind == "number" and not _NUMBER.fullmatch(value):
        return f"is {value!r}: a number"
    if kind == "choice" and value not in options:
        return f"is {value!r}: one of {', '.join(options)}"
    return ""


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
