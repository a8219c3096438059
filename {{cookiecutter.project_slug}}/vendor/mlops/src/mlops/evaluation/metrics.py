"""The metrics of the specification, each with what every row contributes to it.

Every metric is written as a value and one influence value per row: how much the metric
would move if the row weighed a little more (the infinitesimal jackknife, Efron 1982);
for the AUC these are the placements of DeLong et al. (1988). Summed over independent
units, rows or clusters of rows such as households, their spread is the standard error
of the metric; the spread of their differences between two models on the same rows is
that of the difference. Nothing here costs more than one sort.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlops.config.model_spec import Value
from mlops.evaluation.outcome import Floats, Outcome

Bound = Literal["share", "positive", "below one", "real"]

_EPS = float(np.finfo(np.float64).eps)

_BOTH = {"roc_auc", "average_precision", "balanced_accuracy", "f1", "recall"}


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
    rests_on : int or None
        Rows that decide it where those are fewer than the scarce ones: none of a class
        that no row is of.
    """

    value: float
    influence: Floats
    scarce: int
    bound: Bound = "share"
    scale: float = 1.0
    rests_on: int | None = None


def _mean(values: NDArray[Any], bound: Bound = "share", scale: float = 1.0) -> Estimate:
    value = float(values.mean())
    return Estimate(value, values - value, len(values), bound, scale)


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> Estimate:
    """Return sum(above) / sum(below) by the delta method; 0 where nothing is below."""
    total = float(below.sum())
    if not total:
        return Estimate(0.0, np.zeros(len(below)), 0)
    value = float(above.sum()) / total
    scarce = int(np.count_nonzero(below))
    return Estimate(value, (above - value * below) * (len(below) / total), scarce)


def _ranks(values: Floats) -> Floats:
    """Return ranks from 1 on; equal values share the mean of theirs.

    As `scipy.stats.rankdata`, without the import of `scipy.stats`, which takes longer
    than all metrics of a run.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    is_first = np.r_[True, ordered[1:] != ordered[:-1]]
    first = np.flatnonzero(is_first)  # of each run of equal values
    sizes = np.diff(np.r_[first, len(values)])
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(first + (sizes + 1) / 2, sizes)
    return ranks


def _roc_auc(o: Outcome) -> Estimate:
    yes = o.truth == 1
    m = int(yes.sum())
    n = len(yes) - m
    ranks = _ranks(o.score)
    # Placements: for each row the share of the other class that the model puts on its
    # right side.
    above = (ranks[yes] - _ranks(o.score[yes])) / n
    below = 1 - (ranks[~yes] - _ranks(o.score[~yes])) / m
    value = float(above.mean())
    influence = np.empty(m + n)
    # sqrt(m / (m - 1)): the unbiased variances of DeLong rather than those of the plain
    # jackknife.
    influence[yes] = (above - value) * (m + n) / m * np.sqrt(m / max(m - 1, 1))
    influence[~yes] = (below - value) * (m + n) / n * np.sqrt(n / max(n - 1, 1))
    return Estimate(value, influence, min(m, n))


def _average_precision(o: Outcome) -> Estimate:
    """Return average precision; its influence is the derivative by each row's weight.

    The sample's average precision is a little too high in few rows (simulated: 0.012 at
    100 rows, 0.003 at 400), which no interval around it fixes: a 95 % one holds the
    truth in 93 to 94 % of samples of 100 rows, in 95 % of those of 400.
    """
    order = np.argsort(-o.score, kind="stable")
    score = o.score[order]
    hit = (o.truth[order] == 1).astype(np.float64)
    n = len(order)
    p = float(hit.sum())
    last = np.r_[np.flatnonzero(np.diff(score)), n - 1]  # row of each run of one score
    run = np.repeat(np.arange(len(last)), np.diff(np.r_[-1, last]))
    retrieved = np.cumsum(hit)[last]
    above = last + 1.0
    hits = np.diff(np.r_[0.0, retrieved])
    precision = retrieved / above
    value = float((hits * precision).sum() / p)
    below = np.cumsum((hits / above)[::-1])[::-1]
    cost = np.cumsum((hits * retrieved / above**2)[::-1])[::-1]
    influence = np.empty(n)
    influence[order] = (hit * (precision - value + below)[run] - cost[run]) * (n / p)
    return Estimate(value, influence, int(p))


def _balanced_accuracy(o: Outcome) -> Estimate:
    right = o.truth == o.decision
    rows = np.bincount(o.truth, minlength=len(o.classes))
    present = rows > 0
    recall = np.bincount(o.truth, right, len(o.classes)) / np.maximum(rows, 1)
    weight = len(right) / (present.sum() * rows[o.truth])
    influence = (right - recall[o.truth]) * weight
    scarce = int(rows[present].min())
    value = float(recall[present].mean())
    return Estimate(value, influence, scarce, rests_on=int(rows.min()))


def _macro_f1(o: Outcome) -> Estimate:
    k = len(o.classes)
    right = o.truth == o.decision
    rows = np.bincount(o.truth, minlength=k)
    weight = rows + np.bincount(o.decision, minlength=k)
    seen = weight > 0
    f1 = 2 * np.bincount(o.truth[right], minlength=k) / np.maximum(weight, 1)
    part = f1 / np.maximum(weight, 1)
    influence = 2 * right / weight[o.truth] - part[o.truth] - part[o.decision]
    influence = influence * len(right) / seen.sum()
    scarce = int(rows[rows > 0].min())
    return Estimate(float(f1[seen].mean()), influence, scarce, rests_on=int(rows.min()))


def _log_loss(o: Outcome) -> Estimate:
    chances = o.score
    if o.task == "binary":
        chances = np.column_stack([1 - o.score, o.score])
    chance = chances[np.arange(len(o)), o.truth]
    loss = -np.log(np.clip(chance, _EPS, 1 - _EPS))
    mean = _mean(loss, "positive", -float(np.log(_EPS)))
    if chances.min() > _EPS:
        return mean
    # A model that is certain: the few rows where it is wrong decide.
    return replace(mean, rests_on=int(np.count_nonzero(chance <= _EPS)))


def _brier(o: Outcome) -> Estimate:
    if o.task == "binary":
        return _mean((o.score - o.truth) ** 2)
    error = o.score.copy()
    error[np.arange(len(o)), o.truth] -= 1
    return _mean((error**2).sum(axis=1), "positive", 2.0)


def _value(o: Outcome) -> Estimate:
    a = o.amounts or Value()
    table = np.array(
        [[a.true_negative, a.false_positive], [a.false_negative, a.true_positive]]
    )
    return _mean(table[o.truth, o.decision], "real", float(np.ptp(table)))


def _range(o: Outcome) -> float:
    """Return the range of the target, 1 where it is constant."""
    return float(np.ptp(o.truth)) or 1.0


def _mae(o: Outcome) -> Estimate:
    return _mean(np.abs(o.decision - o.truth), "positive", _range(o))


def _rmse(o: Outcome) -> Estimate:
    """Return the root of the mean, by the delta method."""
    mean = _mean((o.decision - o.truth) ** 2, "positive", _range(o))
    value = float(np.sqrt(mean.value))
    return replace(mean, value=value, influence=mean.influence / (2 * value or 1.0))


def _r2(o: Outcome) -> Estimate:
    ratio = _ratio((o.decision - o.truth) ** 2, (o.truth - o.truth.mean()) ** 2)
    return Estimate(1 - ratio.value, -ratio.influence, len(o), "below one")


_COMPUTE: dict[str, Callable[[Outcome], Estimate]] = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "accuracy": lambda o: _mean(o.truth == o.decision),
    "balanced_accuracy": _balanced_accuracy,
    "f1": lambda o: _ratio(2 * o.truth * o.decision, o.truth + o.decision),
    "precision": lambda o: _ratio(o.truth * o.decision, o.decision),
    "recall": lambda o: _ratio(o.truth * o.decision, o.truth),
    "macro_f1": _macro_f1,
    "log_loss": _log_loss,
    "brier": _brier,
    "mae": _mae,
    "rmse": _rmse,
    "r2": _r2,
    "value": _value,
}


def undefined(name: str, o: Outcome) -> str:
    """Return why a metric cannot be computed on these rows, or an empty string."""
    if o.units < 2:
        return "fewer than two independent rows or groups"
    if name == "r2" and not np.ptp(o.truth):
        return "the target is constant"
    if name in _BOTH and len(np.unique(o.truth)) < 2:
        return "all rows are of one class"
    return ""


def estimate(name: str, o: Outcome) -> Estimate:
    """Compute a metric of METRICS and its influence values, where it is defined.

    Of numbers whose squares no float holds it is infinite or not a number.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _COMPUTE[name](o)
