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
from functools import partial
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlops.evaluation.outcome import Floats, Outcome
from mlops.evaluation.value import span, worth

Bound = Literal["share", "correlation", "positive", "below one", "real"]

# The lowest and the highest value that a metric of each kind can have.
_RANGES: dict[Bound, tuple[float, float]] = {
    "share": (0.0, 1.0),
    "correlation": (-1.0, 1.0),
    "positive": (0.0, np.inf),
    "below one": (-np.inf, 1.0),
    "real": (-np.inf, np.inf),
}

_EPS = float(np.finfo(np.float64).eps)

_BOTH = frozenset(
    {
        "roc_auc",
        "average_precision",
        "balanced_accuracy",
        "f1",
        "f2",
        "f0_5",
        "mcc",
        "recall",
        "roc_auc_ovr",
        "roc_auc_ovo",
    }
)

_TOP = {"top_2_accuracy": 2, "top_3_accuracy": 3, "top_5_accuracy": 5}


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
    bound : {"share", "correlation", "positive", "below one", "real"}
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


def _against_rest(o: Outcome, name: int) -> Outcome:
    """Return one class against all others, as a binary outcome."""
    return Outcome(
        task="binary",
        truth=(o.truth == name).astype(np.int64),
        decision=(o.decision == name).astype(np.int64),
        score=o.score[:, name],
    )


def _roc_auc_ovr(o: Outcome) -> Estimate:
    """Return the mean AUC of each class that has rows against all other classes."""
    parts = [_roc_auc(_against_rest(o, name)) for name in np.unique(o.truth)]
    rows = np.bincount(o.truth, minlength=len(o.classes))
    return Estimate(
        value=float(np.mean([part.value for part in parts])),
        influence=np.mean([part.influence for part in parts], axis=0),
        scarce=min(part.scarce for part in parts),
        rests_on=int(rows.min()),
    )


def _roc_auc_ovo(o: Outcome) -> Estimate:
    """Return the mean AUC of all pairs of classes that have rows (Hand and Till 2001).

    Both scores of a pair count alike. There are k (k - 1) / 2 pairs of k classes.
    """
    n = len(o)
    rows = np.bincount(o.truth, minlength=len(o.classes))
    total = 0.0
    influence = np.zeros(n)
    pairs = list(combinations(np.flatnonzero(rows), 2))
    for pair in pairs:
        inside = np.flatnonzero(np.isin(o.truth, pair))
        both = o.take(inside)
        for name in pair:
            part = _roc_auc(_against_rest(both, int(name)))
            total += part.value / 2
            # A row outside of the pair has no part in it.
            influence[inside] += part.influence * (n / len(inside)) / 2
    return Estimate(
        value=total / len(pairs),
        influence=influence / len(pairs),
        scarce=int(rows[rows > 0].min()),
        rests_on=int(rows.min()),
    )


def _top(o: Outcome, most: int) -> Estimate:
    """Return the share of rows whose class is among so many most probable ones.

    Of equally probable classes the later one comes first, as in scikit-learn.
    """
    own = o.score[np.arange(len(o)), o.truth][:, None]
    later = np.arange(o.score.shape[1]) > o.truth[:, None]
    before = (o.score > own) | ((o.score == own) & later)
    return _mean(before.sum(axis=1) < most)


def _f(o: Outcome, beta: float) -> Estimate:
    """Return F-beta: recall counts beta times as much as precision."""
    weight = beta**2
    hits = o.truth * o.decision
    return _ratio((1 + weight) * hits, weight * o.truth + o.decision)


def _mcc(o: Outcome) -> Estimate:
    """Return Matthews' correlation (of several classes: Gorodkin 2004).

    The covariance of truth and decision over the root of both variances, each summed
    over the classes; 0 where all decisions are the same.
    """
    k = len(o.classes)
    true = np.bincount(o.truth, minlength=k) / len(o)
    decided = np.bincount(o.decision, minlength=k) / len(o)
    right = o.truth == o.decision
    rows = np.bincount(o.truth, minlength=k)
    scarce = int(rows[rows > 0].min())
    chance = float(true @ decided)
    of_truth = 1 - float(true @ true)
    of_decision = 1 - float(decided @ decided)
    if not of_truth * of_decision > 0:
        return Estimate(0.0, np.zeros(len(o)), scarce, "correlation", 2.0)
    covariance = float(right.mean()) - chance
    root = np.sqrt(of_truth * of_decision)
    value = covariance / root
    # Each part by a row's weight, then the quotient's rule.
    by_chance = decided[o.truth] + true[o.decision] - 2 * chance
    by_covariance = right - right.mean() - by_chance
    by_truth = -2 * (true[o.truth] - float(true @ true))
    by_decision = -2 * (decided[o.decision] - float(decided @ decided))
    relative = by_truth / of_truth + by_decision / of_decision
    return Estimate(
        value=float(value),
        influence=by_covariance / root - value / 2 * relative,
        scarce=scarce,
        bound="correlation",
        scale=2.0,
        rests_on=int(rows.min()),
    )


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
    return _mean(worth(o), "real", span(o))


def _range(o: Outcome) -> float:
    """Return the range of the target, 1 where it is constant."""
    return float(np.ptp(o.truth)) or 1.0


def _mae(o: Outcome) -> Estimate:
    return _mean(np.abs(o.decision - o.truth), "positive", _range(o))


def _median_ae(o: Outcome) -> Estimate:
    """Return the median of the absolute errors.

    How much a row moves it depends on how densely the errors lie around it; that is
    taken from the errors a little below and above, the more units the nearer (Siddiqui
    1960; Bofinger 1975).
    """
    errors = np.abs(o.decision - o.truth)
    value = float(np.median(errors))
    reach = min(0.5 * o.units**-0.2, 0.49)
    low, high = np.quantile(errors, [0.5 - reach, 0.5 + reach])
    width = float(high - low) / (2 * reach)  # one over the density
    above = (errors > value).astype(np.float64)
    influence = (above - above.mean()) * width
    if not value:
        influence = np.zeros(len(errors))
    return Estimate(value, influence, len(errors), "positive", _range(o))


def _mape(o: Outcome) -> Estimate:
    size = np.abs(o.truth)
    errors = np.abs(o.decision - o.truth) / size
    return _mean(errors, "positive", float(_range(o) / size.min()))


def _smape(o: Outcome) -> Estimate:
    size = np.abs(o.decision) + np.abs(o.truth)
    errors = 2 * np.abs(o.decision - o.truth) / np.where(size > 0, size, 1.0)
    return _mean(errors, "positive", 2.0)


def _pinball(o: Outcome, share: float) -> Estimate:
    """Return the loss that is least where `share` of the truth lies below."""
    error = o.truth - o.decision
    loss = np.maximum(share * error, (share - 1) * error)
    return _mean(loss, "positive", _range(o) * max(share, 1 - share))


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
    "f1": lambda o: _f(o, 1.0),
    "f2": lambda o: _f(o, 2.0),
    "f0_5": lambda o: _f(o, 0.5),
    "mcc": _mcc,
    "precision": lambda o: _ratio(o.truth * o.decision, o.decision),
    "recall": lambda o: _ratio(o.truth * o.decision, o.truth),
    "macro_f1": _macro_f1,
    "roc_auc_ovr": _roc_auc_ovr,
    "roc_auc_ovo": _roc_auc_ovo,
    **{name: partial(_top, most=most) for name, most in _TOP.items()},
    "log_loss": _log_loss,
    "brier": _brier,
    "mae": _mae,
    "median_ae": _median_ae,
    "mape": _mape,
    "smape": _smape,
    "pinball_10": lambda o: _pinball(o, 0.1),
    "pinball_90": lambda o: _pinball(o, 0.9),
    "rmse": _rmse,
    "r2": _r2,
    "value": _value,
}


def undefined(name: str, o: Outcome) -> str:
    """Return why a metric cannot be computed on these rows, or an empty string."""
    if o.units < 2:
        return "fewer than two independent rows or groups"
    if name == "value" and o.worths is None and o.amounts and o.amounts.function:
        return "its function needs the raw rows and their labels"
    if name == "r2" and not np.ptp(o.truth):
        return "the target is constant"
    if name == "mape" and not np.all(o.truth):
        return f"the target is 0 in {int(np.count_nonzero(o.truth == 0)):,} rows"
    if name in _TOP and len(o.classes) <= _TOP[name]:
        return f"there are only {len(o.classes)} classes"
    if name in _BOTH and len(np.unique(o.truth)) < 2:
        return "all rows are of one class"
    return ""


def estimate(name: str, o: Outcome) -> Estimate:
    """Compute a metric of METRICS and its influence values, where it is defined.

    Of numbers whose squares no float holds it is infinite or not a number.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = _COMPUTE[name](o)
    low, high = _RANGES[found.bound]
    # By rounding, a correlation of 1 may come out as the next number above it.
    return replace(found, value=float(np.clip(found.value, low, high)))
