"""Differences between sensitive groups."""

from __future__ import annotations

import pandas as pd

from mlops.config.model_spec import METRICS, Fairness
from mlops.errors import UsageError
from mlops.evaluation.group_gaps import Gap, largest_gap
from mlops.evaluation.outcome import EvaluationContext, Outcome
from mlops.evaluation.slices import group
from mlops.results.evaluation import FairnessResult, Group
from mlops.training.model import Model

# What is measured on a sensitive column for which no limit is declared.
WITHOUT_LIMIT: dict[str, tuple[str, ...]] = {
    "binary": ("selection_rate", "true_positive_rate"),
    "multiclass": ("accuracy",),
    "regression": ("mae",),
}


def fairness(context: EvaluationContext, model: Model) -> tuple[FairnessResult, ...]:
    """Return the differences between groups of every sensitive column.

    A declared limit decides: it is exceeded where the lower bound of the largest
    difference is above it (see `group_gaps`). A sensitive column without one is
    measured and shown all the same. The difference is that between the highest and the
    lowest group among those with at least `slices.min_rows` rows that count for the
    rate (positives for the true positive rate, say); smaller groups are listed, with
    that number of rows.

    Raises
    ------
    UsageError
        When a rate is not one of the model's task.
    """
    spec = context.spec
    limited = {limit.column for limit in spec.fairness}
    results = [_with_limit(context, model, limit) for limit in spec.fairness]
    for column in spec.sensitive:
        if column not in limited:
            results += [
                _measure(context, model, column, metric)
                for metric in WITHOUT_LIMIT[spec.task]
            ]
    return tuple(results)


def _with_limit(
    context: EvaluationContext, model: Model, limit: Fairness
) -> FairnessResult:
    """Measure a rate and judge it by its limit."""
    _require_rate(context.spec.task, limit.metric)
    measured = _measure(context, model, limit.column, limit.metric)
    return judged(measured, limit)


def judged(measured: FairnessResult, limit: Fairness) -> FairnessResult:
    """Return what was measured, judged by a limit."""
    limited = measured.model_copy(
        update={"limit": limit.max_difference, "exception": limit.exception}
    )
    accepted = bool(limit.exception)
    return limited.model_copy(update={"ok": accepted or not limited.exceeds})


def _require_rate(task: str, metric: str) -> None:
    """Raise UsageError where a rate does not exist for a task."""
    tasks = METRICS[metric][0] if metric in METRICS else ("binary",)
    if task not in tasks:
        raise UsageError(
            f"this rate does not exist for a {task} model",
            file="model.yaml",
            key="fairness.metric",
            found=metric,
            allowed="mae" if task == "regression" else "accuracy",
        )


def _measure(
    context: EvaluationContext, model: Model, column: str, metric: str
) -> FairnessResult:
    """Return a rate by group and its largest difference; no limit judges it."""
    outcome = context.outcome(model)
    labels = group(context.test[column])
    groups = _rates(metric, outcome, labels)
    gap = largest_gap(metric, outcome, labels, context.spec.slices.min_rows)
    return with_gap(column, metric, groups, gap)


def with_gap(
    column: str, metric: str, groups: tuple[Group, ...], gap: Gap | None
) -> FairnessResult:
    """Return rates by group and their largest difference; no limit judges it."""
    if gap is None:
        return FairnessResult(
            column=column, metric=metric, difference=0.0, measured=False, groups=groups
        )
    return FairnessResult(
        column=column,
        metric=metric,
        difference=gap.difference,
        low=gap.low,
        high=gap.high,
        groups=groups,
    )


def _rates(metric: str, o: Outcome, labels: pd.Series) -> tuple[Group, ...]:
    """Return a rate for each group, and how many rows it rests on (0: undefined).

    fairlearn is handed each kind of row once with its number as a weight (for errors:
    each group's mean once): the figures are the same, at a hundredth of the time.
    """
    from fairlearn import metrics as fair
    from sklearn.metrics import accuracy_score, mean_absolute_error

    rows = pd.DataFrame({"group": labels, "truth": o.truth, "decision": o.decision})
    if metric == "mae":
        error = (rows["decision"] - rows["truth"]).abs()
        mean_error = error.groupby(rows["group"], observed=True).transform("mean")
        rows = rows.assign(truth=0.0, decision=mean_error)
    elif metric.endswith("positive_rate"):
        rows = rows[rows["truth"] == int(metric == "true_positive_rate")]
    kinds = rows.value_counts().reset_index(name="rows").query("rows > 0")
    others = {"accuracy": accuracy_score, "mae": mean_absolute_error}
    values = fair.MetricFrame(
        metrics=others.get(metric) or getattr(fair, metric),
        y_true=kinds["truth"],
        y_pred=kinds["decision"],
        sensitive_features=kinds["group"].astype("str"),
        sample_params={"sample_weight": kinds["rows"]},
    ).by_group
    counts = rows["group"].value_counts()
    return tuple(
        Group(
            name=name, rows=counts[name], value=values[name] if counts[name] else None
        )
        for name in labels.cat.categories
    )
