"""All measurements of one model on the test rows."""

from __future__ import annotations

import time
import timeit

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.data.snapshot import Dataset
from mlops.evaluation.baselines import baselines
from mlops.evaluation.checks import CheckContext, standard_checks
from mlops.evaluation.fairness import fairness
from mlops.evaluation.intervals import measure
from mlops.evaluation.outcome import EvaluationContext
from mlops.evaluation.samples import draw
from mlops.evaluation.slices import slices
from mlops.evaluation.user_tests import own_tests
from mlops.results.evaluation import Evaluation
from mlops.results.training import Training
from mlops.training.model import Model


def evaluate(
    project: Project,
    name: str,
    spec: ModelSpec,
    dataset: Dataset,
    model: Model,
    champion: Model | None = None,
    bench: EvaluationContext | None = None,
) -> Evaluation:
    """Judge a trained model on the test part; write ``evaluation.json`` and the samples.

    The champion, the version in production, is for the model's own tests. A `bench` of the same
    specification and data, handed to `gate.decide` as well, saves predicting twice.

    Raises
    ------
    UsageError
        When the test part cannot carry a judgement (a class is absent, fewer than two rows or
        groups), or the model predicts something that is no number.
    """
    started = time.perf_counter()
    bench = bench or EvaluationContext(spec, dataset)
    names = dict.fromkeys((*spec.metric_names, *sorted(spec.checks.floor)))
    outcome = bench.outcome(model)
    # Few rows at a time: on a busy machine many threads only wait for each other.
    with threadpool_limits(1):
        compared, note = baselines(bench, model)
        found = Evaluation(
            ok=True,
            rows=len(outcome),
            metrics=tuple(measure(metric, outcome) for metric in names),
            baselines={baseline: c.champion for baseline, c in compared.items()},
            slices=slices(bench, model),
            fairness=fairness(bench, model),
            latency_ms=latency(model, bench.test.head(1)),
        )
        size = Training.load(project.build(name)).model_bytes / 1e6
        checks = standard_checks(
            CheckContext(bench, model, found, compared, note, size)
        )
    checks += own_tests(
        project.root, project.folder(name) / "tests", bench, model, champion
    )
    ok, seconds = (
        all(check.ok for check in checks),
        round(time.perf_counter() - started, 3),
    )
    evaluation = found.model_copy(
        update={"ok": ok, "checks": tuple(checks), "seconds": seconds}
    )
    draw(spec, model, bench.test, bench.predicted(model), project.build(name))
    evaluation.save(project.build(name))
    return evaluation


def latency(model: Model, row: pd.DataFrame) -> float:
    """Return the processor time of a one-row prediction in milliseconds, the median.

    Processor time, because a machine that is busy with something else is no property of
    the model. What it adds all the same (caches are cold) only ever adds: of three
    medians the smallest counts.
    """
    times = timeit.repeat(
        lambda: model.predict(row), timer=time.process_time, number=1, repeat=21
    )
    medians = np.median(np.reshape(times, (3, 7)), axis=1)
    return round(1000 * float(medians.min()), 2)
