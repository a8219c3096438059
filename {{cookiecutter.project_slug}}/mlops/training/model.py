"""A model: trained from a snapshot, and in memory as features and pipeline behind one `predict`."""

from __future__ import annotations

import random
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import ThreadpoolController, threadpool_limits

from mlops import Refused, UsageError
from mlops.data.dataset import Dataset, positive_label, split_by
from mlops.data.read import cast
from mlops.files import cannot, sha256, write_bytes
from mlops.project import Project, blaming, load_function
from mlops.results import Feature, Signature, Training
from mlops.spec import Kind, ModelSpec
from mlops.training import modelfile

# features.py travels with the model and is run by whoever serves it: pure functions of columns.
FEATURE_IMPORTS = frozenset(
    {"__future__", "datetime", "math", "numpy", "pandas", "re", "typing", "unicodedata"}
)
_MOST_CATEGORIES = 1000


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
        self._features = load_function(features_source, self._shown, "features", FEATURE_IMPORTS)

    @cached_property
    def _threads(self) -> Any:
        """The thread pools of this process; finding them takes longer than predicting a row."""
        return ThreadpoolController()

    @classmethod
    def load(cls, folder: Path, name: str, extra_trusted: tuple[str, ...] = ()) -> Model:
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
        return cls(name, training.signature, modelfile.load(content, extra_trusted), source)

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
        typed = cast(raw, self._kinds)
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


def train(project: Project, name: str, spec: ModelSpec, dataset: Dataset) -> tuple[Model, Training]:
    """Fit `build(params)` on the train part and write model.skops, features.py, training.json.

    Returns
    -------
    model : Model
    training : Training

    Raises
    ------
    UsageError
        When features.py or estimator.py fail; names file and line.
    """
    build, digest = project.build(name), dataset.snapshot.digest
    model, training, content = fit(project, name, spec, dataset.part("train"), digest)
    write_bytes(build / "model.skops", content)
    write_bytes(build / "features.py", model.features_source)
    training.save(build)
    return model, training


def fit(
    project: Project, name: str, spec: ModelSpec, rows: pd.DataFrame, snapshot: str
) -> tuple[Model, Training, bytes]:
    """Fit `build(params)` on labelled rows; the third is the content of model.skops."""
    started, folder = time.perf_counter(), project.folder(name)
    for path in (folder / "features.py", folder / "estimator.py"):
        if not path.exists():
            raise UsageError("this file is missing", file=str(path), do="a model needs it")
    source = _read(folder / "features.py")
    shown, shown_features = f"models/{name}/estimator.py", f"models/{name}/features.py"
    build_estimator = load_function(_read(folder / "estimator.py"), shown, "build")
    features = load_function(source, shown_features, "features", FEATURE_IMPORTS)
    raw, target = rows[list(spec.features)], rows[spec.data.target]
    inputs = compute_features(features, raw, shown_features)
    del rows
    random.seed(spec.train.seed)
    np.random.seed(spec.train.seed)
    # One BLAS thread: the order of additions, and so the bytes, must not depend on the machine.
    with blaming(shown), threadpool_limits(1, "blas"):
        estimator = build_estimator(dict(spec.train.params))
        fit_target = target if spec.task == "regression" else target.to_numpy(dtype=object)
        estimator.fit(inputs, fit_target)
        content = modelfile.dump(estimator)
    modelfile.allowed_types(content, project.spec.trusted_types)
    signature = describe(spec, raw, target, estimator)
    steps = getattr(estimator, "steps", [("", estimator)])  # a pipeline is named by its last
    training = Training(
        signature=signature,
        params=spec.train.params,
        seed=spec.train.seed,
        split=spec.split,
        split_by=split_by(spec),
        rows=len(target),
        snapshot=snapshot,
        code=project.code_digest(name, spec),
        lock=project.lock_digest,
        model_sha256=sha256(content),
        model_bytes=len(content),
        features_sha256=sha256(source),
        estimator=type(steps[-1][1]).__name__,
        seconds=round(time.perf_counter() - started, 3),
    )
    return Model(name, signature, estimator, source), training, content


def describe(spec: ModelSpec, raw: pd.DataFrame, target: pd.Series, estimator: object) -> Signature:
    """Return what the model takes and gives, as seen in training."""
    classes: tuple[str, ...] = ()
    if spec.task != "regression":
        classes = tuple(str(c) for c in getattr(estimator, "classes_", ()))
        if set(classes) != set(target.unique()) or not hasattr(estimator, "predict_proba"):
            what = "build(params) must return a classifier with predict_proba and classes_"
            raise UsageError(what, file="estimator.py", found=type(estimator).__name__)
    return Signature(
        task=spec.task,
        target=spec.data.target,
        features=tuple(_feature(name, kind, raw[name]) for name, kind in spec.features.items()),
        classes=classes,
        positive=positive_label(spec, classes) if spec.task == "binary" else None,
        threshold=spec.metrics.threshold,
    )


def _feature(name: str, kind: Kind, column: pd.Series) -> Feature:
    """Return one column of the input as training saw it."""
    seen: dict[str, Any] = {}
    if kind in {"number", "boolean"} and column.notna().any():
        seen = {"low": column.min(), "high": column.max()}
    if kind == "category":
        values = sorted(column.dropna().unique())
        seen = {"categories": values if len(values) <= _MOST_CATEGORIES else None}
    return Feature(name=name, kind=kind, missing=bool(column.isna().any()), **seen)


def _verified(path: Path, digest: str) -> bytes:
    """Return the content of a file that training wrote, Refused where it is another one."""
    content = _read(path)
    found = sha256(content)
    if found != digest:
        what, do = "this file is not the one that training wrote", "run `mlops train` again"
        raise Refused(what, file=str(path), found=found, allowed=digest, do=do)
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise cannot("read", path, error) from error
