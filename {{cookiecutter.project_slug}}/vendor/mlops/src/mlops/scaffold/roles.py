"""What each column is for: target, id, group, feature, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from mlops.config.model_spec import Kind
from mlops.data.types import as_number
from mlops.scaffold.inspect import FEW, Column, Columns

_MOST_VALUES = 1000  # of a category


@dataclass(frozen=True)
class Role:
    """What a column is for.

    Parameters
    ----------
    name : str
        feature, id, group, sensitive or ignored.
    reason : str
        Why it is ignored.
    note : str
        What a person should check.
    kind : Kind, optional
        Where it is another one than was seen in the values.
    """

    name: str
    reason: str = ""
    note: str = ""
    kind: Kind | None = None


def roles(
    columns: Columns, target: str, rows: pd.DataFrame, answers: set[str]
) -> Iterator[str]:
    """Give every column of `columns` a role; yield what to check about it.

    Parameters
    ----------
    columns : Columns
        Changed in place.
    target : str
    rows : DataFrame, shape (n_rows, n_columns)
        The different rows, as text.
    answers : set of str
        How the columns of the model's answers are named.
    """
    columns[target] = columns[target].model_copy(update={"role": "target"})
    for name, column in list(columns.items()):
        if column.role != "feature":
            continue
        taken = {other.role for other in columns.values()}
        role = _role_of(column, rows[name].dropna(), taken, answers)
        columns[name] = _with_role(column, role)
        if role.note:
            yield role.note


def _with_role(column: Column, role: Role) -> Column:
    """Return a column with its role; a sensitive one forgets its values."""
    update: dict[str, object] = {"role": role.name, "reason": role.reason}
    if role.kind:
        update["kind"] = role.kind
    if role.name == "sensitive":
        update |= {"values": (), "low": None, "high": None}
    return column.model_copy(update=update)


def _role_of(
    column: Column, known: pd.Series, taken: set[str], answers: set[str]
) -> Role:
    """Return what a column is for; `taken` are the roles that columns have already."""
    if column.name in answers:
        return _output(column)
    text = column.kind == "category" and not column.written
    can_name = text or column.whole
    unique = can_name and not column.missing and known.is_unique
    named = column.looks_like_id and column.unique > FEW and can_name
    repeats = named and not unique and len(known) <= FEW * column.unique
    if unique and column.looks_like_id:
        return _identifier(taken)
    if unique and column.whole and _counts_rows(column, known):
        return Role("ignored", "counts the rows")
    if repeats and "group" not in taken:
        return _group(column)
    if column.looks_sensitive:
        return _sensitive(column)
    if repeats:
        return Role("ignored", "is an identifier")
    return _text(column, len(known)) if text else Role("feature")


def _identifier(taken: set[str]) -> Role:
    """Return the role of a column that names each row."""
    if "id" in taken:
        return Role("ignored", "is one more identifier")
    return Role("id")


def _text(column: Column, rows: int) -> Role:
    """Return the role of a column of text: a category, or sentences, or neither."""
    if column.prose:
        return Role("feature", kind="text")
    if column.unique > min(_MOST_VALUES, max(FEW, rows / 2)):
        return Role("ignored", f"is text with {column.unique:,} different values")
    return Role("feature")


def _output(column: Column) -> Role:
    reason = "is named like an output of the model"
    note = f"`{column.name}` is left out: it {reason}. If it is of use, rename it."
    return Role("ignored", reason, note)


def _group(column: Column) -> Role:
    note = (
        f"Several rows have the same `{column.name}`: rows of one never stand on both "
        "sides of the split (split.by: group). If that does not matter, set "
        "split.by: random."
    )
    return Role("group", note=note)


def _sensitive(column: Column) -> Role:
    note = (
        f"`{column.name}` sounds like what the law protects: it is under sensitive, so "
        "it is no feature and never shown. Check that, and add limits under fairness."
    )
    return Role("sensitive", note=note)


def _counts_rows(column: Column, known: pd.Series) -> bool:
    """Return whether numbers rise from row to row and leave hardly any out."""
    if column.name.startswith("__index_"):
        return True
    numbers = as_number(known)
    span = numbers.max() - numbers.min()
    return bool(numbers.is_monotonic_increasing and span < len(numbers))
