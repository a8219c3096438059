"""How often a limit between groups is called exceeded, over many seeded worlds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, studentized_range

from mlops.evaluation import studentized_range as ours
from mlops.evaluation.group_gaps import Gap, largest_gap
from mlops.evaluation.outcome import Outcome

LIMIT = 0.1


def world(
    seed: tuple[int, ...], groups: int, rows: int, gap: float, per: int = 1
) -> Gap:
    """Return the measured gap of groups of which one has a higher selection rate.

    With `per` rows to a unit, all rows of a unit are decided alike.
    """
    rng = np.random.default_rng([8, *seed])
    rates = np.full(groups, 0.5 - gap / 2)
    rates[0] = 0.5 + gap / 2
    chosen = rng.random((groups, rows // per)) < rates[:, None]
    decision = np.repeat(chosen.ravel(), per).astype(np.int64)
    labels = pd.Series(np.repeat(np.arange(groups), rows)).astype("category")
    unit = np.arange(len(decision)) // per if per > 1 else None
    o = Outcome("binary", decision, decision, decision * 1.0, ("no", "yes"), unit)
    found = largest_gap("selection_rate", o, labels, 20)
    assert found is not None
    return found


def breaches(worlds: int, *what: float) -> int:
    groups, rows, gap, *per = what
    how = {"per": int(per[0])} if per else {}
    return sum(
        world((i,), int(groups), int(rows), gap, **how).low > LIMIT
        for i in range(worlds)
    )


@pytest.mark.parametrize("groups", [2, 5, 10])
@pytest.mark.parametrize("rows", [50, 100, 500])
@pytest.mark.parametrize("gap", [0.0, LIMIT])
def test_a_limit_that_holds_is_called_exceeded_in_5_of_100_worlds_at_most(
    groups: int, rows: int, gap: float
) -> None:
    """400 worlds; 1 of 1,000 tests exceeds the bound at a rate of 5 %."""
    assert breaches(400, groups, rows, gap) <= binom.isf(0.001, 400, 0.05)


@pytest.mark.parametrize("groups", [2, 5, 10])
def test_a_gap_of_a_quarter_is_found_in_groups_of_100(groups: int) -> None:
    """Power of 0.6 is asked for; 300 worlds show about 0.65."""
    assert breaches(300, groups, 100, 0.25) >= binom.ppf(0.01, 300, 0.6)


def test_the_point_difference_would_have_been_wrong() -> None:
    gaps = [world((i,), 5, 100, 0.0) for i in range(200)]
    assert np.mean([gap.difference > LIMIT for gap in gaps]) > 0.5


@pytest.mark.parametrize("per", [5, 10])
def test_rows_that_belong_together_are_no_proof_of_their_own(per: int) -> None:
    """200 rows to a group, in 40 or 20 units that are decided alike."""
    worlds = 400
    assert breaches(worlds, 4, 200, LIMIT, per) <= binom.isf(0.001, worlds, 0.05)


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.3])
def test_the_upper_bound_holds_the_true_gap_in_95_of_100_worlds(gap: float) -> None:
    held = sum(world((i,), 4, 150, gap).high >= gap for i in range(400))
    assert held >= binom.ppf(0.001, 400, 0.95)


@pytest.mark.parametrize("groups", [2, 3, 10, 50])
@pytest.mark.parametrize("freedom", [3, 10, 60, np.inf])
def test_the_studentized_range_is_that_of_scipy(groups: int, freedom: float) -> None:
    expected = studentized_range.ppf(0.9, groups, freedom)
    found = ours.studentized_range(0.9, groups, freedom)
    assert found == pytest.approx(expected, rel=0.01)
