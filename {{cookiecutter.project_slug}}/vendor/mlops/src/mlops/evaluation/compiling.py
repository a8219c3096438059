"""The pipeline, compiled for the service, and compared with the one that was tested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.errors import MlopsError, counted
from mlops.io.digests import sha256
from mlops.results.compilation import Compilation
from mlops.results.training import Feature
from mlops.training.compiled import CompiledModel, CompiledPipeline, PipelineNeeded
from mlops.training.model import Model

# Values that the rows may not have: in so many rows each, for so many columns.
_CHANGED_ROWS = 20
_CHANGED_COLUMNS = 50

_UNSEEN = "a value that was never seen"


def compiled(
    model: Model, rows: pd.DataFrame, tolerance: float, secret: bool = False
) -> tuple[Compilation, bytes]:
    """Compile the pipeline of a model and compare it with the pipeline.

    Compared are all rows, and some of them with values missing, never seen or far out
    of range, one column at a time. That a pipeline cannot be compiled, or predicts
    something else when it is, is no error: it serves as it is.

    Parameters
    ----------
    model : Model
    rows : DataFrame, shape (n_rows, n_columns)
        Raw rows.
    tolerance : float
        `serving.tolerance` of model.yaml.
    secret : bool
        Whether no value of the rows may be shown, as a library's error may do.

    Returns
    -------
    Compilation
    bytes
        The compiled pipeline in ONNX; empty where the service may not use it.
    """
    failures: list[Exception] = []
    for double in (True, False):
        try:
            content, difference = _proven(model, rows, tolerance, double)
            break
        except Exception as error:  # whatever skl2onnx and onnxruntime raise
            failures.append(error)
    else:
        # What float32 says is about the model; float64 may just not be there.
        reason = type(failures[-1]).__name__ if secret else _reason(failures[-1])
        return Compilation(ok=False, reason=reason, tolerance=tolerance), b""
    facts = Compilation(
        ok=True,
        rows=difference.rows,
        difference=difference.largest,
        tolerance=tolerance,
        compiled_sha256=sha256(content),
    )
    return facts, content


def _proven(
    model: Model, rows: pd.DataFrame, tolerance: float, double: bool
) -> tuple[bytes, _LargestDifference]:
    """Return a compiled pipeline and how far it is from the pipeline."""
    from mlops.training.onnx_conversion import convert

    content = convert(model, model.features(rows.head(_CHANGED_ROWS)), double)
    pipeline = CompiledPipeline(content)
    return content, _BothWays(model, pipeline, tolerance).of(rows)


def _reason(error: Exception) -> str:
    """Return why a pipeline is not compiled, in one line."""
    if isinstance(error, _Differs):
        return str(error)
    if isinstance(error, MlopsError):
        problem = error.problems[0]
        return f"{problem.what}: {problem.found}" if problem.found else problem.what
    if isinstance(error, PipelineNeeded):
        return f"the compiled pipeline does not predict its own test rows: {error}"
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:300]


# -- the comparison --------------------------------------------------------------------


class _Differs(Exception):
    """The compiled pipeline predicts something else."""


@dataclass(frozen=True)
class _LargestDifference:
    """How far two pipelines are apart on some rows, at most."""

    rows: int
    largest: float


@dataclass(frozen=True)
class _ChangedColumn:
    """One value for one column of some rows."""

    column: str
    value: Any


class _BothWays:
    """Compares a compiled pipeline with the pipeline, as the service uses both."""

    def __init__(
        self, model: Model, pipeline: CompiledPipeline, tolerance: float
    ) -> None:
        self._model = model
        self._compiled = CompiledModel(model, pipeline, tolerance)
        self._tolerance = tolerance

    def of(self, rows: pd.DataFrame) -> _LargestDifference:
        """Return the largest difference on rows, as they are and with changed values.

        Raises
        ------
        _Differs
            When it is larger than the tolerance, or a predicted class differs.
        PipelineNeeded
            When the compiled pipeline has no answer for the rows as they are.
        """
        inputs = self._model.features(rows)
        expected = self._model.values(inputs)
        found = [self._difference(expected, self._compiled.values(inputs))]
        some = rows.head(_CHANGED_ROWS)
        found += self._changed(some, list(_changes(self._model.signature.features)))
        return _LargestDifference(
            rows=sum(one.rows for one in found),
            largest=max(one.largest for one in found),
        )

    def _changed(
        self, rows: pd.DataFrame, changes: Sequence[_ChangedColumn]
    ) -> list[_LargestDifference]:
        """Compare rows with each change; all together where none of them fails."""
        if not changes:
            return []
        difference = self._both(pd.concat([_with(rows, one) for one in changes]))
        if difference is not None:
            return [difference]
        if len(changes) == 1:
            return []  # the service asks the pipeline, which answers or fails
        half = len(changes) // 2
        first = self._changed(rows, changes[:half])
        return first + self._changed(rows, changes[half:])

    def _both(self, rows: pd.DataFrame) -> _LargestDifference | None:
        """Return the difference on rows, None where the service asks the pipeline.

        Raises
        ------
        _Differs
            Also where the pipeline fails and the compiled one does not.
        """
        expected = None
        try:
            inputs = self._model.features(rows)
        except MlopsError:
            return None
        with suppress(MlopsError):
            expected = self._model.values(inputs)
        try:
            values = self._compiled.values(inputs)
        except (PipelineNeeded, MlopsError):
            return None
        if expected is None:
            raise _Differs("it predicts rows for which the pipeline fails")
        return self._difference(expected, values)

    def _difference(
        self, expected: NDArray[Any], values: NDArray[Any]
    ) -> _LargestDifference:
        """Return how far predictions are from those expected."""
        if values.shape != expected.shape:
            problem = f"predictions of another shape: {values.shape}, {expected.shape}"
            raise _Differs(problem)
        scale = np.ones_like(expected, dtype=float)
        if self._model.signature.task == "regression":
            scale = np.maximum(1, np.abs(expected))
        largest = float((np.abs(values - expected) / scale).max(initial=0.0))
        if not largest <= self._tolerance:
            raise _Differs(
                f"predictions differ by {largest:.1e}, more than serving.tolerance "
                f"({self._tolerance:.0e})"
            )
        index = pd.RangeIndex(len(expected))
        ours = self._model.outputs(values, index)["prediction"]
        theirs = self._model.outputs(expected, index)["prediction"]
        if self._model.signature.task != "regression":
            flipped = int((ours != theirs).sum())
            if flipped:
                rows = counted(flipped, "row")
                raise _Differs(f"another class is predicted for {rows}")
        return _LargestDifference(len(expected), largest)


def _with(rows: pd.DataFrame, change: _ChangedColumn) -> pd.DataFrame:
    """Return rows with one value in all of a column."""
    column = pd.Series(change.value, index=rows.index, dtype="object")
    return rows.assign(**{change.column: column})


def _changes(features: Sequence[Feature]) -> Iterator[_ChangedColumn]:
    """Yield values that rows may not have: missing, unseen, far out of range."""
    step = max(1, len(features) // _CHANGED_COLUMNS)
    for feature in features[::step]:
        yield _ChangedColumn(feature.name, None)
        if feature.kind in ("category", "text"):
            yield _ChangedColumn(feature.name, _UNSEEN)
        if feature.kind == "number" and feature.low is not None:
            high = feature.low if feature.high is None else feature.high
            span = max(1.0, high - feature.low)
            yield _ChangedColumn(feature.name, feature.low - span)
            yield _ChangedColumn(feature.name, high + span)
