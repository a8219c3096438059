"""What happened and what a model said, side by side as numbers; every metric starts from here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops.errors import Problem, UsageError
from mlops.results import Signature
from mlops.spec import Value

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What happened and what one model said, for the same rows, as numbers.

    Parameters
    ----------
    task : {"binary", "multiclass", "regression"}
    truth, decision : ndarray, shape (n_rows,)
        Positions in `classes` (binary: 1 is the positive class); for regression the target's unit.
    score : ndarray of float, shape (n_rows,) or (n_rows, n_classes), or None
        Probabilities; None for regression.
    classes : tuple of str
    unit : ndarray of int, shape (n_rows,), or None
        Which rows belong together; None where every row stands for itself.
    amounts : Value or None
        For the metric `value`.
    """

    task: str
    truth: NDArray[Any]
    decision: NDArray[Any]
    score: Floats | None = None
    classes: tuple[str, ...] = ()
    unit: Codes | None = None
    amounts: Value | None = None

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: NDArray[Any]) -> Outcome:
        """Return the outcome of some rows (positions or a mask)."""
        score = None if self.score is None else self.score[rows]
        unit = None if self.unit is None else self.unit[rows]
        return replace(
            self, truth=self.truth[rows], decision=self.decision[rows], score=score, unit=unit
        )

    def same_predictions(self, other: Outcome) -> bool:
        """Return whether the other model said exactly the same about every row."""
        return np.array_equal(self.decision, other.decision) and (
            self.score is None
            or (other.score is not None and np.array_equal(self.score, other.score))
        )


def outcome(
    signature: Signature,
    target: pd.Series,
    predicted: pd.DataFrame,
    clusters: pd.Series | None = None,
    amounts: Value | None = None,
) -> Outcome:
    """Put target and predictions side by side as numbers.

    Parameters
    ----------
    signature : Signature
        Of the model that predicted.
    target : Series of str (regression: float), shape (n_rows,)
        What happened.
    predicted : DataFrame, shape (n_rows, n_outputs)
        What `Model.predict` returns for these rows.
    clusters : Series, optional
        The group of each row; a row without one stands for itself.
    amounts : Value, optional
        For the metric `value`.

    Raises
    ------
    UsageError
        When a prediction is no finite number.
    """
    unit = None if clusters is None else _codes(clusters)
    if signature.task == "regression":
        guess = predicted["prediction"].to_numpy(dtype=np.float64)
        _finite(guess)
        return Outcome("regression", target.to_numpy(dtype=np.float64), guess, unit=unit)
    if signature.task == "binary":
        score = predicted["score"].to_numpy(dtype=np.float64)
        positive = str(signature.positive)
        negative = next((c for c in signature.classes if c != positive), f"not {positive}")
        truth = (target == positive).to_numpy(dtype=np.int64)
        decision = (predicted["prediction"] == positive).to_numpy(dtype=np.int64)
        classes: tuple[str, ...] = (negative, positive)
    else:
        # A class that training never saw has no probability column: its probability is zero.
        unseen = sorted(set(target.unique()) - set(signature.classes))
        classes = (*signature.classes, *unseen)
        columns = predicted[[f"p_{c}" for c in signature.classes]].to_numpy(dtype=np.float64)
        score = np.hstack([columns, np.zeros((len(columns), len(unseen)))])
        truth, decision = _positions(target, classes), _positions(predicted["prediction"], classes)
    _finite(score)
    return Outcome(signature.task, truth, decision, score, classes, unit, amounts)


def _positions(labels: pd.Series, classes: tuple[str, ...]) -> Codes:
    import pandas as pd

    return np.asarray(pd.Categorical(labels, categories=list(classes)).codes, dtype=np.int64)


def _codes(clusters: pd.Series) -> Codes:
    import pandas as pd

    codes, names = pd.factorize(clusters)
    alone = codes < 0
    codes[alone] = len(names) + np.arange(alone.sum())
    return np.asarray(codes, dtype=np.int64)


def _finite(values: Floats) -> None:
    bad = int((~np.isfinite(values).reshape(len(values), -1).all(axis=1)).sum())
    if bad:
        raise UsageError(
            Problem(
                "the model predicts something that is no finite number",
                found=f"{bad} of {len(values)} rows",
                do="look for infinite or missing values in features.py and estimator.py",
            )
        )
