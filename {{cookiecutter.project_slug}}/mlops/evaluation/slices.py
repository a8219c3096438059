"""Quality on groups of rows: slices by the primary metric, fairness by fairlearn's rates."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mlops.errors import Problem, UsageError
from mlops.evaluation.bench import Bench
from mlops.evaluation.metrics import measure, undefined
from mlops.evaluation.outcome import Codes, Floats, Outcome
from mlops.results import FairnessResult, Group, Slice
from mlops.spec import METRICS, Fairness
from mlops.training.model import Model

if TYPE_CHECKING:
    import pandas as pd

_MOST = 50  # groups of one column that are listed by name
_TASKS = {
    "selection_rate": ("binary",),
    "true_positive_rate": ("binary",),
    "false_positive_rate": ("binary",),
    "accuracy": ("binary", "multiclass"),
    "mae": ("regression",),
}


def slices(bench: Bench, model: Model) -> tuple[Slice, ...]:
    """Return the primary metric on every group of every slice column, largest group first.

    A slice is not ok when even the better end of its interval is worse than all rows together by
    more than `slices.max_drop`. Groups below `slices.min_rows`, and those on which the metric is
    not defined, are listed without a figure.
    """
    spec, metric = bench.spec.slices, bench.spec.metrics.primary
    everything, out = bench.outcome(model), []
    overall = measure(metric, everything).value
    for column in spec.columns:
        codes, names = group(bench.test[column])
        for code, rows in _by_size(codes):
            part = everything.take(rows)
            told = len(rows) >= spec.min_rows and not undefined(metric, part)
            figure = measure(metric, part) if told else None
            ok = True
            if figure and METRICS[metric][1]:
                ok = figure.high >= overall - spec.max_drop
            elif figure:
                ok = figure.low <= overall + spec.max_drop
            out.append(
                Slice(column=column, value=names[code], rows=len(rows), metric=figure, ok=ok)
            )
    return tuple(out)


def group(column: pd.Series) -> tuple[Codes, tuple[str, ...]]:
    """Return the group of each row and the groups' names.

    Numbers and dates of more than ten values are cut at their quartiles; of text, the 50 most
    frequent values keep their names.
    """
    import pandas as pd

    if column.dtype.kind in "fiMm" and column.nunique() > 10:
        shown = "{:%Y-%m-%d}" if column.dtype.kind == "M" else "{:g}"
        quarter, edges = pd.qcut(column, 4, labels=False, duplicates="drop", retbins=True)
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
    codes, names = pd.factorize(labels, sort=True)
    return np.asarray(codes, dtype=np.int64), tuple(str(name) for name in names)


def _by_size(codes: Codes) -> list[tuple[int, Codes]]:
    """Return each group and its row positions, the largest first."""
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    return sorted(enumerate(parts), key=lambda part: (-len(part[1]), part[0]))


def fairness(bench: Bench, model: Model) -> tuple[FairnessResult, ...]:
    """Return every limit of the specification with the figure of each group.

    The difference is that between the highest and the lowest group among those with at least
    `slices.min_rows` rows that count for the rate (positives for the true positive rate, say);
    smaller groups are listed, with that number of rows.

    Raises
    ------
    UsageError
        When a rate is not one of the model's task.
    """
    return tuple(_limit(bench, bench.outcome(model), limit) for limit in bench.spec.fairness)


def _limit(bench: Bench, o: Outcome, limit: Fairness) -> FairnessResult:
    if o.task not in _TASKS[limit.metric]:
        raise UsageError(
            Problem(
                f"this rate does not exist for a {o.task} model",
                file="model.yaml",
                key="fairness.metric",
                found=limit.metric,
                allowed=", ".join(m for m, tasks in _TASKS.items() if o.task in tasks),
            )
        )
    codes, names = group(bench.test[limit.column])
    values, rows = _rates(limit.metric, o, codes, len(names))
    large = rows >= bench.spec.slices.min_rows
    difference = float(np.ptp(values[large])) if large.sum() > 1 else 0.0
    groups = [
        Group(name=name, rows=int(n), value=float(value) if n else None)
        for name, value, n in zip(names, values, rows, strict=True)
    ]
    return FairnessResult(
        column=limit.column,
        metric=limit.metric,
        difference=difference,
        limit=limit.max_difference,
        ok=difference <= limit.max_difference or bool(limit.exception),
        exception=limit.exception,
        groups=tuple(groups),
    )


def _rates(metric: str, o: Outcome, codes: Codes, groups: int) -> tuple[Floats, Codes]:
    """Return a rate for each group, and how many rows it rests on (0: it has no meaning).

    fairlearn is handed each kind of row once with its number as a weight: the figures are the
    same, at a hundredth of the time.
    """
    from fairlearn import metrics as fair
    from sklearn.metrics import accuracy_score, mean_absolute_error

    functions = {
        "selection_rate": fair.selection_rate,
        "true_positive_rate": fair.true_positive_rate,
        "false_positive_rate": fair.false_positive_rate,
        "accuracy": accuracy_score,
        "mae": mean_absolute_error,
    }
    counted = np.ones(len(o), dtype=bool)
    if metric.endswith("positive_rate"):
        counted = o.truth == int(metric == "true_positive_rate")
    codes, truth, said = codes[counted], o.truth[counted], o.decision[counted]
    rows = np.bincount(codes, minlength=groups)
    if metric == "mae":
        kinds = np.flatnonzero(rows)
        weight, truth = rows[kinds], np.zeros(len(kinds))
        said = np.bincount(codes, np.abs(o.decision - o.truth), groups)[kinds] / weight
    else:
        k = max(len(o.classes), 1)
        keys, weight = np.unique((codes * k + truth) * k + said, return_counts=True)
        kinds, truth, said = keys // k**2, keys // k % k, keys % k
    values = np.zeros(groups)
    if len(kinds):
        by_group = fair.MetricFrame(
            metrics=functions[metric],
            y_true=truth,
            y_pred=said,
            sensitive_features=kinds,
            sample_params={"sample_weight": weight},
        ).by_group
        values[by_group.index.to_numpy(dtype=np.int64)] = by_group.to_numpy(dtype=np.float64)
    return values, rows
