"""Whole numbers that became floats: `2.0` is `2` where all known values are whole.

A program that meets one missing value writes a column of codes as floats. As text, `2`
and `2.0` are two categories, two ids and two labels, and nothing would say so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


_WHOLE = re.compile(r"[+-]?[0-9]+(?:\.0+)?")
_POINT_ZERO = re.compile(r"^([+-]?[0-9]+)\.0+$")


def all_whole(values: Iterable[str]) -> bool:
    """Return whether there are values and all are whole numbers (`2`, `-7`, `2.0`)."""
    any_value = False
    for value in values:
        if not _WHOLE.fullmatch(value):
            return False
        any_value = True
    return any_value


def without_point_zero(value: str) -> str:
    """Return `2` for `2.0`, and any other text as it is."""
    return _POINT_ZERO.sub(r"\1", value)


def plain_whole_numbers(column: pd.Series) -> pd.Series:
    """Return a text column with `2` for `2.0` where all its known values are whole.

    A column of versions (`1.0`, `1.5`) stays as it is.
    """
    candidates = column.str.contains(".0", regex=False, na=False)
    if not candidates.any():
        return column
    if not all_whole(column.dropna().drop_duplicates()):
        return column
    return column.str.replace(_POINT_ZERO, r"\1", regex=True)


def spellings(known: Iterable[str]) -> dict[str, str]:
    """Return how each known whole number is written, by its form without decimals.

    Empty unless all known values are whole numbers.
    """
    values = list(known)
    if not all_whole(values):
        return {}
    return {without_point_zero(value): value for value in values}


def respell(column: pd.Series, spelling: Mapping[str, str]) -> pd.Series:
    """Write the values of a text column as those that are known are written.

    Parameters
    ----------
    column : Series of str
    spelling : mapping
        Of `spellings`; where it is empty, the column is returned as it is.

    Returns
    -------
    Series of str
        `2.0` and `2` both become the one of them that is known; any other value stays.
    """
    if not spelling:
        return column
    changed = {}
    for value in column.dropna().unique():
        known = spelling.get(without_point_zero(value), value)
        if known != value:
            changed[value] = known
    if not changed:
        return column
    return column.map(
        lambda value: changed.get(value, value), na_action="ignore"
    ).astype("str")


def count_unseen(
    frame: pd.DataFrame, known: Mapping[str, Collection[str]]
) -> dict[str, int]:
    """Return how many values of each column are there and not among those known.

    Parameters
    ----------
    frame : DataFrame, shape (n_rows, n_columns)
        Text columns.
    known : mapping of str to collection of str
        The categories of each column.

    Returns
    -------
    dict of str to int
        Columns without such values are left out.
    """
    unseen = {}
    for name, categories in known.items():
        column = respell(frame[name], spellings(categories))
        count = int((column.notna() & ~column.isin(list(categories))).sum())
        if count:
            unseen[name] = count
    return unseen
