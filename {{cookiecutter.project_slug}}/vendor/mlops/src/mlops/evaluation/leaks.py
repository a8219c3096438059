"""Features that give the target away, alone or together.

A score that is too good to be true mostly is: a column is the target under another
name, or was filled in after it was known. What is found is a question to a person,
because a table cannot say what is known when.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops.config.model_spec import Kind, Task
from mlops.data.types import as_number
from mlops.evaluation.metrics import estimate, undefined
from mlops.evaluation.outcome import EvaluationContext, Outcome, sample
from mlops.training.model import Model

# Part of the error of the best constant that one column alone may save: of the wrong
# classes, or of the variance of a number.
_ALONE = 0.8
_ALONE_OF_NUMBERS = 0.98
# Or right in this share of the rows of every class.
_OF_EACH_CLASS = 0.95

# Part that several columns together may save before they are looked at one by one.
_TOGETHER = 0.97
_TOGETHER_OF_NUMBERS = 0.998

# From here on the columns of a trained model are looked at: a share of the wrong rows
# of the best constant that is saved, or a metric.
_SAVED = 0.9
_SUSPICIOUS = {"roc_auc": 0.99, "r2": 0.98}

_BINS = 100  # of a number; every bin needs five rows
_ROWS_PER_BIN = 5
_MOST_ROWS = 5000  # that the columns are looked at together on
_MOST_ROWS_ALONE = 20_000  # that the columns of a trained model are looked at on
_FEWEST_ROWS = 200
_MOST_COLUMNS = 200
_MOST_CLASSES = 20


@dataclass(frozen=True)
class Candidate:
    """A column that may give the target away.

    Parameters
    ----------
    name : str
    kind : Kind
    unique : int
        Number of different values.
    """

    name: str
    kind: Kind
    unique: int


@dataclass(frozen=True)
class Leaks:
    """What was found, by the names of the features.

    Parameters
    ----------
    copies : tuple of str
        Say the same as the target, row by row; none where there is one feature only.
    single : tuple of str
        Others that tell the target almost without error, each alone.
    together : tuple of str
        Those that matter most where all together do; looked for where none does alone.
    """

    copies: tuple[str, ...] = ()
    single: tuple[str, ...] = ()
    together: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return self.copies + self.single + self.together


def find_leaks(
    features: Sequence[Candidate], rows: pd.DataFrame, truth: pd.Series, task: Task
) -> Leaks:
    """Return which features give the target away.

    Parameters
    ----------
    features : sequence of Candidate
        Free text is not looked at.
    rows : DataFrame, shape (n_rows, n_columns)
        As text, or of their declared types.
    truth : Series, shape (n_rows,)
        The target, never missing.
    task : Task
    """
    features = [feature for feature in features if feature.kind != "text"]
    copies = []
    single = []
    for feature in features:
        values = rows[feature.name]
        if len(features) > 1 and _is_copy(feature, values, truth, task):
            copies.append(feature.name)
        elif _reveals(feature, values, truth, task):
            single.append(feature.name)
    together: list[str] = []
    if not single:  # else all of them together would be found for the same reason
        left = [feature for feature in features if feature.name not in copies]
        together = _tell_together(left, rows, truth, task)
    return Leaks(tuple(copies), tuple(single), tuple(together))


def leaks_of(context: EvaluationContext, model: Model) -> Leaks:
    """Return which features give the target away, where a model is too good.

    Training rows are looked at, at most 20,000.
    """
    if not too_good(context.outcome(model)):
        return Leaks()
    spec = context.spec
    drawn = sample(len(context.train), _MOST_ROWS_ALONE, spec.train.seed)
    rows = context.train.iloc[drawn].reset_index(drop=True)
    features = [
        Candidate(name, kind, int(rows[name].nunique()))
        for name, kind in spec.features.items()
    ]
    known = [feature for feature in features if feature.unique > 1]
    return find_leaks(known, rows, rows[spec.data.target], spec.task)


def too_good(outcome: Outcome) -> bool:
    """Return whether predictions are so good that a leak is likely.

    For classes: nearly all are right, beyond what the most common class alone gives, or
    the positive ones stand above the others. For numbers: R².
    """
    if outcome.task == "regression":
        return _reaches("r2", outcome)
    if outcome.task == "binary" and _reaches("roc_auc", outcome):
        return True
    common = float(np.bincount(outcome.truth).max() / len(outcome))
    right = float((outcome.truth == outcome.decision).mean())
    return common < 1 and (right - common) / (1 - common) >= _SAVED


def _reaches(metric: str, outcome: Outcome) -> bool:
    if undefined(metric, outcome):
        return False
    return estimate(metric, outcome).value >= _SUSPICIOUS[metric]


# -- one column -----------------------------------------------------------------------


def _is_copy(
    feature: Candidate, values: pd.Series, truth: pd.Series, task: Task
) -> bool:
    """Return whether a column is the target by another name."""
    if task == "regression":
        if feature.kind != "number":
            return False
        numbers = as_number(values)
        return bool(numbers.nunique() > 2 and (numbers == as_number(truth)).all())
    if feature.unique > truth.nunique():
        return False
    counts = _counts(values.factorize()[0] + 1, truth)
    one_each = bool(((counts > 0).sum(axis=1) == 1).all())
    return one_each and len(counts) == counts.shape[1] == feature.unique


def _reveals(
    feature: Candidate, values: pd.Series, truth: pd.Series, task: Task
) -> bool:
    """Return whether one column leaves almost no error.

    A number is cut into bins of equal size; the best answer in each bin, or for each
    category, is what the column can say alone.
    """
    groups = _groups(feature, values)
    if groups is None or groups.min() == groups.max():
        return False
    if task == "regression":
        explained = _variance_explained(groups, as_number(truth).to_numpy())
        return explained > _ALONE_OF_NUMBERS
    counts = _counts(groups, truth)
    right = counts.max(axis=1).sum() / len(truth)
    common = counts.sum(axis=0).max() / len(truth)
    if common < 1 and (right - common) / (1 - common) > _ALONE:
        return True
    # With rare classes, count how many of each class are recognised.
    sizes = counts.sum(axis=0)
    if sizes.min() < _ROWS_PER_BIN * len(counts):
        return False
    shares = counts / sizes
    best = shares == shares.max(axis=1, keepdims=True)
    recognised = np.where(best, shares, 0.0).sum(axis=0)
    return bool(recognised.min() > _OF_EACH_CLASS)


def _groups(feature: Candidate, values: pd.Series) -> np.ndarray | None:
    """Return the bin or category of each row as a number from 0 (missing) on.

    None where there are too many to tell.
    """
    bins = min(_BINS, len(values) // _ROWS_PER_BIN)
    if bins < 2:
        return None
    if feature.unique <= bins:
        return np.asarray(values.factorize()[0] + 1)
    if feature.kind != "number":
        return None
    numbers = as_number(values).to_numpy()
    known = np.isfinite(numbers)
    edges = np.quantile(numbers[known], np.linspace(0, 1, bins + 1)[1:-1])
    groups = np.searchsorted(np.unique(edges), numbers) + 1
    return np.where(known, groups, 0)


def _counts(groups: np.ndarray, truth: pd.Series) -> np.ndarray:
    """Return how many rows of each group have each class, without empty groups."""
    codes, classes = truth.factorize()
    cells = np.bincount(
        groups * len(classes) + codes, minlength=(groups.max() + 1) * len(classes)
    )
    counts = cells.reshape(-1, len(classes))
    return counts[counts.any(axis=1)]


def _variance_explained(groups: np.ndarray, truth: np.ndarray) -> float:
    """Return R² of the mean of each group."""
    with np.errstate(all="ignore"):  # where numbers end, nothing is told
        rows = np.bincount(groups)
        means = np.bincount(groups, weights=truth) / np.maximum(rows, 1)
        error = np.mean((truth - means[groups]) ** 2)
        total = np.var(truth)
        explained = 1 - error / total
    return float(explained) if np.isfinite(explained) else 0.0


# -- all columns together -------------------------------------------------------------


@dataclass(frozen=True)
class _Sample:
    """Rows of numbers, half of them to learn from and half to ask about."""

    names: list[str]
    inputs: np.ndarray
    truth: np.ndarray
    task: Task

    @property
    def halves(self) -> tuple[slice, slice]:
        half = len(self.truth) // 2
        return slice(0, half), slice(half, None)


def _tell_together(
    features: list[Candidate], rows: pd.DataFrame, truth: pd.Series, task: Task
) -> list[str]:
    """Return the columns that together leave almost no error, or none.

    A linear model (for numbers) and boosted trees learn from half of a sample and are
    asked about the other half. The columns are those without whose values, put in
    another order, the answers are worse.
    """
    if len(truth) < _FEWEST_ROWS or not 2 <= len(features) <= _MOST_COLUMNS:
        return []
    if task != "regression" and truth.nunique() > _MOST_CLASSES:
        return []
    from threadpoolctl import threadpool_limits

    sample = _sample(features, rows, truth, task)
    limit = _TOGETHER_OF_NUMBERS if task == "regression" else _TOGETHER
    # One thread: on a busy machine several wait for each other.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        for model in _models(task):
            learn, ask = sample.halves
            model.fit(sample.inputs[learn], sample.truth[learn])
            score = _score(model, sample.inputs[ask], sample)
            if score >= limit:
                return _important(model, sample, score)
    return []


def _sample(
    features: list[Candidate], rows: pd.DataFrame, truth: pd.Series, task: Task
) -> _Sample:
    """Return some rows in a random order, as numbers without missing values."""
    order = np.random.default_rng(0).permutation(len(rows))[:_MOST_ROWS]
    some = rows.iloc[order]
    inputs = {}
    for feature in features:
        values = some[feature.name]
        if feature.kind == "number":
            numbers = as_number(values)
            inputs[feature.name] = numbers.fillna(numbers.median()).fillna(0.0)
        else:
            inputs[feature.name] = pd.Series(values.factorize()[0], dtype="float64")
    chosen = truth.iloc[order]
    answers = as_number(chosen).to_numpy()
    if task != "regression":
        answers = chosen.factorize()[0]
    table = np.column_stack([column.to_numpy() for column in inputs.values()])
    return _Sample(list(inputs), table, answers, task)


def _models(task: Task) -> list[Any]:
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    )
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    how = {"max_iter": 60, "early_stopping": False, "random_state": 0}
    if task == "regression":
        linear = make_pipeline(StandardScaler(), LinearRegression())
        return [linear, HistGradientBoostingRegressor(**how)]
    return [HistGradientBoostingClassifier(**how)]


def _score(model: Any, inputs: np.ndarray, sample: _Sample) -> float:
    """Return the part of a constant's error that a model saves on the second half."""
    learn, ask = sample.halves
    truth = sample.truth[ask]
    guess = model.predict(inputs)
    if sample.task == "regression":
        error = float(np.mean((truth - guess) ** 2))
        constant = float(np.mean((truth - sample.truth[learn].mean()) ** 2))
    else:
        common = np.bincount(sample.truth[learn]).argmax()
        error = float(np.mean(truth != guess))
        constant = float(np.mean(truth != common))
    if not np.isfinite(error) or constant <= 0:
        return 0.0
    return 1 - error / constant


def _important(model: Any, sample: _Sample, score: float) -> list[str]:
    """Return the columns that matter, by permutation importance, the first most."""
    _, ask = sample.halves
    losses = {}
    rng = np.random.default_rng(0)
    for position, name in enumerate(sample.names):
        shuffled = sample.inputs[ask].copy()
        rng.shuffle(shuffled[:, position])
        losses[name] = score - _score(model, shuffled, sample)
    ranked = sorted(losses, key=lambda name: -losses[name])
    worst = losses[ranked[0]]
    return [name for name in ranked if losses[name] > 0.1 * worst > 0]
