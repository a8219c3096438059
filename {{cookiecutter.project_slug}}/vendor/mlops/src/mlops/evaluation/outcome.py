"""The test rows: what happened and what a model predicted, side by side.

Every metric starts from an `Outcome`, computed once. The samples that travel with a
version (what monitoring compares with, what a service must answer) belong to the run
that judged the model: whoever registers it later only handles files.
"""

from __future__ import annotations

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
from mlops.errors import Problem, UsageError, listed
from mlops.results.training import Signature
from mlops.training.model import Model

Floats = NDArray[np.float64]

Codes = NDArray[np.int64]

_BLOCKS, _FEWEST_BLOCKS = 20, 10  # of a split by time


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
        return (
            len(self)
            if self.unit is None
            else int(np.count_nonzero(np.bincount(self.unit)))
        )

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

    `target` and `predicted` (what `Model.predict` returns) are of the same rows;
    `clusters` is the group of each row, and a row without one stands for itself;
    `amounts` are for `value`.

    Raises
    ------
    UsageError
        When a prediction is no finite number.
    """
    said = predicted["prediction"]
    unit = None if clusters is None else _units(clusters)
    if signature.task == "regression":
        guess = _finite(said)
        return Outcome(
            "regression", target.to_numpy(dtype=np.float64), guess, guess, unit=unit
        )
    target = respell(target, spellings(signature.classes))
    if signature.task == "binary":
        positive = str(signature.positive)
        classes: tuple[str, ...] = (f"not {positive}", positive)
        score = _finite(predicted["score"])
        truth, decision = (
            (x == positive).to_numpy(dtype=np.int64) for x in (target, said)
        )
    else:
        # A class that training never saw has no probability column: its probability is
        # zero.
        unseen = sorted(set(target.unique()) - set(signature.classes))
        classes = (*signature.classes, *unseen)
        chances = _finite(predicted[[f"p_{c}" for c in signature.classes]])
        score = np.hstack([chances, np.zeros((len(chances), len(unseen)))])
        truth, decision = (pd.Index(classes).get_indexer(x) for x in (target, said))
    return Outcome(signature.task, truth, decision, score, classes, unit, amounts)


def _units(clusters: pd.Series) -> Codes:
    codes, names = pd.factorize(clusters)
    alone = codes < 0
    codes[alone] = len(names) + np.arange(alone.sum())
    return np.asarray(codes, dtype=np.int64)


def _finite(predicted: pd.Series | pd.DataFrame) -> Floats:
    """Return predictions as numbers, or raise UsageError."""
    values: Floats = predicted.to_numpy(dtype=np.float64)
    bad = int((~np.isfinite(values).reshape(len(values), -1).all(axis=1)).sum())
    if bad:
        what = "the model predicts something that is no finite number"
        do = "look for infinite or missing values in features.py and estimator.py"
        raise UsageError(what, found=f"{bad} of {len(values)} rows", do=do)
    return values


@dataclass(eq=False)
class EvaluationContext:
    """The labelled rows of a run, and what each model predicts for them, made once.

    `folder` is the model's: a champion whose columns are others, or of another kind, is
    asked about the same rows as the files there have them.

    Raises
    ------
    UsageError
        When the test part cannot carry a verdict, as soon as it is asked.
    """

    spec: ModelSpec
    dataset: Dataset
    folder: Path | None = None
    _predicted: dict[Model, pd.DataFrame] = field(default_factory=dict)
    _outcomes: dict[Model, Outcome] = field(default_factory=dict)

    @cached_property
    def test(self) -> pd.DataFrame:
        """The labelled test rows."""
        test = self.dataset.part("test")
        clusters = self._clusters(test)
        units = len(test) if clusters is None else int(clusters.nunique())
        if units < 2:
            kind = "rows" if clusters is None else f"groups of `{clusters.name}`"
            what = f"the test part has too few {kind} to say anything about the model"
            raise self._useless(what, f"{units} {kind}, {len(test)} rows")
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
        return self.dataset.test_as_written(self.folder, kinds)

    def outcome(self, model: Model) -> Outcome:
        """Return target and predictions of a model for the test rows."""
        if model not in self._outcomes:
            self._outcomes[model] = self.outcome_of(
                model, self.test, self.predicted(model)
            )
        return self._outcomes[model]

    def outcome_of(
        self, model: Model, rows: pd.DataFrame, predicted: pd.DataFrame
    ) -> Outcome:
        """Return target and any predictions side by side, for any labelled rows."""
        target, amounts = rows[self.spec.data.target], self.spec.metrics.value
        return outcome(
            model.signature, target, predicted, self._clusters(rows), amounts
        )

    def _clusters(self, rows: pd.DataFrame) -> pd.Series | None:
        split = self.spec.split
        if split.by == "time":
            return time_blocks(rows[self.spec.data.time])
        return rows[split.column] if split.by == "group" else None

    def _require_classes(self, model: Model) -> None:
        """Raise UsageError where a class is absent that the metrics need."""
        if self.spec.task == "regression":
            return
        counts, classes = (
            self.test[self.spec.data.target].value_counts(),
            model.signature.classes,
        )
        absent = [c for c in classes if c not in counts.index]
        if (self.spec.task == "binary" and absent) or len(counts) < 2:
            found = ", ".join(
                f"{label}: {count:,} rows" for label, count in counts.items()
            )
            what = f"no test row is of class {listed(absent)}: it cannot be judged"
            raise self._useless(what, found)

    def _useless(self, what: str, found: str) -> UsageError:
        return UsageError(
            Problem(what, "model.yaml", "split", found, do=self.spec.split.remedy)
        )


def time_blocks(times: pd.Series) -> pd.Series | None:
    """Return which rows stand for each other, where neighbours in time are alike.

    Stretches of about as many rows each, equal times together: between long stretches
    little is shared, so they count as independent (batch means; Carlstein 1986). None,
    every row for itself, where there are too few times to part.
    """
    ranks = times.rank(method="max", pct=True)
    blocks = np.ceil(ranks * _BLOCKS).rename(f"{times.name} blocks")
    return blocks if blocks.nunique() >= _FEWEST_BLOCKS else None


def sample(rows: int, most: int, seed: int) -> np.ndarray:
    """Return at most `most` of `rows` positions, in order, the same for a seed."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
