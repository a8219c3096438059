"""Metrics on groups of the test rows."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd

from mlops.evaluation.intervals import measure
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import EvaluationContext
from mlops.results.evaluation import Slice
from mlops.training.model import Model

_MOST = 50  # groups of one column that are listed by name


def slices(bench: EvaluationContext, model: Model) -> tuple[Slice, ...]:
    """Return the primary metric on every group of every slice column, largest first.

    A slice is not ok when even the better end of its interval is worse than all rows
    together by more than `slices.max_drop`. Groups below `slices.min_rows`, and those
    on which the metric is not defined, are listed without a figure.
    """
    spec, metric = bench.spec.slices, bench.spec.metrics.primary
    everything, out = bench.outcome(model), []
    overall = measure(metric, everything).value
    for column in spec.columns:
        labels = group(bench.test[column])
        for value, rows in labels.value_counts().items():
            part = everything.take((labels == value).to_numpy())
            figure, ok = None, True
            if rows >= spec.min_rows and not undefined(metric, part):
                figure = measure(metric, part)
                drop = (
                    overall - figure.high
                    if figure.higher_is_better
                    else figure.low - overall
                )
                ok = drop <= spec.max_drop
            out.append(
                Slice(column=column, value=value, rows=rows, metric=figure, ok=ok)
            )
    return tuple(out)


def group(column: pd.Series) -> pd.Series:
    """Return the name of each row's group, as a categorical.

    Numbers and dates of more than ten values are cut at their quartiles; of text, the
    50 most frequent values keep their names.
    """
    if column.dtype.kind in "fiMm" and column.nunique() > 10:
        shown = "{:%Y-%m-%d}" if column.dtype.kind == "M" else "{:g}"
        quarter, edges = pd.qcut(
            column, 4, labels=False, duplicates="drop", retbins=True
        )
        ends = [shown.format(edge) for edge in edges]
        spans = dict(enumerate(f"{a} to {b}" for a, b in pairwise(ends)))
        column = quarter.map(spans, na_action="ignore")
    elif column.dtype.kind == "f":
        column = column.map("{:g}".format, na_action="ignore")
    labels = column.astype("str").where(column.notna(), "(missing)")
    counts = labels.value_counts()
    if len(counts) > _MOST:
        rest = f"({len(counts) - _MOST:,} other values)"
        labels = labels.where(labels.isin(counts.index[:_MOST]), rest)
    return labels.astype("category")
