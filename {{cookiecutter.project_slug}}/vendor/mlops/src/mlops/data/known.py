"""Values that training knew: how they are written, and which ones it never saw.

Whole numbers may have become floats: `2.0` is `2` where all known values are whole. A
program that meets one missing value writes a column of codes as floats. As text, `2`
and `2.0` are two categories, two ids and two labels, and nothing would say so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.data.types import as_number

if TYPE_CHECKING:
    import pandas as pd

    from mlops.results.training import Feature


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


def class_named(key: object, classes: Iterable[str]) -> str | None:
    """Return the class that a key means: 1, 1.0 and "1" are one, and so is "true"."""
    text = str(key)
    known = list(classes)
    if text in known:
        return text
    whole = spellings(known).get(without_point_zero(text))
    if whole is not None:
        return whole
    alike = [name for name in known if name.lower() == text.lower()]
    return alike[0] if len(alike) == 1 else None


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


def count_outside(
    frame: pd.DataFrame, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, int]:
    """Return how many values of each column are below or above those known.

    Parameters
    ----------
    frame : DataFrame, shape (n_rows, n_columns)
        Numbers, or texts that stand for them.
    ranges : mapping of str to tuple of float
        The lowest and the highest known value of each column.

    Returns
    -------
    dict of str to int
        Columns without such values are left out.
    """
    outside = {}
    for name, (low, high) in ranges.items():
        numbers = as_number(frame[name])
        count = int(((numbers < low) | (numbers > high)).sum())
        if count:
            outside[name] = count
    return outside


@dataclass(frozen=True)
class Unseen:
    """Values in some rows that training never saw, counted by column.

    Parameters
    ----------
    categories : dict of str to int
        Not among the categories of training.
    numbers : dict of str to int
        Below the lowest or above the highest number of training.
    """

    categories: dict[str, int]
    numbers: dict[str, int]


def unseen_values(frame: pd.DataFrame, features: Iterable[Feature]) -> Unseen:
    """Return how many values training never saw, for whatever asks a model.

    Parameters
    ----------
    frame : DataFrame, shape (n_rows, n_columns)
        Raw rows with every feature.
    features : iterable of Feature
        Of the model's signature. Categories of which training saw more than are
        recorded are not counted.
    """
    known = {}
    ranges = {}
    for feature in features:
        if feature.categories:
            known[feature.name] = feature.categories
        if feature.kind == "number" and feature.low is not None:
            high = feature.low if feature.high is None else feature.high
            ranges[feature.name] = (feature.low, high)
    return Unseen(count_unseen(frame, known), count_outside(frame, ranges))
