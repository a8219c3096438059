"""Promised against observed outcomes, by tenths of the score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlops.reporting.run_report import Rows, RunReport
from mlops.reporting.words import MINUS, number, share

_CELLS = 50  # across a plot of plain text

# -- calibration, in characters too -----------------------------------------------------------


class Tenth(NamedTuple):
    """Rows of similar predictions: their mean, and the mean of what happened with its interval."""

    rows: int
    predicted: float
    happened: float
    low: float
    high: float


def positive_scores(facts: RunReport, rows: Rows) -> NDArray[Any]:
    """Return which rows are of the positive class."""
    positive: str | int | None
    if facts.training:
        positive = facts.training.signature.positive
    else:
        positive = facts.spec.data.positive
    return np.asarray(rows.actual.astype(str) == positive)


def tenths(facts: RunReport) -> list[Tenth]:
    """Return up to ten parts of equal size, from the lowest prediction to the highest.

    Binary: the score, and whether the row is positive. Multiclass: the probability of the class
    that was predicted, and whether it was right. Regression: predicted and actual value.
    """
    rows, task = facts.rows, facts.spec.task
    promised = (
        (rows.predicted if task == "regression" else rows.score) if rows else None
    )
    if rows is None or promised is None:
        return []
    came = rows.actual if task == "regression" else rows.actual == rows.predicted
    if task == "binary":
        came = positive_scores(facts, rows)
    return [
        _tenth(part, task != "regression")
        for part in calibration_parts(promised, came, 10)
    ]


def calibration_parts(
    promised: NDArray[Any], came: NDArray[Any], most: int
) -> list[NDArray[Any]]:
    """Return rows of what was predicted and what happened, in parts of equal size, in order."""
    both = np.column_stack([promised, came]).astype(float)
    both = both[np.isfinite(both).all(axis=1)]
    both = both[np.argsort(both[:, 0], kind="stable")]
    return np.array_split(both, min(most, len(both))) if len(both) else []


def _tenth(part: NDArray[Any], shares: bool) -> Tenth:
    from scipy.stats import binomtest

    (predicted, happened), n = part.mean(axis=0).tolist(), len(part)
    half = 1.96 * part[:, 1].std() / n**0.5
    low, high = happened - half, happened + half
    if shares:
        low, high = binomtest(int(part[:, 1].sum()), n).proportion_ci(method="wilson")
    return Tenth(n, predicted, happened, low, high)


def plot(parts: Sequence[Tenth], shares: bool) -> str:
    """Return a plot in ASCII: o happened, - its interval, | predicted."""
    low, high, shown = 0.0, 1.0, share
    if not shares:
        ends = [end for t in parts for end in (t.low, t.predicted, t.high)]
        low, high, shown = min(ends), max(ends), number
    scale = f"{shown(low)}{shown(high):>{_CELLS - len(shown(low))}}"
    lines = [f"{'Predicted':>10} {'Happened':>10} {'Rows':>7}   {scale}"]
    for t in parts:
        cells = [" "] * _CELLS
        start, end, predicted, happened = (
            round((value - low) / ((high - low) or 1) * (_CELLS - 1))
            for value in (t.low, t.high, t.predicted, t.happened)
        )
        cells[start : end + 1] = "-" * (end + 1 - start)
        cells[predicted], cells[happened] = "|", "o"
        facts = f"{shown(t.predicted):>10} {shown(t.happened):>10} {t.rows:>7,}"
        lines.append(f"{facts}   {''.join(cells).rstrip()}")
    return "\n".join(lines).replace(MINUS, "-")
