"""The test rows: what happened and what a model predicted, side by side.

Every metric starts from an `Outcome`, computed once. The samples that travel with a
version (what monitoring compares with, what a service must answer) belong to the run
that judged the model: whoever registers it later only handles files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.config.model_spec import ModelSpec, Value
from mlops.data.known import respell, spellings
from mlops.data.snapshot import Dataset
from mlops.errors import UsageError, listed
from mlops.results.training import Signature
from mlops.results.verdict import Part
from mlops.training.model import Model

Floats = NDArray[np.float64]

Codes = NDArray[np.int64]

# Worth of each row, given the raw rows, their labels, and what was predicted of them.
WorthOf = Callable[[pd.DataFrame, pd.Series, pd.DataFrame], Floats]

# The column of predictions that were handed over, where a function says the worth.
WORTH = "worth"

# Of a split by time.
_BLOCKS = 20
_FEWEST_BLOCKS = 2


@dataclass(frozen=True, eq=False)
class Outcome:
    """The same rows seen twice.

    Parameters
    ----------
    task : {"binary", "multiclass", "regression"}
    truth, decision : ndarray, shape (n_rows,)
        Positions in `classes` (binary: 1 is the positive class); for regression the
        target's unit.
    score : ndarray of float, shape (n_rows,) or (n_rows, n_classes)
        Probabilities; for regression the decision again.
    classes : tuple of str
    unit : ndarray of int, shape (n_rows,), or None
        Which rows belong together; None where every row stands for itself.
    amounts : Value or None
        For the metric `value`.
    worths : ndarray of float, shape (n_rows,), or None
        What each prediction is worth, where a function of the model says it.
    """

    task: str
    truth: NDArray[Any]
    decision: NDArray[Any]
    score: Floats
    classes: tuple[str, ...] = ()
    unit: Codes | None = None
    amounts: Value | None = None
    worths: Floats | None = None

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def units(self) -> int:
        """Number of independent units: rows, or groups of rows."""
        if self.unit is None:
            return len(self)
        return int(np.count_nonzero(np.bincount(self.unit)))

    def take(self, rows: NDArray[Any]) -> Outcome:
        """Return the outcome of some rows (positions or a mask)."""
        return replace(
            self,
            truth=self.truth[rows],
            decision=self.decision[rows],
            score=self.score[rows],
            unit=None if self.unit is None else self.unit[rows],
            worths=None if self.worths is None else self.worths[rows],
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
    target : Series, shape (n_rows,)
    predicted : DataFrame, shape (n_rows, n_outputs)
        What `Model.predict` returned for the same rows.
    clusters : Series, shape (n_rows,), optional
        The group of each row; a row without one stands for itself.
    amounts : Value, optional
        For the metric `value`.

    Raises
    ------
    UsageError
        When a prediction is not finite.
    """
    unit = None if clusters is None else _units(clusters)
    if signature.task == "regression":
        numbers = _finite(predicted["prediction"])
        return Outcome(
            task="regression",
            truth=target.to_numpy(dtype=np.float64),
            decision=numbers,
            score=numbers,
            unit=unit,
            amounts=amounts,
        )
    target = respell(target, spellings(signature.classes))
    if signature.task == "binary":
        both = _binary(target, predicted, str(signature.positive))
    else:
        both = _multiclass(target, predicted, signature.classes)
    return replace(both, unit=unit, amounts=amounts)


def _binary(target: pd.Series, predicted: pd.DataFrame, positive: str) -> Outcome:
    return Outcome(
        task="binary",
        truth=(target == positive).to_numpy(dtype=np.int64),
        decision=(predicted["prediction"] == positive).to_numpy(dtype=np.int64),
        score=_finite(predicted["score"]),
        classes=(f"not {positive}", positive),
    )


def _multiclass(
    target: pd.Series, predicted: pd.DataFrame, trained: tuple[str, ...]
) -> Outcome:
    # A class that training never saw has no probability column: its probability is
    # zero.
    unseen = sorted(set(target.unique()) - set(trained))
    classes = (*trained, *unseen)
    positions = pd.Index(classes)
    chances = _finite(predicted[[f"p_{name}" for name in trained]])
    return Outcome(
        task="multiclass",
        truth=positions.get_indexer(target),
        decision=positions.get_indexer(predicted["prediction"]),
        score=np.hstack([chances, np.zeros((len(chances), len(unseen)))]),
        classes=classes,
    )


def _units(clusters: pd.Series) -> Codes:
    codes, names = pd.factorize(clusters)
    unnamed = codes < 0
    codes[unnamed] = len(names) + np.arange(unnamed.sum())
    return np.asarray(codes, dtype=np.int64)


def _finite(predicted: pd.Series | pd.DataFrame) -> Floats:
    """Return predictions as numbers, or raise UsageError."""
    values: Floats = predicted.to_numpy(dtype=np.float64)
    bad = int((~np.isfinite(values).reshape(len(values), -1).all(axis=1)).sum())
    if bad:
        raise UsageError(
            "a prediction of the model is not finite",
            found=f"{bad} of {len(values)} rows",
            do="look for infinite or missing values in features.py and estimator.py",
        )
    return values


@dataclass(eq=False)
class EvaluationContext:
    """The labelled rows of a run, and what each model predicts for them, made once.

    Parameters
    ----------
    part : {"test", "validation"}
        The rows that judge: `test` in the names of this class stands for either.
    folder : Path, optional
        The model's: a champion that takes other columns, or of another kind, predicts
        the same rows as the files there have them.
    worth_of : callable, optional
        Returns what each prediction is worth, where a function of the model says it.

    Raises
    ------
    UsageError
        When the test part cannot carry a verdict, as soon as it is used.
    """

    spec: ModelSpec
    dataset: Dataset
    folder: Path | None = None
    part: Part = "test"
    worth_of: WorthOf | None = None
    _predicted: dict[Model, pd.DataFrame] = field(default_factory=dict)
    _outcomes: dict[Model, Outcome] = field(default_factory=dict)

    @cached_property
    def test(self) -> pd.DataFrame:
        """The labelled rows that judge, of the test part or the validation part."""
        test = self.dataset.part(self.part)
        clusters = self._clusters(test)
        units = len(test) if clusters is None else int(clusters.nunique())
        if units < 2:
            kind = "rows" if clusters is None else f"groups of `{clusters.name}`"
            raise self._useless(
                f"the {self.part} part has too few {kind} to say anything about the "
                "model",
                f"{units} {kind}, {len(test)} rows",
            )
        return test

    @cached_property
    def train(self) -> pd.DataFrame:
        """The labelled training rows."""
        return self.dataset.part("train")

    def predicted(self, model: Model) -> pd.DataFrame:
        """Return what a model predicts for the test rows."""
        if model not in self._predicted:
            self._require_classes(model)
            self._predicted[model] = model.predict(self.rows_of(model))
        return self._predicted[model]

    def rows_of(self, model: Model) -> pd.DataFrame:
        """Return the test rows with the columns that a model takes, of its kinds.

        A champion may take others than model.yaml has now; they come from the files.
        """
        kinds = {f.name: f.kind for f in model.signature.features}
        if not self.folder or kinds.items() <= self.spec.features.items():
            return self.test
        return self.dataset.as_written(self.part, self.folder, kinds)

    def outcome(self, model: Model) -> Outcome:
        """Return target and predictions of a model for the test rows."""
        if model not in self._outcomes:
            predicted = self.predicted(model)
            self._outcomes[model] = self.outcome_of(model, self.test, predicted)
        return self._outcomes[model]

    def outcome_of(
        self, model: Model, rows: pd.DataFrame, predicted: pd.DataFrame
    ) -> Outcome:
        """Return target and any predictions side by side, for any labelled rows."""
        both = outcome(
            model.signature,
            rows[self.spec.data.target],
            predicted,
            clusters=self._clusters(rows),
            amounts=self.spec.metrics.value,
        )
        return replace(both, worths=self._worths(rows, predicted))

    def handed_over(self, model: Model) -> pd.DataFrame:
        """Return what a model predicts for the test rows, for a process without code.

        Where a function says what predictions are worth, that is a column of it.
        """
        predicted = self.predicted(model)
        worths = self._worths(self.test, predicted)
        return predicted if worths is None else predicted.assign(**{WORTH: worths})

    def _worths(self, rows: pd.DataFrame, predicted: pd.DataFrame) -> Floats | None:
        """Return what predictions are worth by the model's function, if it has one."""
        value = self.spec.metrics.value
        if value is None or value.function is None:
            return None
        if WORTH in predicted:
            return np.asarray(predicted[WORTH], dtype=np.float64)
        if self.worth_of is None:
            return None
        target = self.spec.data.target
        return self.worth_of(rows.drop(columns=target), rows[target], predicted)

    def _clusters(self, rows: pd.DataFrame) -> pd.Series | None:
        split = self.spec.split
        if split.by == "time":
            return time_blocks(rows[self.spec.data.time])
        return rows[split.column] if split.by == "group" else None

    def _require_classes(self, model: Model) -> None:
        """Raise UsageError where a class is absent that the metrics need."""
        if self.spec.task == "regression":
            return
        counts = self.test[self.spec.data.target].value_counts()
        absent = [name for name in model.signature.classes if name not in counts.index]
        if (self.spec.task == "binary" and absent) or len(counts) < 2:
            rows = [f"{label}: {count:,} rows" for label, count in counts.items()]
            raise self._useless(
                f"no {self.part} row is of class {listed(absent)}: it cannot be judged",
                ", ".join(rows),
            )

    def _useless(self, problem: str, value: str) -> UsageError:
        """Return the error for a test part that cannot carry a verdict."""
        return UsageError(
            problem,
            file="model.yaml",
            key="split",
            found=value,
            do=self.spec.split.remedy,
        )


def time_blocks(times: pd.Series) -> pd.Series | None:
    """Return which rows stand for each other, where neighbours in time are alike.

    Periods of about as many rows each, equal times together: long periods share little,
    so they count as independent (batch means; Carlstein 1986). Of fewer times each is a
    period: a few of them prove little, and the intervals say so. None, every row for
    itself, where all rows are of one time: the gate decides nothing then.
    """
    ranks = times.rank(method="max", pct=True)
    blocks = np.ceil(ranks * _BLOCKS).rename(f"{times.name} blocks")
    return blocks if blocks.nunique() >= _FEWEST_BLOCKS else None


def sample(rows: int, most: int, seed: int) -> np.ndarray:
    """Return at most `most` of `rows` positions, in order, the same for a seed."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
