"""The two curves of a binary score, from one sort.

scikit-learn has both. But no other part of a report needs it, and importing it takes as
long as drawing all charts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def roc(positive: NDArray[np.bool_], score: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return the receiver operating characteristic (Fawcett 2006).

    Parameters
    ----------
    positive : ndarray of bool, shape (n_rows,)
        With rows of both classes.
    score : ndarray, shape (n_rows,)

    Returns
    -------
    wrong, found : ndarray of float, shape (n_scores + 1,)
        Share of the negative and of the positive rows at or above each score, the
        highest score first, from (0, 0) to (1, 1).
    """
    hits, called = _at_or_above(positive, score)
    misses = called - hits
    wrong = np.append(0.0, misses / misses[-1])
    found = np.append(0.0, hits / hits[-1])
    return wrong, found


def precision_recall(
    positive: NDArray[np.bool_], score: NDArray[Any]
) -> tuple[Floats, Floats]:
    """Return precision and recall for each score as the threshold, the lowest first.

    Parameters
    ----------
    positive : ndarray of bool, shape (n_rows,)
        With a positive row.
    score : ndarray, shape (n_rows,)

    Returns
    -------
    precision, recall : ndarray of float, shape (n_scores,)
    """
    hits, called = _at_or_above(positive, score)
    precision = hits / called
    recall = hits / hits[-1]
    return precision[::-1], recall[::-1]


def _at_or_above(
    positive: NDArray[np.bool_], score: NDArray[Any]
) -> tuple[Floats, Floats]:
    """Return positive rows, and all rows, at or above each score, the highest first."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(positive[order], dtype=np.float64)[last]
    return hits, last + 1.0
