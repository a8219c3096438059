"""One prediction of a version, explained: row, features, outputs, contributions."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.errors import UsageError
from mlops.registry.chain import Bundle
from mlops.results.evaluation import REFERENCE
from mlops.results.explanation import Contribution, Explanation
from mlops.serving.prediction_log import records
from mlops.serving.shapley import background_rows, shapley_values
from mlops.training.model import Model

_FEWEST_ROWS = 10  # of a background: fewer are no picture of what is usual
_LONGEST_TEXT = 200  # of a value that JSON does not have


def background_of(bundle: Bundle) -> pd.DataFrame:
    """Return rows of a version's reference sample, which explanations compare with.

    Returns
    -------
    DataFrame, shape (at most 100, n_columns)
        The same each time. Without the columns that the sample does not have:
        sensitive ones, and those that rows are identified or split by.

    Raises
    ------
    UsageError
        When there are too few rows, or too many features for a bounded cost.
    """
    features = [feature.name for feature in bundle.manifest.signature.features]
    most = background_rows(len(features))
    if most < _FEWEST_ROWS:
        raise UsageError(
            "a model with so many features cannot be explained in bounded time",
            file=bundle.version.ref,
            key="features",
            found=f"{len(features):,}",
        )
    sample = pd.read_parquet(io.BytesIO(bundle.read(REFERENCE)))
    if len(sample) < _FEWEST_ROWS:
        raise UsageError(
            "the reference sample has too few rows to compare a prediction with",
            file=bundle.version.ref,
            key=REFERENCE,
            found=f"{len(sample):,}",
            allowed=f"{_FEWEST_ROWS} or more",
        )
    rows = sample.sample(min(most, len(sample)), random_state=0)
    shown = [name for name in features if name in sample]
    return rows[shown].reset_index(drop=True)


@dataclass(frozen=True)
class Explainer:
    """Explains predictions of one version.

    Parameters
    ----------
    version : str
        Such as ``v1.2.0``.
    model : Model
    background : DataFrame
        See `background_of`.
    hidden : collection of str
        Columns whose values are not shown. They have no contribution either.
    """

    version: str
    model: Model
    background: pd.DataFrame
    hidden: Collection[str] = ()

    def explain(
        self,
        row: Mapping[str, Any],
        predict: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    ) -> Explanation:
        """Return the explanation of one row.

        For a binary model the score is explained, for a multiclass model the
        probability of the predicted class, else the prediction.

        Parameters
        ----------
        row : mapping
            Has every feature.
        predict : callable, optional
            Used instead of `Model.predict`.

        Raises
        ------
        UsageError
            When a value is of the wrong type, or the model's own code fails.
        """
        predict = predict or self.model.predict
        names = [feature.name for feature in self.model.signature.features]
        raw = self.model.typed(pd.DataFrame([dict(row)], columns=names))
        explained = [
            name
            for name in names
            if name in self.background and name not in self.hidden
        ]
        fixed = tuple(name for name in names if name not in explained)
        outputs = records(predict(raw))[0]
        output = self._output(outputs)

        def numbers(rows: pd.DataFrame) -> NDArray[np.float64]:
            return np.asarray(predict(rows)[output], dtype=np.float64)

        found = shapley_values(numbers, raw, self._typed_background(raw), explained)
        parts = zip(explained, found.contributions, found.errors, strict=True)
        contributions = [
            Contribution(
                feature=name,
                value=_plain_value(row[name]),
                contribution=float(added),
                error=float(error),
            )
            for name, added, error in parts
        ]
        contributions.sort(key=lambda one: -abs(one.contribution))
        shown = [name for name in names if name not in self.hidden]
        return Explanation(
            version=self.version,
            row={name: _plain_value(row[name]) for name in shown},
            features=self._features(raw),
            prediction=outputs,
            output=output,
            explained=found.value,
            mean=found.mean,
            background=len(self.background),
            contributions=tuple(contributions),
            fixed=fixed,
        )

    def _output(self, outputs: Mapping[str, Any]) -> str:
        """Return which output is explained."""
        task = self.model.signature.task
        if task == "multiclass":
            return f"p_{outputs['prediction']}"
        return "score" if task == "binary" else "prediction"

    def _typed_background(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Return the background with every column of a row, in its types."""
        rows = self.background.copy()
        for name in raw.columns:
            if name not in rows or name in self.hidden:
                rows[name] = raw[name].iloc[0]
        return self.model.typed(rows[list(raw.columns)])

    def _features(self, raw: pd.DataFrame) -> dict[str, Any] | None:
        """Return what features.py makes of a row, if that shows nothing hidden."""
        if any(name in self.hidden for name in raw.columns):
            return None
        made = records(self.model.features(raw))[0]
        return {str(name): _plain_value(value) for name, value in made.items()}


def _plain_value(value: Any) -> Any:
    """Return a value as JSON has it; what it does not have, as a short text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, np.generic):
        return _plain_value(value.item())
    return str(value)[:_LONGEST_TEXT]
