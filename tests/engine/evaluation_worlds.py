"""Worlds with a known truth, and what the test step measures in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlops.config.model_spec import METRICS, ModelSpec, Pair, Value
from mlops.config.project import Project
from mlops.data.snapshot import Dataset
from mlops.evaluation.evaluate import evaluate, with_own_tests
from mlops.evaluation.outcome import EvaluationContext, Outcome
from mlops.evaluation.user_tests import own_tests
from mlops.results.evaluation import Evaluation
from mlops.results.training import Training
from mlops.training.model import Model

# The worlds have three classes: among more of them than there are is every one.
WIDER = frozenset({"top_3_accuracy", "top_5_accuracy"})

# Task and metric of all that the worlds can be measured by.
OF_WORLDS = [
    (task, name)
    for name, (tasks, _) in METRICS.items()
    for task in tasks
    if name not in WIDER
]

# Shares of the true value make sense far from 0.
_RELATIVE = frozenset({"mape", "smape"})

AMOUNTS = Value(true_positive=10, false_positive=-3, false_negative=-8)

AMOUNTS_OF_CLASSES = Value(
    right=2, wrong=-1, pairs=(Pair(actual="a", predicted="c", worth=-20),)
)

AMOUNTS_OF_NUMBERS = Value(right=1, too_high=-2, too_low=-5)


def rows_for(name: str, *models: Outcome) -> tuple[Outcome, ...]:
    """Return the same rows where a metric makes sense on them."""
    if name not in _RELATIVE:
        return models
    return tuple(
        replace(o, truth=o.truth + 10, decision=o.decision + 10, score=o.score + 10)
        for o in models
    )


def pair(
    rng: np.random.Generator,
    task: str = "binary",
    rows: int = 400,
    per: int = 1,
    noise: tuple[float, float] = (0.7, 0.7),
) -> tuple[Outcome, Outcome]:
    """Return two models on the same rows; each sees the truth through noise of its own.

    With `per` rows to a cluster, truth and noise have a part that the whole cluster
    shares.
    """
    count = rows // per
    unit = np.repeat(np.arange(count), per) if per > 1 else None

    def draw(size: float, columns: int = 1) -> np.ndarray:
        own = rng.normal(size=(count * per, columns))
        shared = np.repeat(rng.normal(size=(count, columns)), per, axis=0)
        return size * (own + shared if per > 1 else own)

    if task == "multiclass":
        latent = draw(1.2, 3)
        chance = _softmax(latent + np.array([0.5, 0, -0.5]))
        truth = (chance.cumsum(1) < rng.random((len(chance), 1))).sum(1).clip(0, 2)
        scores = [_softmax(latent + draw(size, 3)) for size in noise]
        return tuple(
            Outcome(
                task,
                truth,
                s.argmax(1),
                s,
                ("a", "b", "c"),
                unit,
                AMOUNTS_OF_CLASSES,
            )
            for s in scores
        )
    latent = draw(1)[:, 0]
    seen = [latent + draw(size)[:, 0] for size in noise]
    if task == "regression":
        target = latent + rng.normal(size=len(latent))
        return tuple(
            Outcome(task, target, guess, guess, unit=unit, amounts=AMOUNTS_OF_NUMBERS)
            for guess in seen
        )
    truth = (rng.random(len(latent)) < 1 / (1 + np.exp(0.6 - 1.5 * latent))).astype(int)
    scores = [1 / (1 + np.exp(0.6 - 1.2 * x)) for x in seen]
    return tuple(
        Outcome(task, truth, (s >= 0.5).astype(int), s, ("no", "yes"), unit, AMOUNTS)
        for s in scores
    )


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x)
    return e / e.sum(axis=1, keepdims=True)


def evaluate_in(
    project: Project, name: str, spec: ModelSpec, dataset: Dataset, model: Model
) -> Evaluation:
    """Return all that the test step answers about a model, its own tests included."""
    context = EvaluationContext(spec, dataset)
    size_mb = Training.load(project.build(name)).model_bytes / 1e6
    evaluation = evaluate(context, model, size_mb)
    folder = project.folder(name) / "tests"
    return with_own_tests(
        evaluation, own_tests(project.root, folder, context, model, None)
    )
