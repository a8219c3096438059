"""Metrics on groups of the test rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.evaluation.compare import paired_difference
from mlops.evaluation.intervals import measure_metric
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import EvaluationContext
from mlops.results.evaluation import Metric, Slice
from mlops.results.since_production import SliceDifference
from mlops.training.model import Model

MISSING = "(missing)"

_MOST = 50  # groups of one column that are listed by name

_MOST_NUMBERS = 10  # values of a column of numbers that are groups of their own


@dataclass(frozen=True, eq=False)
class SliceRows:
    """The test rows of one group that is large enough to be judged."""

    column: str
    value: str
    rows: NDArray[np.bool_]

    @property
    def name(self) -> str:
        """How reports name it."""
        return f"{self.column} = {self.value}"


def slice_rows(context: EvaluationContext) -> tuple[SliceRows, ...]:
    """Return the rows of each group of every slice column, the largest group first."""
    spec = context.spec.slices
    found = []
    for column in spec.columns:
        labels = group(context.test[column])
        for value, rows in labels.value_counts().items():
            if rows >= spec.min_rows:
                chosen = (labels == value).to_numpy()
                found.append(SliceRows(column, str(value), chosen))
    return tuple(found)


def slices(context: EvaluationContext, model: Model) -> tuple[Slice, ...]:
    """Return the primary metric on every group of every slice column, largest first.

    A slice is not ok when even the better end of its interval is worse than all rows
    together by more than `slices.max_drop`. Groups below `slices.min_rows`, and those
    on which the metric is not defined, are listed without a figure.
    """
    spec = context.spec.slices
    name = context.spec.metrics.primary
    every_row = context.outcome(model)
    overall = measure_metric(name, every_row)
    results = []
    for column in spec.columns:
        labels = group(context.test[column])
        for value, rows in labels.value_counts().items():
            part = every_row.take((labels == value).to_numpy())
            metric = None
            if rows >= spec.min_rows and not undefined(name, part):
                metric = measure_metric(name, part)
            ok = metric is None or _drop(metric, overall) <= spec.max_drop
            results.append(
                Slice(column=column, value=value, rows=rows, metric=metric, ok=ok)
            )
    return tuple(results)


def slice_differences(
    context: EvaluationContext, challenger: Model, champion: Model
) -> tuple[SliceDifference, ...]:
    """Return challenger against champion on every group that `slices` has a figure for.

    For people to read: each interval stands for itself, so that of twenty groups one
    differs by chance alone. The gate counts all of them together (`gate.slices`).
    """
    name = context.spec.metrics.primary
    new = context.outcome(challenger)
    old = context.outcome(champion)
    found = []
    for part in slice_rows(context):
        ours = new.take(part.rows)
        theirs = old.take(part.rows)
        if undefined(name, ours) or undefined(name, theirs):
            continue
        compared = paired_difference(name, theirs, ours)
        found.append(
            SliceDifference(column=part.column, value=part.value, comparison=compared)
        )
    return tuple(found)


def _drop(metric: Metric, overall: Metric) -> float:
    """Return by how much the better end of an interval is worse than a value."""
    if metric.higher_is_better:
        return overall.value - metric.high
    return metric.low - overall.value


def is_cut(column: pd.Series) -> bool:
    """Return whether a column has more values than groups: ranges are its groups."""
    return column.dtype.kind in "fiMm" and column.nunique() > _MOST_NUMBERS


def quartiles(column: pd.Series) -> tuple[pd.Series, pd.Index | NDArray[Any]]:
    """Return the quarter of each row, from 0, and the ends of the quarters."""
    quarter, edges = pd.qcut(column, 4, labels=False, duplicates="drop", retbins=True)
    return quarter, edges


def texts(column: pd.Series) -> pd.Series:
    """Return values as they name a group; what is missing is a group, too."""
    known = column.notna()
    if column.dtype.kind == "f":
        column = column.map("{:g}".format, na_action="ignore")
    return column.astype("str").where(known, MISSING)


def group(column: pd.Series) -> pd.Series:
    """Return the name of each row's group, as a categorical.

    Numbers and dates of more than ten values are cut at their quartiles; of text, the
    50 most frequent values keep their names.
    """
    if is_cut(column):
        form = "{:%Y-%m-%d}" if column.dtype.kind == "M" else "{:g}"
        quarter, edges = quartiles(column)
        ends = [form.format(edge) for edge in edges]
        spans = [f"{low} to {high}" for low, high in pairwise(ends)]
        column = quarter.map(dict(enumerate(spans)), na_action="ignore")
    labels = texts(column)
    counts = labels.value_counts()
    if len(counts) > _MOST:
        rest = f"({len(counts) - _MOST:,} other values)"
        labels = labels.where(labels.isin(counts.index[:_MOST]), rest)
    return labels.astype("category")
