"""Intervals hold the truth, or the report says that they rest on few rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from mlops.evaluation.intervals import measure_metric
from mlops.evaluation.metrics import estimate
from mlops.evaluation.outcome import Outcome

WORLDS = 300

Draw = Callable[[np.random.Generator, int], np.ndarray]

HEAVY: dict[str, Draw] = {
    "t(3)": lambda rng, n: rng.standard_t(3, n),
    "lognormal": lambda rng, n: rng.lognormal(0, 1, n),
}


def regression(rng: np.random.Generator, rows: int, errors: Draw) -> Outcome:
    truth = rng.normal(size=rows)
    predicted = truth + errors(rng, rows)
    return Outcome("regression", truth, predicted, predicted)


def binary(
    rng: np.random.Generator,
    rows: int,
    positive: float,
    certain: bool = False,
    gain: float = 3.0,
) -> Outcome:
    """Return scores of a good model; a certain one is right in 97 of 100 rows."""
    truth = (rng.random(rows) < positive).astype(int)
    score = 1 / (1 + np.exp(1.0 - gain * truth - rng.normal(size=rows)))
    if certain:
        score = np.abs(truth - (rng.random(rows) < 0.03)) * 1.0
    return Outcome("binary", truth, (score >= 0.5).astype(int), score, ("no", "yes"))


def classes(rng: np.random.Generator, rows: int) -> Outcome:
    """Return three classes, one of them in 1 of 100 rows."""
    truth = rng.choice(3, rows, p=[0.6, 0.39, 0.01])
    wrong = rng.random(rows) < 0.25
    decision = np.where(wrong, rng.integers(0, 3, rows), truth)
    score = np.full((rows, 3), 0.1)
    score[np.arange(rows), decision] = 0.8
    return Outcome("multiclass", truth, decision, score, ("a", "b", "c"))


WORLD: dict[str, tuple[str, Callable[[np.random.Generator, int], Outcome]]] = {
    "rmse, t(3)": ("rmse", lambda r, n: regression(r, n, HEAVY["t(3)"])),
    "rmse, lognormal": ("rmse", lambda r, n: regression(r, n, HEAVY["lognormal"])),
    "log loss, certain": ("log_loss", lambda r, n: binary(r, n, 0.5, certain=True)),
    "macro F1, 1 %": ("macro_f1", classes),
    "ROC AUC, 1 %": ("roc_auc", lambda r, n: binary(r, n, 0.01)),
    "recall, 1 %": ("recall", lambda r, n: binary(r, n, 0.01)),
    "F1, 1 %": ("f1", lambda r, n: binary(r, n, 0.01)),
    "average precision, 1 %": ("average_precision", lambda r, n: binary(r, n, 0.01)),
}

TRUTH = {"rmse, t(3)": np.sqrt(3), "rmse, lognormal": np.exp(1)}


@pytest.mark.parametrize("name", WORLD)
@pytest.mark.parametrize("rows", [100, 400, 2000])
def test_an_interval_that_misses_without_a_warning_is_rare(
    name: str, rows: int
) -> None:
    """At most 7 of 100 worlds; 1 of 1,000 tests exceeds the bound at that rate."""
    metric, world = WORLD[name]
    truth = TRUTH.get(name)
    if truth is None:
        truth = estimate(metric, world(np.random.default_rng(0), 1_000_000)).value
    missed = 0
    for i in range(WORLDS):
        o = world(np.random.default_rng([41, rows, i]), rows)
        if metric != "macro_f1" and len(set(o.truth)) < 2:
            continue
        m = measure_metric(metric, o)
        missed += not m.few and not m.low <= truth <= m.high
    assert missed <= binom.isf(0.001, WORLDS, 0.07)


@pytest.mark.parametrize("metric", ["rmse", "mae", "log_loss", "roc_auc", "f1"])
def test_ordinary_rows_carry_no_warning(metric: str) -> None:
    """Errors of a normal law, half of the rows positive: nothing rests on few."""
    warned = 0
    for i in range(100):
        rng = np.random.default_rng([42, i])
        if metric in ("rmse", "mae"):
            o = regression(rng, 1000, lambda r, n: r.normal(size=n))
        else:
            o = binary(rng, 1000, 0.5, gain=1.5)
        warned += measure_metric(metric, o).few
    assert warned <= 5


def test_the_intervals_alone_would_have_been_too_narrow() -> None:
    held = 0
    for i in range(200):
        rng = np.random.default_rng([43, i])
        m = measure_metric("rmse", regression(rng, 400, HEAVY["t(3)"]))
        held += m.low <= np.sqrt(3) <= m.high
        assert m.few or m.high > m.low
    assert held / 200 < 0.93
