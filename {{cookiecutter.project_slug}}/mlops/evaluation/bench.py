"""The test rows and what each model predicts for them, computed once and shared."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mlops.data.dataset import Dataset
from mlops.errors import Problem, UsageError, listed
from mlops.evaluation.metrics import measure
from mlops.evaluation.outcome import Outcome, outcome
from mlops.results import Metric
from mlops.spec import ModelSpec
from mlops.training.model import Model

if TYPE_CHECKING:
    import pandas as pd


@dataclass(eq=False)
class Bench:
    """Hand one bench to `evaluate` and then to `decide`, and no model predicts a row twice.

    Parameters
    ----------
    spec : ModelSpec
    dataset : Dataset

    Raises
    ------
    UsageError
        When the test part cannot carry a verdict, as soon as it is asked.
    """

    spec: ModelSpec
    dataset: Dataset
    _known: list[tuple[Model, pd.DataFrame, Outcome]] = field(default_factory=list)

    @cached_property
    def test(self) -> pd.DataFrame:
        """The labelled test rows."""
        test = self.dataset.part("test")
        clusters = self._clusters(test)
        units = len(test) if clusters is None else int(clusters.nunique(dropna=True))
        if units < 2:
            what = "rows" if clusters is None else f"groups of `{clusters.name}`"
            raise UsageError(
                Problem(
                    f"the test part has too few {what} to say anything about the model",
                    file="model.yaml",
                    key="split.test",
                    found=f"{units} {what}, {len(test)} rows",
                    allowed="at least 2",
                    do="add data, or raise split.test",
                )
            )
        return test

    @cached_property
    def train(self) -> pd.DataFrame:
        """The labelled training rows."""
        return self.dataset.part("train")

    def predicted(self, model: Model) -> pd.DataFrame:
        """Return what a model predicts for the test rows."""
        return self._both(model)[0]

    def outcome(self, model: Model) -> Outcome:
        """Return target and predictions of a model for the test rows."""
        return self._both(model)[1]

    def outcome_of(self, model: Model, rows: pd.DataFrame, predicted: pd.DataFrame) -> Outcome:
        """Return target and any predictions side by side, for any labelled rows."""
        return outcome(
            model.signature,
            rows[self.spec.data.target],
            predicted,
            self._clusters(rows),
            self.spec.metrics.value,
        )

    def measure(self, model: Model) -> tuple[Metric, ...]:
        """Return all metrics of the specification on the test rows, the primary one first."""
        names = tuple(dict.fromkeys((*self.spec.metric_names, *sorted(self.spec.checks.floor))))
        return tuple(measure(name, self.outcome(model)) for name in names)

    def _clusters(self, rows: pd.DataFrame) -> pd.Series | None:
        split = self.spec.split
        return rows[split.column] if split.by == "group" and split.column else None

    def _both(self, model: Model) -> tuple[pd.DataFrame, Outcome]:
        for known, predicted, result in self._known:
            if known is model:
                return predicted, result
        self._require_classes(model)
        predicted = model.predict(self.test)
        result = self.outcome_of(model, self.test, predicted)
        self._known.append((model, predicted, result))
        return predicted, result

    def _require_classes(self, model: Model) -> None:
        """Raise UsageError where a class is absent that the metrics cannot do without."""
        task, target = self.spec.task, self.spec.data.target
        if task == "regression":
            return
        counts = self.test[target].value_counts()
        absent = [c for c in model.signature.classes if c not in counts.index]
        if (task == "binary" and absent) or len(counts) < 2:
            found = ", ".join(f"{label}: {count:,} rows" for label, count in counts.items())
            raise UsageError(
                Problem(
                    f"no test row is of class {listed(absent)}: it cannot be judged",
                    file="model.yaml",
                    key="split",
                    found=f"in the test part {found}",
                    allowed=f"rows of {listed(model.signature.classes)}",
                    do="add data, raise split.test, or change split.seed",
                )
            )


def sample(rows: int, most: int, seed: int) -> np.ndarray:
    """Return up to `most` of `rows` row positions, in order, the same for the same seed."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
