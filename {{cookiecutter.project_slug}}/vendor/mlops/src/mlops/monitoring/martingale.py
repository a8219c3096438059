"""Evidence that rows are no longer distributed as the reference: test martingales.

Each row is ranked among the reference and all rows before it. Where nothing changes,
the ranks are independent and uniform whatever the distribution and however small the
reference (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, chapter
8), so a bet on where the next rank falls gains nothing on average. What was won by bets
that start at each slot of the calendar is added up (Shiryaev and Roberts; Shin, Ramdas
and Rinaldo 2023): within n slots the sum passes c with a probability of at most n/c.
Those that start with the version weigh as much as w slots: then it is (n + w)/c.

There is a rank, and so a martingale, per cell (is the row in it or not), and one for
the order of numbers. The bets rest on shares of the training rows alone: were they
shares of the reference, the ranks would not be independent of the bets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlops.results.baseline import Cells

Floats = NDArray[np.float64]

Codes = NDArray[np.int64]

# A year has so many slots, 16 h 51 min each.
SLOTS = 520

# So many slots are a week and half an hour.
_WEEK = 10

# What the bets that start with the versions of a year weigh, all together, in slots.
# What is logged may differ from the test rows from the first day on: under the first
# version such a change is found with a sixtieth of the evidence that a later one needs,
# and a later one needs 1.2 times as much as it would without.
AT_START = SLOTS / 5

# Logarithms of wealth are bounded: nothing is lost above, and JSON has no infinity.
NOTHING = -700.0
_MOST = 700.0

# Odds of a cell against those of training that a bet is made for.
_ODDS = (1 / 8, 1 / 3, 1 / 2, 4 / 5, 5 / 4, 2.0, 3.0, 8.0)

# Of cells with a share below _RARE: the width of a bet (0: the cell's share), and odds.
# A narrow bet pays until the ranks have absorbed the new rows, so there are wider ones.
_RARE = 0.02
_RARE_BETS = (
    (0.0, 1 / 8),
    (0.0, 2.0),
    (0.0, 8.0),
    (0.02, 2.0),
    (0.02, 8.0),
    (0.05, 16.0),
    (0.1, 8.0),
    (0.25, 4.0),
)
_NARROWEST = 0.002

_SLOPES = (-0.9, -0.3, -0.1, 0.1, 0.3, 0.9)

_CHUNK = 48_000  # rows; bounds the memory

# Rows after which the evidence is looked at: its peak counts, as the level holds for
# every moment. What came and went within a period is not lost.
_BLOCK = 8

# Of an ordered column, the order has half of the weight, and all cells the other half.
_WEIGHT_OF_ORDER = 0.5


class Wealth(NamedTuple):
    """What the bets on one column have won, as logarithms.

    Parameters
    ----------
    counts : ndarray of int, shape (n_cells,)
        Reference and all rows so far.
    cells : ndarray of float, shape (n_cells, n_bets)
    order : ndarray of float, shape (n_bets,)
        Of the order of numbers; empty for categories.
    peak : float
        The largest evidence so far, weighted over cells and order.
    """

    counts: Codes
    cells: Floats
    order: Floats
    peak: float = NOTHING


def beginning(cells: Cells, reference: Sequence[int], weight: float) -> Wealth:
    """Return the evidence of no row.

    Parameters
    ----------
    reference : sequence of int, length n_cells
        The reference's rows per cell.
    weight : float
        What the bets weigh that start with the version, in slots.
    """
    start = np.log(weight)
    bets = 2 * len(_SLOPES) if cells.ordered else 0
    return Wealth(
        counts=np.asarray(reference, dtype=np.int64),
        cells=np.full((cells.size, len(_ODDS)), start),
        order=np.full(bets, start),
    )


def advance(
    evidence: Wealth,
    cells: Cells,
    training: Sequence[int],
    codes: Codes,
    ties: Floats,
    starts: bool,
) -> Wealth:
    """Return the evidence after the rows of one slot of the calendar.

    Parameters
    ----------
    training : sequence of int, length n_cells
        Training rows per cell: the shares that bets rest on.
    codes : ndarray of int, shape (n_rows,)
        The cell of each row, in the order of time.
    ties : ndarray of float, shape (n_rows,)
        Uniform on (0, 1), fixed for each row: where among equals it ranks.
    starts : bool
        Whether these are the first rows of their slot, so that bets start with them.
    """
    bets = _bets(training)
    for first in range(0, len(codes), _CHUNK):
        part = slice(first, first + _CHUNK)
        evidence = _advance(
            evidence, cells, bets, codes[part], ties[part], starts and first == 0
        )
    return evidence


def _advance(
    evidence: Wealth,
    cells: Cells,
    bets: _Bets,
    codes: Codes,
    ties: Floats,
    starts: bool,
) -> Wealth:
    """Return the evidence after rows of one slot, few enough to be in memory."""
    by_cells = restarted(
        evidence.cells,
        _won_by_cells(evidence.counts, codes, ties, bets),
        float(starts),
    )
    weight = 1 - _WEIGHT_OF_ORDER if cells.ordered else 1.0
    peak = log_mean(by_cells).max() + np.log(weight / cells.size)
    order = evidence.order
    if cells.ordered:
        won = _won_by_order(evidence.counts, codes, ties)
        by_order = restarted(evidence.order, won, float(starts))
        peak = max(peak, log_mean(by_order).max() + np.log(_WEIGHT_OF_ORDER))
        order = by_order[-1]
    return Wealth(
        counts=evidence.counts + np.bincount(codes, minlength=cells.size),
        cells=by_cells[-1],
        order=order,
        peak=max(evidence.peak, float(peak)),
    )


def restarted(wealth: Floats, won: Floats, weight: float) -> Floats:
    """Return Shiryaev-Roberts sums after bets: ``e * (w + R)``, as logarithms.

    Parameters
    ----------
    weight : float
        Of the bets that start now; 0 where none do. Those of a year weigh as much as
        its slots at most.
    """
    before = np.logaddexp(wealth, np.log(weight)) if weight > 0 else wealth
    return np.clip(before + won, NOTHING, _MOST)


def start_weight(slot: int, last: int | None) -> float:
    """Return what the bets on a loss weigh that start with a check, in slots.

    A small loss needs weeks of labels, and does not mind bets that started some days
    before it; a large one is found by those that started today. So half of a year's
    weight is that of its slots, alike, and half that of its weeks of ten slots.

    Parameters
    ----------
    slot, last : int
        Of this check and of the one before; None where there is none.
    """
    if slot == last:
        return 0.0
    weight = 0.5
    if last is None or slot // _WEEK != last // _WEEK:
        weight += 0.5 * SLOTS / (SLOTS // _WEEK + 1)  # a year may touch one more
    return weight


def chance(level: float, comparisons: int) -> float:
    """Return how likely so much evidence is at most within a year of no change.

    Parameters
    ----------
    level : float
        Logarithm of the evidence.
    comparisons : int
        Number of columns that are looked at.
    """
    return float(np.exp(min(0.0, np.log((SLOTS + AT_START) * comparisons) - level)))


class _Bets(NamedTuple):
    """Bets on each cell, arrays of shape (n_cells, n_bets)."""

    widths: Floats
    hit: Floats  # the logarithm of what is won where the rank is within the width
    miss: Floats


def _bets(training: Sequence[int]) -> _Bets:
    """Return the bets for cells of these training counts."""
    counts = np.asarray(training, dtype=np.float64)
    shares = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    shares = np.clip(shares, _NARROWEST, 1 - _NARROWEST)
    common = np.array([(0.0, odds) for odds in _ODDS])
    tables = np.where((shares < _RARE)[:, None, None], np.array(_RARE_BETS), common)
    widths = np.where(tables[..., 0] > 0, tables[..., 0], shares[:, None])
    odds = tables[..., 1]
    scale = 1 - widths + odds * widths
    return _Bets(widths, np.log(odds / scale), np.log(1 / scale))


def _won_by_cells(counts: Codes, codes: Codes, ties: Floats, bets: _Bets) -> Floats:
    """Return what each bet on a cell has won after each block of rows.

    Returns
    -------
    ndarray of float, shape (n_blocks, n_cells, n_bets)
        Sums from the first row on.
    """
    inside = codes[:, None] == np.arange(len(counts))
    running = counts + np.cumsum(inside, axis=0)
    total = counts.sum() + np.arange(1, len(codes) + 1)
    share = running / total[:, None]
    if_inside = ties[:, None] * share
    if_outside = share + ties[:, None] * (1 - share)
    ranks = np.where(inside, if_inside, if_outside)
    starts = np.arange(0, len(codes), _BLOCK)
    hits = np.stack(
        [
            np.cumsum(np.add.reduceat(ranks < width, starts, axis=0, dtype=np.int64), 0)
            for width in bets.widths.T
        ],
        axis=2,
    )
    seen = np.minimum(starts + _BLOCK, len(codes))
    misses = seen[:, None, None] - hits
    return np.asarray(hits * bets.hit + misses * bets.miss, dtype=np.float64)


def _won_by_order(counts: Codes, codes: Codes, ties: Floats) -> Floats:
    """Return what each bet on the order of numbers has won after each block of rows.

    The bets are on the first two Legendre polynomials of the rank: where the values
    lie, and how far they are spread. Missing rows win and lose nothing.

    Returns
    -------
    ndarray of float, shape (n_blocks, n_bets)
        Sums from the first row on.
    """
    known = codes < len(counts) - 1
    inside = codes[:, None] == np.arange(len(counts) - 1)
    running = counts[:-1] + np.cumsum(inside, axis=0)
    below = np.cumsum(running, axis=1) - running
    at = np.arange(len(codes))
    own = np.where(known, codes, 0)
    total = np.maximum(running.sum(axis=1), 1)
    rank = (below[at, own] + ties * running[at, own]) / total
    location = 2 * rank - 1
    spread = (3 * location**2 - 1) / 2
    moments = np.where(known, np.stack([location, spread]), 0.0)
    won = np.log1p(moments[:, :, None] * np.array(_SLOPES)).transpose(1, 0, 2)
    starts = np.arange(0, len(codes), _BLOCK)
    blocks = np.add.reduceat(won.reshape(len(codes), -1), starts, axis=0)
    return np.cumsum(blocks, axis=0)


def log_mean(logarithms: Floats) -> Floats:
    """Return the logarithm of the mean, over the last axis."""
    top = logarithms.max(axis=-1, keepdims=True)
    mean = np.exp(logarithms - top).mean(axis=-1)
    return np.asarray(np.log(mean) + top[..., 0])
