"""Champion against challenger on the same rows: the difference, its interval, its p-value."""

from __future__ import annotations

import numpy as np

from mlops.evaluation.intervals import independent, quantile, standard_error, unseen_share
from mlops.evaluation.metrics import estimate
from mlops.evaluation.outcome import Outcome
from mlops.results import Comparison
from mlops.spec import METRICS

_POWER = 0.8416212335729143  # normal quantile of 80 % power


def compare(
    metric: str, champion: Outcome, challenger: Outcome, confidence: float = 0.95
) -> Comparison:
    """Compare two models by one metric on the same rows.

    The standard error of the difference comes from the rows' paired influence values, summed over
    clusters where there are any: for the AUC that is DeLong's test (1988; Obuchowski 1997). For
    the accuracy of independent rows p is that of the exact McNemar test and the interval that of
    Bonett and Price (2012), widened to hold 0 where the exact test does not reject it.

    Parameters
    ----------
    metric : str
        A name of `spec.METRICS` that is defined on these rows (see `metrics.undefined`).
    champion, challenger : Outcome
        Of the same rows in the same order.
    confidence : float
        Two-sided confidence of the interval: ``1 - alpha`` to decide about superiority (a useless
        change is promoted with a chance of alpha / 2), ``1 - 2 alpha`` to decide about
        non-inferiority (a loss as large as the margin passes with a chance of alpha).

    Returns
    -------
    Comparison
        `difference` is positive where the challenger is better, also for errors.
    """
    sign = 1.0 if METRICS[metric][1] else -1.0
    old, new = estimate(metric, champion), estimate(metric, challenger)
    difference = sign * (new.value - old.value)
    influence = new.influence - old.influence
    units = min(old.scarce, new.scarce, independent(champion.unit, len(champion)))
    error, freedom = standard_error(influence, champion.unit, old.scale)
    method = "DeLong" if metric == "roc_auc" else "paired influence values"
    if champion.unit is not None:
        method += f", {independent(champion.unit, len(champion)):,} clusters"
    p_value: float | None
    if champion.same_predictions(challenger):
        difference, reach, p_value, method = 0.0, 0.0, 1.0, "identical predictions"
        detectable = unseen_share(confidence, units) * old.scale
        centre = 0.0
    elif metric == "accuracy" and champion.unit is None:
        centre, error, p_value = _mcnemar(champion, challenger)
        reach = quantile(confidence, 1e9) * error
        if p_value > 1 - confidence:
            reach = max(reach, abs(centre))
        detectable = (quantile(confidence, 1e9) + _POWER) * error
        method = "McNemar exact, interval of Bonett and Price"
    elif not error or units < 2:
        centre, p_value = difference, 1.0
        reach = detectable = unseen_share(confidence, units) * old.scale
        method += ", no spread to be seen: bound by the rule of three"
    else:
        centre, p_value = difference, _two_sided(difference / error, freedom)
        reach = quantile(confidence, freedom) * error
        detectable = (quantile(confidence, freedom) + _POWER) * error
    return Comparison(
        metric=metric,
        champion=old.value,
        challenger=new.value,
        difference=difference,
        low=min(centre - reach, difference),
        high=max(centre + reach, difference),
        p_value=p_value,
        smallest_detectable=detectable,
        method=f"{method}; {confidence:.0%} interval",
    )


def _two_sided(t: float, freedom: float) -> float:
    from scipy.special import stdtr

    return min(1.0, float(2 * stdtr(freedom, -abs(t))))


def _mcnemar(champion: Outcome, challenger: Outcome) -> tuple[float, float, float]:
    """Return Bonett and Price's centre and standard error, and McNemar's exact p."""
    from scipy.special import bdtr

    old, new = champion.truth == champion.decision, challenger.truth == challenger.decision
    lost, won = int(np.sum(old & ~new)), int(np.sum(new & ~old))
    n = len(old) + 2
    down, up = (lost + 1) / n, (won + 1) / n
    error = float(np.sqrt((up + down - (up - down) ** 2) / n))
    p_value = min(1.0, 2 * float(bdtr(min(won, lost), won + lost, 0.5)))
    return up - down, error, p_value
