"""Whether what is predicted happens, by tenths of the test rows: a plot that plain text can hold.

GitHub drops pictures that stand in the text itself, and a card has no folder that travels with it
everywhere. So the plot of a card is characters: it shows on GitHub, on the Hugging Face hub, in a
terminal and to a screen reader.
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

    @property
    def holds(self) -> bool:
        """Whether the prediction lies in the interval."""
        return self.low <= self.predicted <= self.high


def tenths(facts: Everything) -> list[Tenth]:
    """Return up to ten parts of equal size, from the lowest prediction to the highest.

    Binary: the score, and whether the row is positive. Multiclass: the probability of the class
    that was predicted, and whether it was right. Regression: predicted and actual value.
    """
    rows, task = facts.rows, facts.spec.task
    promised = rows and (rows.predicted if task == "regression" else rows.score)
    if rows is None or promised is None:
        return []
    came = rows.actual if task == "regression" else rows.actual == rows.predicted
    if task == "binary":
        signature = facts.training and facts.training.signature
        positive = signature.positive if signature else facts.spec.data.positive
        came = rows.actual.astype(str) == positive
    both = np.column_stack([promised, came]).astype(float)
    both = both[np.isfinite(both).all(axis=1)]
    both = both[np.argsort(both[:, 0], kind="stable")]
    parts = np.array_split(both, min(10, len(both))) if len(both) else []
    return [_tenth(part, task != "regression") for part in parts]


def _tenth(part: NDArray[Any], shares: bool) -> Tenth:
    from scipy.stats import binomtest

    (predicted, happened), n = part.mean(axis=0), len(part)
    if shares:
        ends = binomtest(int(part[:, 1].sum()), n).proportion_ci(method="wilson")
        return Tenth(n, predicted, happened, ends.low, ends.high)
    half = 1.96 * part[:, 1].std(ddof=1) / n**0.5 if n > 1 else 0.0
    return Tenth(n, predicted, happened, happened - half, happened + half)


def plot(parts: list[Tenth], shares: bool) -> Iterator[str]:
    """Yield the lines of the plot, in ASCII: o happened, - its interval, | predicted."""
    low = 0.0 if shares else min(min(t.low, t.predicted) for t in parts)
    high = 1.0 if shares else max(max(t.high, t.predicted) for t in parts)
    shown = share if shares else number
    ends = shown(low), shown(high)
    scale = ends[0] + ends[1].rjust(_CELLS - len(ends[0]))
    yield f"{'Predicted':>10} {'Happened':>10} {'Rows':>7}   {scale}".replace(MINUS, "-")
    for part in parts:
        at = [
            round((value - low) / ((high - low) or 1) * (_CELLS - 1))
            for value in (part.low, part.high, part.predicted, part.happened)
        ]
        line = ["-" if at[0] <= cell <= at[1] else " " for cell in range(_CELLS)]
        line[at[2]] = "|"
        line[at[3]] = "o"
        facts = f"{shown(part.predicted):>10} {shown(part.happened):>10} {part.rows:>7,}"
        yield f"{facts}   {''.join(line)}".replace(MINUS, "-").rstrip()


def markdown(facts: Everything) -> str:
    """Return the section of a card, nothing where there is nothing to plot."""
    parts = tenths(facts)
    if not parts:
        return ""
    good = sum(part.holds for part in parts)
    worst = max(parts, key=lambda part: abs(part.predicted - part.happened))
    shares = facts.spec.task != "regression"
    shown = share if shares else number
    lines = "\n".join(plot(parts, shares))
    return f"""## Calibration

The test rows in {len(parts)} parts of equal size, by what was predicted. In {good} of them the mean
prediction lies in the 95% interval of what happened. Furthest off: {shown(worst.predicted)} was
predicted and {shown(worst.happened)} happened.

```text
{lines}
```

`o` happened, `-` its interval (rows taken as independent), `|` predicted"""
