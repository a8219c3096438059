"""The figures of the test step, computed again from the predictions it handed over.

The test step runs the model's own code, which may change whatever lies in its process.
So what it says of the model is checked here, where none of that code is loaded: the
metrics, the slices, the rates by group, and the checks that rest on them alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from mlops.config.model_spec import ModelSpec
from mlops.errors import Refused, listed
from mlops.evaluation.baselines import BaselineComparison
from mlops.evaluation.checks import CHECKS, CheckContext
from mlops.evaluation.fairness import WITHOUT_LIMIT, judged, with_gap
from mlops.evaluation.group_gaps import contributions, largest_gap
from mlops.evaluation.intervals import measure_metric
from mlops.evaluation.measurements import Measurements
from mlops.evaluation.outcome import EvaluationContext, Outcome
from mlops.evaluation.slices import group, slices
from mlops.pipeline.predictions import challenger, evaluation_context
from mlops.pipeline.state import RunState
from mlops.results.evaluation import (
    Evaluation,
    FairnessResult,
    Group,
    Importance,
    Metric,
    Slice,
)
from mlops.results.training import Training
from mlops.training.model import Model

# Checks whose answer follows from figures that are computed again.
_CHECKS = ("floor", "slices", "fairness", "size")


def require_figures(state: RunState) -> None:
    """Refuse an evaluation whose figures are not those of the predictions.

    Raises
    ------
    Refused
        Naming the figures that differ.
    """
    context = evaluation_context(state)
    model = challenger(state)
    claim = Evaluation.load(state.build)
    size_mb = Training.load(state.build).model_bytes / 1e6
    wrong = list(_differences(context, model, claim, size_mb))
    if wrong:
        raise Refused(
            "the figures that were handed over are not those of the predictions",
            file=str(state.build / Evaluation.FILE),
            found=listed(wrong),
            do=f"look for code in models/{state.name} that changes the engine",
        )


def _differences(
    context: EvaluationContext, model: Model, claim: Evaluation, size_mb: float
) -> Iterator[str]:
    """Yield the names of the figures that differ."""
    outcome = context.outcome(model)
    if (claim.part, claim.rows) != (context.part, len(outcome)):
        yield "rows"
    spec = context.spec
    names = dict.fromkeys((*spec.metric_names, *sorted(spec.checks.floor)))
    metrics = tuple(measure_metric(name, outcome) for name in names)
    if [metric.name for metric in claim.metrics] != list(names):
        yield "metrics"
    for metric, claimed in zip(metrics, claim.metrics, strict=False):
        if not _alike(metric, claimed):
            yield metric.name
    parts = slices(context, model)
    if not _alike_slices(parts, claim.slices):
        yield "slices"
    rates = _rates_of(context.spec)
    if [(result.column, result.metric) for result in claim.fairness] != rates:
        yield "fairness"
    for result in claim.fairness:
        if not _is_rate(context, outcome, result):
            yield f"{result.metric} by {result.column}"
    measured = Measurements(
        rows=len(outcome),
        metrics=metrics,
        baselines=BaselineComparison({}, 0, 0, 0),
        slices=parts,
        fairness=claim.fairness,
        latency_ms=0.0,
        importance=Importance(metric=spec.metrics.primary),
    )
    yield from _wrong_checks(CheckContext(context, model, measured, size_mb), claim)
    if claim.ok != all(check.ok for check in claim.checks):
        yield "ok"


def _alike(one: Metric, other: Metric) -> bool:
    """Return whether two metrics are equal, numbers up to their last digits."""
    numbers = all(
        math.isclose(getattr(one, end), getattr(other, end), rel_tol=1e-9, abs_tol=1e-9)
        for end in ("value", "low", "high")
    )
    better = one.higher_is_better == other.higher_is_better
    return numbers and better and one.name == other.name


def _alike_slices(ours: Sequence[Slice], theirs: Sequence[Slice]) -> bool:
    """Return whether slices are equal, their metrics up to the last digits."""
    if len(ours) != len(theirs):
        return False
    for one, other in zip(ours, theirs, strict=True):
        plain = {"metric": None}
        if one.model_copy(update=plain) != other.model_copy(update=plain):
            return False
        if one.metric is None or other.metric is None:
            if one.metric is not other.metric:
                return False
        elif not _alike(one.metric, other.metric):
            return False
    return True


def _is_rate(
    context: EvaluationContext, outcome: Outcome, claim: FairnessResult
) -> bool:
    """Return whether a rate between groups, and its judgement, follow from the rows."""
    labels = group(context.test[claim.column])
    groups = _rates(claim.metric, outcome, labels)
    if not _same_groups(groups, claim.groups):
        return False
    gap = largest_gap(claim.metric, outcome, labels, context.spec.slices.min_rows)
    ours = with_gap(claim.column, claim.metric, groups, gap)
    for declared in context.spec.fairness:
        if (declared.column, declared.metric) == (claim.column, claim.metric):
            ours = judged(ours, declared)
    figures = ("difference", "low", "high")
    if not all(_close(getattr(ours, f), getattr(claim, f)) for f in figures):
        return False
    plain: dict[str, Any] = {**dict.fromkeys(figures, 0.0), "groups": ()}
    return ours.model_copy(update=plain) == claim.model_copy(update=plain)


def _rates_of(spec: ModelSpec) -> list[tuple[str, str]]:
    """Return column and name of every rate between groups that is measured."""
    rates: list[tuple[str, str]] = [(f.column, f.metric) for f in spec.fairness]
    limited = {column for column, _ in rates}
    for column in spec.sensitive:
        if column not in limited:
            rates += [(column, metric) for metric in WITHOUT_LIMIT[spec.task]]
    return rates


def _same_groups(ours: Sequence[Group], theirs: Sequence[Group]) -> bool:
    if len(ours) != len(theirs):
        return False
    for one, other in zip(ours, theirs, strict=True):
        if one.name != other.name or one.rows != other.rows:
            return False
        if not _close(one.value, other.value):
            return False
    return True


def _close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def _rates(metric: str, o: Outcome, labels: pd.Series) -> tuple[Group, ...]:
    """Return a rate for each group: the mean of what each of its rows contributes."""
    values, counted = contributions(metric, o)
    table = pd.DataFrame({"group": labels, "value": values})[counted]
    means = table.groupby("group", observed=False)["value"].agg(["mean", "size"])
    return tuple(
        Group(
            name=name,
            rows=int(means.loc[name, "size"]),
            value=float(means.loc[name, "mean"]) if means.loc[name, "size"] else None,
        )
        for name in labels.cat.categories
    )


def _wrong_checks(s: CheckContext, claim: Evaluation) -> Iterator[str]:
    """Yield the checks whose answer is not that of the figures."""
    claimed = {check.name: check for check in claim.checks if check.standard}
    for check in CHECKS:
        if check.name not in _CHECKS:
            continue
        for case, ok, _ in check.ask(s):
            name = f"{check.name}[{case}]" if case else check.name
            claimed_check = claimed.get(name)
            if claimed_check is None or claimed_check.ok != (ok is not False):
                yield name
