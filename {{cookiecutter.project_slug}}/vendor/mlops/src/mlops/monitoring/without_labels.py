"""What is estimated of a period without labels, and which column explains a change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.config.model_spec import METRICS
from mlops.data.known import respell, spellings
from mlops.monitoring.cells import code
from mlops.monitoring.estimate import (
    expected,
    expected_errors,
    shifted_chances,
    weights_without_shift,
)
from mlops.monitoring.slices import rows_in
from mlops.registry.manifest import Manifest
from mlops.results.baseline import Baseline, SliceBaseline
from mlops.results.monitoring import (
    ColumnDrift,
    EstimatedMetric,
    EstimatedSlice,
    UndoneShift,
)
from mlops.results.training import Signature

Floats = NDArray[np.float64]

_FEWEST_IN_SLICE = 30  # rows

_MOST_UNDONE = 20  # columns whose shift is undone, the most changed ones


def estimates(
    manifest: Manifest,
    baseline: Baseline,
    reference: pd.DataFrame,
    recent: pd.DataFrame,
    columns: Sequence[ColumnDrift],
) -> tuple[EstimatedMetric, ...]:
    """Return the metrics of a period as they are expected.

    Accuracy and ROC AUC of a binary model, accuracy of one of several classes, the mean
    absolute error of a regression.

    Parameters
    ----------
    reference : DataFrame, shape (n_reference, n_columns)
        The reference sample, with outputs and target.
    recent : DataFrame, shape (n_rows, n_columns)
        Rows of the period, with their outputs.
    columns : sequence of ColumnDrift
        What the check found: of features that changed it is estimated what the metric
        would be without.
    """
    signature = manifest.signature
    if signature.target not in reference:
        return ()
    known = reference[reference[signature.target].notna()]
    shown = [c.cells.name for c in baseline.columns if not c.output]
    expect = _EXPECTED[signature.task]
    found = expect(signature, shown, known, recent)
    if found is None:
        return ()
    weights = _without_shifts(baseline, columns, recent)
    registered = {metric.name: metric.value for metric in manifest.metrics}
    return tuple(
        EstimatedMetric(
            metric=name,
            value=value,
            registered=registered.get(name),
            method=found.method,
            rows=len(recent),
            undone=_undone(name, value, found, weights),
            slices=_by_slice(name, found, baseline.slices, known, recent),
        )
        for name, value in found.metrics(None).items()
        if np.isfinite(value)
    )


@dataclass(frozen=True, eq=False)
class _Estimated:
    """What is expected of the rows of a period.

    Parameters
    ----------
    metrics : callable
        Returns the metrics by name, given how much each row counts (None: alike).
    plain : tuple of str and ndarray of float, shape (n_known,)
        The metric that is a mean, and what each row of the reference sample adds.
    """

    method: str
    metrics: Callable[[Floats | None], Mapping[str, float]]
    plain: tuple[str, Floats]


def _of_two_classes(
    signature: Signature, shown: list[str], known: pd.DataFrame, recent: pd.DataFrame
) -> _Estimated | None:
    score = recent["score"].to_numpy(dtype=np.float64)
    chance, method = shifted_chances(
        known[shown],
        known["score"].to_numpy(dtype=np.float64),
        (known[signature.target] == signature.positive).to_numpy(dtype=np.float64),
        recent[shown],
        score,
    )

    def metrics(weights: Floats | None) -> dict[str, float]:
        found = expected(score, chance, signature.threshold, method, weights)
        return {"accuracy": found.accuracy, "roc_auc": found.roc_auc}

    decided = known["score"].to_numpy(dtype=np.float64) >= signature.threshold
    right = decided == (known[signature.target] == signature.positive).to_numpy()
    return _Estimated(method, metrics, ("accuracy", right.astype(np.float64)))


def _of_classes(
    signature: Signature, shown: list[str], known: pd.DataFrame, recent: pd.DataFrame
) -> _Estimated | None:
    """Return the expected share of rows whose most probable class is theirs."""
    chances = [f"p_{name}" for name in signature.classes]
    if not {*chances, "prediction"} <= {*known}:
        return None
    truth = respell(known[signature.target], spellings(signature.classes))
    right = (known["prediction"] == truth).to_numpy(dtype=np.float64)
    chance, method = shifted_chances(
        known[shown],
        known[chances].max(axis=1).to_numpy(dtype=np.float64),
        right,
        recent[shown],
        recent[chances].max(axis=1).to_numpy(dtype=np.float64),
    )
    return _Estimated(
        method,
        lambda w: {"accuracy": float(np.average(chance, weights=w))},
        ("accuracy", right),
    )


def _of_numbers(
    signature: Signature, shown: list[str], known: pd.DataFrame, recent: pd.DataFrame
) -> _Estimated | None:
    """Return the expected mean of the absolute errors."""
    errors = (known["prediction"] - known[signature.target]).abs()
    seen = [*shown, "prediction"]
    found = expected_errors(
        known[seen], errors.to_numpy(dtype=np.float64), recent[seen]
    )
    if found is None:
        return None
    return _Estimated(
        "DLE",
        lambda w: {"mae": float(np.average(found, weights=w))},
        ("mae", errors.to_numpy(dtype=np.float64)),
    )


_EXPECTED = {
    "binary": _of_two_classes,
    "multiclass": _of_classes,
    "regression": _of_numbers,
}


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


def _by_slice(
    metric: str,
    found: _Estimated,
    slices: Sequence[SliceBaseline],
    known: pd.DataFrame,
    recent: pd.DataFrame,
) -> tuple[EstimatedSlice, ...]:
    """Return the estimates of a metric on groups, the worst change first.

    Only of metrics that are means over rows, and of groups with enough rows on both
    sides.
    """
    name, of_rows = found.plain
    if metric != name:
        return ()
    estimated = []
    for one in slices:
        before = rows_in(one, known)
        now = rows_in(one, recent)
        if min(before.sum(), now.sum()) < _FEWEST_IN_SLICE:
            continue
        value = found.metrics(now.astype(np.float64))[metric]
        estimated.append(
            EstimatedSlice(
                column=one.column,
                value=one.value,
                rows=int(now.sum()),
                estimate=value,
                reference=float(of_rows[before].mean()),
            )
        )
    _, higher_is_better = METRICS[metric]
    sign = 1 if higher_is_better else -1
    return tuple(sorted(estimated, key=lambda e: sign * (e.estimate - e.reference)))


def _undone(
    metric: str, now: float, found: _Estimated, weights: Mapping[str, Floats]
) -> tuple[UndoneShift, ...]:
    """Return the estimates of a metric without each shift, the largest change first."""
    shifts = []
    for name, counts in weights.items():
        value = found.metrics(counts)[metric]
        if np.isfinite(value):
            shifts.append(UndoneShift(column=name, value=value, change=value - now))
    return tuple(sorted(shifts, key=lambda shift: -abs(shift.change)))
