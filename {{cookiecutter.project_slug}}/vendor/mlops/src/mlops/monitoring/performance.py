"""Performance on the rows of the window that have a label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.config.model_spec import ModelSpec
from mlops.errors import UsageError
from mlops.evaluation.intervals import measure_metric
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import Outcome
from mlops.monitoring import detector
from mlops.monitoring.losses import general_loss, losses_of
from mlops.results.baseline import Baseline, LossBaseline, SliceBaseline
from mlops.results.evaluation import Metric
from mlops.results.monitoring import DetectorState, Performance, SlicePerformance

Floats = NDArray[np.float64]

Flags = NDArray[np.bool_]

# The loss that is watched beside each metric: the value has one of its own.
_OF_VALUE = "value"


@dataclass(frozen=True)
class Labelled:
    """The labelled rows that are used, and what is known of them.

    Parameters
    ----------
    outcome : Outcome
        Target and predictions.
    days : Series of str, shape (n_rows,)
        The day of each prediction.
    recent : ndarray of bool, shape (n_rows,)
        Whether the prediction is of the period that is shown.
    slices : mapping of str to ndarray of bool, shape (n_rows,)
        Which rows are of a group, by the name of its loss.
    """

    outcome: Outcome
    days: pd.Series
    recent: Flags
    slices: Mapping[str, Flags] = field(default_factory=dict)


@dataclass(frozen=True)
class Performed:
    """The metrics that were compared, why others were not, and the new state."""

    compared: tuple[Performance, ...]
    notes: tuple[str, ...]
    state: DetectorState
    slices: tuple[SlicePerformance, ...] = ()


@dataclass(frozen=True)
class _LossRows:
    """One loss of the labelled rows, or of those of a group, and its share of alpha."""

    loss: LossBaseline
    values: Floats
    days: pd.Series
    recent: Flags
    alpha: float


def perform(
    spec: ModelSpec,
    baseline: Baseline,
    registered: Sequence[Metric],
    rows: Labelled,
    state: DetectorState,
    seconds: float,
) -> Performed:
    """Count the labels that have come, and compare with what was registered.

    An alarm comes from the bets on the losses alone; the metrics are shown beside them.
    With two losses each has half of the share of alpha. With slices the losses of all
    rows have half of it, and the slices the other half, in equal parts.

    Parameters
    ----------
    registered : sequence of Metric
        As the version had them when it was registered.
    seconds : float
        The present time, since 1970.
    """
    if not len(rows.outcome) or not baseline.losses:
        return Performed((), (), state)
    raised = []
    watched = [*_of_all_rows(spec, baseline, rows), *_of_slices(spec, baseline, rows)]
    for one in watched:
        name = one.loss.name
        by_day = {day: one.values[at] for day, at in _positions(one.days).items()}
        state = detector.count_labels(state, one.loss, by_day, seconds, one.alpha)
        if _alarms(state, one.loss, one.values[one.recent], one.alpha):
            raised.append(name)
        elif name in state.worse:
            state = detector.forget_losses(state, name)
    slot = detector.slot_of(seconds)
    state = state.model_copy(update={"label_slot": slot, "worse": tuple(raised)})
    shown = rows.outcome.take(np.flatnonzero(rows.recent))
    if len(shown) < spec.monitor.min_rows:
        return Performed((), (), state)
    compared, notes = _shown(spec, baseline, registered, shown, state)
    recent = {one.loss.name: one.values[one.recent] for one in watched}
    by_slice = _shown_slices(baseline.slices, recent, state)
    return Performed(tuple(compared), tuple(notes), state, by_slice)


def share_of_losses(alpha: float) -> float:
    """Return the share of alpha for performance: drift has the other half."""
    return alpha / 2


def _of_all_rows(
    spec: ModelSpec, baseline: Baseline, rows: Labelled
) -> Iterator[_LossRows]:
    alpha = share_of_losses(spec.monitor.alpha) / len(baseline.losses)
    if baseline.slices:
        alpha /= 2
    for loss in baseline.losses:
        values = losses_of(rows.outcome, loss.scale).get(loss.name)
        if values is not None:
            yield _LossRows(loss, values, rows.days, rows.recent, alpha)


def _of_slices(
    spec: ModelSpec, baseline: Baseline, rows: Labelled
) -> Iterator[_LossRows]:
    if not baseline.slices:
        return
    alpha = share_of_losses(spec.monitor.alpha) / 2 / len(baseline.slices)
    name = general_loss(rows.outcome)
    values = losses_of(rows.outcome, baseline.slices[0].loss.scale)[name]
    for one in baseline.slices:
        of_slice = rows.slices[one.loss.name]
        yield _LossRows(
            loss=one.loss,
            values=values[of_slice],
            days=rows.days[of_slice],
            recent=rows.recent[of_slice],
            alpha=alpha,
        )


def _shown_slices(
    slices: Sequence[SliceBaseline],
    recent: Mapping[str, Floats],
    state: DetectorState,
) -> tuple[SlicePerformance, ...]:
    """Return the groups with labelled rows in the period: alarms, then the worst."""
    found = []
    for one in slices:
        values = recent[one.loss.name]
        if not len(values):
            continue
        found.append(
            SlicePerformance(
                column=one.column,
                value=one.value,
                rows=len(values),
                loss=one.loss.name.removesuffix(f" where {one.title}"),
                mean_loss=float(values.mean()),
                registered_loss=one.loss.mean,
                chance=detector.loss_chance(state, one.loss.name),
                alarm=one.loss.name in state.worse,
            )
        )
    found.sort(key=lambda p: (not p.alarm, p.registered_loss - p.mean_loss))
    return tuple(found)


def _positions(days: pd.Series) -> dict[str, NDArray[np.int64]]:
    grouped = days.reset_index(drop=True)
    return {
        str(day): np.asarray(at, dtype=np.int64)
        for day, at in grouped.groupby(grouped).indices.items()
    }


def _alarms(
    state: DetectorState, loss: LossBaseline, recent: Floats, alpha: float
) -> bool:
    """Return whether a loss has an alarm: a new one, or one that has not ended.

    It ends when the loss of the period is within the interval of the test rows again.
    """
    if loss.name not in state.worse:
        level = detector.loss_level(alpha)
        return detector.loss_chance(state, loss.name) <= level
    if not len(recent):
        return True
    return float(recent.mean()) > detector.null_mean(loss, state.nth, alpha)


def _shown(
    spec: ModelSpec,
    baseline: Baseline,
    registered: Sequence[Metric],
    seen: Outcome,
    state: DetectorState,
) -> tuple[list[Performance], list[str]]:
    """Return the primary metric, and the business value, of the period."""
    watched = {loss.name: loss for loss in baseline.losses}
    general = next(loss for loss in baseline.losses if loss.name != _OF_VALUE)
    compared = []
    notes = []
    for then in registered:
        if then.name not in (spec.metrics.primary, _OF_VALUE):
            continue
        if undefined(then.name, seen):
            continue
        try:
            now = measure_metric(then.name, seen)
        except UsageError as error:  # a label of 1e308: no reason to lose the rest
            notes.append(f"{then.name} of the window: {error.problems[0].what}")
            continue
        loss = watched.get(then.name, general)
        compared.append(
            Performance(
                rows=len(seen),
                window=now,
                reference=then,
                loss=loss.name,
                mean_loss=float(losses_of(seen, loss.scale)[loss.name].mean()),
                registered_loss=loss.mean,
                chance=detector.loss_chance(state, loss.name),
                alarm=loss.name in state.worse,
            )
        )
    return compared, notes
