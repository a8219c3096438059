"""Features that give the target away, alone or together.

A score that is too good to be true mostly is: a column is the target under another
name, or was filled in after it was known. What is found is a question to a person,
because a table cannot say what is known when. Only an exact copy is left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops.config.model_spec import Task
from mlops.data.types import as_number
from mlops.errors import listed
from mlops.scaffold.inspect import Column, Columns

# Part of the error of the best constant that one column alone may save: of the wrong
# classes, or of the variance of a number.
_ALONE = 0.8
_ALONE_OF_NUMBERS = 0.98
# Or right in this share of the rows of every class.
_OF_EACH_CLASS = 0.95

# Part that several columns together may save before they are looked at one by one.
_TOGETHER = 0.97
_TOGETHER_OF_NUMBERS = 0.998

_BINS = 100  # of a number; every bin needs five rows
_ROWS_PER_BIN = 5
_MOST_ROWS = 5000  # that the columns are looked at together on
_FEWEST_ROWS = 200
_MOST_COLUMNS = 200
_MOST_CLASSES = 20
_MOST_NAMED = 5

_ADVICE = (
    "If it is not known before the target is, move it from features to data.ignore."
)


def leaks(
    columns: Columns, target: str, task: Task, rows: pd.DataFrame
) -> Iterator[str]:
    """Yield which features give the target away; one that is a copy of it is ignored.

    Parameters
    ----------
    columns : Columns
        Changed in place.
    target : str
    task : Task
    rows : DataFrame, shape (n_rows, n_columns)
        The different rows, as text.
    """
    rows = rows[rows[target].notna()]
    truth = rows[target]
    features = [c for c in columns.values() if c.role == "feature" and c.kind != "text"]
    revealed = False
    for column in features:
        values = rows[column.name]
        if len(features) > 1 and _is_copy(column, values, truth, task):
            reason = f"is a copy of `{target}`, row by row"
            columns[column.name] = column.model_copy(
                update={"role": "ignored", "reason": reason}
            )
            yield f"`{column.name}` is left out: it {reason}."
        elif _reveals(column, values, truth, task):
            revealed = True
            message = f"`{column.name}` alone predicts `{target}` almost without error."
            yield f"{message} {_ADVICE}"
    if revealed:
        return  # all columns together would be found for the same reason
    left = [c for c in features if columns[c.name].role == "feature"]
    together = _tell_together(left, rows, truth, task)
    if together:
        names = listed((f"`{name}`" for name in together), _MOST_NAMED)
        yield (
            f"`{target}` can be told almost without error; most of that comes from "
            f"{names}. If they are not known before the target is, move them from "
            "features to data.ignore."
        )


# -- one column -----------------------------------------------------------------------


def _is_copy(column: Column, values: pd.Series, truth: pd.Series, task: Task) -> bool:
    """Return whether a column is the target by another name."""
    if task == "regression":
        if column.kind != "number":
            return False
        numbers = as_number(values)
        return bool(numbers.nunique() > 2 and (numbers == as_number(truth)).all())
    if column.unique > truth.nunique():
        return False
    counts = _counts(values.factorize()[0] + 1, truth)
    one_each = bool(((counts > 0).sum(axis=1) == 1).all())
    return one_each and len(counts) == counts.shape[1] == column.unique


def _reveals(column: Column, values: pd.Series, truth: pd.Series, task: Task) -> bool:
    """Return whether one column leaves almost no error.

    A number is cut into bins of equal size; the best answer in each bin, or for each
    category, is what the column can say alone.
    """
    groups = _groups(column, values)
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


def _groups(column: Column, values: pd.Series) -> np.ndarray | None:
    """Return the bin or category of each row as a number from 0 (missing) on.

    None where there are too many to tell.
    """
    bins = min(_BINS, len(values) // _ROWS_PER_BIN)
    if bins < 2:
        return None
    if column.unique <= bins:
        return np.asarray(values.factorize()[0] + 1)
    if column.kind != "number":
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
    columns: list[Column], rows: pd.DataFrame, truth: pd.Series, task: Task
) -> list[str]:
    """Return the columns that together leave almost no error, or none.

    A linear model (for numbers) and boosted trees learn from half of a sample and are
    asked about the other half. The columns are those without whose values, put in
    another order, the answers are worse.
    """
    if len(truth) < _FEWEST_ROWS or not 2 <= len(columns) <= _MOST_COLUMNS:
        return []
    if task != "regression" and truth.nunique() > _MOST_CLASSES:
        return []
    from threadpoolctl import threadpool_limits

    sample = _sample(columns, rows, truth, task)
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
    columns: list[Column], rows: pd.DataFrame, truth: pd.Series, task: Task
) -> _Sample:
    """Return some rows in a random order, as numbers without missing values."""
    order = np.random.default_rng(0).permutation(len(rows))[:_MOST_ROWS]
    some = rows.iloc[order]
    inputs = {}
    for column in columns:
        values = some[column.name]
        if column.kind == "number":
            numbers = as_number(values)
            inputs[column.name] = numbers.fillna(numbers.median()).fillna(0.0)
        else:
            inputs[column.name] = pd.Series(values.factorize()[0], dtype="float64")
    sample = truth.iloc[order]
    answers = as_number(sample).to_numpy()
    if task != "regression":
        answers = sample.factorize()[0]
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
