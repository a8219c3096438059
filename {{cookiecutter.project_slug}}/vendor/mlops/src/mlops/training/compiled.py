"""The compiled pipeline: the numbers of `model.skops`, run by onnxruntime.

It answers as the fitted pipeline does, up to the last digits, in a hundredth of the
time, because nothing is looked up, checked or copied for each call. What it cannot
answer as the pipeline would, it does not: the pipeline is asked then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.settings import prepare_process
from mlops.training.model import Model
from mlops.training.onnx_file import require_plain

# How ONNX is given a text that is missing: as skl2onnx writes a missing category.
MISSING = "nan"

_NUMBERS = {"tensor(double)": np.float64, "tensor(float)": np.float32}
_TEXT = "tensor(string)"


class PipelineNeeded(Exception):
    """The compiled pipeline does not know these rows; the pipeline does, or fails."""


class CompiledModel:
    """A model whose pipeline is compiled.

    Where a difference as large as the tolerance could change the predicted class, the
    pipeline decides: no class is predicted that it does not predict.

    Parameters
    ----------
    model : Model
    pipeline : CompiledPipeline
    tolerance : float
        The largest difference between the two, as it was proven.
    """

    def __init__(
        self, model: Model, pipeline: CompiledPipeline, tolerance: float
    ) -> None:
        self._model = model
        self._pipeline = pipeline
        self._tolerance = tolerance

    def values(self, inputs: pd.DataFrame) -> NDArray[np.float64]:
        """Return what `Model.values` does, up to the tolerance.

        Raises
        ------
        PipelineNeeded
            See `CompiledPipeline.run`.
        UsageError
            For an error in the estimator.
        """
        values = self._pipeline.run(inputs)
        close = self._model.is_close(values, self._tolerance)
        if close.any():
            values[close] = self._model.values(inputs[close])
            if not np.isfinite(values).all():
                raise PipelineNeeded("a prediction that is not finite")
        return values


class CompiledPipeline:
    """A compiled pipeline in memory.

    Parameters
    ----------
    content : bytes
        Of model.onnx; the caller has verified their digest.

    Raises
    ------
    Refused
        When the file has more than a graph of ONNX's own operators.
    """

    def __init__(self, content: bytes) -> None:
        require_plain(content)
        prepare_process()  # onnxruntime reports to its makers unless told not to
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # One thread: rows are few, and threads that wait slow a busy machine down.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what fails is raised; a log may quote a value
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [(node.name, node.type) for node in self._session.get_inputs()]
        self._output = self._session.get_outputs()[-1].name

    def run(self, inputs: pd.DataFrame) -> NDArray[np.float64]:
        """Return what the pipeline's `predict_proba`, or `predict`, would.

        Parameters
        ----------
        inputs : DataFrame, shape (n_rows, n_features)
            What features.py makes of the rows.

        Returns
        -------
        ndarray, shape (n_rows, n_classes) or (n_rows,)

        Raises
        ------
        PipelineNeeded
            For values that mean something else when they are compiled, or that the
            compiled pipeline has no finite answer for.
        """
        columns = {name: column for name, column in inputs.items()}
        feed = {}
        try:
            for name, kind in self._inputs:
                feed[name] = _tensor(columns[name], kind)
            values = self._session.run([self._output], feed)[0]
        except PipelineNeeded:
            raise
        except Exception as error:  # onnxruntime has a class for each kind of failure
            raise PipelineNeeded(type(error).__name__) from error
        if not np.isfinite(values).all():
            raise PipelineNeeded("a prediction that is not finite")
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        return np.asarray(values, dtype=np.float64)


def _tensor(column: pd.Series, kind: str) -> NDArray[Any]:
    """Return one column of features as ONNX takes it.

    Raises
    ------
    PipelineNeeded
        For a number that is not finite as ONNX is given it, and for the text that
        stands for a missing one.
    """
    number = _NUMBERS.get(kind)
    if number is not None:
        with np.errstate(over="ignore"):
            numbers = column.to_numpy(dtype=number, na_value=np.nan)
        if np.isinf(numbers).any():
            raise PipelineNeeded("a number that is not finite")
        return np.asarray(numbers).reshape(-1, 1)
    if kind != _TEXT:
        raise PipelineNeeded(f"an input of the type {kind}")
    texts = column.to_numpy(dtype=object, na_value=MISSING)
    missing = np.count_nonzero(texts == MISSING)
    if missing and missing != column.isna().sum():
        raise PipelineNeeded(f"the text {MISSING}")
    return np.asarray(texts).reshape(-1, 1)
