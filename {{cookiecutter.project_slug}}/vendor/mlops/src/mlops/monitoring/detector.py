"""The detectors of a version: from rows that no check has counted to their new state.

Pure: the state is a function of the baseline and the rows in the order of time. It
does not depend on when it was checked, how often, or how the periods overlap: each row
counts once, and bets start with the slots of the calendar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.monitoring import losses
from mlops.monitoring.cells import code
from mlops.monitoring.martingale import (
    AT_START,
    NOTHING,
    SLOTS,
    Wealth,
    advance,
    beginning,
    chance,
    log_mean,
    restarted,
    start_weight,
)
from mlops.results.baseline import Baseline, ColumnBaseline, LossBaseline
from mlops.results.monitoring import ColumnState, DetectorState, LossDay, LossState

Floats = NDArray[np.float64]

Codes = NDArray[np.int64]

_SECONDS_PER_SLOT = 365 * 24 * 3600 / SLOTS

_DIGITS = 4  # of a stored logarithm

# Of the share of alpha for a loss: for the uncertainty of the registered mean.
_GAMMA = 0.8


@dataclass(frozen=True)
class NewRows:
    """Rows that no check has counted, in the order of time, one of each unit.

    Parameters
    ----------
    seconds : ndarray of float, shape (n_rows,)
        Since 1970.
    ties : ndarray of float, shape (n_rows,)
        As `ties`.
    codes : mapping of str to ndarray of int, shape (n_rows,)
        The cell of each row, by column.
    """

    seconds: Floats
    ties: Floats
    codes: Mapping[str, Codes]


def ties(ids: Sequence[str] | pd.Series, key: str) -> Floats:
    """Return a uniform number for each id, always the same one."""
    secret = key.encode()[:64]
    digests = (blake2b(i.encode(), key=secret, digest_size=6).digest() for i in ids)
    numbers = (int.from_bytes(digest, "big") for digest in digests)
    # One by one: lists of them would be most of what a check holds.
    return (np.fromiter(numbers, dtype=np.float64, count=len(ids)) + 0.5) / 2**48


def slot_of(seconds: float) -> int:
    """Return the slot of the calendar that a time is in: 520 make a year."""
    return int(seconds // _SECONDS_PER_SLOT)


def start(
    baseline: Baseline, version: str, digest: str, nth: int, by_unit: bool
) -> DetectorState:
    """Return the state of a version of which no row was counted.

    Parameters
    ----------
    digest : str
        Of what is compared with.
    nth : int
        How many versions were watched within a year, this one included.
    by_unit : bool
        Whether rows are counted one of each unit.
    """
    weight = losses.spent(AT_START, nth)
    columns = {}
    for column in baseline.columns:
        evidence = beginning(column.cells, counts_of(column, by_unit), weight)
        columns[column.cells.name] = _stored(evidence)
    empty = LossState(won=_rounded(np.full(losses.BETS, np.log(weight))))
    return DetectorState(
        version=version,
        baseline=digest,
        nth=nth,
        columns=columns,
        losses=dict.fromkeys((loss.name for loss in baseline.watched), empty),
    )


def accept(
    state: DetectorState, baseline: Baseline, digest: str, nth: int, by_unit: bool
) -> DetectorState:
    """Return the state after people took another reference: all bets on columns anew.

    What was counted stays counted, and no slot starts twice. The bets that start now
    weigh as much as those of one more version, so that all of a year keep to alpha. The
    bets on losses go on: an acceptance says nothing of the performance.

    Parameters
    ----------
    baseline : Baseline
        With the accepted reference.
    digest : str
        Of the acceptance.
    nth : int
        How many versions were watched and references accepted within a year, with this
        one.
    """
    fresh = start(baseline, state.version, digest, nth, by_unit)
    update = {"baseline": digest, "columns": fresh.columns, "drifted": ()}
    return state.model_copy(update=update)


def anew(column: ColumnBaseline, by_unit: bool) -> ColumnState:
    """Return the state of a column whose alarm is over: its bets begin at later slots.

    What bets may weigh at the start is spent by the start of the version.
    """
    weight = float(np.exp(NOTHING))
    return _stored(beginning(column.cells, counts_of(column, by_unit), weight))


def counts_of(column: ColumnBaseline, by_unit: bool) -> tuple[int, ...]:
    """Return the reference's rows per cell, or one row of each unit."""
    if by_unit and column.reference_units:
        return column.reference_units
    return column.reference


def codes_of(baseline: Baseline, frame: pd.DataFrame) -> dict[str, Codes]:
    """Return the cell of each row, by column, shape (n_rows,)."""
    return {
        column.cells.name: code(column.cells, frame[column.cells.name])
        for column in baseline.columns
    }


def count(state: DetectorState, baseline: Baseline, rows: NewRows) -> DetectorState:
    """Return the state after rows were counted.

    A row that comes late is counted in the slot that counting has reached: no slot
    starts twice.
    """
    if not len(rows.seconds):
        return state
    slots = np.floor(rows.seconds / _SECONDS_PER_SLOT).astype(np.int64)
    if state.slot is not None:
        slots = np.maximum(slots, state.slot)
    bounds = np.flatnonzero(np.diff(slots)) + 1
    parts = np.split(np.arange(len(slots)), bounds)
    columns = {}
    for column in baseline.columns:
        name = column.cells.name
        evidence = _loaded(state.columns[name])
        last = state.slot
        for part in parts:
            slot = int(slots[part[0]])
            evidence = advance(
                evidence,
                column.cells,
                column.training,
                rows.codes[name][part],
                rows.ties[part],
                starts=slot != last,
            )
            last = slot
        columns[name] = _stored(evidence)
    update = {
        "columns": columns,
        "slot": int(slots[-1]),
        "rows": state.rows + len(slots),
    }
    return state.model_copy(update=update)


def chances(state: DetectorState, baseline: Baseline) -> dict[str, float]:
    """Return for each column how likely its evidence is at most where nothing changes.

    Within a year, over all columns together.
    """
    found = {}
    for column in baseline.columns:
        peak = state.columns[column.cells.name].peak
        found[column.cells.name] = chance(peak, len(baseline.columns))
    return found


def count_labels(
    state: DetectorState,
    baseline: LossBaseline,
    by_day: Mapping[str, Floats],
    seconds: float,
    alpha: float,
) -> DetectorState:
    """Return the state after the labels that have come by now were counted.

    Parameters
    ----------
    by_day : mapping of str to ndarray of float, shape (n_rows,)
        Losses of all labelled rows by the day of their prediction, also of those that
        were counted before.
    seconds : float
        The present time, since 1970.
    alpha : float
        The share of this loss.
    """
    before = state.losses[baseline.name]
    mean = null_mean(baseline, state.nth, alpha)
    now = {day: losses.won(rows, mean) for day, rows in by_day.items()}
    # Days that can no longer be seen are over; what they won stays won.
    known = {day: np.array(before.days[day].won) for day in now if day in before.days}
    won = losses.newly_won(now, known)
    slot = slot_of(seconds)
    is_new = any(
        len(rows) != (before.days[day].rows if day in before.days else 0)
        for day, rows in by_day.items()
    )
    wealth = np.array(before.won)
    if is_new:
        wealth = restarted(wealth, won, start_weight(slot, state.label_slot))
    days = {
        day: LossDay(rows=len(by_day[day]), won=_rounded(now[day])) for day in by_day
    }
    after = LossState(won=_rounded(wealth), days=days)
    return state.model_copy(
        update={
            "losses": {**state.losses, baseline.name: after},
        }
    )


def forget_losses(state: DetectorState, name: str) -> DetectorState:
    """Return the state with bets on a loss that start anew; its days stay counted."""
    empty = state.losses[name].model_copy(update={"won": (NOTHING,) * losses.BETS})
    return state.model_copy(update={"losses": {**state.losses, name: empty}})


def null_mean(baseline: LossBaseline, nth: int, alpha: float) -> float:
    """Return the largest mean loss that the test rows leave likely."""
    return losses.worst_mean(baseline, losses.spent(_GAMMA * alpha, nth))


def loss_chance(state: DetectorState, name: str) -> float:
    """Return how likely the evidence of a higher loss is at most within a year."""
    wealth = np.array(state.losses[name].won)
    return chance(float(log_mean(wealth)), 1)


def loss_level(alpha: float) -> float:
    """Return the chance at which a loss raises an alarm, of its share of alpha."""
    return alpha * (1 - _GAMMA)


def _stored(evidence: Wealth) -> ColumnState:
    return ColumnState(
        counts=tuple(int(n) for n in evidence.counts),
        cells=tuple(_rounded(row) for row in evidence.cells),
        order=_rounded(evidence.order),
        peak=round(evidence.peak, _DIGITS),
    )


def _loaded(state: ColumnState) -> Wealth:
    return Wealth(
        counts=np.array(state.counts, dtype=np.int64),
        cells=np.array(state.cells, dtype=np.float64),
        order=np.array(state.order, dtype=np.float64),
        peak=state.peak,
    )


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(value), _DIGITS) for value in values)
