"""Which groups of `slices.columns` are watched, and which rows are theirs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.config.model_spec import Slices
from mlops.evaluation.outcome import Outcome
from mlops.evaluation.slices import MISSING, group, is_cut, quartiles, texts
from mlops.monitoring.cells import ORDERED, numbers
from mlops.monitoring.losses import general_loss, loss_baseline, losses_of, scale_of
from mlops.results.baseline import SliceBaseline

Flags = NDArray[np.bool_]

_MOST = 20  # groups of a model that are watched, the largest ones


def slice_baselines(
    rules: Slices, test: pd.DataFrame, kinds: Mapping[str, str], o: Outcome
) -> tuple[SliceBaseline, ...]:
    """Return the groups of test rows that are watched, with the mean of their loss.

    Parameters
    ----------
    rules : Slices
        Of the specification: which columns, and how many rows a group needs.
    test : DataFrame, shape (n_rows, n_columns)
    kinds : mapping of str to str
        Of the columns that are logged: without its column a group cannot be seen.
    o : Outcome, n_rows
    """
    scale = scale_of(o)
    name = general_loss(o)
    loss = losses_of(o, scale)[name]
    found = []
    for column in rules.columns:
        if column not in kinds:
            continue
        for value, low, high in _groups(test[column], kinds[column]):
            rows = _rows_of(test[column], kinds[column], value, low, high)
            if rows.sum() < rules.min_rows:
                continue
            unit = None if o.unit is None else o.unit[rows]
            title = f"{name} where {column} = {value}"
            found.append(
                SliceBaseline(
                    column=column,
                    value=value,
                    kind=kinds[column],
                    low=low,
                    high=high,
                    loss=loss_baseline(title, loss[rows], unit, scale),
                )
            )
    largest = sorted(found, key=lambda one: -one.loss.rows)
    return tuple(largest[:_MOST])


def rows_in(one: SliceBaseline, frame: pd.DataFrame) -> Flags:
    """Return which rows are of a group, shape (n_rows,)."""
    return _rows_of(frame[one.column], one.kind, one.value, one.low, one.high)


def _groups(
    column: pd.Series, kind: str
) -> list[tuple[str, float | None, float | None]]:
    """Return the name of each group of a column, and its ends where it is a range."""
    names = group(column)
    if not is_cut(column):
        # The rest, "(12 other values)", is left out: it is no group of its own.
        known = set(texts(column))
        return [(n, None, None) for n in names.value_counts().index if n in known]
    quarter, edges = quartiles(column)
    ends = numbers(pd.Series(edges), kind)
    found: list[tuple[str, float | None, float | None]] = []
    for at in range(len(ends) - 1):
        rows = (quarter == at).to_numpy()
        low = float(ends[at])
        if at == 0:
            low = float(np.nextafter(low, -np.inf))  # the first value belongs to it
        found.append((str(names[rows].iloc[0]), low, float(ends[at + 1])))
    if column.isna().any():
        found.append((MISSING, None, None))
    return found


def _rows_of(
    column: pd.Series, kind: str, value: str, low: float | None, high: float | None
) -> Flags:
    if low is None or high is None or kind not in ORDERED:
        return np.asarray(texts(column) == value, dtype=bool)
    values = numbers(column, kind)
    return np.asarray((values > low) & (values <= high), dtype=bool)
