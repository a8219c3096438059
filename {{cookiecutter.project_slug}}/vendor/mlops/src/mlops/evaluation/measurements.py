"""What is measured of a model on its test rows, before any check judges it."""

from __future__ import annotations

from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from mlops.evaluation.baselines import BaselineComparison, baselines
from mlops.evaluation.fairness import fairness
from mlops.evaluation.importance import importance
from mlops.evaluation.intervals import measure_metric
from mlops.evaluation.latency import latency_ms
from mlops.evaluation.outcome import EvaluationContext
from mlops.evaluation.slices import slices
from mlops.evaluation.value import require_known_classes
from mlops.results.evaluation import FairnessResult, Importance, Metric, Slice
from mlops.training.model import Model


@dataclass(frozen=True)
class Measurements:
    """The figures of one model.

    Parameters
    ----------
    rows : int
        Labelled test rows.
    metrics : tuple of Metric
        The primary metric first.
    baselines : BaselineComparison
        The model against a constant and against a plain pipeline.
    slices : tuple of Slice
    fairness : tuple of FairnessResult
    latency_ms : float
        Median time of a one-row prediction, in milliseconds.
    importance : Importance
    """

    rows: int
    metrics: tuple[Metric, ...]
    baselines: BaselineComparison
    slices: tuple[Slice, ...]
    fairness: tuple[FairnessResult, ...]
    latency_ms: float
    importance: Importance


def take_measurements(context: EvaluationContext, model: Model) -> Measurements:
    """Measure a model on the test rows.

    Raises
    ------
    UsageError
        When the test part cannot carry a judgement (a class is absent, fewer than two
        rows or groups), a prediction is not finite, or `metrics.value` names a class
        that no row is of.
    """
    spec = context.spec
    names = dict.fromkeys((*spec.metric_names, *sorted(spec.checks.floor)))
    outcome = context.outcome(model)
    require_known_classes(outcome)
    # Few rows at a time: on a busy machine many threads only wait for each other.
    with threadpool_limits(1):
        return Measurements(
            rows=len(outcome),
            metrics=tuple(measure_metric(name, outcome) for name in names),
            baselines=baselines(context, model),
            slices=slices(context, model),
            fairness=fairness(context, model),
            latency_ms=latency_ms(model, context.test.head(1)),
            importance=importance(context, model),
        )
