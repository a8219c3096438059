"""Performance without labels: row 12 of the table of error rates, simulated."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score

from mlops.monitoring.estimate import (
    Expected,
    cbpe,
    expected,
    expected_errors,
    mcbpe,
    shifted_chances,
    weights_without_shift,
)


class Sample(NamedTuple):
    """Rows of a world."""

    features: pd.DataFrame
    truth: np.ndarray


def draw(
    rng: np.random.Generator, n: int, shift: float = 0.0, concept: float = 0.0
) -> Sample:
    """Return rows of a world with an interaction that the model does not know."""
    x = rng.normal(size=(n, 3))
    x[:, 0] += shift
    eta = -0.4 + (1.2 - concept) * x[:, 0] + 0.8 * x[:, 1] + 0.54 * x[:, 0] * x[:, 1]
    truth = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
    return Sample(pd.DataFrame(x, columns=["a", "b", "c"]), truth)


class Errors(NamedTuple):
    """Mean absolute errors."""

    accuracy: float
    roc_auc: float


def errors(method: str, shift: float = 0.0, concept: float = 0.0) -> Errors:
    """Return the mean absolute errors of an estimate over 12 periods."""
    rng = np.random.default_rng(0)
    train = draw(rng, 20_000)
    model = LogisticRegression().fit(train.features, train.truth)
    found = []
    for _ in range(12):
        reference = draw(rng, 5000)
        window = draw(rng, 1000, shift, concept)
        before = model.predict_proba(reference.features)[:, 1]
        now = model.predict_proba(window.features)[:, 1]
        if method == "CBPE":
            estimate = cbpe(before, reference.truth, now, 0.5)
        else:
            estimate = mcbpe(
                reference.features, before, reference.truth, window.features, now, 0.5
            )
        assert estimate.method == method
        accuracy = ((now >= 0.5) == window.truth).mean()
        auc = roc_auc_score(window.truth, now)
        found.append((estimate.accuracy - accuracy, estimate.roc_auc - auc))
    return Errors(*np.abs(found).mean(axis=0))


@pytest.mark.parametrize("method", ["CBPE", "M-CBPE"])
def test_without_drift_the_estimate_is_close(method: str) -> None:
    found = errors(method)
    assert found.accuracy <= 0.015
    assert found.roc_auc <= 0.02


@pytest.mark.parametrize("shift", [1.0, -1.0])
def test_under_a_shift_of_one_standard_deviation_it_is_close(shift: float) -> None:
    found = errors("M-CBPE", shift=shift)
    assert found.accuracy <= 0.015
    assert found.roc_auc <= 0.02


def test_concept_drift_cannot_be_seen() -> None:
    """So the page says it; an estimate that saw it would be another method."""
    assert errors("CBPE", concept=1.0).accuracy > 0.03


def draw_classes(rng: np.random.Generator, n: int, shift: float = 0.0) -> Sample:
    """Return rows of three classes, which a linear model does not tell apart well."""
    x = rng.normal(size=(n, 3))
    x[:, 0] += shift
    eta = np.column_stack(
        [1.6 * x[:, 0] - 0.3, 0.4 * x[:, 1] * x[:, 0], 0.8 * x[:, 2] + 0.2]
    )
    chance = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
    truth = (chance.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, 2)
    return Sample(pd.DataFrame(x, columns=["a", "b", "c"]), truth)


@pytest.mark.parametrize("shift", [0.0, 1.0, -1.0])
def test_the_accuracy_of_several_classes_is_estimated_closely(shift: float) -> None:
    rng = np.random.default_rng(3)
    train = draw_classes(rng, 20_000)
    model = LogisticRegression().fit(train.features, train.truth)
    off = []
    naive = []
    for _ in range(12):
        reference = draw_classes(rng, 5000)
        window = draw_classes(rng, 3000, shift)
        before = model.predict_proba(reference.features)
        now = model.predict_proba(window.features)
        right = (before.argmax(axis=1) == reference.truth).astype(float)
        chance, _ = shifted_chances(
            reference.features,
            before.max(axis=1),
            right,
            window.features,
            now.max(axis=1),
        )
        truth = (now.argmax(axis=1) == window.truth).mean()
        off.append(abs(chance.mean() - truth))
        naive.append(abs(right.mean() - truth))
    assert np.mean(off) <= 0.02
    if shift > 0:
        assert np.mean(naive) > 0.03, "the accuracy is another one after the shift"


def draw_numbers(
    rng: np.random.Generator, n: int, shift: float = 0.0, concept: float = 0.0
) -> Sample:
    """Return rows whose noise grows with one feature."""
    x = rng.normal(size=(n, 3))
    x[:, 0] += shift
    noise = rng.normal(size=n) * np.exp(0.5 * x[:, 0])
    truth = 2 * x[:, 0] + (1 - concept) * x[:, 1] + noise
    return Sample(pd.DataFrame(x, columns=["a", "b", "c"]), truth)


def error_of_mae(shift: float = 0.0, concept: float = 0.0) -> tuple[float, float]:
    """Return by which share the MAE is off, estimated and taken as it was."""
    rng = np.random.default_rng(4)
    train = draw_numbers(rng, 20_000)
    model = LinearRegression().fit(train.features, train.truth)
    off = []
    for _ in range(12):
        reference = draw_numbers(rng, 5000)
        window = draw_numbers(rng, 1000, shift, concept)
        before = model.predict(reference.features)
        now = model.predict(window.features)
        found = expected_errors(
            reference.features.assign(prediction=before),
            np.abs(before - reference.truth),
            window.features.assign(prediction=now),
        )
        assert found is not None
        mae = np.abs(now - window.truth).mean()
        as_it_was = np.abs(before - reference.truth).mean()
        off.append((abs(found.mean() / mae - 1), abs(as_it_was / mae - 1)))
    estimated, naive = np.mean(off, axis=0)
    return float(estimated), float(naive)


@pytest.mark.parametrize("shift", [0.0, 1.0, -1.0])
def test_the_error_of_numbers_is_estimated_closely(shift: float) -> None:
    estimated, naive = error_of_mae(shift)
    assert estimated <= 0.06
    if shift:
        assert naive > 0.3, "the error is another one after the shift"


def test_concept_drift_of_numbers_cannot_be_seen_either() -> None:
    estimated, _ = error_of_mae(concept=1.5)
    assert estimated > 0.2


def test_few_reference_rows_give_no_estimate_of_the_error() -> None:
    rng = np.random.default_rng(5)
    rows = draw_numbers(rng, 150)
    errors = np.abs(rng.normal(size=150))
    assert expected_errors(rows.features, errors, rows.features) is not None
    errors[:60] = np.nan
    assert expected_errors(rows.features, errors, rows.features) is None


def test_the_expected_metrics_are_those_of_many_draws() -> None:
    rng = np.random.default_rng(1)
    score = rng.random(300).round(2)
    chance = np.clip(score + rng.normal(0, 0.1, 300), 0, 1)
    found: Expected = expected(score, chance, 0.5)
    draws = [rng.random(300) < chance for _ in range(800)]
    accuracy = np.mean([((score >= 0.5) == truth).mean() for truth in draws])
    auc = np.mean([roc_auc_score(truth, score) for truth in draws])
    assert found.accuracy == pytest.approx(accuracy, abs=0.004)
    assert found.roc_auc == pytest.approx(auc, abs=0.004)


def test_the_column_that_explains_a_loss_is_found_and_another_is_not() -> None:
    """Of two shifted columns one costs accuracy: its shift undone, it is as before."""
    rng = np.random.default_rng(2)
    train = draw(rng, 20_000)
    model = LogisticRegression().fit(train.features, train.truth)
    edges = np.quantile(train.features, np.linspace(0.1, 0.9, 9), axis=0)
    found = []
    for _ in range(12):
        reference = draw(rng, 5000)
        window = draw(rng, 2000)
        shifted = window.features * [0.5, 1.0, 1.0] + [0.2, 0.0, 1.0]
        before = model.predict_proba(reference.features)[:, 1]
        now = model.predict_proba(shifted)[:, 1]
        chance, _ = shifted_chances(
            reference.features, before, reference.truth, shifted, now
        )
        as_it_is = expected(now, chance, 0.5).accuracy
        undone = []
        for at, name in enumerate(shifted):
            counts = np.bincount(
                np.searchsorted(edges[:, at], reference.features[name]), minlength=10
            )
            codes = np.searchsorted(edges[:, at], shifted[name])
            weights = weights_without_shift(codes, counts)
            assert weights is not None
            undone.append(expected(now, chance, 0.5, weights=weights).accuracy)
        right = ((before >= 0.5) == reference.truth).mean()
        found.append([right - as_it_is, *(np.array(undone) - as_it_is)])
    lost, by_a, _, by_c = np.mean(found, axis=0)
    assert lost > 0.02, "the shift of `a` costs accuracy"
    assert by_a > 0.6 * lost
    assert abs(by_c) < 0.15 * lost
    each = np.array(found)
    assert (each[:, 1] > np.abs(each[:, 3])).all(), "in each of the twelve periods"


def test_a_shift_that_leaves_too_few_rows_is_not_undone() -> None:
    codes = np.repeat([0, 1], [5000, 20])
    assert weights_without_shift(codes, [10, 4990]) is None
    assert weights_without_shift(codes, [2500, 20]) is not None
