"""The performance alarm over a year of labels: row 1 of the table, simulated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from mlops.monitoring import detector, losses
from mlops.monitoring.martingale import SLOTS, start_weight
from mlops.results.baseline import Baseline, LossBaseline

SHARE = 0.025  # of alpha
USUAL = 0.19
DAY = 24 * 3600


def draw(rng: np.random.Generator, mean: float, n: int) -> np.ndarray:
    """Return losses like Brier scores."""
    return rng.beta(mean * 1.7 / (1 - mean), 1.7, n)


def first_alarm(
    seed: int, per_day: int, days: int, after: float = USUAL, at: int = 10**9
) -> float:
    """Return the day of the first alarm of a model tested on 2,000 rows."""
    rng = np.random.default_rng([seed, per_day])
    test = draw(rng, USUAL, 2000)
    loss = LossBaseline(
        name="Brier score",
        mean=float(test.mean()),
        error=float(test.std(ddof=1) / np.sqrt(2000)),
        freedom=1999,
        rows=2000,
    )
    baseline = Baseline(columns=(), losses=(loss,), rows=2000)
    state = detector.start(baseline, "v1.0.0", "", 1, by_unit=False)
    for day in range(days):
        rows = draw(rng, after if day >= at else USUAL, per_day)
        seconds = day * DAY
        state = detector.count_labels(state, loss, {f"{day}": rows}, seconds, SHARE)
        state = state.model_copy(update={"label_slot": detector.slot_of(seconds)})
        if detector.loss_chance(state, loss.name) <= detector.loss_level(SHARE):
            return day
    return np.inf


@pytest.mark.parametrize(("per_day", "worlds"), [(30, 60), (300, 60), (3000, 20)])
def test_a_model_that_holds_rarely_alarms_within_a_year(
    per_day: int, worlds: int
) -> None:
    found = [first_alarm(seed, per_day, 365) for seed in range(worlds)]
    assert np.isfinite(found).sum() <= binom.ppf(0.999, worlds, SHARE)


def test_a_large_loss_is_found_in_days_and_a_small_one_in_weeks() -> None:
    large = [first_alarm(seed, 300, 90, 0.24, at=50) - 50 for seed in range(40)]
    assert min(large) >= 0
    assert np.median(large) <= 4
    # The median is to be 45 days; over 400 other worlds it is 49, 47 % of them by then.
    worlds = 100
    small = [first_alarm(seed, 300, 96, 0.21, at=50) - 50 for seed in range(worlds)]
    assert min(small) >= 0
    assert sum(day <= 45 for day in small) >= binom.ppf(0.001, worlds, 0.5)


def test_the_bets_of_a_year_weigh_as_much_as_its_slots_whenever_it_is_checked() -> None:
    for every in (1, 2, 3, 7, 10, 11, 25):
        for first in range(20):
            checks = range(first, first + SLOTS, every)
            before = [None, *checks]
            weights = [
                start_weight(slot, last)
                for last, slot in zip(before, checks, strict=False)
            ]
            assert sum(weights) <= SLOTS + 1e-9
    assert start_weight(7, 7) == 0
    assert start_weight(10, 9) > start_weight(9, 8) > 0


def test_the_shares_of_all_versions_of_a_year_add_up_to_alpha() -> None:
    assert sum(losses.spent(SHARE, k) for k in range(1, 10_000)) == pytest.approx(
        SHARE, rel=1e-3
    )
