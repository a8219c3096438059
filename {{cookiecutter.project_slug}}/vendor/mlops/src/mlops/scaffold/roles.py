"""What each column is for: target, id, feature, leak."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from mlops.config.model_spec import Task
from mlops.data.types import as_number
from mlops.scaffold.inspect import FEW, Column, Columns

_MOST_VALUES = 1000


def roles(
    columns: Columns, target: str, rows: pd.DataFrame, answers: set[str]
) -> Iterator[str]:
    """Give every column of `columns` a role; yield what to check about it."""
    columns[target] = columns[target].model_copy(update={"role": "target"})
    for name, column in list(columns.items()):
        if column.role != "feature":
            continue
        known, taken = rows[name].dropna(), {c.role for c in columns.values()}
        text = column.kind == "category" and not column.written
        differs = (text or column.whole) and not column.missing and known.is_unique
        named = column.looks_like_id and column.unique > FEW and (text or column.whole)
        several = named and not differs and len(known) <= FEW * column.unique
        role, reason = "ignored", ""
        if name in answers:
            reason = "is named like an answer of the model"
            yield f"`{name}` is left out: it {reason}. If it is of use, rename it."
        elif differs and column.looks_like_id:
            role, reason = (
                ("ignored", "is one more identifier") if "id" in taken else ("id", "")
            )
        elif (
            differs and column.whole and (name.startswith("__index_") or _counts(known))
        ):
            reason = "counts the rows"
        elif several and "group" not in taken:
            role = "group"
            what = (
                "rows of one never stand on both sides of the split (split.by: group)"
            )
            do = "If that does not matter, set split.by: random."
            yield f"Several rows have the same `{name}`: {what}. {do}"
        elif column.looks_sensitive:
            role = "sensitive"
            what = "it is under sensitive, so it is no feature and never shown"
            do = "Check that, and add limits under fairness."
            yield f"`{name}` sounds like what the law protects: {what}. {do}"
        elif several:
            reason = "is an identifier"
        elif text and column.unique > min(_MOST_VALUES, max(FEW, len(known) / 2)):
            reason = f"is text with {column.unique:,} different values"
        else:
            role = "feature"
        hidden = (
            {"values": (), "low": None, "high": None} if role == "sensitive" else {}
        )
        columns[name] = column.model_copy(
            update={"role": role, "reason": reason, **hidden}
        )


def _counts(known: pd.Series) -> bool:
    numbers = as_number(known)
    return bool(
        numbers.is_monotonic_increasing and numbers.max() - numbers.min() < len(numbers)
    )


def leaks(
    columns: Columns, target: str, task: Task, rows: pd.DataFrame
) -> Iterator[str]:
    """Yield which features tell the target alone; one that is a copy of it is ignored."""
    rows = rows[rows[target].notna()]
    features = [c for c in columns.values() if c.role == "feature"]
    for column in features:
        copy, almost = _tells(column, rows[column.name], rows[target], task)
        if copy and len(features) > 1:
            reason = f"says the same as `{target}`, row by row"
            columns[column.name] = column.model_copy(
                update={"role": "ignored", "reason": reason}
            )
            yield f"`{column.name}` is left out: it {reason}."
        elif almost:
            do = "If it is not known before the target is, move it from features to data.ignore."
            yield f"`{column.name}` alone tells `{target}` almost without error. {do}"


def _tells(
    column: Column, values: pd.Series, truth: pd.Series, task: Task
) -> tuple[bool, bool]:
    """Return whether a column is the target by another name, and whether it gives it away."""
    if task == "regression":
        numbers, wanted = as_number(values), as_number(truth)
        if column.kind != "number" or numbers.nunique() < 3:
            return False, False
        return bool((numbers == wanted).all()), bool(abs(numbers.corr(wanted)) > 0.9999)
    if column.kind == "number" and column.unique > 100:
        values = pd.qcut(as_number(values), 100, labels=False, duplicates="drop")
    counts = pd.crosstab(values.fillna("" if values.dtype == "str" else -1), truth)
    right, common = (
        counts.max(axis=1).sum() / len(truth),
        counts.sum().max() / len(truth),
    )
    copy = right == 1 and len(counts) == counts.shape[1] == column.unique
    return bool(copy), bool(
        right > 1 - 0.02 * (1 - common) and len(counts) < len(truth) / 5
    )
