"""How often a worthless model is promoted where few rows or few periods can tell."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, binomtest

from mlops.evaluation.compare import paired_difference
from mlops.evaluation.outcome import Outcome, outcome, time_blocks
from mlops.results.training import Signature

ALPHA = 0.025  # of superiority at a confidence of 95 %

SHARES = (
    "roc_auc",
    "average_precision",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
)


def too_many(worlds: int, rate: float = ALPHA) -> float:
    """Return the count that is exceeded in 1 of 1,000 tests at this rate."""
    return float(binom.isf(0.001, worlds, rate))


def found(positives: int, newly: int, negatives: int = 200) -> tuple[Outcome, Outcome]:
    """Return two models; the new one finds positives that the old one misses."""
    truth = np.r_[np.ones(positives, int), np.zeros(negatives, int)]
    both = []
    for many in (0, newly):
        decision = np.r_[np.ones(many, int), np.zeros(len(truth) - many, int)]
        score = decision * 0.8 + np.linspace(0, 0.1, len(truth))
        both.append(Outcome("binary", truth, decision, score, ("no", "yes")))
    return both[0], both[1]


@pytest.mark.parametrize("positives", [1, 2, 3, 5, 6, 8, 20])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_newly_found_positives_promote_where_the_exact_test_rejects(
    positives: int, confidence: float
) -> None:
    old, new = found(positives, positives)
    compared = paired_difference("recall", old, new, confidence)
    exact = binomtest(positives, positives).pvalue
    assert compared.difference == 1
    assert compared.p_value == pytest.approx(exact)
    assert (compared.low > 0) == (exact <= 1 - confidence)
    assert -1 <= compared.low <= compared.high <= 1


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("newly", [1, 2, 3, 4, 5])
def test_five_rows_that_differ_promote_nothing(name: str, newly: int) -> None:
    """The exact sign test of 5 rows that all agree has a p of 0.06."""
    for positives in (newly, 12):
        compared = paired_difference(name, *found(positives, newly))
        assert compared.p_value is not None
        assert compared.p_value >= min(1, 2 * 0.5**newly) * 0.999
        assert compared.low <= 0 < compared.difference, name
        assert -1 <= compared.low <= compared.high <= 1


@pytest.mark.parametrize("per", [1, 4])
def test_few_positives_promote_a_worthless_model_no_more_often(per: int) -> None:
    """Two equal models, 120 rows, about 5 positives; 600 worlds for each metric."""
    worlds = 600
    promoted = dict.fromkeys(SHARES, 0)
    for i in range(worlds):
        rng = np.random.default_rng([31, per, i])
        unit = np.repeat(np.arange(120 // per), per)
        truth = np.repeat(rng.random(120 // per) < 0.04, per).astype(int)
        if not 0 < truth.sum() < len(truth):
            continue
        both = []
        for _ in range(2):
            seen = truth + np.repeat(rng.normal(0, 0.8, 120 // per), per)
            decision = (seen > 0.9).astype(int)
            own = unit if per > 1 else None
            both.append(Outcome("binary", truth, decision, seen, ("n", "y"), own))
        for name in SHARES:
            promoted[name] += paired_difference(name, both[0], both[1]).low > 0
    assert {m: n for m, n in promoted.items() if n > too_many(worlds)} == {}


ROWS = 40  # of a period


@functools.cache
def blocks_of(periods: int) -> pd.Series:
    """Return which rows stand for each other; it is the same in every world."""
    when = pd.Series(np.repeat(np.arange(periods), ROWS), name="month")
    blocks = time_blocks(when)
    assert blocks is not None
    return blocks


def worlds_of_periods(
    seed: int, periods: int, shock: float
) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
    """Return the truth, and the scores of two equal models.

    Each is wrong in a way of its own in each period.
    """
    rng = np.random.default_rng([32, periods, seed])
    latent = rng.normal(size=periods * ROWS)
    truth = (rng.random(len(latent)) < 1 / (1 + np.exp(-1.5 * latent))).astype(int)
    scores = []
    for _ in range(2):
        own = np.repeat(rng.normal(0, shock, periods), ROWS)
        scores.append(1 / (1 + np.exp(-1.2 * latent - own)))
    return truth, scores


def through_periods(seed: int, periods: int, shock: float, alone: bool = False) -> bool:
    """Return whether the better of two equal models is promoted.

    With `alone`, every row stands for itself.
    """
    truth, scores = worlds_of_periods(seed, periods, shock)
    unit = None if alone else blocks_of(periods).factorize()[0]
    both = [
        Outcome("binary", truth, (s >= 0.5).astype(int), s, ("not yes", "yes"), unit)
        for s in scores
    ]
    return paired_difference("log_loss", both[0], both[1]).low > 0


def test_the_worlds_are_what_a_table_would_have_given() -> None:
    """The outcomes are built from arrays: 3,200 tables would take a minute."""
    truth, scores = worlds_of_periods(1, 5, 1.0)
    about = Signature(
        task="binary", target="y", features=(), classes=("no", "yes"), positive="yes"
    )
    target = pd.Series(np.where(truth == 1, "yes", "no"))
    both = []
    for score in scores:
        decided = {"prediction": np.where(score < 0.5, "no", "yes"), "score": score}
        both.append(outcome(about, target, pd.DataFrame(decided), blocks_of(5)))
    unit = blocks_of(5).factorize()[0]
    for score, one in zip(scores, both, strict=True):
        assert one.truth.tolist() == truth.tolist()
        assert one.decision.tolist() == (score >= 0.5).astype(int).tolist()
        assert one.score.tolist() == score.tolist()
        assert one.unit is not None and one.unit.tolist() == unit.tolist()
    compared = paired_difference("log_loss", both[0], both[1])
    assert through_periods(1, 5, 1.0) == (compared.low > 0)


@pytest.mark.parametrize("periods", [2, 3, 5, 9])
@pytest.mark.parametrize("shock", [0.0, 1.0])
def test_few_periods_promote_a_worthless_model_in_3_of_100_worlds_at_most(
    periods: int, shock: float
) -> None:
    worlds = 400
    promoted = sum(through_periods(i, periods, shock) for i in range(worlds))
    assert promoted <= too_many(worlds, 0.03)


def test_rows_of_few_periods_would_have_promoted_too_often() -> None:
    """What the periods are for: rows that share a shock are no proof of their own."""
    worlds = 200
    promoted = sum(through_periods(i, 5, 1.0, alone=True) for i in range(worlds))
    assert promoted > too_many(worlds, 0.03)
