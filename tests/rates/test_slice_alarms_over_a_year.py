"""The performance alarm over a year, with slices: they share alpha, not multiply it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from mlops.config.model_spec import Slices
from mlops.evaluation.outcome import Outcome
from mlops.monitoring import detector
from mlops.monitoring.losses import baselines_of
from mlops.monitoring.performance import Labelled, perform
from mlops.monitoring.slices import rows_in, slice_baselines
from mlops.results.baseline import Baseline

SHARE = 0.025  # of alpha 0.05: performance has half
PER_DAY = 200
PLANS = ["basic", "plus", "pro", "team"]
DAY = 24 * 3600
SPEC: Any = SimpleNamespace(
    monitor=SimpleNamespace(alpha=2 * SHARE, min_rows=10**9),
    metrics=SimpleNamespace(primary="roc_auc"),
)


def draw(
    rng: np.random.Generator, n: int, broken: str | None = None
) -> tuple[pd.DataFrame, Outcome]:
    """Return rows of four plans, and a calibrated model; in one plan it guesses."""
    plan = rng.choice(PLANS, n, p=[0.4, 0.3, 0.15, 0.15])
    chance = rng.beta(1.0, 2.0, n)
    truth = (rng.random(n) < chance).astype(np.int64)
    score = np.where(plan == broken, rng.permutation(chance), chance)
    frame = pd.DataFrame({"plan": pd.Series(plan, dtype="str")})
    o = Outcome("binary", truth, (score >= 0.5).astype(int), score, ("no", "yes"))
    return frame, o


def alarms(
    seed: int,
    days: int,
    broken: str | None = None,
    at: int = 10**9,
    every: int = 1,
) -> tuple[float, tuple[str, ...]]:
    """Return the day of the first alarm, and of what; 2,000 rows tested the model."""
    rng = np.random.default_rng(seed)
    test, judged = draw(rng, 2000)
    baseline = Baseline(
        columns=(),
        losses=baselines_of(judged),
        slices=slice_baselines(
            Slices(columns=("plan",)), test, {"plan": "category"}, judged
        ),
        rows=2000,
    )
    assert len(baseline.slices) == len(PLANS)
    state = detector.start(baseline, "v1.0.0", "", 1, by_unit=False)
    for day in range(0, days, every):
        frame, o = draw(rng, PER_DAY * every, broken if day >= at else None)
        rows = Labelled(
            outcome=o,
            days=pd.Series([str(day)] * len(o)),
            recent=np.ones(len(o), dtype=bool),
            slices={one.loss.name: rows_in(one, frame) for one in baseline.slices},
        )
        state = perform(SPEC, baseline, (), rows, state, float(day * DAY)).state
        if state.worse:
            return day, state.worse
    return np.inf, ()


def test_slices_that_hold_rarely_alarm_within_a_year() -> None:
    worlds = 40
    found = [alarms(seed, 365, every=7)[0] for seed in range(worlds)]
    assert np.isfinite(found).sum() <= binom.ppf(0.999, worlds, SHARE)


@pytest.mark.parametrize(("plan", "within"), [("basic", 7), ("team", 14)])
def test_a_loss_in_one_slice_is_found_and_named(plan: str, within: int) -> None:
    worlds = 15
    found = [alarms(seed, 50 + 40, plan, at=50) for seed in range(worlds)]
    days = np.array([day for day, _ in found]) - 50
    assert days.min() >= 0
    assert np.median(days) <= within
    named = [f"Brier score where plan = {plan}" in of for _, of in found]
    others = {name for _, of in found for name in of} - {"Brier score"}
    assert np.mean(named) >= 0.9
    assert others == {f"Brier score where plan = {plan}"}
