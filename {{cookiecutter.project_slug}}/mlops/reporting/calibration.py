"""Whether what is predicted happens, by tenths of the test rows: a plot that plain text can hold.

GitHub drops pictures that stand in the text itself, and no folder travels with a card everywhere.
Characters show on GitHub, on the Hugging Face hub and in a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops.reporting.facts import Everything
from mlops.reporting.words import MINUS, number, share

_CELLS = 50


@dataclass(frozen=True)
class Tenth:
    """Rows of similar predictions: their mean, and the mean of what happened with its interval."""

    rows: int
    predicted: float
    happened: float
    low: float
    high: float


def tenths(facts: Everything) -> list[Tenth]:
    """Return up to ten parts of equal size, from the lowest prediction to the highest.

    Binary: the score, and whether the row is positive. Multiclass: the probability of the class
    that was predicted, and whether it was right. Regression: predicted and actual value.
    """
    rows, task, signature = facts.rows, facts.spec.task, facts.training and facts.training.signature
    promised = (rows.predicted if task == "regression" else rows.score) if rows else None
    if rows is None or promised is None:
        return []
    came = rows.actual if task == "regression" else rows.actual == rows.predicted
    if task == "binary":
        positive = signature.positive if signature else facts.spec.data.positive
        came = rows.actual.astype(str) == positive
    both = np.column_stack([promised, came]).astype(float)
    both = both[np.isfinite(both).all(axis=1)]
    both = both[np.argsort(both[:, 0], kind="stable")]
    parts = np.array_split(both, min(10, len(both))) if len(both) else []
    return [_tenth(part, task != "regression") for part in parts]


def _tenth(part: NDArray[Any], shares: bool) -> Tenth:
    from scipy.stats import binomtest

    (predicted, happened), n = part.mean(axis=0).tolist(), len(part)
    half = 1.96 * part[:, 1].std() / n**0.5
    low, high = happened - half, happened + half
    if shares:
        low, high = binomtest(int(part[:, 1].sum()), n).proportion_ci(method="wilson")
    return Tenth(n, predicted, happened, low, high)


def _plot(parts: list[Tenth], shares: bool) -> Iterator[str]:
    """Yield the lines of the plot, in ASCII: o happened, - its interval, | predicted."""
    low, high, shown = 0.0, 1.0, share
    if not shares:
        low, high = min(t.low for t in parts), max(t.high for t in parts)
        low, high = min(low, parts[0].predicted), max(high, parts[-1].predicted)
        shown = number
    scale = f"{shown(low)}{shown(high):>{_CELLS - len(shown(low))}}"
    yield f"{'Predicted':>10} {'Happened':>10} {'Rows':>7}   {scale}"
    for t in parts:
        line = [" "] * _CELLS
        start, end, predicted, happened = (
            round((value - low) / ((high - low) or 1) * (_CELLS - 1))
            for value in (t.low, t.high, t.predicted, t.happened)
        )
        line[start : end + 1] = "-" * (end + 1 - start)
        line[predicted], line[happened] = "|", "o"
        facts = f"{shown(t.predicted):>10} {shown(t.happened):>10} {t.rows:>7,}"
        yield f"{facts}   {''.join(line).rstrip()}"


def markdown(facts: Everything) -> str:
    """Return the section of a card, nothing where there is nothing to plot."""
    parts, shares = tenths(facts), facts.spec.task != "regression"
    if not parts:
        return ""
    good = sum(t.low <= t.predicted <= t.high for t in parts)
    lines = "\n".join(_plot(parts, shares)).replace(MINUS, "-")
    return f"""## Calibration

The test rows in {len(parts)} parts of equal size, by what was predicted. In {good} of them the mean
prediction lies in the 95% interval of what happened (rows taken as independent).

```text
{lines}

o happened   - its interval   | predicted, where o does not hide it
```"""
