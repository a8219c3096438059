"""Two models on the same rows: the difference and its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, stdtr

from mlops.config.model_spec import METRICS
from mlops.evaluation.intervals import quantile, standard_error, unseen_share
from mlops.evaluation.metrics import Estimate, estimate
from mlops.evaluation.outcome import Outcome
from mlops.results.verdict import Comparison

_IDENTICAL = "identical predictions"

_POWER = 0.8416212335729143  # normal quantile of 80 % power


def paired_difference(
    metric: str, champion: Outcome, challenger: Outcome, confidence: float = 0.95
) -> Comparison:
    """Compare two models by one metric on the same rows in the same order.

    The standard error of the difference comes from the rows' paired influence values,
    summed over clusters where there are any: for the AUC that is DeLong's test (1988;
    Obuchowski 1997). For the accuracy of independent rows p is that of the exact
    McNemar test and the interval that of Bonett and Price (2012), widened to hold 0
    where the exact test does not reject it.

    Parameters
    ----------
    metric : str
        A name of `spec.METRICS` that is defined on these rows (see
        `metrics.undefined`).
    confidence : float
        Two-sided confidence of the interval: ``1 - alpha`` to decide about superiority
        (a useless change is promoted with a chance of alpha / 2), ``1 - 2 alpha`` to
        decide about non-inferiority (a loss as large as the margin passes with a chance
        of alpha).
    """
    old = estimate(metric, champion)
    new = estimate(metric, challenger)
    sign = 1 if METRICS[metric][1] else -1
    spread = _spread(metric, champion, challenger, old, new, confidence)
    difference = sign * (new.value - old.value)
    centre = difference if spread.centre is None else spread.centre
    if spread.method == _IDENTICAL:
        difference = centre = 0.0
    return Comparison(
        metric=metric,
        champion=old.value,
        challenger=new.value,
        difference=difference,
        low=min(centre - spread.reach, difference),
        high=max(centre + spread.reach, difference),
        confidence=confidence,
        p_value=spread.p_value,
        smallest_detectable=spread.detectable,
        method=f"{spread.method}; {confidence:.0%} interval",
    )


@dataclass(frozen=True)
class _Spread:
    """How far a difference is uncertain.

    `centre` is where its interval is centred, None for the difference itself; `reach`
    is half of its width; `detectable` is what would be detected with 80 % power.
    """

    method: str
    reach: float
    p_value: float
    detectable: float
    centre: float | None = None


def _spread(
    metric: str,
    champion: Outcome,
    challenger: Outcome,
    old: Estimate,
    new: Estimate,
    confidence: float,
) -> _Spread:
    units = min(old.scarce, new.scarce, champion.units)
    unseen = unseen_share(confidence, units) * old.scale
    if _same_predictions(champion, challenger):
        return _Spread(_IDENTICAL, 0.0, 1.0, unseen)
    if metric == "accuracy" and champion.unit is None:
        return _mcnemar(champion, challenger, confidence)
    method = "DeLong" if metric == "roc_auc" else "paired influence values"
    if champion.unit is not None:
        method += f", {champion.units:,} clusters"
    apart = new.influence - old.influence
    error, freedom = standard_error(apart, champion.unit, old.scale)
    if not error or units < 2:
        method += ", no spread to be seen: bound by the rule of three"
        return _Spread(method, unseen, 1.0, unseen)
    p_value = min(1.0, 2 * float(stdtr(freedom, -abs((new.value - old.value) / error))))
    reach = quantile(confidence, freedom) * error
    return _Spread(method, reach, p_value, reach + _POWER * error)


def _same_predictions(champion: Outcome, challenger: Outcome) -> bool:
    return np.array_equal(champion.decision, challenger.decision) and np.array_equal(
        champion.score, challenger.score
    )


def _mcnemar(champion: Outcome, challenger: Outcome, confidence: float) -> _Spread:
    """Return McNemar's exact p, and the interval of Bonett and Price.

    The interval is widened to hold 0 where the exact test does not reject it.
    """
    old = champion.truth == champion.decision
    new = challenger.truth == challenger.decision
    lost = int(np.sum(old & ~new))
    won = int(np.sum(new & ~old))
    rows = len(old) + 2
    down = (lost + 1) / rows
    up = (won + 1) / rows
    centre = up - down
    error = float(np.sqrt((up + down - centre**2) / rows))
    p_value = min(1.0, 2 * float(bdtr(min(won, lost), won + lost, 0.5)))
    reach = quantile(confidence) * error
    detectable = reach + _POWER * error
    if p_value > 1 - confidence:
        reach = max(reach, abs(centre))
    method = "McNemar exact, interval of Bonett and Price"
    return _Spread(method, reach, p_value, detectable, centre)
