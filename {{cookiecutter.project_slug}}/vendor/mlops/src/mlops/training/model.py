"""A model in memory: features and pipeline behind one `predict`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import ThreadpoolController

from mlops.data.known import respell, spellings
from mlops.data.types import cast
from mlops.errors import Refused, UsageError
from mlops.io.digests import sha256
from mlops.io.files import cannot
from mlops.io.user_code import blaming, load_function
from mlops.results.training import Signature, Training
from mlops.training import model_file

# features.py travels with the model and is run by whoever serves it: pure functions of columns.
FEATURE_IMPORTS = frozenset(
    {"__future__", "datetime", "math", "numpy", "pandas", "re", "typing", "unicodedata"}
)


class Model:
    """Features and fitted pipeline, the same object in training, tests and serving.

    Parameters
    ----------
    name : str
    signature : Signature
    pipeline : object
        Fitted scikit-learn estimator.
    features_source : bytes
        The content of features.py with which the pipeline was fitted.
    """

    def __init__(
        self, name: str, signature: Signature, pipeline: Any, features_source: bytes
    ) -> None:
        self.name = name
        self.signature = signature
        self.pipeline = pipeline
        self.features_source = features_source
        self._shown = f"models/{name}/features.py"
        self._kinds = {f.name: f.kind for f in signature.features}
        self._formats = {f.name: f.format for f in signature.features if f.format}
        self._spellings = {
            f.name: spelling
            for f in signature.features
            if (spelling := spellings(f.categories or ()))
        }
        self._features = load_function(
            features_source, self._shown, "features", FEATURE_IMPORTS
        )

    @cached_property
    def _threads(self) -> Any:
        """The thread pools of this process; finding them takes longer than predicting a row."""
        return ThreadpoolController()

    @classmethod
    def load(
        cls, folder: Path, name: str, extra_trusted: tuple[str, ...] = ()
    ) -> Model:
        """Read what `train` wrote; every file is checked against the digest in training.json.

        Raises
        ------
        Refused
            When a file is not the one that was trained.
        WorldError
            When there is none.
        """
        training = Training.load(folder)
        content = _verified(folder / "model.skops", training.model_sha256)
        source = _verified(folder / "features.py", training.features_sha256)
        return cls(
            name, training.signature, model_file.load(content, extra_trusted), source
        )

    def features(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Return what the pipeline sees for raw rows.

        Parameters
        ----------
        raw : DataFrame, shape (n_rows, n_columns)
            The signature's feature columns, any others are ignored.

        Raises
        ------
        UsageError
            For a missing column, a value of the wrong type, or an error in features.py.
        """
        typed = cast(raw, self._kinds, self._formats)
        for name, spelling in self._spellings.items():
            typed[name] = respell(typed[name], spelling)
        return compute_features(self._features, typed, self._shown)

    def predict(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Predict raw rows.

        Returns
        -------
        DataFrame, shape (n_rows, n_outputs), indexed as `raw`
            ``prediction`` (the class as text; for regression a number); binary: also ``score``,
            the probability of the positive class; multiclass: also ``p_CLASS`` for each class.
        """
        signature, inputs = self.signature, self.features(raw)
        # One BLAS thread: the order of additions, and so the last bit, must not depend on cores.
        with (
            self._threads.limit(limits=1, user_api="blas"),
            blaming(f"models/{self.name}/estimator.py"),
        ):
            if signature.task == "regression":
                values = self.pipeline.predict(inputs).astype("float64")
                return pd.DataFrame({"prediction": values}, index=raw.index)
            chances = self.pipeline.predict_proba(inputs)
        classes = np.asarray(signature.classes, dtype=object)
        if signature.task == "multiclass":
            said = classes[chances.argmax(axis=1)]
            numbers = {f"p_{c}": chances[:, i] for i, c in enumerate(classes)}
        else:
            at = signature.classes.index(signature.positive or "")
            score = chances[:, at]
            said = np.where(score >= signature.threshold, classes[at], classes[1 - at])
            numbers = {"score": score}
        answers = {"prediction": pd.array(said, dtype="str"), **numbers}
        return pd.DataFrame(answers, index=raw.index)


def compute_features(function: Any, typed: pd.DataFrame, shown: str) -> pd.DataFrame:
    """Run features() on a copy and check what comes back.

    Raises
    ------
    UsageError
        When it is no frame with the same rows.
    """
    with blaming(shown):
        out = function(typed.copy())
    if not isinstance(out, pd.DataFrame) or len(out) != len(typed):
        shape = getattr(out, "shape", "")
        what = "features(raw) must return a DataFrame with one row for each row"
        found = f"{type(out).__name__} {shape}".strip()
        allowed = f"DataFrame with {len(typed)} rows"
        raise UsageError(what, file=shown, found=found, allowed=allowed)
    return out


def _verified(path: Path, digest: str) -> bytes:
    """Return the content of a file that training wrote, Refused where it is another one."""
    content = read_user_file(path)
    found = sha256(content)
    if found != digest:
        what, do = (
            "this file is not the one that training wrote",
            "run `mlops train` again",
        )
        raise Refused(what, file=str(path), found=found, allowed=digest, do=do)
    return content


def read_user_file(path: Path) -> bytes:
    """Return the content of a file of a model, or raise `UsageError`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise cannot("read", path, error) from error
