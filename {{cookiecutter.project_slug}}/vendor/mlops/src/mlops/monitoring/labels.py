"""Which rows have a label: whether labels come as often whatever the score is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops.results.monitoring import LabelShare

Flags = NDArray[np.bool_]

Floats = NDArray[np.float64]

Codes = NDArray[np.int64]

_FEWEST = 20  # rows of a cell of scores, to say anything of its share

# Shares of labels that differ by chance with a smaller probability are selective.
_LEVEL = 1e-3

# Below this share of the largest share, a cell of scores counts as one without labels.
_NO_OVERLAP = 0.05


@dataclass(frozen=True)
class Labelling:
    """How labels are spread over the scores.

    Parameters
    ----------
    shares : tuple of LabelShare
        By cells of the score that have rows.
    used : ndarray of bool, shape (n_rows,)
        Labelled rows that stand for all rows: where labels come more often for some
        scores, fewer of those are used, so that the mix of scores is that of all rows.
    selective : bool
        Whether labels come more often for some scores than chance explains.
    overlap : bool
        Whether every score has labels: without, there is no verdict.
    """

    shares: tuple[LabelShare, ...]
    used: Flags
    selective: bool
    overlap: bool


def labelling(
    cells: Codes, names: tuple[str, ...], labelled: Flags, ties: Floats
) -> Labelling:
    """Return how labels are spread over cells of the score.

    Parameters
    ----------
    cells : ndarray of int, shape (n_rows,)
        The cell of each row's score.
    names : tuple of str
        Of the cells.
    labelled : ndarray of bool, shape (n_rows,)
    ties : ndarray of float, shape (n_rows,)
        Uniform, fixed for each row: which labelled rows are used.
    """
    size = len(names)
    rows = np.bincount(cells, minlength=size)
    known = np.bincount(cells[labelled], minlength=size)
    shares = tuple(
        LabelShare(scores=names[at], rows=int(rows[at]), labelled=int(known[at]))
        for at in np.flatnonzero(rows)
    )
    enough = rows >= _FEWEST
    if enough.sum() < 2 or not known.sum():
        return Labelling(shares, labelled, selective=False, overlap=bool(known.sum()))
    if not _selective(rows[enough], known[enough]):
        return Labelling(shares, labelled, selective=False, overlap=True)
    rates = np.ones(size)
    rates[enough] = known[enough] / rows[enough]
    least = float(rates[enough].min())
    top = float(rates[enough].max())
    if least < _NO_OVERLAP * top:
        return Labelling(shares, labelled, selective=True, overlap=False)
    keep = np.ones(size)
    keep[enough] = least / rates[enough]
    used = labelled & (ties < keep[cells])
    return Labelling(shares, used, selective=True, overlap=True)


def _selective(rows: Codes, known: Codes) -> bool:
    """Return whether shares of labels differ by more than chance."""
    from scipy.stats import chi2_contingency

    table = np.stack([known, rows - known])
    if not table.sum(axis=1).all():
        return False
    return float(chi2_contingency(table, correction=False).pvalue) < _LEVEL
