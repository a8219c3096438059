"""A model whose code runs in another process: here is only what it predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mlops.errors import EnvironmentFailure, MlopsError, Refused
from mlops.evaluation.outcome import WORTH
from mlops.results.training import Signature
from mlops.training.model import Model


class HandedOverModel(Model):
    """Signature and predictions of a model; none of its code is loaded.

    Parameters
    ----------
    name : str
    signature : Signature
    answer : DataFrame or MlopsError
        What it predicted for the test rows, or why it could not.
    """

    def __init__(
        self, name: str, signature: Signature, predictions: pd.DataFrame | MlopsError
    ) -> None:
        # Nothing of a loaded model is here, so its own constructor is not called.
        self.name = name
        self.signature = signature
        self._predictions = predictions

    def features(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Raise RuntimeError: the model's code is not here, so no step may ask it."""
        raise RuntimeError("the code of this model runs in another process")

    def predict(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Return the predictions of the test rows, and of nothing else."""
        if isinstance(self._predictions, MlopsError):
            raise self._predictions
        if len(raw) != len(self._predictions):
            raise Refused(
                "the predictions do not match the test rows",
                found=f"{len(self._predictions):,} predictions",
                allowed=f"{len(raw):,}",
                do="run `mlops test` again",
            )
        return self._predictions.set_axis(raw.index)


def read_predictions(
    path: Path, signature: Signature, with_worth: bool = False
) -> pd.DataFrame:
    """Return predictions that another process wrote.

    Parameters
    ----------
    with_worth : bool
        Whether a function of the model said what each of them is worth.

    Raises
    ------
    EnvironmentFailure
        When the file is missing.
    Refused
        When it is not a table with the columns of such a model.
    """
    if not path.is_file():
        raise EnvironmentFailure(
            "this file is missing", file=str(path), do="run `mlops test` again"
        )
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise _refused(path, str(error).partition("\n")[0][:200]) from error
    expected = _columns(signature)
    if with_worth:
        expected.append(WORTH)
    if list(frame.columns) != expected:
        raise _refused(path, ", ".join(map(str, frame.columns))[:200])
    for name in expected:
        is_number = frame[name].dtype.kind == "f"
        if is_number != (name != "prediction" or signature.task == "regression"):
            raise _refused(path, f"{name}: {frame[name].dtype}")
    if with_worth and not np.isfinite(frame[WORTH]).all():
        raise _refused(path, f"{WORTH}: not finite")
    return frame


def _columns(signature: Signature) -> list[str]:
    """Return the columns that `Model.predict` gives for a signature."""
    if signature.task == "regression":
        return ["prediction"]
    if signature.task == "binary":
        return ["prediction", "score"]
    return ["prediction", *(f"p_{name}" for name in signature.classes)]


def _refused(path: Path, value: str) -> Refused:
    return Refused(
        "this file does not contain the predictions of this model",
        file=str(path),
        found=value,
        do="run `mlops test` again",
    )
