"""Conditions on records: ``--where KEY OP VALUE``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from mlops.errors import UsageError, did_you_mean, listed

Condition = tuple[str, str, str]  # key, operator, value

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "in": lambda value, wanted: value in wanted,
}

# A key may be given without these.
_PREFIXES = ("", "training.", "verdict.")

_ABSENT = object()

# How conditions were written before there were words for the operators.
_OLD_FORM = re.compile(r"\s*([\w.-]+)\s*(>=|<=|!=|==|=|>|<)\s*(.+?)\s*")

_OLD_OPERATORS = {
    ">=": "ge",
    "<=": "le",
    "!=": "ne",
    "==": "eq",
    "=": "eq",
    ">": "gt",
    "<": "lt",
}


def matching(
    documents: Sequence[dict[str, Any]],
    conditions: Iterable[Condition],
    known: Collection[str],
) -> list[bool]:
    """Return for each document whether it meets all conditions.

    A key begins with one of the `known` ones and goes on by key (``params.C``) or by
    name (``metrics.roc_auc``). A document that does not have it does not meet the
    condition. The value is read as the type that is found: a number, true or false,
    else a text.

    Raises
    ------
    UsageError
        For an operator or a key that there is not, and for a value of another type.
    """
    met = [True] * len(documents)
    for key, name, text in conditions:
        values = [_find(document, key) for document in documents]
        _require_operator(name)
        _require_key(key, documents, values, known)
        results = [_meets(value, name, text) for value in values]
        if any(value is not _ABSENT for value in values):
            _require_type(key, text, values, results)
        met = [before and bool(now) for before, now in zip(met, results, strict=True)]
    return met


def require_new_form(text: str) -> None:
    """Raise UsageError where a condition is written in the form of earlier versions."""
    parts = re.split(r"\s+and\s+", text, flags=re.IGNORECASE)
    matches = [_OLD_FORM.fullmatch(part) for part in parts]
    if not any(matches):
        return
    words = []
    for match in filter(None, matches):
        key, sign, value = match.groups()
        words.append(f"--where {key} {_OLD_OPERATORS[sign]} {value}")
    raise UsageError(
        "a condition is three words now: KEY OP VALUE",
        key="--where",
        found=text,
        allowed=f"OP is one of {', '.join(OPERATORS)}",
        do=f"`{' '.join(words)}`",
    )


def _require_operator(name: str) -> None:
    if name not in OPERATORS:
        raise UsageError(
            "there is no such operator",
            key="--where",
            found=name,
            allowed=", ".join(OPERATORS),
            do="`--where KEY OP VALUE`, such as `--where metrics.roc_auc gt 0.9`;"
            " several are all to be met",
        )


def _require_key(
    key: str,
    documents: Sequence[dict[str, Any]],
    values: Sequence[Any],
    known: Collection[str],
) -> None:
    """Raise UsageError for a key that no document has."""
    if key in known or any(value is not _ABSENT for value in values):
        return
    first = key.split(".")[0]
    if first in known and not documents:
        return
    paths: dict[str, None] = dict.fromkeys(known)
    for document in documents:
        for path in _paths(document):
            short = [path.removeprefix(prefix) for prefix in _PREFIXES]
            paths |= dict.fromkeys(short)
    inside = [path for path in paths if path.startswith(f"{first}.")]
    raise UsageError(
        "no record has this key",
        key="--where",
        found=key,
        allowed=listed(inside or sorted(known)),
        do=did_you_mean(key, paths),
    )


def _require_type(
    key: str, text: str, values: Sequence[Any], results: Sequence[bool | None]
) -> None:
    """Raise UsageError where the value can be compared with nothing that was found."""
    comparable = [
        result
        for value, result in zip(values, results, strict=True)
        if value is not _ABSENT and value is not None
    ]
    if not comparable or any(result is not None for result in comparable):
        return
    example = next(value for value in values if value not in (_ABSENT, None))
    if isinstance(example, dict):
        kind = f"has keys of its own: {listed(example)}"
    elif isinstance(example, list):
        kind = "holds a list"
    elif isinstance(example, bool):
        kind = "is true or false"
    else:
        kind = "holds numbers"
    raise UsageError(
        f"this cannot be compared: {key} {kind}", key="--where", found=text
    )


def _meets(value: Any, name: str, text: str) -> bool | None:
    """Return whether a value meets a condition.

    None where the two cannot be compared.
    """
    if value is _ABSENT or value is None:
        return False
    if isinstance(value, dict | list):
        return None
    try:
        if name == "in":
            wanted: Any = [_like(value, part) for part in text.split(",")]
        else:
            wanted = _like(value, text)
    except ValueError:
        return None
    return OPERATORS[name](value, wanted)


def _like(value: Any, text: str) -> Any:
    """Return a text as the type of a value.

    ValueError where it is none of that type.
    """
    if isinstance(value, bool):
        words = {"true": True, "false": False}
        if text.strip().lower() not in words:
            raise ValueError(text)
        return words[text.strip().lower()]
    if isinstance(value, int | float):
        return float(text)
    return text.strip() if text.strip() else text


def _find(document: dict[str, Any], key: str) -> Any:
    """Return what a document has at a key, or at the long form of it."""
    for prefix in _PREFIXES:
        value = _at(document, prefix + key)
        if value is not _ABSENT:
            return value
    return _ABSENT


def _at(value: Any, path: str) -> Any:
    """Return what stands at a path; keys and names may have dots in them."""
    if isinstance(value, list):
        value = _by_name(value)
    if not path:
        return _plain(value)
    if not isinstance(value, dict):
        return _ABSENT
    for key, inner in value.items():
        if path != key and not path.startswith(f"{key}."):
            continue
        inside = _at(inner, path[len(key) + 1 :])
        if inside is not _ABSENT:
            return inside
    return _ABSENT


def _by_name(items: list[Any]) -> Any:
    """Return a list of named objects by their names, any other list as it is."""
    named = {
        item["name"]: item
        for item in items
        if isinstance(item, dict) and "name" in item
    }
    return named or items


def _plain(value: Any) -> Any:
    """Return what an object is compared by.

    A metric by its value, a verdict by its decision.
    """
    if isinstance(value, dict):
        for key in ("value", "decision"):
            if key in value:
                return value[key]
    return value


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Yield every path of a document."""
    if isinstance(value, list):
        value = _by_name(value)
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, f"{path}.{key}" if path else str(key))
