"""The evaluation of one model: its measurements, judged by the checks."""

from __future__ import annotations

from collections.abc import Sequence

from threadpoolctl import threadpool_limits

from mlops.evaluation.checks import CheckContext, standard_checks
from mlops.evaluation.leaks import leaks_of
from mlops.evaluation.measurements import take_measurements
from mlops.evaluation.outcome import EvaluationContext
from mlops.results.evaluation import Check, Evaluation
from mlops.training.model import Model


def evaluate(context: EvaluationContext, model: Model, size_mb: float) -> Evaluation:
    """Judge a trained model on the test rows; nothing is written.

    Parameters
    ----------
    context : EvaluationContext
        The test rows. Handed on to the gate, it saves predicting twice.
    size_mb : float
        Size of the model file in megabytes.

    Raises
    ------
    UsageError
        When the test part cannot carry a judgement, or a prediction is not finite.
    """
    measured = take_measurements(context, model)
    with threadpool_limits(1):
        checks = tuple(standard_checks(CheckContext(context, model, measured, size_mb)))
    return Evaluation(
        ok=all(check.ok for check in checks),
        rows=measured.rows,
        part=context.part,
        metrics=measured.metrics,
        baselines={name: c.champion for name, c in measured.baselines.by_name.items()},
        checks=checks,
        slices=measured.slices,
        fairness=measured.fairness,
        leaking=leaks_of(context, model).names,
        latency_ms=measured.latency_ms,
        importance=measured.importance,
    )


def with_own_tests(evaluation: Evaluation, own: Sequence[Check]) -> Evaluation:
    """Return an evaluation with the results of the model's own tests at the end."""
    checks = (*evaluation.checks, *own)
    ok = evaluation.ok and all(check.ok for check in own)
    return evaluation.model_copy(update={"ok": ok, "checks": checks})
