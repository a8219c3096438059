"""How far apart the groups of a column are, with bounds for all pairs at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops.evaluation.intervals import standard_error
from mlops.evaluation.outcome import Codes, Floats, Outcome
from mlops.evaluation.studentized_range import studentized_range

CONFIDENCE = 0.95  # of either bound


@dataclass(frozen=True)
class Gap:
    """The largest difference between two groups.

    Parameters
    ----------
    difference : float
        Between the highest and the lowest group of these rows.
    low, high : float
        What the largest difference is at least, and at most; each with 95 %
        confidence, however many groups there are.
    """

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class _Rate:
    """A rate of one group, its variance, and the degrees of freedom of that."""

    value: float
    centre: float
    variance: float
    freedom: float
    rows: Codes
    influence: Floats


def contributions(metric: str, o: Outcome) -> tuple[Floats, np.ndarray]:
    """Return what each row contributes to a rate, and which rows count for it.

    Parameters
    ----------
    metric : str
        A rate that `fairness` knows; the mean of the rows that count is the rate.
    """
    counted = np.ones(len(o), dtype=bool)
    if metric == "mae":
        return np.abs(o.decision - o.truth), counted
    if metric == "accuracy":
        return (o.decision == o.truth).astype(np.float64), counted
    if metric.endswith("positive_rate"):
        counted = o.truth == int(metric == "true_positive_rate")
    return (o.decision == 1).astype(np.float64), counted


def largest_gap(metric: str, o: Outcome, labels: pd.Series, fewest: int) -> Gap | None:
    """Return the largest difference of a rate between groups, with its bounds.

    The bounds are those of Tukey and Kramer for all pairs of groups. Shares are shrunk
    as Agresti and Caffo do, one row of either kind more in each group, so that few
    rows that agree are no proof; rows that belong together count together.

    Parameters
    ----------
    labels : Series of category, shape (n_rows,)
        The group of each row.
    fewest : int
        Groups with fewer rows that count are left out.

    Returns
    -------
    Gap or None
        None where fewer than two groups are large enough.
    """
    values, counted = contributions(metric, o)
    codes = labels.cat.codes.to_numpy()
    rates = []
    for code in range(len(labels.cat.categories)):
        rows = np.flatnonzero(counted & (codes == code))
        if len(rows) >= max(fewest, 1):
            rates.append(_rate(metric != "mae", values, rows, o.unit))
    if len(rates) < 2:
        return None
    return _bounds(rates, o.unit, metric != "mae")


def _rate(is_share: bool, values: Floats, rows: Codes, unit: Codes | None) -> _Rate:
    chosen = values[rows]
    value = float(chosen.mean())
    influence = chosen - value
    own_units = None if unit is None else unit[rows]
    error, freedom = standard_error(influence, own_units)
    if not is_share:
        return _Rate(value, value, error**2, freedom, rows, influence)
    effective = _effective_rows(value, error, len(rows), own_units)
    if own_units is None:
        freedom = math.inf
    centre = (value * effective + 1) / (effective + 2)
    variance = centre * (1 - centre) / (effective + 2)
    return _Rate(value, centre, variance, freedom, rows, influence)


def _effective_rows(value: float, error: float, rows: int, unit: Codes | None) -> float:
    """Return how many independent rows a share is as certain as."""
    if unit is None:
        return rows
    if not error or not 0 < value < 1:
        return int(np.count_nonzero(np.bincount(unit)))
    return min(value * (1 - value) / error**2, rows)


def _bounds(rates: list[_Rate], unit: Codes | None, is_share: bool) -> Gap:
    """Return the bounds of the largest difference of all pairs."""
    centre = np.array([rate.centre for rate in rates])
    variance = np.array([rate.variance for rate in rates])
    freedom = min(rate.freedom for rate in rates)
    between = variance[:, None] + variance[None, :]
    if unit is not None:
        between = between - 2 * _covariances(rates, unit)
    # What a shared unit explains is no reason to be certain.
    errors = np.sqrt(np.maximum(between, 0.1 * variance.max()))
    # Each bound may be wrong in 1 of 20: together, the interval in 1 of 10.
    factor = studentized_range(2 * CONFIDENCE - 1, len(rates), freedom) / math.sqrt(2)
    apart = centre[:, None] - centre[None, :]
    pairs = ~np.eye(len(rates), dtype=bool)
    low = float((apart - factor * errors)[pairs].max())
    high = float((apart + factor * errors)[pairs].max())
    values = [rate.value for rate in rates]
    difference = max(values) - min(values)
    low = max(low, 0.0)
    if is_share:
        high = min(high, 1.0)
    return Gap(difference, min(low, difference), max(high, difference))


def _covariances(rates: list[_Rate], unit: Codes) -> Floats:
    """Return how the rates of groups vary together, where units are in several."""
    count = int(unit.max()) + 1
    sums = np.column_stack(
        [
            np.bincount(unit[rate.rows], rate.influence, count) / len(rate.rows)
            for rate in rates
        ]
    )
    shared = sums.T @ sums
    np.fill_diagonal(shared, 0.0)
    return np.asarray(shared)
