"""Which of the runs that wait for one another GitHub lets go on: `concurrency:` of workflows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rehearsal.event import Event
from rehearsal.workflow import RehearsalError, Workflow

_TOKEN = re.compile(r"\s*(\|\||&&|==|!=|!|\(|\)|'(?:[^']|'')*'|[\w.-]+)")


@dataclass(frozen=True)
class Concurrency:
    """What a workflow says of runs at the same time.

    Parameters
    ----------
    group : str
        Empty when it says nothing: then all run.
    cancel : bool
        A newer run stops an older one.
    queue : bool
        All wait for their turn; without it a newer one takes the place of one that waits.
    """

    group: str = ""
    cancel: bool = False
    queue: bool = False


def concurrency(workflow: Workflow, event: Event) -> Concurrency:
    """Return what `concurrency:` of a workflow comes to for an event."""
    rule = workflow.document.get("concurrency")
    if rule is None:
        return Concurrency()
    rule = rule if isinstance(rule, Mapping) else {"group": rule}
    context = {
        "github": github(workflow, event),
        "inputs": event.payload.get("inputs") or {},
    }
    cancel = filled(rule.get("cancel-in-progress", False), context)
    group = str(filled(rule["group"], context))
    return Concurrency(
        group.lower(), cancel in (True, "true"), rule.get("queue") == "max"
    )


def github(workflow: Workflow, event: Event) -> dict[str, Any]:
    """Return the part of the `github` context that groups are made of."""
    pull = event.payload.get("pull_request") or {}
    return {
        "workflow": workflow.name,
        "event_name": event.name,
        "event": event.payload,
        "ref": event.ref,
        "ref_name": event.ref.removeprefix("refs/heads/").removeprefix("refs/tags/"),
        "sha": event.sha,
        "actor": event.actor,
        "head_ref": (pull.get("head") or {}).get("ref", ""),
        "base_ref": (pull.get("base") or {}).get("ref", ""),
    }


def filled(template: Any, context: Mapping[str, Any]) -> Any:
    """Return a value with its expressions evaluated; one that is nothing else keeps its type."""
    if not isinstance(template, str):
        return template
    whole = re.fullmatch(r"\s*\$\{\{((?:(?!\}\}).)*)\}\}\s*", template)
    if whole:
        return evaluate(whole[1], context)
    return re.sub(
        r"\$\{\{(.*?)\}\}", lambda m: _text(evaluate(m[1], context)), template
    )


def evaluate(expression: str, context: Mapping[str, Any]) -> Any:
    """Evaluate an expression of names, texts, ``||``, ``&&``, ``==``, ``!=``, ``!`` and brackets.

    Raises
    ------
    RehearsalError
        For anything else.
    """
    tokens, at = [], 0
    text = expression.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise RehearsalError(f"{text!r} is more than the rehearsal evaluates")
        tokens.append(match[1])
        at = match.end()

    def either(next_level: Callable[[], Any], operator: str) -> Callable[[], Any]:
        def level() -> Any:
            left = next_level()
            while tokens and tokens[0] == operator:
                tokens.pop(0)
                right = next_level()
                left = (left or right) if operator == "||" else (left and right)
            return left

        return level

    def equality() -> Any:
        left = unary()
        while tokens and tokens[0] in ("==", "!="):
            operator = tokens.pop(0)
            left = (_text(left).lower() == _text(unary()).lower()) is (operator == "==")
        return left

    def unary() -> Any:
        token = tokens.pop(0)
        if token == "!":
            return not unary()
        if token == "(":
            value = top()
            tokens.pop(0)
            return value
        return _value(token, context)

    top = either(either(equality, "&&"), "||")
    value = top()
    if tokens:
        raise RehearsalError(f"{text!r} is more than the rehearsal evaluates")
    return value


def _value(token: str, context: Mapping[str, Any]) -> Any:
    if token.startswith("'"):
        return token[1:-1].replace("''", "'")
    if token in ("true", "false"):
        return token == "true"
    if token.isdigit():
        return int(token)
    value: Any = context
    for part in token.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


class Queue:
    """Runs that came while others ran, and what became of those before them."""

    def __init__(self) -> None:
        self.now = 0
        self._ended: dict[str, int] = {}

    def superseded(
        self, asked: Concurrency, came: int, later: list[Concurrency]
    ) -> bool:
        """Say whether a run whose turn it is was cancelled for a newer one of its group.

        Parameters
        ----------
        came : int
            Its place in the order of arrival.
        later : list
            What the runs say that have come since.
        """
        if not asked.group or not any(other.group == asked.group for other in later):
            return False
        newest = [other for other in later if other.group == asked.group][-1]
        waited = came < self._ended.get(asked.group, -1)
        return newest.cancel or (waited and not asked.queue)

    def ended(self, asked: Concurrency) -> None:
        """Remember that a run of a group has ended; those that came until now have waited."""
        if asked.group:
            self._ended[asked.group] = self.now

    def arrival(self) -> int:
        """Return the place of one that comes now."""
        self.now += 1
        return self.now - 1
