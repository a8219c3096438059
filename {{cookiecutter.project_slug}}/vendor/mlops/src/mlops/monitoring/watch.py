"""Drift of the rows of a period: what was counted, how large the change is, alarms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.config.model_spec import Monitor
from mlops.monitoring import detector
from mlops.monitoring.baseline import moments
from mlops.monitoring.drift import (
    distance,
    most_changed,
    p_value,
    standardised_difference,
)
from mlops.monitoring.levels import LASTS, matters, share_of_drift
from mlops.results.baseline import Baseline, Cells, ColumnBaseline
from mlops.results.monitoring import CellCount, ColumnDrift, DetectorState

Floats = NDArray[np.float64]

Flags = NDArray[np.bool_]

Codes = NDArray[np.int64]

# The digits of a tie are used apart: the first ones rank a row among its equals, the
# next ones choose the row of a unit, the last ones order the rows of one moment.
_EARLIER_DIGITS = 2**20
_ALL_BUT_THE_LAST_DIGITS = 2**36

# Where a window differs from the reference by chance with a smaller probability, its
# column is shown as changed.
_SHOWN = 0.01

_MOST_WITH_CELLS = 30  # columns whose cells are stored with a check


@dataclass(frozen=True)
class Rows:
    """Logged rows in the order of time.

    Parameters
    ----------
    frame : DataFrame, shape (n_rows, n_columns)
        Features and outputs, cast.
    seconds, ties : ndarray of float, shape (n_rows,)
        The time since 1970, and a uniform number, fixed for each row.
    units : ndarray of int or str, shape (n_rows,)
        Rows of one unit count as one.
    recent, new : ndarray of bool, shape (n_rows,)
        Rows of the period that is shown, and rows that no check has counted.
    """

    frame: pd.DataFrame
    seconds: Floats
    ties: Floats
    units: NDArray[Any]
    recent: Flags
    new: Flags

    def __len__(self) -> int:
        return len(self.seconds)


@dataclass(frozen=True)
class Watched:
    """The columns of a check, the rows that were counted, and the new state."""

    columns: tuple[ColumnDrift, ...]
    counted: int
    compared: tuple[int, int]
    state: DetectorState


def watch(
    baseline: Baseline, rows: Rows, state: DetectorState, rule: Monitor, by_unit: bool
) -> Watched:
    """Count the new rows, and say of each column whether it has drifted.

    An alarm is raised where the evidence of all rows so far reaches the level of alpha,
    and the change in the period is large enough to matter: with many rows any change is
    certain. It lasts for as long as the period shows such a change. Then the bets on
    the column start anew.

    Parameters
    ----------
    by_unit : bool
        Whether the reference has one row of each unit.
    """
    codes = detector.codes_of(baseline, rows.frame)
    chosen = _to_count(rows)
    new = detector.NewRows(
        seconds=rows.seconds[chosen],
        ties=rows.ties[chosen],
        codes={name: of_rows[chosen] for name, of_rows in codes.items()},
    )
    after = detector.count(state, baseline, new)
    shown = np.flatnonzero(rows.recent)
    if by_unit:
        shown = _one_of_each(rows, shown)
    found = _compare(baseline, rows, codes, shown, by_unit)
    found = _judge(found, detector.chances(after, baseline), state, rule)
    states = dict(after.columns)
    drifted = []
    for column, known in zip(found, baseline.columns, strict=True):
        if column.alarm:
            drifted.append(column.name)
        elif column.name in state.drifted:
            states[column.name] = detector.anew(known, by_unit)
    update = {"columns": states, "drifted": tuple(drifted)}
    reference = sum(detector.counts_of(baseline.columns[0], by_unit))
    return Watched(
        columns=tuple(_few_with_cells(found)),
        counted=len(chosen),
        compared=(len(shown), reference),
        state=after.model_copy(update=update),
    )


def _to_count(rows: Rows) -> Codes:
    """Return the new rows, one of each unit that was not counted, in order of time.

    The rows of one moment are mixed: a file to predict is often sorted, and what comes
    in runs is no news.
    """
    fresh = ~np.isin(rows.units, rows.units[~rows.new])
    chosen = _one_of_each(rows, np.flatnonzero(rows.new & fresh))
    mixed = (rows.ties[chosen] * _ALL_BUT_THE_LAST_DIGITS) % 1.0
    return chosen[np.lexsort((mixed, rows.seconds[chosen]))]


def _one_of_each(rows: Rows, chosen: Codes) -> Codes:
    """Return one row of each unit, by chance, in the order of time."""
    # By later digits: the tie of the chosen row has to stay uniform.
    digits = (rows.ties[chosen] * _EARLIER_DIGITS) % 1.0
    by_chance = chosen[np.argsort(digits, kind="stable")]
    _, first = np.unique(rows.units[by_chance], return_index=True)
    return np.sort(by_chance[first])


def _compare(
    baseline: Baseline,
    rows: Rows,
    codes: Mapping[str, Codes],
    shown: Codes,
    by_unit: bool,
) -> list[ColumnDrift]:
    """Return how each column of the period differs from the reference.

    Means are of all rows on both sides. One row of each unit has another mean: those
    of large units count less.
    """
    from scipy.stats import false_discovery_control

    tables = [
        _table(column, codes[column.cells.name][shown], by_unit)
        for column in baseline.columns
    ]
    p_values = [p_value(table) for table in tables]
    adjusted = false_discovery_control(p_values)
    found = []
    for at, column in enumerate(baseline.columns):
        cells = column.cells
        table = tables[at]
        mean, deviation = moments(rows.frame.loc[rows.recent, cells.name], cells.kind)
        sizes = np.maximum(table.sum(axis=1), 1)
        shares = table[:, -1] / sizes
        before, now = _unseen(column, table)
        found.append(
            ColumnDrift(
                name=cells.name,
                kind=cells.kind,
                output=column.output,
                p_value=p_values[at],
                q_value=float(adjusted[at]),
                effect=distance(table),
                standardised=standardised_difference(column, mean, deviation),
                cell=most_changed(cells, table),
                alarm=False,
                missing=float(shares[1]),
                reference_missing=float(shares[0]),
                unseen=now,
                reference_unseen=before / int(sizes[0]),
                mean=mean,
                deviation=deviation,
                reference_mean=column.mean,
                reference_deviation=column.deviation,
                counts=tuple(int(n) for n in table[1]),
                cells=_counts(cells, table),
            )
        )
    return found


def _table(column: ColumnBaseline, codes: Codes, by_unit: bool) -> Codes:
    """Return rows per cell of reference and period, shape (2, n_cells)."""
    reference = np.array(detector.counts_of(column, by_unit), dtype=np.int64)
    return np.stack([reference, np.bincount(codes, minlength=len(reference))])


def _unseen(column: ColumnBaseline, table: Codes) -> tuple[int, int]:
    """Count values of reference and period that training did not have."""
    if column.output:
        return 0, 0
    unseen = table[:, -2]
    if column.cells.ordered:
        unseen = table[:, 0] + table[:, -2]
    return int(unseen[0]), int(unseen[1])


def _counts(cells: Cells, table: Codes) -> tuple[CellCount, ...]:
    """Return the cells that have rows, on either side."""
    return tuple(
        CellCount(name=name, reference=int(before), window=int(now))
        for name, before, now in zip(cells.names, *table, strict=True)
        if before or now
    )


def _few_with_cells(found: list[ColumnDrift]) -> list[ColumnDrift]:
    """Return the columns, of which few have cells: what is stored stays small.

    Outputs and what changed have them, alarms and large changes first.
    """
    shown = [column for column in found if column.alarm or column.changed]
    shown += [column for column in found if column.output]
    ranked = sorted(shown, key=lambda column: (not column.alarm, -column.effect))
    names = {column.name for column in ranked[:_MOST_WITH_CELLS]}
    return [
        column if column.name in names else column.model_copy(update={"cells": ()})
        for column in found
    ]


def _judge(
    found: list[ColumnDrift],
    chances: Mapping[str, float],
    state: DetectorState,
    rule: Monitor,
) -> list[ColumnDrift]:
    """Return the columns with their chance, alarms, and what lies below them."""
    judged = []
    for column in found:
        chance = chances[column.name]
        large = matters(
            column.effect, column.standardised, column.cell, rule.min_effect
        )
        if column.name in state.drifted:
            alarm = large and column.p_value <= LASTS
        else:
            alarm = large and chance <= share_of_drift(rule.alpha)
        changed = column.q_value <= _SHOWN or chance <= rule.alpha
        update = {"chance": chance, "alarm": alarm, "changed": changed and not alarm}
        judged.append(column.model_copy(update=update))
    return judged
