"""Worlds with a known truth, for the statistical tests of the evaluation."""

from __future__ import annotations

import numpy as np

from mlops.config.model_spec import Value
from mlops.evaluation.outcome import Outcome

AMOUNTS = Value(true_positive=10, false_positive=-3, false_negative=-8)


def pair(
    rng: np.random.Generator,
    task: str = "binary",
    rows: int = 400,
    per: int = 1,
    noise: tuple[float, float] = (0.7, 0.7),
) -> tuple[Outcome, Outcome]:
    """Return two models on the same rows; each sees the truth through noise of its own.

    With `per` rows to a cluster, truth and noise have a part that the whole cluster shares.
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
            Outcome(task, truth, s.argmax(1), s, ("a", "b", "c"), unit) for s in scores
        )
    latent = draw(1)[:, 0]
    seen = [latent + draw(size)[:, 0] for size in noise]
    if task == "regression":
        target = latent + rng.normal(size=len(latent))
        return tuple(Outcome(task, target, guess, guess, unit=unit) for guess in seen)
    truth = (rng.random(len(latent)) < 1 / (1 + np.exp(0.6 - 1.5 * latent))).astype(int)
    scores = [1 / (1 + np.exp(0.6 - 1.2 * x)) for x in seen]
    return tuple(
        Outcome(task, truth, (s >= 0.5).astype(int), s, ("no", "yes"), unit, AMOUNTS)
        for s in scores
    )


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x)
    return e / e.sum(axis=1, keepdims=True)
