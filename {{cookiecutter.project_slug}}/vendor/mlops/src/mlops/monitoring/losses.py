"""Evidence that predictions are worse than when the model was registered.

A bet against the mean loss of labelled rows (Waudby-Smith and Ramdas 2024), restarted
as the calendar goes on (Shin, Ramdas and Rinaldo 2023). The mean of the test rows
is itself uncertain, so the bet is against the upper end of its interval.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from mlops.evaluation.intervals import standard_error, unseen_share
from mlops.evaluation.outcome import Codes, Outcome
from mlops.evaluation.value import dearest, table, worth
from mlops.results.baseline import LossBaseline

Floats = NDArray[np.float64]

# Shares of the largest bet that cannot lose everything.
_BETS = np.array([0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32])

BETS = len(_BETS)

_QUANTILE = 0.99  # of absolute errors: larger ones count as this one

_BELOW_ONE = 1 - 1e-9


def losses_of(o: Outcome, scale: float = 1.0) -> dict[str, Floats]:
    """Return the losses of each row, 0 (best) to 1, by their names.

    Classes have the Brier score, halved where there are more than two; numbers have the
    absolute error, of which `scale` counts as 1. Where `metrics.value` is written, a
    decision has what it is worth less than the best one, too; of a number an error of
    `scale`, the dearer way, counts as 1.

    Parameters
    ----------
    o : Outcome, n_rows
    scale : float
        In the target's unit.
    """
    if o.task == "regression":
        return _losses_of_numbers(o, scale)
    if o.task == "multiclass":
        hit = np.arange(o.score.shape[1]) == o.truth[:, None]
        brier = np.clip(((o.score - hit) ** 2).sum(axis=1) / 2, 0, 1)
    else:
        brier = np.clip((o.score - o.truth) ** 2, 0, 1)
    found = {"Brier score": brier}
    if o.amounts is not None:
        amounts = table(o)
        widest = np.ptp(amounts)
        if widest > 0:
            found["value"] = (amounts.max() - worth(o)) / widest
    return found


def _losses_of_numbers(o: Outcome, scale: float) -> dict[str, Floats]:
    """Return the losses of a regression; an infinite error counts as 1."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = {"absolute error": _share_of(np.abs(o.truth - o.decision), scale)}
        if o.amounts is not None and dearest(o.amounts) > 0:
            lost = o.amounts.right - worth(o)
            found["value"] = _share_of(lost, scale * dearest(o.amounts))
    return found


def _share_of(losses: Floats, largest: float) -> Floats:
    """Return losses as shares of one that counts as 1; what is no number counts so."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        shares = np.where(losses > 0, losses / largest, 0.0)
    return np.asarray(np.nan_to_num(np.clip(shares, 0, 1), nan=1.0))


def scale_of(o: Outcome) -> float:
    """Return the error that counts as 1: the 99 % quantile of absolute errors."""
    if o.task != "regression":
        return 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.abs(o.truth - o.decision)
    finite = errors[np.isfinite(errors)]
    scale = float(np.quantile(finite, _QUANTILE)) if finite.size else 1.0
    return scale if scale > 0 else 1.0


def general_loss(o: Outcome) -> str:
    """Return the name of the loss that every model of a task has."""
    return "absolute error" if o.task == "regression" else "Brier score"


def loss_baseline(
    name: str, loss: Floats, unit: Codes | None, scale: float
) -> LossBaseline:
    """Return the mean of a loss on test rows, with its error by units."""
    error, freedom = standard_error(loss - loss.mean(), unit)
    return LossBaseline(
        name=name,
        mean=float(loss.mean()),
        error=error,
        freedom=freedom,
        rows=len(loss),
        scale=scale,
    )


def baselines_of(o: Outcome) -> tuple[LossBaseline, ...]:
    """Return the mean of each loss on test rows, with its error by units."""
    scale = scale_of(o)
    return tuple(
        loss_baseline(name, loss, o.unit, scale)
        for name, loss in losses_of(o, scale).items()
    )


def worst_mean(baseline: LossBaseline, gamma: float) -> float:
    """Return the upper end of the one-sided interval of a registered mean.

    Parameters
    ----------
    gamma : float
        How likely the true mean is above it, at most.
    """
    if baseline.error > 0:
        quantile = float(stdtrit(baseline.freedom, 1 - gamma))
        upper = baseline.mean + quantile * baseline.error
    else:
        upper = baseline.mean + unseen_share(1 - 2 * gamma, baseline.rows)
    return min(upper, _BELOW_ONE)


def won(losses: Floats, mean: float) -> Floats:
    """Return what each bet wins on rows, as logarithms, shape (n_bets,).

    Parameters
    ----------
    losses : ndarray of float, shape (n_rows,)
    mean : float
        The mean that is bet against, above 0.
    """
    if not len(losses):
        return np.zeros(BETS)
    above = losses / mean - 1
    return np.asarray(np.log1p(np.outer(_BETS, above)).sum(axis=1))


def spent(alpha: float, versions: int) -> float:
    """Return the share of one more version, of alpha or of what bets may weigh.

    The shares of all versions of a year add up to the whole at most, however many there
    are (6 / pi^2 k^2).

    Parameters
    ----------
    versions : int
        How many were watched within a year, this one included.
    """
    return float(alpha * 6 / (np.pi * versions) ** 2)


def newly_won(
    now: Mapping[str, Floats], before: Mapping[str, Floats], bets: int = BETS
) -> Floats:
    """Return what labels have won since the last check, from sums by day.

    Which labels are new need not be known: a day's sum less its former sum is what the
    labels won that came since.
    """
    total = np.zeros(bets)
    for day, wealth in now.items():
        total = total + wealth - before.get(day, np.zeros(bets))
    return total
