"""Promised against observed outcomes, by tenths of the score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from mlops.reporting.run_report import PredictedRows, RunReport
from mlops.reporting.words import MINUS, number, share

_CELLS = 50  # across a plot of plain text


class Tenth(NamedTuple):
    """Rows of similar predictions: their mean, and the mean of what happened."""

    rows: int
    predicted: float
    happened: float
    low: float
    high: float


def tenths(facts: RunReport) -> list[Tenth]:
    """Return up to ten parts of equal size, from the lowest prediction to the highest.

    Binary: the score, and whether the row is positive. Multiclass: the probability of
    the class that was predicted, and whether it was right. Regression: predicted and
    actual value.
    """
    rows = facts.rows
    if rows is None:
        return []
    promised = rows.score
    happened = rows.actual == rows.predicted
    if facts.spec.task == "regression":
        promised = rows.predicted
        happened = rows.actual
    elif facts.spec.task == "binary":
        happened = positive_rows(facts, rows)
    if promised is None:
        return []
    shares = facts.spec.task != "regression"
    return [_tenth(part, shares) for part in equal_parts(promised, happened, 10)]


def equal_parts(
    promised: NDArray[Any], happened: NDArray[Any], most: int
) -> list[NDArray[Any]]:
    """Return what was predicted and what happened in parts of equal size, in order.

    Parameters
    ----------
    promised, happened : ndarray, shape (n_rows,)
    most : int
        Number of parts; fewer where there are fewer rows.

    Returns
    -------
    list of ndarray, shape (about n_rows / most, 2)
        Rows where either is not finite are left out.
    """
    both = np.column_stack([promised, happened]).astype(float)
    both = both[np.isfinite(both).all(axis=1)]
    both = both[np.argsort(both[:, 0], kind="stable")]
    if not len(both):
        return []
    return np.array_split(both, min(most, len(both)))


def _tenth(part: NDArray[Any], shares: bool) -> Tenth:
    n = len(part)
    predicted = float(part[:, 0].mean())
    happened = float(part[:, 1].mean())
    if shares:
        low, high = _wilson(happened, n)
        return Tenth(n, predicted, happened, low, high)
    half = float(1.96 * part[:, 1].std() / n**0.5)
    return Tenth(n, predicted, happened, happened - half, happened + half)


def _wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `n` rows (Wilson 1927)."""
    q = float(ndtri(0.975))
    centre = (share + q**2 / (2 * n)) / (1 + q**2 / n)
    half = q / (1 + q**2 / n) * (share * (1 - share) / n + q**2 / (4 * n**2)) ** 0.5
    low = centre - half if share > 0 else 0.0
    high = centre + half if share < 1 else 1.0
    return low, high


def plot(parts: Sequence[Tenth], shares: bool) -> str:
    """Return a plot in ASCII: o happened, - its interval, | predicted."""
    low = 0.0
    high = 1.0
    shown: Callable[[float], str] = share
    if not shares:
        ends = [end for t in parts for end in (t.low, t.predicted, t.high)]
        low = min(ends)
        high = max(ends)
        shown = number
    scale = f"{shown(low)}{shown(high):>{_CELLS - len(shown(low))}}"
    lines = [f"{'Predicted':>10} {'Happened':>10} {'Rows':>7}   {scale}"]
    for t in parts:
        facts = f"{shown(t.predicted):>10} {shown(t.happened):>10} {t.rows:>7,}"
        lines.append(f"{facts}   {_bar(t, low, high)}")
    return "\n".join(lines).replace(MINUS, "-")


def _bar(t: Tenth, low: float, high: float) -> str:
    """Return one line of a plot whose ends are `low` and `high`."""

    def cell(value: float) -> int:
        width = (high - low) or 1.0
        return round((value - low) / width * (_CELLS - 1))

    cells = [" "] * _CELLS
    start = cell(t.low)
    end = cell(t.high)
    cells[start : end + 1] = "-" * (end + 1 - start)
    cells[cell(t.predicted)] = "|"
    cells[cell(t.happened)] = "o"
    return "".join(cells).rstrip()


def positive_rows(facts: RunReport, rows: PredictedRows) -> NDArray[np.bool_]:
    """Return which rows are of the positive class, shape (n,)."""
    positive = facts.spec.data.positive
    if facts.training:
        positive = facts.training.signature.positive
    return np.asarray(rows.actual.astype(str) == positive)
