"""The verb `test`: metrics, baselines, slices, fairness and every check of one model."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from mlops.data.dataset import Dataset
from mlops.evaluation.baselines import baselines
from mlops.evaluation.bench import Bench
from mlops.evaluation.slices import fairness, slices
from mlops.project import Project
from mlops.results import Evaluation, Training
from mlops.spec import ModelSpec
from mlops.training.model import Model

if TYPE_CHECKING:
    import pandas as pd

_ONE_ROW = 15  # predictions that the median is taken over


def evaluate(
    project: Project,
    name: str,
    spec: ModelSpec,
    dataset: Dataset,
    model: Model,
    champion: Model | None = None,
    bench: Bench | None = None,
) -> Evaluation:
    """Judge a trained model on the test part and write ``evaluation.json``.

    The champion, the version in production, is for the model's own tests. A `bench` of the same
    specification and data, handed to `gate.decide` as well, saves predicting twice.

    Raises
    ------
    UsageError
        When the test part cannot carry a judgement (a class is absent, fewer than two rows or
        groups), or the model predicts something that is no number.
    """
    from mlops.evaluation.plugin import Subject, run

    started = time.perf_counter()
    bench = bench or Bench(spec, dataset)
    subject = Subject(
        bench=bench,
        model=model,
        champion=champion,
        metrics=bench.measure(model),
        baselines=baselines(bench, model),
        slices=slices(bench, model),
        fairness=fairness(bench, model),
        latency_ms=latency(model, bench.test, spec.checks.latency_ms),
        size_mb=Training.load(project.build(name)).model_bytes / 1e6,
    )
    checks = run(subject, project.root, project.folder(name) / "tests")
    compared = {b.name: b.comparison for b in subject.baselines}
    evaluation = Evaluation(
        ok=all(check.ok for check in checks),
        rows=len(bench.test),
        metrics=subject.metrics,
        baselines={baseline: c.champion for baseline, c in compared.items() if c},
        checks=checks,
        slices=subject.slices,
        fairness=subject.fairness,
        latency_ms=round(subject.latency_ms, 2),
        seconds=round(time.perf_counter() - started, 3),
    )
    evaluation.save(project.build(name))
    return evaluation


def latency(model: Model, rows: pd.DataFrame, limit: float) -> float:
    """Return the median time of a one-row prediction in milliseconds, on one thread.

    A busy machine only ever adds time: above `limit` it is measured up to three times, and the
    smallest median counts.
    """
    from threadpoolctl import threadpool_limits

    best = float("inf")
    with threadpool_limits(1):
        for _ in range(3):
            times = []
            for i in range(_ONE_ROW + 2):
                row = rows.iloc[[i % len(rows)]]
                start = time.perf_counter()
                model.predict(row)
                times.append(1000 * (time.perf_counter() - start))
            best = min(best, statistics.median(times[2:]))
            if best <= limit:
                break
    return best
