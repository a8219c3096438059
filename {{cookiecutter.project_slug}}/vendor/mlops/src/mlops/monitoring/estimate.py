"""Performance without labels, estimated from the scores of a model or by its errors.

Confidence-based performance estimation (CBPE): the score is calibrated on the
reference, and the metric is expected as if each row were positive with its calibrated
probability. Under a shift of the features the reference is weighted by the density
ratio of the period against it (M-CBPE; Kivimäki et al. 2024). Of several classes the
event is that the most probable one is right. Numbers have no score: a second model
learns from the reference how large the error of a row is (direct loss estimation, DLE).
None of them can see concept drift: that the same features come to mean something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Codes = NDArray[np.int64]

# Density ratios are bounded: a few reference rows must not stand for all.
_LEAST_SHARE = 0.01

# Effective reference rows that a weighted calibration needs.
_FEWEST = 100

_MOST_LEVELS = 25

_FEW_COLUMNS = 12

_HUGE = 1e100


class Expected(NamedTuple):
    """What metrics are expected to be."""

    accuracy: float
    roc_auc: float
    method: str


def expected(
    score: Floats,
    chance: Floats,
    threshold: float,
    method: str = "CBPE",
    weights: Floats | None = None,
) -> Expected:
    """Return the metrics that are expected of rows.

    Parameters
    ----------
    score : ndarray of float, shape (n_rows,)
    chance : ndarray of float, shape (n_rows,)
        The calibrated probability that a row is positive.
    threshold : float
        From which score on a row is predicted positive.
    weights : ndarray of float, shape (n_rows,), optional
        How much each row counts; not all 0.
    """
    counts = np.ones(len(score)) if weights is None else weights
    right = np.where(score >= threshold, chance, 1 - chance)
    accuracy = np.average(right, weights=counts)
    _, group = np.unique(score, return_inverse=True)
    negative = np.bincount(group, counts * (1 - chance))
    positive = np.bincount(group, counts * chance)
    below = np.cumsum(negative) - negative / 2
    pairs = positive.sum() * negative.sum()
    auc = float((positive * below).sum() / pairs) if pairs > 0 else np.nan
    return Expected(float(accuracy), auc, method)


def calibrated(
    score: Floats, truth: Floats, at: Floats, weights: Floats | None = None
) -> Floats:
    """Return the probability of a positive at scores, by isotonic regression.

    Parameters
    ----------
    score, truth : ndarray of float, shape (n_reference,)
        Of the reference; the truth is 1 or 0.
    at : ndarray of float, shape (n_rows,)
    weights : ndarray of float, shape (n_reference,), optional
    """
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    fitted.fit(score, truth, sample_weight=weights)
    return np.asarray(fitted.predict(at), dtype=np.float64)


def cbpe(score: Floats, truth: Floats, now: Floats, threshold: float) -> Expected:
    """Return the expected metrics of scores, calibrated on a reference."""
    return expected(now, calibrated(score, truth, now), threshold)


def mcbpe(
    reference: pd.DataFrame,
    score: Floats,
    truth: Floats,
    window: pd.DataFrame,
    now: Floats,
    threshold: float,
) -> Expected:
    """Return the expected metrics where the features may have shifted.

    Parameters
    ----------
    reference, window : DataFrame, shape (n_rows, n_features)
        The features of both, cast.

    Returns
    -------
    Expected
        As `shifted_chances` has it.
    """
    chance, method = shifted_chances(reference, score, truth, window, now)
    return expected(now, chance, threshold, method)


def shifted_chances(
    reference: pd.DataFrame,
    score: Floats,
    truth: Floats,
    window: pd.DataFrame,
    now: Floats,
) -> tuple[Floats, str]:
    """Return how likely each row of a period is positive, and by which method.

    That of CBPE where no feature is known (all may be sensitive), or where so few
    reference rows are like the period that the weighted calibration would rest on less
    than 100 of them.
    """
    if not len(reference.columns):
        return calibrated(score, truth, now), "CBPE"
    weights = density_ratio(reference, window)
    if effective_rows(weights) < _FEWEST:
        return calibrated(score, truth, now), "CBPE"
    return calibrated(score, truth, now, weights), "M-CBPE"


def expected_errors(
    reference: pd.DataFrame, errors: Floats, window: pd.DataFrame
) -> Floats | None:
    """Return how large the error of each row is expected to be (DLE).

    Parameters
    ----------
    reference, window : DataFrame, shape (n_rows, n_columns)
        Features and prediction of both, cast.
    errors : ndarray of float, shape (n_reference,)
        Not negative.

    Returns
    -------
    ndarray of float, shape (n_rows,)
        None where less than 100 reference rows have an error that is a number.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    known = np.isfinite(errors)
    if np.count_nonzero(known) < _FEWEST:
        return None
    both = _numeric(pd.concat([reference[known], window], ignore_index=True))
    count = int(np.count_nonzero(known))
    learner = HistGradientBoostingRegressor(
        max_iter=100,
        learning_rate=0.05,
        max_leaf_nodes=8,
        min_samples_leaf=30,
        early_stopping=False,
        random_state=0,
    )
    learner.fit(both[:count], errors[known])
    return np.asarray(np.maximum(learner.predict(both[count:]), 0.0))


def effective_rows(weights: Floats) -> float:
    """Return how many rows of equal weight are worth as much (Kish)."""
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def weights_without_shift(codes: Codes, reference: Sequence[int]) -> Floats | None:
    """Return weights of rows that give one column the distribution of the reference.

    All else stays as it is, given that column.

    Parameters
    ----------
    codes : ndarray of int, shape (n_rows,)
        The cell of the column that each row is in.
    reference : sequence of int, length n_cells
        The reference's rows per cell.

    Returns
    -------
    ndarray of float, shape (n_rows,)
        None where less than 100 rows would decide.
    """
    before = np.asarray(reference, dtype=np.float64)
    now = np.bincount(codes, minlength=len(before))
    ratio = np.divide(before, now, out=np.zeros(len(before)), where=now > 0)
    weights = ratio[codes]
    return weights if effective_rows(weights) >= _FEWEST else None


def density_ratio(reference: pd.DataFrame, window: pd.DataFrame) -> Floats:
    """Return how much more common each reference row is in the period.

    A logistic regression tells the two samples apart, on squares and products where
    there are few columns.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    both = _numeric(pd.concat([reference, window], ignore_index=True))
    is_window = np.arange(len(both)) >= len(reference)
    degree = 2 if both.shape[1] <= _FEW_COLUMNS else 1
    classifier = make_pipeline(
        PolynomialFeatures(degree, include_bias=False),
        StandardScaler(),
        LogisticRegression(max_iter=300),
    )
    classifier.fit(both, is_window)
    chance = classifier.predict_proba(both[: len(reference)])[:, 1]
    chance = np.clip(chance, _LEAST_SHARE, 1 - _LEAST_SHARE)
    ratio = chance / (1 - chance) * len(reference) / len(window)
    return np.asarray(ratio, dtype=np.float64)


def _numeric(frame: pd.DataFrame) -> Floats:
    """Return features as numbers: missing as the mean, levels as columns."""
    parts = []
    for name in frame:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            parts.append(_filled(values)[:, None])
            continue
        common = column.astype(str).value_counts().index[:_MOST_LEVELS]
        text = column.astype(str).to_numpy()
        parts.append((text[:, None] == common.to_numpy()[None, 1:]).astype(np.float64))
    return np.hstack(parts)


def _filled(values: Floats) -> Floats:
    """Return numbers with the mean where one is missing, huge ones in a unit of theirs.

    Their squares would be no numbers.
    """
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values))
    largest = float(np.abs(values[known]).max())
    if largest > _HUGE:
        values = values / largest
    return np.where(known, values, values[known].mean())
