"""Conditions on records: `--where`."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Collection
from typing import Any

from mlops.errors import UsageError, did_you_mean

# -- conditions on documents ------------------------------------------------------------------

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}

_CONDITION = re.compile(rf"\s*([\w.-]+)\s*({'|'.join(_COMPARE)})\s*(.+?)\s*")


def condition(text: str, known: Collection[str]) -> Callable[[dict[str, Any]], bool]:
    """Return a test of documents for conditions joined by ``and``: ``PATH OPERATOR VALUE``.

    A path begins with one of the `known` keys and goes on by key (``params.C``) or by name
    (``metrics.roc_auc``). What is not there fulfils no condition.
    """
    tests = []
    for part in re.split(r"\s+and\s+", text):
        match = _CONDITION.fullmatch(part)
        first = match[1].split(".")[0] if match else ""
        if not match or first not in known:
            allowed = "PATH, one of > >= < <= = !=, VALUE; such as metrics.roc_auc>0.9"
            near = did_you_mean(first, known)
            what = "not a condition, or not on anything that is known"
            raise UsageError(what, key="--where", found=part, allowed=allowed, do=near)
        try:
            wanted = json.loads(match[3])
        except ValueError:
            wanted = match[3].strip("\"'")
        tests.append((match[1], _COMPARE[match[2]], wanted))

    def holds(record: dict[str, Any]) -> bool:
        return all(
            _true(compare, _at(record, path), wanted) for path, compare, wanted in tests
        )

    return holds


def _at(record: dict[str, Any], path: str) -> Any:
    """Return what stands at a path, or at the short form of one; None where nothing does."""
    found = (_walk(record, start + path) for start in ("", "training.", "verdict."))
    return next((x for x in found if x is not None), None)


def _walk(value: Any, path: str) -> Any:
    if isinstance(value, list):
        value = {x["name"]: x for x in value if isinstance(x, dict) and "name" in x}
    if not path:
        return (
            value.get("value", value.get("decision"))
            if isinstance(value, dict)
            else value
        )
    entries = (
        value.items() if isinstance(value, dict) else ()
    )  # a key may have dots in it
    inside = (
        (x, path[len(key) + 1 :])
        for key, x in entries
        if f"{path}.".startswith(f"{key}.")
    )
    found = (_walk(x, rest) for x, rest in inside)
    return next((x for x in found if x is not None), None)


def _true(compare: Callable[[Any, Any], bool], found: Any, wanted: Any) -> bool:
    try:
        return found is not None and compare(found, wanted)
    except TypeError:  # a number is not above a word
        return False
