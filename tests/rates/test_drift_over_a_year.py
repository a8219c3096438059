"""Drift over a year of checks: rows 2 to 5 of the table of error rates, simulated.

Seeded, and small enough for every run; `benchmarks/error_rates.py` runs more worlds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from mlops.config.model_spec import Monitor
from mlops.monitoring import detector
from mlops.monitoring.baseline import baseline_of_columns
from mlops.monitoring.martingale import AT_START, SLOTS
from mlops.monitoring.watch import Rows, watch

SLOT = 365 * 24 * 3600 / SLOTS
LEVEL = 0.025  # the share of drift at the default alpha


def frame(rng: np.random.Generator, n: int, shift: float = 0.0) -> pd.DataFrame:
    """Return a number, a tied number with gaps, and a category with a rare level."""
    tied = rng.poisson(2, n).astype(float)
    tied[rng.random(n) < 0.03] = np.nan
    levels = rng.choice(["a", "b", "c", "d"], n, p=[0.6, 0.3, 0.09, 0.01])
    return pd.DataFrame(
        {
            "number": rng.normal(shift, 1, n),
            "tied": tied,
            "level": pd.Series(levels, dtype="str"),
        }
    )


KINDS = {"number": "number", "tied": "number", "level": "category"}


def year(
    seed: int, reference: int, per_check: int, checks: int = SLOTS, nth: int = 1
) -> float:
    """Return the smallest chance of any column over checks of unchanged rows."""
    rng = np.random.default_rng([seed, reference, per_check, nth])
    baseline = baseline_of_columns(
        frame(rng, 4 * reference), frame(rng, reference), KINDS, {}
    )
    state = detector.start(baseline, "v1.0.0", "", nth, by_unit=False)
    n = per_check * checks
    rows = frame(rng, n)
    new = detector.NewRows(
        seconds=np.repeat(np.arange(checks) * SLOT + 1, per_check),
        ties=rng.random(n),
        codes=detector.codes_of(baseline, rows),
    )
    return min(
        detector.chances(detector.count(state, baseline, new), baseline).values()
    )


def most(worlds: int, chance: float) -> int:
    """Return how many of so many worlds may alarm by chance in 999 of 1,000 runs."""
    return int(binom.ppf(0.999, worlds, chance))


@pytest.mark.parametrize(("reference", "per_check"), [(200, 30), (1000, 100)])
def test_nothing_changes_in_520_checks_and_false_alarms_keep_to_alpha(
    reference: int, per_check: int
) -> None:
    worlds = 14
    found = [year(seed, reference, per_check) for seed in range(worlds)]
    assert sum(chance <= LEVEL for chance in found) <= most(worlds, LEVEL)
    # The chance is what it says at other levels, too: a weaker alarm is more frequent.
    assert sum(chance <= 0.2 for chance in found) <= most(worlds, 0.2)


def test_many_versions_have_one_alpha_together() -> None:
    """A version every month: each brings a reference, and bets that start with it."""
    worlds = 10
    found = [
        min(year(seed, 200, 20, checks=40, nth=nth) for nth in range(1, 14))
        for seed in range(worlds)
    ]
    assert sum(chance <= LEVEL for chance in found) <= most(worlds, LEVEL)
    assert sum(chance <= 0.2 for chance in found) <= most(worlds, 0.2)


def test_what_bets_weigh_at_the_start_is_bounded_for_all_versions() -> None:
    rng = np.random.default_rng(1)
    drawn = levels(rng, 300, 0.5), levels(rng, 300, 0.5)
    baseline = baseline_of_columns(*drawn, {"x": "category"}, {})
    states = [
        detector.start(baseline, "v1.0.0", "", nth, by_unit=False)
        for nth in range(1, 400)
    ]
    weights = [np.exp(state.columns["x"].cells[0][0]) for state in states]
    assert sum(weights) <= AT_START * 1.0001
    assert weights[0] > AT_START / 2


def test_what_bets_weigh_at_the_start_is_spent_once() -> None:
    """Else each alarm that is over would buy bets of so much weight again."""
    rng = np.random.default_rng(1)
    drawn = levels(rng, 300, 0.5), levels(rng, 300, 0.5)
    baseline = baseline_of_columns(*drawn, {"x": "category"}, {})
    after = detector.anew(baseline.columns[0], by_unit=False)
    started = detector.start(baseline, "v1.0.0", "", 1, by_unit=False).columns["x"]
    assert after.counts == started.counts
    assert np.exp(after.cells).sum() < 1e-100


def test_the_reference_may_be_small() -> None:
    """What ranks rows among a small reference alone finds its error in a year."""
    worlds = 25
    found = [year(seed, 100, 200, checks=60) for seed in range(worlds)]
    assert sum(chance <= LEVEL for chance in found) <= most(worlds, LEVEL)


def checks_until_found(
    seed: int, shift: float, reference: int, per_check: int, most_checks: int
) -> float:
    """Return how many checks find a shift of one number after 10 without a change."""
    rng = np.random.default_rng([seed, 77])
    kinds = {"x": "number"}

    def draw(n: int, by: float) -> pd.DataFrame:
        return pd.DataFrame({"x": rng.normal(by, 1, n)})

    baseline = baseline_of_columns(draw(15_000, 0), draw(reference, 0), kinds, {})
    state = detector.start(baseline, "v1.0.0", "", 1, by_unit=False)
    for check in range(10 + most_checks):
        rows = draw(per_check, shift if check >= 10 else 0.0)
        new = detector.NewRows(
            seconds=np.full(per_check, check * SLOT + 1),
            ties=rng.random(per_check),
            codes=detector.codes_of(baseline, rows),
        )
        state = detector.count(state, baseline, new)
        # One of ten columns: the other nine share the level.
        if 10 * detector.chances(state, baseline)["x"] <= LEVEL:
            return check - 9
    return np.inf


def test_a_shift_of_0_3_standard_deviations_is_found_within_weeks() -> None:
    found = [checks_until_found(seed, 0.3, 500, 200, 10) for seed in range(12)]
    assert min(found) >= 1
    assert np.median(found) <= 4
    assert np.isfinite(found).mean() >= 0.8


def test_a_shift_of_half_a_standard_deviation_is_found_at_the_second_check() -> None:
    found = [checks_until_found(seed, 0.5, 500, 200, 10) for seed in range(12)]
    assert np.median(found) <= 2


def levels(rng: np.random.Generator, n: int, share: float) -> pd.DataFrame:
    rare = rng.random(n) < share
    return pd.DataFrame({"x": pd.Series(np.where(rare, "rare", "usual"), dtype="str")})


@pytest.mark.parametrize(
    ("before", "after", "per_check"),
    [(0.01, 0.02, 5000), (0.05, 0.10, 2000), (0.10, 0.16, 2000), (0.02, 0.002, 5000)],
)
def test_a_rate_that_changes_in_one_of_ten_columns_is_found(
    before: float, after: float, per_check: int
) -> None:
    """The change comes after ten checks, and has ten checks to be found in."""
    worlds = 10
    hits = 0
    for seed in range(worlds):
        rng = np.random.default_rng([seed, per_check, int(1000 * after)])
        baseline = baseline_of_columns(
            levels(rng, 15_000, before),
            levels(rng, 5000, before),
            {"x": "category"},
            {},
        )
        state = detector.start(baseline, "v1.0.0", "", 1, by_unit=False)
        for check in range(20):
            rows = levels(rng, per_check, after if check >= 10 else before)
            new = detector.NewRows(
                seconds=np.full(per_check, check * SLOT + 1),
                ties=rng.random(per_check),
                codes=detector.codes_of(baseline, rows),
            )
            state = detector.count(state, baseline, new)
            found = 10 * detector.chances(state, baseline)["x"] <= LEVEL
            if check < 10:
                assert not found
        hits += found
    assert hits >= 0.8 * worlds


def customers(rng: np.random.Generator, units: int, shift: float = 0.0) -> pd.DataFrame:
    """Return ten rows of each customer, alike by an intraclass correlation of 0.8."""
    own = np.repeat(rng.normal(size=units), 10) * np.sqrt(0.8)
    return pd.DataFrame({"x": own + rng.normal(size=10 * units) * np.sqrt(0.2) + shift})


def found_by_unit(seed: int, shift: float, by_unit: bool, units: int = 300) -> bool:
    """Return whether three checks of new customers alarm."""
    rng = np.random.default_rng([seed, 5])
    kinds = {"x": "number"}
    reference = customers(rng, units)
    chosen = np.tile(np.arange(10) == 0, units)
    baseline = baseline_of_columns(
        customers(rng, 1000), reference, kinds, {}, chosen if by_unit else None
    )
    state = detector.start(baseline, "v1.0.0", "", 1, by_unit)
    for check in range(3):
        window = customers(rng, units, shift)
        n = len(window)
        names = np.arange(n) // 10 if by_unit else np.arange(n)
        every = np.ones(n, dtype=bool)
        rows = Rows(
            frame=window,
            seconds=np.full(n, check * SLOT + 1),
            ties=rng.random(n),
            units=np.array([f"{check} {name}" for name in names], dtype=object),
            recent=every,
            new=every,
        )
        watched = watch(baseline, rows, state, Monitor(min_effect=0), by_unit)
        state = watched.state
        if watched.columns[0].alarm:
            return True
    return False


def test_rows_of_one_customer_count_once() -> None:
    worlds = 20
    false = sum(found_by_unit(seed, 0.0, by_unit=True) for seed in range(worlds))
    assert false <= most(worlds, LEVEL)
    # The simulation can fail: counted by row, the same customers are an alarm.
    naive = sum(found_by_unit(seed, 0.0, by_unit=False) for seed in range(worlds))
    assert naive >= 5
    power = sum(found_by_unit(seed, 0.5, by_unit=True) for seed in range(worlds))
    assert power >= 0.8 * worlds


def sorted_batch(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Return rows as a file may have them: by place, and by size within it."""
    place = np.sort(rng.choice(["north", "south", "east", "west"], n))
    frame = pd.DataFrame({"place": place, "size": rng.normal(size=n)})
    return frame.sort_values(["place", "size"], ignore_index=True)


def alarm_of_a_sorted_batch(seed: int, at_once: bool) -> bool:
    """Return whether a batch alarms whose rows have one moment, or one each."""
    rng = np.random.default_rng([seed, 9])
    kinds = {"place": "category", "size": "number"}
    baseline = baseline_of_columns(
        sorted_batch(rng, 3000), sorted_batch(rng, 1000), kinds, {}
    )
    state = detector.start(baseline, "v1.0.0", "", 1, by_unit=False)
    n = 2000
    every = np.ones(n, dtype=bool)
    rows = Rows(
        frame=sorted_batch(rng, n),
        seconds=np.ones(n) if at_once else np.arange(n, dtype=float),
        ties=rng.random(n),
        units=np.arange(n).astype(str).astype(object),
        recent=every,
        new=every,
    )
    watched = watch(baseline, rows, state, Monitor(min_effect=0), False)
    return any(column.chance <= LEVEL for column in watched.columns)


def test_the_order_of_a_file_is_no_drift() -> None:
    """Rows of one moment are mixed: a batch of predictions is often sorted."""
    worlds = 20
    false = sum(alarm_of_a_sorted_batch(seed, at_once=True) for seed in range(worlds))
    assert false <= most(worlds, LEVEL)
    # The simulation can fail: taken for the order of time, the same rows are an alarm.
    assert all(alarm_of_a_sorted_batch(seed, at_once=False) for seed in range(3))


def households(rng: np.random.Generator, units: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return people whose income falls with the size of their household."""
    size = rng.integers(1, 8, units)
    unit = np.repeat(np.arange(units), size)
    income = -size[unit] + rng.normal(size=len(unit))
    return pd.DataFrame({"x": income}), unit


def test_means_are_of_all_rows_where_units_count_once() -> None:
    """One person of each household is richer on average than all people."""
    rng = np.random.default_rng(11)
    test, unit = households(rng, 1000)
    chosen = np.zeros(len(test), dtype=bool)
    chosen[np.unique(unit, return_index=True)[1]] = True
    baseline = baseline_of_columns(
        households(rng, 2000)[0], test, {"x": "number"}, {}, chosen
    )
    window, unit = households(rng, 1000)
    every = np.ones(len(window), dtype=bool)
    rows = Rows(
        frame=window,
        seconds=np.ones(len(window)),
        ties=rng.random(len(window)),
        units=unit.astype(str).astype(object),
        recent=every,
        new=every,
    )
    state = detector.start(baseline, "v1.0.0", "", 1, by_unit=True)
    (column,) = watch(baseline, rows, state, Monitor(), True).columns
    assert column.standardised is not None
    assert abs(column.standardised) < 0.1
    assert not column.alarm
    few = window["x"][np.unique(unit, return_index=True)[1]]
    assert abs(few.mean() - window["x"].mean()) / window["x"].std() > 0.2


def chance_of_a_new_level(seed: int, reference: int, share: float) -> float:
    """Return the chance that one check of 500 rows gives a level of that share."""
    rng = np.random.default_rng([seed, 12])

    def draw(n: int) -> pd.DataFrame:
        levels = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
        return pd.DataFrame({"x": pd.Series(levels, dtype="str")})

    baseline = baseline_of_columns(draw(500), draw(reference), {"x": "category"}, {})
    state = detector.start(baseline, "v1.0.0", "", 1, by_unit=False)
    window = draw(500)
    window.loc[rng.random(500) < share, "x"] = "new"
    codes = detector.codes_of(baseline, window)
    new = detector.NewRows(np.ones(500), rng.random(500), codes)
    return float(detector.chances(detector.count(state, baseline, new), baseline)["x"])


@pytest.mark.parametrize(
    ("reference", "share", "least"), [(180, 0.25, 19), (500, 0.1, 19), (500, 0.25, 20)]
)
def test_a_new_level_is_found_at_the_first_check(
    reference: int, share: float, least: int
) -> None:
    chances = [chance_of_a_new_level(seed, reference, share) for seed in range(20)]
    assert sum(chance <= LEVEL for chance in chances) >= least


def test_a_column_whose_every_level_is_new_alarms_at_once() -> None:
    rng = np.random.default_rng(3)
    names = np.array([f"level {i}" for i in range(400)])

    def draw(n: int, prefix: str = "") -> pd.DataFrame:
        return pd.DataFrame(
            {"x": pd.Series(prefix + rng.choice(names, n), dtype="str")}
        )

    baseline = baseline_of_columns(draw(4000), draw(1000), {"x": "category"}, {})
    state = detector.start(baseline, "v1.0.0", "", 1, by_unit=False)
    codes = detector.codes_of(baseline, draw(300, "new "))
    new = detector.NewRows(np.ones(300), rng.random(300), codes)
    assert detector.chances(detector.count(state, baseline, new), baseline)["x"] < 1e-6
    codes = detector.codes_of(baseline, draw(300))
    new = detector.NewRows(np.ones(300), rng.random(300), codes)
    assert detector.chances(detector.count(state, baseline, new), baseline)["x"] > LEVEL


def test_many_levels_that_nobody_saw_are_no_alarm_where_the_reference_has_them() -> (
    None
):
    """Names and the like: the test rows have as many unseen levels as the log."""
    rng = np.random.default_rng(4)

    def draw(n: int) -> pd.DataFrame:
        names = rng.integers(0, 20_000, n).astype(str)
        return pd.DataFrame({"x": pd.Series(names, dtype="str")})

    baseline = baseline_of_columns(draw(4000), draw(1500), {"x": "category"}, {})
    state = detector.start(baseline, "v1.0.0", "", 1, by_unit=False)
    codes = detector.codes_of(baseline, draw(6000))
    seconds = np.repeat(np.arange(20) * SLOT, 300)
    new = detector.NewRows(seconds, rng.random(6000), codes)
    assert detector.chances(detector.count(state, baseline, new), baseline)["x"] > LEVEL
