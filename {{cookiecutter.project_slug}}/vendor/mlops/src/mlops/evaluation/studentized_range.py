"""The studentized range: how far apart the largest of several equal means may come.

As `scipy.stats.studentized_range`, without the import of `scipy.stats`, which takes
longer than the whole gate.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import chdtri, ndtr

from mlops.evaluation.outcome import Floats

_NORMAL = np.linspace(-8.0, 8.0, 321)  # standard deviations
_SPREADS = (np.arange(200) + 0.5) / 200  # probabilities of the estimated spread

_MOST_FREEDOM = 1000.0  # from here on the spread counts as known


@lru_cache(maxsize=256)
def studentized_range(probability: float, groups: int, freedom: float) -> float:
    """Return a quantile of the studentized range.

    Parameters
    ----------
    probability : float
        That the range of all means is at most the quantile.
    groups : int
        How many means there are, 2 or more.
    freedom : float
        Degrees of freedom of their estimated spread.

    Returns
    -------
    float
        In standard errors of one mean.
    """
    spreads = np.ones(1)
    if freedom < _MOST_FREEDOM:
        spreads = np.sqrt(chdtri(freedom, 1 - _SPREADS) / freedom)
    low, high = 0.0, 1.0
    while _probability(high, groups, spreads) < probability:
        high *= 2
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        if _probability(middle, groups, spreads) < probability:
            low = middle
        else:
            high = middle
    return high


def _probability(quantile: float, groups: int, spreads: Floats) -> float:
    """Return how likely it is that the range is at most a quantile."""
    density = np.exp(-(_NORMAL**2) / 2) / np.sqrt(2 * np.pi)
    below = ndtr(_NORMAL) - ndtr(_NORMAL - quantile * spreads[:, None])
    step = _NORMAL[1] - _NORMAL[0]
    chances = groups * (density * below ** (groups - 1)).sum(axis=1) * step
    return float(chances.mean())
