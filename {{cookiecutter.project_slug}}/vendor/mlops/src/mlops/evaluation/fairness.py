"""Differences between sensitive groups."""

from __future__ import annotations

import pandas as pd

from mlops.config.model_spec import METRICS, Fairness
from mlops.errors import UsageError
from mlops.evaluation.outcome import EvaluationContext, Outcome
from mlops.evaluation.slices import group
from mlops.results.evaluation import FairnessResult, Group
from mlops.training.model import Model


def fairness(bench: EvaluationContext, model: Model) -> tuple[FairnessResult, ...]:
    """Return every limit of the specification with the figure of each group.

    The difference is that between the highest and the lowest group among those with at least
    `slices.min_rows` rows that count for the rate (positives for the true positive rate, say);
    smaller groups are listed, with that number of rows.

    Raises
    ------
    UsageError
        When a rate is not one of the model's task.
    """
    return tuple(
        _limit(bench, bench.outcome(model), limit) for limit in bench.spec.fairness
    )


def _limit(bench: EvaluationContext, o: Outcome, limit: Fairness) -> FairnessResult:
    tasks = METRICS[limit.metric][0] if limit.metric in METRICS else ("binary",)
    if o.task not in tasks:
        what, key = f"this rate does not exist for a {o.task} model", "fairness.metric"
        rates = "mae" if o.task == "regression" else "accuracy"
        raise UsageError(
            what, file="model.yaml", key=key, found=limit.metric, allowed=rates
        )
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
        Group(
            name=name, rows=counts[name], value=values[name] if counts[name] else None
        )
        for name in labels.cat.categories
    )
