"""Shapley values: what each column of a row adds to its prediction.

A group of columns is worth the mean prediction of the background rows with these
columns of the explained row. A column's value is what it adds to the groups before it,
averaged over orders of the columns (Shapley 1953; Strumbelj and Kononenko 2014). Each
background row is walked through in one order drawn by chance, and in its reverse, which
cancels much of the chance. The values of a walk add up to the difference of two
predictions, so that their mean adds up exactly, whatever orders were drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Cells that are predicted at most: the time is about linear in them.
_MOST_CELLS = 2_000_000
_MOST_ROWS = 100


@dataclass(frozen=True, eq=False)
class ShapleyValues:
    """How a prediction is made up.

    Parameters
    ----------
    value, mean : float
        The prediction of the row, and the mean of the background's.
    contributions, errors : ndarray, shape (n_columns,)
        They add up to `value` minus `mean`; and their standard errors, as the
        background is a sample.
    """

    value: float
    mean: float
    contributions: Floats
    errors: Floats


def background_rows(columns: int) -> int:
    """Return how many background rows there may be, so that the cost is bounded."""
    return min(_MOST_ROWS, _MOST_CELLS // (2 * columns * (columns + 1)))


def shapley_values(
    predict: Callable[[pd.DataFrame], Floats],
    row: pd.DataFrame,
    background: pd.DataFrame,
    columns: Sequence[str],
) -> ShapleyValues:
    """Return the Shapley values of the columns of a row.

    Parameters
    ----------
    predict : callable
        Returns one number for each row of a frame; called once.
    row : DataFrame, shape (1, n_all_columns)
    background : DataFrame, shape (n_background, n_all_columns)
        At least 2 rows, of the same types.
    columns : sequence of str
        Those that have a value. The others have the row's values throughout.
    """
    count = len(background)
    ranks = _ranks(count, len(columns))
    steps = np.arange(1, len(columns))
    # Which columns each row of a walk has of the explained row; its ends are not
    # repeated for each walk.
    between = ranks[:, :, None, :] < steps[:, None]
    within = between.reshape(2 * count * len(steps), len(columns))
    ends = np.zeros((count + 1, len(columns)), dtype=bool)
    ends[0] = True
    own = np.arange(count)
    sources = np.concatenate([[count], own, np.repeat(own, 2 * len(steps))])
    taken = np.concatenate([ends, within])
    predicted = predict(_mixed(row, background, columns, sources, taken))
    value = predicted[0]
    walks = np.empty((count, 2, len(columns) + 1))
    walks[:, :, 0] = predicted[1 : count + 1, None]
    walks[:, :, 1:-1] = predicted[count + 1 :].reshape(count, 2, len(steps))
    walks[:, :, -1] = value
    added = np.take_along_axis(np.diff(walks, axis=2), ranks, axis=2)
    by_row = added.mean(axis=1)
    return ShapleyValues(
        value=float(value),
        mean=float(predicted[1 : count + 1].mean()),
        contributions=by_row.mean(axis=0),
        errors=by_row.std(axis=0, ddof=1) / np.sqrt(count),
    )


def _ranks(rows: int, columns: int) -> NDArray[np.int64]:
    """Return the position of each column in a random order, and in its reverse.

    Returns
    -------
    ndarray of int, shape (n_rows, 2, n_columns)
        The same for the same numbers.
    """
    in_order = np.tile(np.arange(columns), (rows, 1))
    ranks = np.random.default_rng(0).permuted(in_order, axis=1)
    return np.stack([ranks, columns - 1 - ranks], axis=1)


def _mixed(
    row: pd.DataFrame,
    background: pd.DataFrame,
    columns: Sequence[str],
    sources: NDArray[Any],
    taken: Flags,
) -> pd.DataFrame:
    """Return background rows with some columns of the explained row.

    Parameters
    ----------
    sources : ndarray of int, shape (n_rows,)
        Positions in the background.
    taken : ndarray of bool, shape (n_rows, n_columns)
    """
    last = len(background)
    pool = pd.concat([background, row], ignore_index=True)
    positions = {name: number for number, name in enumerate(columns)}
    mixed = {}
    for name in row.columns:
        chosen = np.full(len(sources), last)
        if name in positions:
            chosen = np.where(taken[:, positions[name]], last, sources)
        mixed[name] = pool[name].take(chosen).reset_index(drop=True)
    return pd.DataFrame(mixed)
