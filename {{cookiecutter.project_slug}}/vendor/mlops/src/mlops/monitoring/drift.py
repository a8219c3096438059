"""How the distribution of each column changed: the size of the change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlops.results.baseline import Cells, ColumnBaseline
from mlops.results.monitoring import CellChange

Counts = NDArray[np.int64]

_LEAST_EXPECTED = 5

# Standard errors that a change of a cell must have to be more than chance.
_CLEAR = 3.0


def p_value(table: Counts) -> float:
    """Return the p-value of the chi-square test of homogeneity.

    Cells where fewer than 5 rows are expected are pooled, the rarest first: it is for
    display, so an approximation that is never too small by much will do.

    Parameters
    ----------
    table : ndarray of int, shape (2, n_cells)
        Rows per cell of reference and window.
    """
    from scipy.stats import chi2_contingency

    sizes = table.sum(axis=1)
    if not sizes.all():
        return 1.0
    pooled = _pooled(table, _LEAST_EXPECTED * sizes.sum() / sizes.min())
    if pooled.shape[1] < 2:
        return 1.0
    return float(chi2_contingency(pooled, correction=False).pvalue)


def _pooled(table: Counts, least: float) -> Counts:
    """Return a table whose cells have `least` rows at least, both sides together."""
    by_size = table[:, np.argsort(table.sum(axis=0), kind="stable")]
    up_to = np.cumsum(by_size.sum(axis=0))
    rare = by_size.sum(axis=0) < least
    if not rare.any():
        return by_size
    # As many of the smallest as it takes for the pool to be large enough.
    last = int(max(rare.sum(), np.searchsorted(up_to, least) + 1))
    pool = by_size[:, :last].sum(axis=1, keepdims=True)
    return np.hstack([pool, by_size[:, last:]])


def distance(table: Counts) -> float:
    """Return the Jensen-Shannon distance of two samples, less what chance makes.

    It is 0 to 1. Two samples of one distribution over k cells have an expected
    divergence of about ``(k - 1) (1/n + 1/m) / (8 ln 2)`` bits, which is taken off:
    otherwise a small window over many categories would always look far away.
    """
    from scipy.spatial.distance import jensenshannon

    table = table[:, table.sum(axis=0) > 0]
    sizes = table.sum(axis=1)
    if not sizes.all():
        return 0.0
    observed = jensenshannon(table[0] / sizes[0], table[1] / sizes[1], base=2) ** 2
    chance = (table.shape[1] - 1) * (1 / sizes).sum() / (8 * np.log(2))
    return float(np.sqrt(np.clip(observed - chance, 0.0, 1.0)))


def standardised_difference(
    baseline: ColumnBaseline, mean: float | None, deviation: float | None
) -> float | None:
    """Return the difference of the means in standard deviations, pooled (Cohen's d)."""
    before = (baseline.mean, baseline.deviation)
    if None in (*before, mean, deviation):
        return None
    assert baseline.mean is not None and baseline.deviation is not None
    assert mean is not None and deviation is not None
    with np.errstate(over="ignore", invalid="ignore"):
        pooled = np.sqrt((np.square(baseline.deviation) + np.square(deviation)) / 2)
        gap = np.float64(mean) - baseline.mean
    if not np.isfinite([pooled, gap]).all() or not pooled:
        return None
    return float(gap / pooled)


def most_changed(cells: Cells, table: Counts) -> CellChange | None:
    """Return the cell whose share changed most, in standard errors; None if none did.

    Half a row is added to each side, so that a cell that was empty has a ratio.
    """
    sizes = table.sum(axis=1)
    if not sizes.all():
        return None
    shares = (table + 0.5) / (sizes + 1)[:, None]
    pooled = (table.sum(axis=0) + 0.5) / (sizes.sum() + 1)
    errors = np.sqrt(pooled * (1 - pooled) * (1 / sizes).sum())
    clear = np.abs(shares[1] - shares[0]) / errors
    at = int(clear.argmax())
    if clear[at] < _CLEAR:
        return None
    return CellChange(
        name=cells.names[at],
        share=float(table[1, at] / sizes[1]),
        reference=float(table[0, at] / sizes[0]),
        relative_risk=float(shares[1, at] / shares[0, at]),
    )
