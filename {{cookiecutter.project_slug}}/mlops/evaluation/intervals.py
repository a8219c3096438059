"""From influence values to standard errors and intervals that respect clusters of rows.

An influence value says how much a metric would move if one row weighed a little more (the
infinitesimal jackknife, Efron 1982). Summed over independent units, rows or clusters of rows such
as households, their spread is the standard error of the metric; the spread of their differences
between two models on the same rows is that of the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlops.evaluation.outcome import Codes, Floats

Bound = Literal["share", "positive", "below one", "real"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A metric, what each row contributes to it, and how far it could go.

    Parameters
    ----------
    value : float
    influence : ndarray of float, shape (n_rows,)
        Sums to zero.
    scarce : int
        Rows of the scarcest kind that the metric rests on (positives for recall, say).
    bound : {"share", "positive", "below one", "real"}
    scale : float
        The largest change that one row's outcome could stand for.
    """

    value: float
    influence: Floats
    scarce: int
    bound: Bound = "share"
    scale: float = 1.0


def independent(unit: Codes | None, rows: int) -> int:
    """Return the number of independent units among some rows."""
    return rows if unit is None else int(np.count_nonzero(np.bincount(unit)))


def standard_error(
    influence: Floats, unit: Codes | None, scale: float = 1.0
) -> tuple[float, float]:
    """Return the standard error of a metric and its degrees of freedom.

    Influence values are summed over independent units. The degrees of freedom are Satterthwaite's
    with the kurtosis seen, so that an error that rests on a few large units is not trusted as if
    it rested on all.
    """
    sums = influence if unit is None else np.bincount(unit, influence)[np.bincount(unit) > 0]
    c, squares = len(sums), sums**2
    total = float(squares.sum())
    if c < 2 or total <= (1e-12 * scale) ** 2 * c:
        return 0.0, max(c - 1.0, 1.0)
    noise = float((squares**2).sum()) - total**2 / c
    freedom = 2 * total**2 / noise if noise > 0 else np.inf
    error = np.sqrt(total * c / (c - 1)) / len(influence)
    return float(error), float(min(max(freedom, 1.0), c - 1))


def quantile(confidence: float, freedom: float) -> float:
    """Return the two-sided quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))


def unseen_share(confidence: float, units: int) -> float:
    """Return the largest share of the population of which `units` draws may well show nothing.

    The "rule of three" (0 events in n leave 3/n possible), exact; it stands in for a standard
    error where all rows agree and there is none.
    """
    return float(1 - (1 - confidence) ** (1 / max(units, 1)))


def interval(e: Estimate, unit: Codes | None, confidence: float) -> tuple[float, float]:
    """Return the interval of a metric, inside the metric's own bounds.

    Shares: Wilson's with the effective number of rows that the standard error stands for (Korn
    and Graubard 1998; Franco et al. 2019). Positive errors: on the logarithm. R2: on log(1 - R2).
    """
    error, freedom = standard_error(e.influence, unit, e.scale)
    value, reach = e.value, quantile(confidence, freedom) * error
    few = min(e.scarce, independent(unit, len(e.influence)))
    if e.bound == "share":
        if e.scarce == 0:
            return 0.0, 1.0
        flat = not error or not 0 < value < 1 or few < 2
        q = quantile(confidence, 1e9 if flat else freedom)
        n = max(few, 1) if flat else value * (1 - value) / error**2
        centre = (value + q**2 / (2 * n)) / (1 + q**2 / n)
        half = q / (1 + q**2 / n) * np.sqrt(value * (1 - value) / n + q**2 / (4 * n**2))
        return max(min(float(centre - half), value), 0.0), min(
            max(float(centre + half), value), 1.0
        )
    if not error:
        half = e.scale * unseen_share(confidence, few)
        low = max(value - half, 0.0) if e.bound == "positive" else value - half
        return low, min(value + half, 1.0) if e.bound == "below one" else value + half
    if e.bound == "real":
        return value - reach, value + reach
    loss = value if e.bound == "positive" else 1 - value
    factor = float(np.exp(reach / loss))
    return (
        (loss / factor, loss * factor)
        if e.bound == "positive"
        else (
            1 - loss * factor,
            1 - loss / factor,
        )
    )
