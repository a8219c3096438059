"""A released model to serve and to watch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mlops.evaluation.intervals import measure_metric
from mlops.evaluation.outcome import EvaluationContext, outcome
from mlops.evaluation.samples import draw
from mlops.monitoring.baseline import draw_baseline
from mlops.pipeline import compile_again
from mlops.registry.decisions import promote
from mlops.registry.publish import register
from mlops.results.evaluation import Evaluation
from mlops.results.verdict import Verdict

from .conftest import Trained

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def release(
    trained: Trained, hour: int = 0, compiled: bool = False, baseline: bool = True
) -> str:
    """Register what was trained, put it into production, and return its number.

    Without `baseline` it is a version as engines before 0.2 registered them.
    """
    project, build = trained.project, trained.project.build("churn")
    test = trained.dataset.part("test")
    predicted = trained.model.predict(test)
    found = outcome(
        trained.model.signature,
        test[trained.spec.data.target],
        predicted,
        amounts=trained.spec.metrics.value,
    )
    metrics = tuple(measure_metric(name, found) for name in trained.spec.metric_names)
    Evaluation(ok=True, rows=len(test), metrics=metrics).save(build)
    Verdict(decision="promote", rule="first version", reasons=("first",)).save(build)
    draw(trained.spec, trained.model, test, predicted, build)
    if compiled:
        compile_again.main(project.root, "churn")
    if baseline:
        context = EvaluationContext(trained.spec, trained.dataset)
        draw_baseline(context, trained.model).save(build)
    at = NOW + timedelta(hours=hour)
    number = register(
        project, "churn", actor="@ana", run=f"r{hour}", now=at
    ).version.number
    for stage in ("staging", "production"):
        promote(project, f"churn@{number}", stage, actor="@ana", reason="good", now=at)
    return number
