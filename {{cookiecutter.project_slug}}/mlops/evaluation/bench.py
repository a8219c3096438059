"""The test rows and what each model predicts for them, computed once and shared."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mlops.data.dataset import Dataset
from mlops.errors import Problem, UsageError, listed
from mlops.evaluation.outcome import Outcome, outcome
from mlops.spec import ModelSpec
from mlops.training.model import Model

if TYPE_CHECKING:
    import pandas as pd


@dataclass(eq=False)
class Bench:
    """Hand one bench to `evaluate` and then to `decide`, and no model predicts a row twice.

    Raises
    ------
    UsageError
        When the test part cannot carry a verdict, as soon as it is asked.
    """

    spec: ModelSpec
    dataset: Dataset
    _predicted: dict[Model, pd.DataFrame] = field(default_factory=dict)
    _outcomes: dict[Model, Outcome] = field(default_factory=dict)

    @cached_property
    def test(self) -> pd.DataFrame:
        """The labelled test rows."""
        test = self.dataset.part("test")
        clusters = self._clusters(test)
        units = len(test) if clusters is None else int(clusters.nunique())
        if units < 2:
            what = "rows" if clusters is None else f"groups of `{clusters.name}`"
            found = f"{units} {what}, {len(test)} rows"
            raise _useless(
                f"the test part has too few {what} to say anything about the model", found
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
            self._predicted[model] = model.predict(self.test)
        return self._predicted[model]

    def outcome(self, model: Model) -> Outcome:
        """Return target and predictions of a model for the test rows."""
        if model not in self._outcomes:
            self._outcomes[model] = self.outcome_of(model, self.test, self.predicted(model))
        return self._outcomes[model]

    def outcome_of(self, model: Model, rows: pd.DataFrame, predicted: pd.DataFrame) -> Outcome:
        """Return target and any predictions side by side, for any labelled rows."""
        target, amounts = rows[self.spec.data.target], self.spec.metrics.value
        return outcome(model.signature, target, predicted, self._clusters(rows), amounts)

    def _clusters(self, rows: pd.DataFrame) -> pd.Series | None:
        split = self.spec.split
        return rows[split.column] if split.by == "group" and split.column else None

    def _require_classes(self, model: Model) -> None:
        """Raise UsageError where a class is absent that the metrics cannot do without."""
        if self.spec.task == "regression":
            return
        counts, classes = self.test[self.spec.data.target].value_counts(), model.signature.classes
        absent = [c for c in classes if c not in counts.index]
        if (self.spec.task == "binary" and absent) or len(counts) < 2:
            found = ", ".join(f"{label}: {count:,} rows" for label, count in counts.items())
            raise _useless(f"no test row is of class {listed(absent)}: it cannot be judged", found)


def _useless(what: str, found: str) -> UsageError:
    do = "add data, raise split.test, or change split.seed"
    return UsageError(Problem(what, file="model.yaml", key="split", found=found, do=do))


def sample(rows: int, most: int, seed: int) -> np.ndarray:
    """Return up to `most` of `rows` row positions, in order, the same for the same seed."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
