"""Two models on the same rows: the difference and its interval."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import bdtr, stdtr

from mlops.config.model_spec import METRICS
from mlops.errors import UsageError
from mlops.evaluation.intervals import quantile, standard_error, unseen_share
from mlops.evaluation.metrics import estimate, undefined
from mlops.evaluation.outcome import EvaluationContext, Outcome
from mlops.results.verdict import Comparison
from mlops.training.model import Model

VerdictDecision = Literal["promote", "reject", "inconclusive"]

Rule = Literal["superiority", "non-inferiority"]

_POWER = 0.8416212335729143  # normal quantile of 80 % power


def find_obstacle(
    bench: EvaluationContext, challenger: Model, champion: Model, version: str
) -> str:
    """Return why the champion cannot be asked about these rows, or an empty string."""
    old, new = champion.signature, challenger.signature
    end = "so the two cannot be compared on the same rows and a person has to decide."
    if (old.task, old.target, old.positive) != (new.task, new.target, new.positive):
        return f"{version} predicts something else ({old.task}: {old.target}), {end}"
    try:
        bench.outcome(champion)
    except UsageError as error:
        return f"{version} cannot predict these rows ({error.problems[0].what}), {end}"
    return ""


def compare_all(
    bench: EvaluationContext, challenger: Model, champion: Model, rule: Rule
) -> list[Comparison]:
    """Compare by the primary metric, to decide, and by all others, to inform."""
    alpha = bench.spec.gate.alpha
    confidence = 1 - alpha if rule == "superiority" else 1 - 2 * alpha
    old, new = bench.outcome(champion), bench.outcome(challenger)
    first, *rest = (n for n in bench.spec.metric_names if not undefined(n, new))
    return [compare(first, old, new, confidence), *(compare(n, old, new) for n in rest)]


def compare(
    metric: str, champion: Outcome, challenger: Outcome, confidence: float = 0.95
) -> Comparison:
    """Compare two models by one metric on the same rows in the same order.

    The standard error of the difference comes from the rows' paired influence values, summed over
    clusters where there are any: for the AUC that is DeLong's test (1988; Obuchowski 1997). For
    the accuracy of independent rows p is that of the exact McNemar test and the interval that of
    Bonett and Price (2012), widened to hold 0 where the exact test does not reject it.

    Parameters
    ----------
    metric : str
        A name of `spec.METRICS` that is defined on these rows (see `metrics.undefined`).
    confidence : float
        Two-sided confidence of the interval: ``1 - alpha`` to decide about superiority (a useless
        change is promoted with a chance of alpha / 2), ``1 - 2 alpha`` to decide about
        non-inferiority (a loss as large as the margin passes with a chance of alpha).
    """
    old, new = estimate(metric, champion), estimate(metric, challenger)
    difference = (1 if METRICS[metric][1] else -1) * (new.value - old.value)
    error, freedom = standard_error(
        new.influence - old.influence, champion.unit, old.scale
    )
    units = min(old.scarce, new.scarce, champion.units)
    unseen = unseen_share(confidence, units) * old.scale
    method = "DeLong" if metric == "roc_auc" else "paired influence values"
    if champion.unit is not None:
        method += f", {champion.units:,} clusters"
    centre = difference
    same_decision = np.array_equal(champion.decision, challenger.decision)
    if same_decision and np.array_equal(champion.score, challenger.score):
        centre = difference = reach = 0.0
        p_value, detectable, method = 1.0, unseen, "identical predictions"
    elif metric == "accuracy" and champion.unit is None:
        centre, error, p_value = _mcnemar(champion, challenger)
        reach = quantile(confidence) * error
        detectable = reach + _POWER * error
        if p_value > 1 - confidence:
            reach = max(reach, abs(centre))
        method = "McNemar exact, interval of Bonett and Price"
    elif not error or units < 2:
        p_value, reach, detectable = 1.0, unseen, unseen
        method += ", no spread to be seen: bound by the rule of three"
    else:
        p_value = min(1.0, 2 * float(stdtr(freedom, -abs(difference / error))))
        reach = quantile(confidence, freedom) * error
        detectable = reach + _POWER * error
    return Comparison(
        metric=metric,
        champion=old.value,
        challenger=new.value,
        difference=difference,
        low=min(centre - reach, difference),
        high=max(centre + reach, difference),
        confidence=confidence,
        p_value=p_value,
        smallest_detectable=detectable,
        method=f"{method}; {confidence:.0%} interval",
    )


def _mcnemar(champion: Outcome, challenger: Outcome) -> tuple[float, float, float]:
    """Return Bonett and Price's centre and standard error, and McNemar's exact p."""
    old, new = (
        champion.truth == champion.decision,
        challenger.truth == challenger.decision,
    )
    lost, won = int(np.sum(old & ~new)), int(np.sum(new & ~old))
    n = len(old) + 2
    down, up = (lost + 1) / n, (won + 1) / n
    error = float(np.sqrt((up + down - (up - down) ** 2) / n))
    p_value = min(1.0, 2 * float(bdtr(min(won, lost), won + lost, 0.5)))
    return up - down, error, p_value
