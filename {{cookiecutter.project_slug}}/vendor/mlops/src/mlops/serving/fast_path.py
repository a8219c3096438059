"""From validated rows to predictions by a compiled pipeline, without looking twice.

Gives what `Model.predict` gives, for rows whose types the request was checked for: a
frame is made only for features.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.data.known import spellings, without_point_zero
from mlops.data.types import as_date
from mlops.results.training import Signature
from mlops.training.compiled import CompiledModel
from mlops.training.model import Model

Rows = list[dict[str, Any]]
Outputs = list[dict[str, Any]]

_NUMBERS = ("number", "boolean")


class FastPath:
    """Predicts validated rows with a compiled model.

    Parameters
    ----------
    model : Model
    compiled : CompiledModel
        The same model, compiled.
    """

    def __init__(self, model: Model, compiled: CompiledModel) -> None:
        self._model = model
        self._compiled = compiled
        self._typed = TypedRows(model.signature)

    def outputs(self, rows: Rows) -> Outputs:
        """Return the outputs of each row, as JSON has them.

        Raises
        ------
        PipelineNeeded
            When only the pipeline knows these rows.
        UsageError
            For an error in features.py or the estimator.
        """
        inputs = self._model.features_of_typed(self._typed.frame(rows))
        return outputs_of(self._model.signature, self._compiled.values(inputs))


class TypedRows:
    """Makes a frame as `data.types.cast` and the spellings of training would."""

    def __init__(self, signature: Signature) -> None:
        self._kinds = {f.name: f.kind for f in signature.features}
        self._texts = [f.name for f in signature.features if _is_text(f.kind)]
        self._formats = {f.name: f.format for f in signature.features}
        known = {f.name: spellings(f.categories or ()) for f in signature.features}
        self._spellings = {name: texts for name, texts in known.items() if texts}

    def frame(self, rows: Rows) -> pd.DataFrame:
        """Return validated rows, each of which has every feature.

        Returns
        -------
        DataFrame, shape (n_rows, n_features)
        """
        texts = self._text_columns(rows)
        columns: dict[str, Any] = {}
        for name, kind in self._kinds.items():
            if name in texts:
                columns[name] = texts[name]
            elif kind in _NUMBERS:
                columns[name] = np.array([row[name] for row in rows], dtype="float64")
            else:
                dates = pd.Series([row[name] for row in rows], dtype="str")
                columns[name] = as_date(dates, self._formats[name])
        return pd.DataFrame(columns, copy=False)

    def _text_columns(self, rows: Rows) -> dict[str, Any]:
        """Return the columns of texts, which are parts of one long array.

        To make one array costs as much as one column.
        """
        values: list[Any] = []
        for name in self._texts:
            column = [row[name] for row in rows]
            if name in self._spellings:
                column = [self._spelled(name, value) for value in column]
            values += column
        long = pd.array(values, dtype="str")
        count = len(rows)
        columns = {}
        for number, name in enumerate(self._texts):
            columns[name] = long[number * count : (number + 1) * count]
        return columns

    def _spelled(self, name: str, value: str | None) -> str | None:
        """Return a whole number as training wrote it."""
        if value is None:
            return None
        return self._spellings[name].get(without_point_zero(value), value)


def outputs_of(signature: Signature, values: NDArray[np.float64]) -> Outputs:
    """Return what `Model.outputs` does, as JSON values.

    Parameters
    ----------
    values : ndarray, shape (n_rows, n_classes) or (n_rows,)
        Finite.
    """
    if signature.task == "regression":
        return [{"prediction": number} for number in values.tolist()]
    classes = signature.classes
    if signature.task == "multiclass":
        names = [f"p_{name}" for name in classes]
        outputs = []
        for chances, best in zip(
            values.tolist(), values.argmax(axis=1).tolist(), strict=True
        ):
            chance = dict(zip(names, chances, strict=True))
            outputs.append({"prediction": classes[best], **chance})
        return outputs
    positive = classes.index(signature.positive or "")
    labels = (classes[1 - positive], classes[positive])
    return [
        {"prediction": labels[score >= signature.threshold], "score": score}
        for score in values[:, positive].tolist()
    ]


def _is_text(kind: str) -> bool:
    return kind in ("category", "text")
