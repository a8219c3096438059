"""Quality on groups of rows: slices by the primary metric, fairness by fairlearn's rates."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from mlops.errors import UsageError
from mlops.evaluation.metrics import measure, undefined
from mlops.evaluation.outcome import Bench, Outcome
from mlops.results import FairnessResult, Group, Slice
from mlops.spec import METRICS, Fairness
from mlops.training.model import Model

if TYPE_CHECKING:
    import pandas as pd

_MOST = 50  # groups of one column that are listed by name


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
        labels = group(bench.test[column])
        for value, rows in labels.value_counts().items():
            part = everything.take((labels == value).to_numpy())
            told = rows >= spec.min_rows and not undefined(metric, part)
            figure = measure(metric, part) if told else None
            drop = 0.0
            if figure:
                drop = overall - figure.high if METRICS[metric][1] else figure.low - overall
            ok = drop <= spec.max_drop
            out.append(Slice(column=column, value=value, rows=rows, metric=figure, ok=ok))
    return tuple(out)


def group(column: pd.Series) -> pd.Series:
    """Return the name of each row's group, as a categorical.

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
    return labels.astype("category")


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
    tasks = METRICS[limit.metric][0] if limit.metric in METRICS else ("binary",)
    if o.task not in tasks:
        what, key = f"this rate does not exist for a {o.task} model", "fairness.metric"
        rates = "mae" if o.task == "regression" else "accuracy"
        raise UsageError(what, file="model.yaml", key=key, found=limit.metric, allowed=rates)
    groups = _rates(limit.metric, o, group(bench.test[limit.column]))
    fewest = bench.spec.slices.min_rows
    large = [g.value for g in groups if g.value is not None and g.rows >= fewest]
    difference = max(large) - min(large) if large else 0.0
    return FairnessResult(
        column=limit.column,
        metric=limit.metric,
        difference=difference,
        limit=limit.max_difference,
        ok=difference <= limit.max_difference or bool(limit.exception),
        measured=len(large) > 1,
        exception=limit.exception,
        groups=groups,
    )


def _rates(metric: str, o: Outcome, labels: pd.Series) -> tuple[Group, ...]:
    """Return a rate for each group, and how many rows it rests on (0: it has no meaning).

    fairlearn is handed each kind of row once with its number as a weight (for errors: each
    group's mean once): the figures are the same, at a hundredth of the time.
    """
    import pandas as pd
    from fairlearn import metrics as fair
    from sklearn.metrics import accuracy_score, mean_absolute_error

    rows = pd.DataFrame({"group": labels, "truth": o.truth, "said": o.decision})
    if metric == "mae":
        error = (rows["said"] - rows["truth"]).abs()
        said = error.groupby(rows["group"], observed=True).transform("mean")
        rows = rows.assign(truth=0.0, said=said)
    elif metric.endswith("positive_rate"):
        rows = rows[rows["truth"] == int(metric == "true_positive_rate")]
    kinds = rows.value_counts().reset_index(name="rows").query("rows > 0")
    others = {"accuracy": accuracy_score, "mae": mean_absolute_error}
    values = fair.MetricFrame(
        metrics=others.get(metric) or getattr(fair, metric),
        y_true=kinds["truth"],
        y_pred=kinds["said"],
        sensitive_features=kinds["group"].astype("str"),
        sample_params={"sample_weight": kinds["rows"]},
    ).by_group
    counts = rows["group"].value_counts()
    return tuple(
        Group(name=name, rows=counts[name], value=values[name] if counts[name] else None)
        for name in labels.cat.categories
    )
