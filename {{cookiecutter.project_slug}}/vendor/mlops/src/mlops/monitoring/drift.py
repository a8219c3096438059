"""How the distribution of each column changed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.config.model_spec import Monitor
from mlops.results.monitoring import ColumnDrift
from mlops.results.training import Feature

MOST_CATEGORIES = 50


Counts = NDArray[np.int64]

_BINS = 10

_RESAMPLES = (999, 9999)  # the second only where the first leaves a doubt

_LEAST_EXPECTED = 5


def compare_columns(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    kinds: Mapping[str, str],
    features: Mapping[str, Feature],
    rule: Monitor,
) -> list[ColumnDrift]:
    """Test every column of `kinds`.

    A column alarms when its p-value is significant by Benjamini and Hochberg (1995) at
    `rule.alpha` over all columns, and its effect is at least `rule.min_effect`: many
    rows make any difference significant, few make any look large. Where nothing drifts,
    the chance that some column alarms is at most alpha.

    Parameters
    ----------
    reference, window : DataFrame, shape (n_rows, n_columns)
        Cast to their kinds.
    features : mapping of str to Feature
        What training saw; other columns are outputs of the model.
    """
    from scipy.stats import false_discovery_control

    rng = np.random.default_rng(0)
    tables = [counts(reference[name], window[name], kinds[name]) for name in kinds]
    p_values = [p_value(table, rng) for table in tables]
    effects = [distance(table) for table in tables]
    adjusted = false_discovery_control(p_values)
    return [
        ColumnDrift(
            name=name,
            kind=kinds[name],
            output=name not in features,
            p_value=p,
            q_value=float(q),
            effect=effect,
            alarm=bool(q <= rule.alpha and effect >= rule.min_effect),
            missing=float(window[name].isna().mean()),
            reference_missing=float(reference[name].isna().mean()),
            unseen=_unseen(window[name], features.get(name)),
        )
        for name, p, q, effect in zip(kinds, p_values, adjusted, effects, strict=True)
    ]


def counts(reference: pd.Series, window: pd.Series, kind: str) -> Counts:
    """Return how many rows of each sample are in each cell, shape (2, n_cells).

    A cell is a category, or a tenth of the values of both samples together; missing is
    one too, and all but the 50 commonest are one. Both samples choose the cells, so
    that where nothing drifts the choice favours neither, and tests with fixed margins
    are exact.
    """
    both = pd.concat([reference, window], ignore_index=True)
    if kind in {"number", "date"}:
        # Repeated values share a rank, and so a cell.
        both = np.ceil(both.rank(pct=True) * _BINS)
    codes, names = pd.factorize(both, use_na_sentinel=False)
    sides = (codes[: len(reference)], codes[len(reference) :])
    table = np.array([np.bincount(side, minlength=len(names)) for side in sides])
    table = table[:, np.argsort(-table.sum(axis=0), kind="stable")]
    rest = table[:, MOST_CATEGORIES:].sum(axis=1, keepdims=True)
    table = np.hstack([table[:, :MOST_CATEGORIES], rest])
    return table[:, table.sum(axis=0) > 0]


def p_value(table: Counts, rng: np.random.Generator) -> float:
    """Return the p-value of the chi-square test of homogeneity.

    Where an expected count is below 5 the distribution is simulated with both margins
    fixed, which is exact up to Monte Carlo error (Davison and Hinkley 1997, section
    4.3). No row or column of the table may be empty.
    """
    from scipy.stats import MonteCarloMethod, chi2_contingency

    if table.shape[1] < 2:
        return 1.0
    expected = table.sum(axis=0).min() * table.sum(axis=1).min() / table.sum()
    if expected >= _LEAST_EXPECTED:
        return float(chi2_contingency(table, correction=False).pvalue)
    for resamples in _RESAMPLES:
        method = MonteCarloMethod(n_resamples=resamples, rng=rng)
        p = float(chi2_contingency(table, correction=False, method=method).pvalue)
        if p > 0.1:
            break
    return p


def distance(table: Counts) -> float:
    """Return the Jensen-Shannon distance of two samples, less what chance makes.

    It is 0 to 1. Two samples of one distribution over k cells have an expected
    divergence of about ``(k - 1) (1/n + 1/m) / (8 ln 2)`` bits, which is taken off:
    otherwise a small window over many categories would always look far away.
    """
    from scipy.spatial.distance import jensenshannon

    sizes = table.sum(axis=1)
    observed = jensenshannon(table[0] / sizes[0], table[1] / sizes[1], base=2) ** 2
    chance = (table.shape[1] - 1) * (1 / sizes).sum() / (8 * np.log(2))
    return float(np.sqrt(np.clip(observed - chance, 0.0, 1.0)))


def _unseen(column: pd.Series, feature: Feature | None) -> int:
    """Count values that training did not have, as far as what it had is known."""
    if feature is None:
        return 0
    if feature.kind == "category" and feature.categories is not None:
        seen = column.isin(feature.categories)
    elif feature.kind == "number" and None not in (feature.low, feature.high):
        seen = column.between(feature.low, feature.high)
    else:
        return 0
    return int((column.notna() & ~seen).sum())
