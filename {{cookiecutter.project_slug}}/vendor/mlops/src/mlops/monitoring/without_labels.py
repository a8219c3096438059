"""What is estimated of a period without labels, and which column explains a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.monitoring.cells import code
from mlops.monitoring.estimate import (
    Expected,
    expected,
    shifted_chances,
    weights_without_shift,
)
from mlops.registry.manifest import Manifest
from mlops.results.baseline import Baseline
from mlops.results.monitoring import ColumnDrift, EstimatedMetric, UndoneShift

Floats = NDArray[np.float64]

_MOST_UNDONE = 20  # columns whose shift is undone, the most changed ones


def estimates(
    manifest: Manifest,
    baseline: Baseline,
    reference: pd.DataFrame,
    recent: pd.DataFrame,
    columns: Sequence[ColumnDrift],
) -> tuple[EstimatedMetric, ...]:
    """Return accuracy and ROC AUC as they are expected; of binary models only.

    Parameters
    ----------
    reference : DataFrame, shape (n_reference, n_columns)
        The reference sample, with score and target.
    recent : DataFrame, shape (n_rows, n_columns)
        Rows of the period, with their score.
    columns : sequence of ColumnDrift
        What the check found: of features that changed it is estimated what the metric
        would be without.
    """
    signature = manifest.signature
    if signature.task != "binary" or signature.target not in reference:
        return ()
    known = reference[reference[signature.target].notna()]
    shown = [c.cells.name for c in baseline.columns if not c.output]
    score = recent["score"].to_numpy(dtype=np.float64)
    chance, method = shifted_chances(
        known[shown],
        known["score"].to_numpy(dtype=np.float64),
        (known[signature.target] == signature.positive).to_numpy(dtype=np.float64),
        recent[shown],
        score,
    )
    threshold = signature.threshold
    found = expected(score, chance, threshold, method)
    undone = {
        name: expected(score, chance, threshold, method, weights)
        for name, weights in _without_shifts(baseline, columns, recent).items()
    }
    registered = {metric.name: metric.value for metric in manifest.metrics}
    return tuple(
        EstimatedMetric(
            metric=name,
            value=getattr(found, name),
            registered=registered.get(name),
            method=found.method,
            rows=len(recent),
            undone=_undone(name, found, undone),
        )
        for name in ("accuracy", "roc_auc")
        if np.isfinite(getattr(found, name))
    )


def _without_shifts(
    baseline: Baseline, columns: Sequence[ColumnDrift], recent: pd.DataFrame
) -> dict[str, Floats]:
    """Return weights that undo the shift of a feature, by each that changed."""
    changed = [c for c in columns if (c.alarm or c.changed) and not c.output]
    changed.sort(key=lambda c: -c.effect)
    names = {column.name for column in changed[:_MOST_UNDONE]}
    found = {}
    for column in baseline.columns:
        cells = column.cells
        if cells.name not in names:
            continue
        codes = code(cells, recent[cells.name])
        weights = weights_without_shift(codes, column.reference)
        if weights is not None:
            found[cells.name] = weights
    return found


def _undone(
    metric: str, now: Expected, undone: Mapping[str, Expected]
) -> tuple[UndoneShift, ...]:
    """Return the estimates of a metric without each shift, the largest change first."""
    before = getattr(now, metric)
    shifts = []
    for name, without in undone.items():
        value = getattr(without, metric)
        if np.isfinite(value):
            change = value - before
            shifts.append(UndoneShift(column=name, value=value, change=change))
    return tuple(sorted(shifts, key=lambda shift: -abs(shift.change)))
