"""A model in memory: features and pipeline behind one `predict`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from mlops.data.known import respell, spellings
from mlops.data.types import cast
from mlops.errors import Refused, UsageError
from mlops.io.digests import sha256
from mlops.io.files import reaching
from mlops.io.user_code import blaming
from mlops.results.training import MODULES, Signature, Training
from mlops.training import model_file
from mlops.training.code import FEATURES, ModelCode


class Model:
    """Features and fitted pipeline, the same object in training, tests and serving.

    Parameters
    ----------
    name : str
    signature : Signature
    pipeline : object
        Fitted scikit-learn estimator.
    code : ModelCode or bytes
        The modules with which the pipeline was fitted; bytes: the content of
        features.py, where it is the only one.
    """

    def __init__(
        self, name: str, signature: Signature, pipeline: Any, code: ModelCode | bytes
    ) -> None:
        if isinstance(code, bytes):
            code = ModelCode.of(name, code)
        self.name = name
        self.signature = signature
        self.pipeline = pipeline
        self.code = code
        self._shown = code.shown(FEATURES)
        self._kinds = {f.name: f.kind for f in signature.features}
        self._formats = {f.name: f.format for f in signature.features if f.format}
        known = {f.name: spellings(f.categories or ()) for f in signature.features}
        self._spellings = {
            name: spelling for name, spelling in known.items() if spelling
        }
        code.check_features()
        self._features = code.function(FEATURES, "features")

    def refitted(self, signature: Signature, pipeline: Any) -> Model:
        """Return the same features and columns with another fitted pipeline.

        Parameters
        ----------
        signature : Signature
            Its features are those of this model.
        pipeline : object
            Fitted scikit-learn estimator.
        """
        other = copy.copy(self)
        other.signature = signature
        other.pipeline = pipeline
        return other

    @property
    def features_source(self) -> bytes:
        """The content of features.py."""
        return self.code.sources[f"{FEATURES}.py"]

    @cached_property
    def _threads(self) -> Any:
        """The thread pools of this process; finding them takes longer than one row."""
        return ThreadpoolController()

    @classmethod
    def load(
        cls, folder: Path, name: str, extra_trusted: tuple[str, ...] = ()
    ) -> Model:
        """Read what `train` wrote; every file is checked against its digest.

        Raises
        ------
        Refused
            When a file is not the one that was trained.
        EnvironmentFailure
            When there is none.
        """
        training = Training.load(folder)
        modules = b""
        if training.modules_sha256:
            modules = _verified(folder / MODULES, training.modules_sha256)
        return cls.of_files(
            name,
            training.signature,
            content=_verified(folder / "model.skops", training.model_sha256),
            features=_verified(folder / "features.py", training.features_sha256),
            modules=modules,
            extra_trusted=extra_trusted,
        )

    @classmethod
    def of_files(
        cls,
        name: str,
        signature: Signature,
        *,
        content: bytes,
        features: bytes,
        modules: bytes = b"",
        extra_trusted: tuple[str, ...] = (),
    ) -> Model:
        """Return a version's model, of bytes whose digests the caller has verified.

        Parameters
        ----------
        content, features, modules : bytes
            Of model.skops, features.py and modules.json; versions whose fitted model
            needs no module beside features.py have no modules.json.
        extra_trusted : tuple of str
            `trusted_types` in project.yaml.
        """
        code = ModelCode.of(name, features, modules)
        pipeline = model_file.load(content, extra_trusted, code)
        return cls(name, signature, pipeline, code)

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
        return compute_features(self._features, self.typed(raw), self._shown)

    def typed(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Return raw rows in their types, spelled as training had them.

        Raises
        ------
        UsageError
            For a missing column or a value of the wrong type.
        """
        typed = cast(raw, self._kinds, self._formats)
        for name, spelling in self._spellings.items():
            typed[name] = respell(typed[name], spelling)
        return typed

    def features_of_typed(self, typed: pd.DataFrame) -> pd.DataFrame:
        """Return what `features` does, for rows that have their types already.

        Parameters
        ----------
        typed : DataFrame, shape (n_rows, n_columns)
            As `data.types.cast` makes them, spelled as training had them; features.py
            may change this frame.
        """
        return compute_features(self._features, typed, self._shown, copy=False)

    def predict(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Predict raw rows.

        Returns
        -------
        DataFrame, shape (n_rows, n_outputs), indexed as `raw`
            ``prediction`` (the class as text; for regression a number); binary: also
            ``score``, the probability of the positive class; multiclass: also
            ``p_CLASS`` for each class.

        Raises
        ------
        UsageError
            As `features`, or for an error in the estimator.
        """
        return self.outputs(self.values(self.features(raw)), raw.index)

    def values(self, inputs: pd.DataFrame) -> NDArray[Any]:
        """Return what the pipeline makes of features.

        It is asked with one BLAS thread: the order of additions, and so the last bit,
        must not depend on cores.

        Returns
        -------
        ndarray, shape (n_rows, n_classes) or (n_rows,)
            The probability of each class of the signature; for regression the numbers.

        Raises
        ------
        UsageError
            For an error in the estimator; a method that it lacks is one.
        """
        method = "predict" if self.signature.task == "regression" else "predict_proba"
        limited = self._threads.limit(limits=1, user_api="blas")
        with limited, blaming(f"models/{self.name}/estimator.py"):
            return np.asarray(getattr(self.pipeline, method)(inputs))

    @property
    def output_names(self) -> list[str]:
        """The columns that `predict` returns."""
        task = self.signature.task
        if task == "regression":
            return ["prediction"]
        if task == "binary":
            return ["prediction", "score"]
        return ["prediction", *(f"p_{name}" for name in self.signature.classes)]

    def outputs(self, values: NDArray[Any], index: pd.Index) -> pd.DataFrame:
        """Return what `predict` does, of the values of a pipeline."""
        if self.signature.task == "regression":
            numbers = values.astype("float64")
            return pd.DataFrame({"prediction": numbers}, index=index)
        if self.signature.task == "multiclass":
            return self._most_likely(values, index)
        return self._above_threshold(values, index)

    def is_close(self, values: NDArray[Any], difference: float) -> NDArray[np.bool_]:
        """Return for which rows a small difference could change the predicted class.

        Parameters
        ----------
        values : ndarray, shape (n_rows, n_classes) or (n_rows,)
            Of `values`; for regression there are no classes, and no row is close.
        difference : float
            Of a probability.

        Returns
        -------
        ndarray of bool, shape (n_rows,)
        """
        signature = self.signature
        if signature.task == "regression":
            return np.zeros(len(values), dtype=bool)
        if signature.task == "binary":
            positive = signature.classes.index(signature.positive or "")
            distance = np.abs(values[:, positive] - signature.threshold)
            return np.asarray(distance <= difference)
        highest = np.partition(values, -2, axis=1)[:, -2:]
        return np.asarray(highest[:, 1] - highest[:, 0] <= 2 * difference)

    def _most_likely(self, chances: NDArray[Any], index: pd.Index) -> pd.DataFrame:
        """Return the most likely class, and the probability of each."""
        classes = np.asarray(self.signature.classes, dtype=object)
        chosen = classes[chances.argmax(axis=1)]
        answers = {"prediction": pd.array(chosen, dtype="str")}
        for number, name in enumerate(classes):
            answers[f"p_{name}"] = chances[:, number]
        return pd.DataFrame(answers, index=index)

    def _above_threshold(self, chances: NDArray[Any], index: pd.Index) -> pd.DataFrame:
        """Return the positive class where its probability reaches the threshold."""
        signature = self.signature
        classes = np.asarray(signature.classes, dtype=object)
        positive = signature.classes.index(signature.positive or "")
        score = chances[:, positive]
        above = score >= signature.threshold
        chosen = np.where(above, classes[positive], classes[1 - positive])
        answers = {"prediction": pd.array(chosen, dtype="str"), "score": score}
        return pd.DataFrame(answers, index=index)


def compute_features(
    function: Callable[[pd.DataFrame], Any],
    typed: pd.DataFrame,
    shown: str,
    copy: bool = True,
) -> pd.DataFrame:
    """Run features() and check what comes back.

    Parameters
    ----------
    function : callable
        `features` of features.py.
    typed : DataFrame, shape (n_rows, n_columns)
    shown : str
        The path that errors name.
    copy : bool
        Whether `typed` has to stay as it is.

    Returns
    -------
    DataFrame, shape (n_rows, n_features)

    Raises
    ------
    UsageError
        When it is no frame with the same rows, or the function fails.
    """
    with blaming(shown):
        out = function(typed.copy() if copy else typed)
    if not isinstance(out, pd.DataFrame) or len(out) != len(typed):
        shape = getattr(out, "shape", "")
        raise UsageError(
            "features(raw) must return a DataFrame with one row for each row",
            file=shown,
            found=f"{type(out).__name__} {shape}".strip(),
            allowed=f"DataFrame with {len(typed)} rows",
        )
    return out


def _verified(path: Path, digest: str) -> bytes:
    """Return the content of a file that training wrote, Refused where it is another."""
    with reaching("read", path):
        content = path.read_bytes()
    actual = sha256(content)
    if actual != digest:
        raise Refused(
            "this file is not the one that training wrote",
            file=str(path),
            found=actual,
            allowed=digest,
            do="run `mlops train` again",
        )
    return content
