"""Cells: what a value of a column counts as, fixed by rows that are never compared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.results.baseline import Cells
from mlops.results.training import Feature

Codes = NDArray[np.int64]

Numbers = NDArray[np.float64]

_HUGE = 1e300
_BINS = 10

_MOST_LEVELS = 25

ORDERED = ("number", "date")


def cells_of(
    training: pd.Series, kind: str, feature: Feature | None = None
) -> tuple[Cells, Codes]:
    """Return the cells of a column, and the cell of each training row.

    Numbers and dates have a cell for each tenth of the training values, and one each
    for values below, values above and missing ones. Categories have a cell for each of
    the 25 commonest levels, and one each for the other levels of training, for levels
    that training never saw, and for missing ones.

    Parameters
    ----------
    training : Series, shape (n_rows,)
        Cast to its kind.
    kind : str
        number, date, boolean or category.
    feature : Feature, optional
        What training saw of it; its levels count as seen.
    """
    name = str(training.name)
    if kind in ORDERED:
        values = numbers(training, kind)
        known = values[np.isfinite(values)]
        edges: tuple[float, ...] = ()
        if known.size:
            steps = _quantiles(known, np.linspace(0, 1, _BINS + 1))
            edges = tuple(float(edge) for edge in np.unique(_widened(steps, feature)))
        cells = Cells(name=name, kind=kind, edges=edges)
    else:
        counted = _counted(training)
        order = sorted(counted, key=lambda level: (-counted[level], level))
        levels = tuple(order[:_MOST_LEVELS])
        others = tuple(order[_MOST_LEVELS:])
        if feature is not None and feature.categories is not None:
            missing_levels = set(feature.categories) - {*levels, *others}
            others += tuple(sorted(missing_levels))
        cells = Cells(name=name, kind=kind, levels=levels, others=others)
    codes = code(cells, training)
    return cells, codes


def _quantiles(values: Numbers, shares: Numbers) -> Numbers:
    """Return quantiles; of huge values too, whose differences are no numbers."""
    scale = 4.0 if np.abs(values).max() > _HUGE else 1.0
    return np.asarray(np.quantile(values / scale, shares) * scale)


def _widened(edges: Numbers, feature: Feature | None) -> Numbers:
    """Return edges whose ends are the lowest and highest value that training saw."""
    if feature is None or feature.low is None or feature.high is None:
        return edges
    edges = edges.copy()
    edges[0] = min(edges[0], feature.low)
    edges[-1] = max(edges[-1], feature.high)
    return edges


def code(cells: Cells, column: pd.Series) -> Codes:
    """Return the cell of each row, shape (n_rows,)."""
    if cells.kind in ORDERED:
        return _code_ordered(cells, numbers(column, cells.kind))
    positions: Mapping[str, int] = {
        **dict.fromkeys(cells.others, len(cells.levels)),
        **{level: at for at, level in enumerate(cells.levels)},
    }
    rows, levels = _levels(column)
    unseen = len(cells.levels) + 1
    found = [positions.get(level, unseen) for level in levels]
    of_levels = np.array([*found, cells.size - 1], dtype=np.int64)
    return of_levels[rows]  # the last one is that of the rows without a level, -1


def tally(cells: Cells, codes: Codes) -> tuple[int, ...]:
    """Return how many rows each cell has."""
    return tuple(int(n) for n in np.bincount(codes, minlength=cells.size))


def numbers(column: pd.Series, kind: str) -> Numbers:
    """Return numbers or dates (in days since 1970) as floats, missing as NaN."""
    if kind != "date":
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(values, dtype=np.float64)
    moments = column.astype("datetime64[us]")
    days = moments.astype("int64").to_numpy() / 86_400_000_000
    return np.where(moments.isna().to_numpy(), np.nan, days)


def _code_ordered(cells: Cells, values: Numbers) -> Codes:
    """Cells in order: below, between two edges, above, missing."""
    edges = np.asarray(cells.edges)
    codes = np.searchsorted(edges, values, side="left")
    if not len(edges):
        codes = np.ones(len(values), dtype=np.int64)
    else:
        # The smallest value of training belongs to the first inner cell.
        codes[values == edges[0]] = 1
    if len(edges) == 1:
        codes[values > edges[0]] = 2
    codes[np.isnan(values)] = cells.size - 1
    return codes.astype(np.int64)


def _counted(column: pd.Series) -> dict[str, int]:
    """Return how many rows each level has."""
    rows, levels = _levels(column)
    counted: dict[str, int] = {}
    counts = np.bincount(rows + 1, minlength=len(levels) + 1)[1:]
    for level, n in zip(levels, counts, strict=True):
        counted[level] = counted.get(level, 0) + int(n)
    return counted


def _levels(column: pd.Series) -> tuple[Codes, list[str]]:
    """Return the number of each row's level, -1 where it is missing, and the levels.

    Values of any type may lie in a column of objects, and some are equal that are
    written differently, such as 1 and True: these are texts before they are compared.
    """
    if column.dtype == object:
        column = column.where(column.notna()).map(str, na_action="ignore")
    rows, values = pd.factorize(column)
    return rows.astype(np.int64), [str(value) for value in values]
