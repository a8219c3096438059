"""From which level on a change is an alarm, and how long it lasts.

Nothing heavy is imported: what was recorded is judged by other settings, too.
"""

from __future__ import annotations

from mlops.results.monitoring import CellChange

LASTS = 0.05  # p-value of a period, up to which an alarm has not ended

# A cell that becomes so many times as common, or as rare, matters.
_RELATIVE_RISK = 1.5


def matters(
    effect: float,
    standardised: float | None,
    cell: CellChange | None,
    smallest: float,
) -> bool:
    """Return whether a change is large enough for an alarm, however certain it is.

    Parameters
    ----------
    effect : float
        Jensen-Shannon distance.
    standardised : float, optional
        Difference of the means in standard deviations.
    cell : CellChange, optional
        The most changed cell.
    smallest : float
        The smallest distance, or standardised difference, that matters.
    """
    if effect >= smallest:
        return True
    if standardised is not None and abs(standardised) >= smallest:
        return True
    if cell is None:
        return False
    return not 1 / _RELATIVE_RISK < cell.relative_risk < _RELATIVE_RISK


def share_of_drift(alpha: float) -> float:
    """Return the share of alpha for drift: performance has the other half."""
    return alpha / 2
