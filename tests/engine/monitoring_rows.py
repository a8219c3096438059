"""One check of a window against a reference, without a log and without a registry."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mlops.config.model_spec import Monitor
from mlops.monitoring import detector
from mlops.monitoring.baseline import baseline_of_columns
from mlops.monitoring.watch import Rows, Watched, watch
from mlops.results.monitoring import ColumnDrift, DetectorState
from mlops.results.training import Feature

DAY = 24 * 3600.0


def rows_at(
    frame: pd.DataFrame, day: float, seed: int = 0, units: list[str] | None = None
) -> Rows:
    """Return rows as they are read from a log, all of one moment and all new."""
    n = len(frame)
    every = np.ones(n, dtype=bool)
    names = units or [f"{seed}-{day}-{i}" for i in range(n)]
    ties = detector.ties([f"{seed}-{day}-{i}" for i in range(n)], "key")
    times = np.full(n, day * DAY)
    return Rows(frame, times, ties, np.array(names, dtype=object), every, every)


def check(
    training: pd.DataFrame,
    reference: pd.DataFrame,
    window: pd.DataFrame,
    kinds: Mapping[str, str],
    features: Mapping[str, Feature] | None = None,
    rule: Monitor | None = None,
    state: DetectorState | None = None,
    day: float = 1.0,
) -> Watched:
    """Check a window once, from the state of the check before, if any."""
    baseline = baseline_of_columns(training, reference, kinds, features or {})
    before = state or detector.start(baseline, "v1.0.0", "", 1, by_unit=False)
    return watch(baseline, rows_at(window, day), before, rule or Monitor(), False)


def compare(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    kinds: Mapping[str, str],
    features: Mapping[str, Feature] | None = None,
    rule: Monitor | None = None,
    training: pd.DataFrame | None = None,
) -> list[ColumnDrift]:
    """Return what one check says of each column."""
    rows = reference if training is None else training
    return list(check(rows, reference, window, kinds, features, rule).columns)
