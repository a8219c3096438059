"""Two models on the same rows: the difference and its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, stdtr

from mlops.config.model_spec import METRICS
from mlops.evaluation.intervals import (
    measure_metric,
    quantile,
    standard_error,
    unseen_share,
)
from mlops.evaluation.metrics import Estimate, estimate
from mlops.evaluation.outcome import Outcome
from mlops.results.verdict import Comparison

_IDENTICAL = "identical predictions"

# Metrics that look at scores and not at decisions.
_BY_SCORE = frozenset(
    {
        "roc_auc",
        "average_precision",
        "roc_auc_ovr",
        "roc_auc_ovo",
        "top_2_accuracy",
        "top_3_accuracy",
        "top_5_accuracy",
        "log_loss",
        "brier",
        "mae",
        "median_ae",
        "mape",
        "smape",
        "pinball_10",
        "pinball_90",
        "rmse",
        "r2",
    }
)

# Beside the shares: metrics that can go no further than their scale.
_BOUNDED = frozenset({"log_loss", "brier", "mcc", "smape", "value"})

POWER = 0.8416212335729143  # normal quantile of 80 % power


def paired_difference(
    metric: str, champion: Outcome, challenger: Outcome, confidence: float = 0.95
) -> Comparison:
    """Compare two models by one metric on the same rows in the same order.

    The standard error of the difference comes from the rows' paired influence values,
    summed over clusters where there are any: for the AUC that is DeLong's test (1988;
    Obuchowski 1997). For accuracy and recall of independent rows p is that of the exact
    McNemar test and the interval that of Bonett and Price (2012), widened to hold 0
    where the exact test does not reject it.

    Where all units agree, or only a few of them differ, no standard error is trusted:
    what the exact sign test cannot show in that many units is not shown. The interval
    stays inside of what the difference can be.

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
    both = _Both(metric, champion, challenger, old, new, sign * (new.value - old.value))
    spread = _spread(both, confidence)
    difference = both.difference
    if spread.method == _IDENTICAL:
        difference = 0.0
    centre = difference if spread.centre is None else spread.centre
    most = both.largest
    return Comparison(
        metric=metric,
        champion=old.value,
        challenger=new.value,
        difference=difference,
        low=max(min(centre - spread.reach, difference), -most),
        high=min(max(centre + spread.reach, difference), most),
        confidence=confidence,
        p_value=spread.p_value,
        smallest_detectable=spread.detectable,
        method=f"{spread.method}; {confidence:.0%} interval",
    )


def independent_difference(
    metric: str, champion: Outcome, challenger: Outcome, confidence: float = 0.95
) -> Comparison:
    """Compare two models by one metric, each on rows of its own.

    The interval is made of the intervals of both (Newcombe 1998, method 10, for shares;
    Zou and Donner 2008 in general), so that it stays inside of what the difference can
    be, and no standard error is trusted where all rows agree. There is no p.

    Parameters
    ----------
    metric : str
        A name of `spec.METRICS` that is defined on both (see `metrics.undefined`).
    confidence : float
        See `paired_difference`.
    """
    old = measure_metric(metric, champion, confidence)
    new = measure_metric(metric, challenger, confidence)
    difference = new.value - old.value
    down = math.hypot(new.value - new.low, old.high - old.value)
    up = math.hypot(new.high - new.value, old.value - old.low)
    if not METRICS[metric][1]:
        difference = -difference
        down, up = up, down
    normal = quantile(confidence)
    return Comparison(
        metric=metric,
        champion=old.value,
        challenger=new.value,
        difference=difference,
        low=difference - down,
        high=difference + up,
        confidence=confidence,
        smallest_detectable=down * (1 + POWER / normal),
        method=f"independent rows, both intervals; {confidence:.0%} interval",
    )


@dataclass(frozen=True)
class _Both:
    """Both models and their estimates; `difference` is positive for a better one."""

    metric: str
    champion: Outcome
    challenger: Outcome
    old: Estimate
    new: Estimate
    difference: float

    @property
    def largest(self) -> float:
        """What the difference can be at most."""
        bounded = self.old.bound == "share" or self.metric in _BOUNDED
        return self.old.scale if bounded else math.inf

    @property
    def units(self) -> int:
        """How many independent units of the scarcest kind there are."""
        return min(self.old.scarce, self.new.scarce, self.champion.units)

    @property
    def differing(self) -> int:
        """How many independent units can speak for either model."""
        changed = self.champion.decision != self.challenger.decision
        if self.metric in _BY_SCORE:
            apart = self.champion.score != self.challenger.score
            changed = apart.reshape(len(apart), -1).any(axis=1)
        unit = self.champion.unit
        if unit is None:
            count = int(np.count_nonzero(changed))
        else:
            count = int(np.count_nonzero(np.bincount(unit[changed])))
        # Of several classes the scarcest one is only a part of the metric.
        return min(count, self.units) if self.champion.task == "binary" else count


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


def _spread(both: _Both, confidence: float) -> _Spread:
    champion = both.champion
    if _same_predictions(champion, both.challenger):
        unseen = unseen_share(confidence, both.units) * both.old.scale
        return _Spread(_IDENTICAL, 0.0, 1.0, unseen)
    if champion.unit is None and both.metric in ("accuracy", "recall"):
        return _mcnemar(both, confidence)
    method = "DeLong" if both.metric == "roc_auc" else "paired influence values"
    if champion.unit is not None:
        method += f", {champion.units:,} clusters"
    apart = both.new.influence - both.old.influence
    error, freedom = standard_error(apart, champion.unit, both.old.scale)
    if not error or both.units < 2:
        return _agreeing(both, method, confidence)
    p_value = min(1.0, 2 * float(stdtr(freedom, -abs(both.difference / error))))
    reach = quantile(confidence, freedom) * error
    detectable = reach + POWER * error
    least = _sign_test(both.differing)
    if least > 1 - confidence:
        p_value = max(p_value, least)
        reach = max(reach, abs(both.difference))
    return _Spread(method, reach, p_value, detectable)


def _agreeing(both: _Both, method: str, confidence: float) -> _Spread:
    """Return how uncertain a difference is that is the same in all units.

    The share of units that so many draws may well miss could be of any other kind: an
    exact bound, which holds 0 where the sign test does not reject it.
    """
    unseen = unseen_share((1 + confidence) / 2, both.units)
    reach = unseen * both.old.scale
    p_value = _sign_test(both.units) if both.difference else 1.0
    method += ", no spread to be seen: exact bound"
    return _Spread(method, reach, p_value, reach, both.difference * (1 - unseen))


def _sign_test(units: int) -> float:
    """Return the p of the exact sign test where so many units all agree."""
    return min(1.0, 2 * 0.5**units)


def _same_predictions(champion: Outcome, challenger: Outcome) -> bool:
    return np.array_equal(champion.decision, challenger.decision) and np.array_equal(
        champion.score, challenger.score
    )


def _mcnemar(both: _Both, confidence: float) -> _Spread:
    """Return McNemar's exact p, and the interval of Bonett and Price.

    The interval is widened to hold 0 where the exact test does not reject it. For the
    recall only positive rows count.
    """
    champion = both.champion
    counted = np.ones(len(champion), dtype=bool)
    if both.metric == "recall":
        counted = champion.truth == 1
    old = (champion.truth == champion.decision)[counted]
    new = (champion.truth == both.challenger.decision)[counted]
    lost = int(np.sum(old & ~new))
    won = int(np.sum(new & ~old))
    rows = len(old) + 2
    down = (lost + 1) / rows
    up = (won + 1) / rows
    centre = up - down
    error = float(np.sqrt((up + down - centre**2) / rows))
    p_value = min(1.0, 2 * float(bdtr(min(won, lost), won + lost, 0.5)))
    reach = quantile(confidence) * error
    detectable = reach + POWER * error
    if p_value > 1 - confidence:
        reach = max(reach, abs(centre))
    method = "McNemar exact, interval of Bonett and Price"
    return _Spread(method, reach, p_value, detectable, centre)
