"""Confidence intervals that respect clusters of rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import stdtrit

from mlops.config.model_spec import METRICS
from mlops.errors import UsageError
from mlops.evaluation.metrics import Estimate, estimate, undefined
from mlops.evaluation.outcome import Codes, Floats, Outcome
from mlops.results.evaluation import Metric

_FEW_ROWS = 10  # of a class

_FEW_FREEDOM = 30.0

# Wilson's interval holds for these whatever the share is.
_PLAIN_SHARES = frozenset(
    {
        "accuracy",
        "recall",
        "precision",
        "top_2_accuracy",
        "top_3_accuracy",
        "top_5_accuracy",
    }
)


def measure_metric(name: str, o: Outcome, confidence: float = 0.95) -> Metric:
    """Return a metric with its interval.

    Raises
    ------
    UsageError
        When the metric is not defined on these rows, with the reason.
    """
    reason = undefined(name, o)
    if reason:
        raise UsageError(
            f"`{name}` cannot be computed: {reason}",
            found=f"{len(o)} rows",
            do="add rows, or name another metric",
        )
    e = estimate(name, o)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        low, high = interval(e, o, confidence)
    if not np.isfinite([e.value, low, high]).all():
        raise UsageError(
            f"`{name}` is too large for a number", do="look at what is predicted"
        )
    _, higher_is_better = METRICS[name]
    return Metric(
        name=name,
        value=e.value,
        low=low,
        high=high,
        confidence=confidence,
        higher_is_better=higher_is_better,
        few=rests_on_few(name, e, o),
    )


def rests_on_few(name: str, e: Estimate, o: Outcome) -> bool:
    """Return whether so few rows decide a metric that its interval may be too narrow.

    Fewer than ten rows of a class; or, but for plain shares, so few influential ones
    that the standard error is hardly known (Satterthwaite's degrees of freedom are few,
    and not only because there are few units: Student's t allows for those).
    """
    decisive = e.scarce if e.rests_on is None else min(e.rests_on, e.scarce)
    if decisive < _FEW_ROWS:
        return True
    if name in _PLAIN_SHARES:
        return False
    _, freedom = standard_error(e.influence, o.unit, e.scale)
    return freedom < min(_FEW_FREEDOM, (o.units - 1) / 2)


def interval(e: Estimate, o: Outcome, confidence: float) -> tuple[float, float]:
    """Return the interval of a metric of these rows, inside the metric's own bounds.

    Shares: Wilson's with the effective number of rows that the standard error stands
    for (Korn and Graubard 1998; Franco et al. 2019). Positive errors: on the logarithm.
    R2: on log(1 - R2). Correlations: Fisher's z.
    """
    if e.bound == "below one":
        loss = replace(e, value=1 - e.value, influence=-e.influence, bound="positive")
        low, high = interval(loss, o, confidence)
        return 1 - high, 1 - low
    error, freedom = standard_error(e.influence, o.unit, e.scale)
    q = quantile(confidence, freedom)
    few = min(e.scarce, o.units)
    if e.bound == "share":
        if e.scarce == 0:
            return 0.0, 1.0
        if not error or not 0 < e.value < 1 or few < 2:
            return _wilson(e.value, max(few, 1), quantile(confidence))
        return _wilson(e.value, e.value * (1 - e.value) / error**2, q)
    is_at_the_end = e.bound == "correlation" and abs(e.value) == 1
    if not error or is_at_the_end:
        half = e.scale * unseen_share(confidence, few)
        low = e.value - half
        high = e.value + half
        if e.bound == "positive":
            low = max(low, 0.0)
        if e.bound == "correlation":
            low = max(low, -1.0)
            high = min(high, 1.0)
        return low, high
    if e.bound == "real":
        return e.value - q * error, e.value + q * error
    if e.bound == "correlation":
        z = np.arctanh(e.value)
        reach = q * error / (1 - e.value**2)
        return float(np.tanh(z - reach)), float(np.tanh(z + reach))
    factor = float(np.exp(q * error / e.value))
    return e.value / factor, e.value * factor


def _wilson(value: float, n: float, q: float) -> tuple[float, float]:
    centre = (value + q**2 / (2 * n)) / (1 + q**2 / n)
    half = q / (1 + q**2 / n) * np.sqrt(value * (1 - value) / n + q**2 / (4 * n**2))
    low = min(float(centre - half), value)
    high = max(float(centre + half), value)
    return max(low, 0.0), min(high, 1.0)


def standard_error(
    influence: Floats, unit: Codes | None, scale: float = 1.0
) -> tuple[float, float]:
    """Return the standard error of a metric and its degrees of freedom.

    The degrees of freedom are Satterthwaite's with the kurtosis seen, so that an error
    that rests on a few large units is not trusted as if it rested on all.
    """
    sums = influence if unit is None else _sums(influence, unit)
    c = len(sums)
    squares = sums**2
    total = float(squares.sum())
    if c < 2 or total <= (1e-12 * scale) ** 2 * c:
        return 0.0, max(c - 1.0, 1.0)
    noise = float((squares**2).sum()) - total**2 / c
    freedom = 2 * total**2 / noise if noise > 0 else np.inf
    error = np.sqrt(total * c / (c - 1)) / len(influence)
    return float(error), float(min(max(freedom, 1.0), c - 1))


def _sums(influence: Floats, unit: Codes) -> Floats:
    """Return the sum of the values of each unit that has rows."""
    sums = np.bincount(unit, influence)[np.bincount(unit) > 0]
    return sums.astype(np.float64)


def quantile(confidence: float, freedom: float = np.inf) -> float:
    """Return the two-sided quantile of Student's t; by default, the normal one."""
    return float(stdtrit(min(freedom, 1e9), (1 + confidence) / 2))


def unseen_share(confidence: float, units: int) -> float:
    """Return the largest share of a population that `units` draws may well miss.

    The "rule of three" (0 events in n leave 3/n possible), exact; it stands in for a
    standard error where all rows agree and there is none.
    """
    return float(1 - (1 - confidence) ** (1 / max(units, 1)))
