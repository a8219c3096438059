"""What happened and what a model said, side by side as numbers; every metric starts from here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
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
    """The same rows seen twice.

    Parameters
    ----------
    task : {"binary", "multiclass", "regression"}
    truth, decision : ndarray, shape (n_rows,)
        Positions in `classes` (binary: 1 is the positive class); for regression the target's unit.
    score : ndarray of float, shape (n_rows,) or (n_rows, n_classes)
        Probabilities; for regression the decision again.
    classes : tuple of str
    unit : ndarray of int, shape (n_rows,), or None
        Which rows belong together; None where every row stands for itself.
    amounts : Value or None
        For the metric `value`.
    """

    task: str
    truth: NDArray[Any]
    decision: NDArray[Any]
    score: Floats
    classes: tuple[str, ...] = ()
    unit: Codes | None = None
    amounts: Value | None = None

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def units(self) -> int:
        """Number of independent units: rows, or groups of rows."""
        return len(self) if self.unit is None else int(np.count_nonzero(np.bincount(self.unit)))

    def take(self, rows: NDArray[Any]) -> Outcome:
        """Return the outcome of some rows (positions or a mask)."""
        unit = None if self.unit is None else self.unit[rows]
        truth, decision, score = self.truth[rows], self.decision[rows], self.score[rows]
        return replace(self, truth=truth, decision=decision, score=score, unit=unit)


def outcome(
    signature: Signature,
    target: pd.Series,
    predicted: pd.DataFrame,
    clusters: pd.Series | None = None,
    amounts: Value | None = None,
) -> Outcome:
    """Put target and predictions side by side as numbers.

    `target` and `predicted` (what `Model.predict` returns) are of the same rows; `clusters` is the
    group of each row, and a row without one stands for itself; `amounts` are for `value`.

    Raises
    ------
    UsageError
        When a prediction is no finite number.
    """
    unit = None if clusters is None else _units(clusters)
    if signature.task == "regression":
        guess = _finite(predicted["prediction"])
        return Outcome("regression", target.to_numpy(dtype=np.float64), guess, guess, unit=unit)
    if signature.task == "binary":
        positive = str(signature.positive)
        classes: tuple[str, ...] = (f"not {positive}", positive)
        score = _finite(predicted["score"])
        truth, decision = (
            (labels == positive).to_numpy(dtype=np.int64)
            for labels in (target, predicted["prediction"])
        )
    else:
        # A class that training never saw has no probability column: its probability is zero.
        unseen = sorted(set(target.unique()) - set(signature.classes))
        classes = (*signature.classes, *unseen)
        chances = _finite(predicted[[f"p_{c}" for c in signature.classes]])
        score = np.hstack([chances, np.zeros((len(chances), len(unseen)))])
        truth, decision = (_positions(x, classes) for x in (target, predicted["prediction"]))
    return Outcome(signature.task, truth, decision, score, classes, unit, amounts)


def _positions(labels: pd.Series, classes: tuple[str, ...]) -> Codes:
    import pandas as pd

    return np.asarray(pd.Categorical(labels, categories=list(classes)).codes, dtype=np.int64)


def _units(clusters: pd.Series) -> Codes:
    import pandas as pd

    codes, names = pd.factorize(clusters)
    alone = codes < 0
    codes[alone] = len(names) + np.arange(alone.sum())
    return np.asarray(codes, dtype=np.int64)


def _finite(predicted: pd.Series | pd.DataFrame) -> Floats:
    """Return predictions as numbers, or raise UsageError."""
    values: Floats = predicted.to_numpy(dtype=np.float64)
    bad = int((~np.isfinite(values).reshape(len(values), -1).all(axis=1)).sum())
    if bad:
        raise UsageError(
            Problem(
                "the model predicts something that is no finite number",
                found=f"{bad} of {len(values)} rows",
                do="look for infinite or missing values in features.py and estimator.py",
            )
        )
    return values
