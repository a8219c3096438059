"""The curves and intervals of a report are those of scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_curve, roc_curve

from mlops.reporting.calibration import _wilson
from mlops.reporting.curves import precision_recall, roc

RNG = np.random.default_rng(0)

CASES = {
    "two rows": ([True, False], [0.3, 0.3]),
    "one score": ([True, False, True, False], [0.5] * 4),
    "in order": ([False, False, True, True], [0.1, 0.2, 0.3, 0.4]),
    "the wrong way": ([True, True, False], [0.1, 0.2, 0.9]),
    "many equal scores": (RNG.random(500) < 0.3, RNG.random(500).round(1)),
    "many scores": (RNG.random(500) < 0.5, RNG.random(500)),
    "extremes": ([True, False, True], [1e308, -1e308, 0.0]),
}


@pytest.mark.parametrize("case", CASES)
def test_both_curves_are_those_of_scikit_learn(case: str) -> None:
    positive, score = (np.asarray(column) for column in CASES[case])
    wrong, found, _ = roc_curve(positive, score, drop_intermediate=False)
    ours = roc(positive, score)
    np.testing.assert_allclose(ours, (wrong, found), atol=1e-12)
    precision, recall, _ = precision_recall_curve(positive, score)
    ours = precision_recall(positive, score)
    # scikit-learn ends with a point that no threshold gives.
    np.testing.assert_allclose(ours, (precision[:-1], recall[:-1]), atol=1e-12)


@pytest.mark.parametrize("n", [1, 7, 400])
def test_the_interval_of_a_share_is_that_of_wilson(n: int) -> None:
    for hits in {0, 1, n // 2, n - 1, n}:
        ends = binomtest(hits, n).proportion_ci(method="wilson")
        assert _wilson(hits / n, n) == pytest.approx((ends.low, ends.high), abs=1e-12)
