"""Training: from a snapshot to a fitted pipeline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from mlops.config.model_spec import Kind, ModelSpec, outputs
from mlops.config.project import Project
from mlops.data.snapshot import Dataset
from mlops.data.split import split_by
from mlops.data.summary import Numbers, numbers_in, positive_label
from mlops.errors import MlopsError, UsageError, listed
from mlops.io.digests import sha256
from mlops.io.files import write_bytes
from mlops.io.user_code import blaming
from mlops.results.training import MODULES, Feature, Signature, Training
from mlops.training import labels, model_file
from mlops.training.allowed import own_modules
from mlops.training.code import ESTIMATOR, FEATURES, ModelCode
from mlops.training.labels import Labels
from mlops.training.model import Model, compute_features
from mlops.training.packages import require_locked
from mlops.training.reload import fresh_process, load_back

_MOST_CATEGORIES = 1000


@dataclass(frozen=True)
class Fitted:
    """A model in memory, what is recorded of it, and the files that it is made of."""

    model: Model
    training: Training
    files: dict[str, bytes]


def train(
    project: Project, name: str, spec: ModelSpec, dataset: Dataset
) -> tuple[Model, Training]:
    """Fit `build(params)` on the train part and write the files of the model.

    These are model.skops, features.py, training.json and, where the fitted model needs
    other modules, modules.json. They are written when a fresh process has loaded them
    and given the same predictions.

    Returns
    -------
    model : Model
    training : Training

    Raises
    ------
    UsageError
        When the user's code fails (with file and line), needs a package that the lock
        does not have, or makes a model that cannot be loaded in a fresh process.
    Refused
        When the model holds types that are not allowed.
    """
    process = fresh_process()
    rows = dataset.part("train")
    fitted = fit(project, name, spec, rows, dataset.snapshot.digest)
    record = fitted.training.model_dump_json().encode("utf-8")
    files = {**fitted.files, "training.json": record}
    load_back(process, fitted.model, files, rows, project.spec.trusted_types)
    build = project.build(name)
    for file, content in fitted.files.items():
        write_bytes(build / file, content)
    if MODULES not in fitted.files:
        (build / MODULES).unlink(missing_ok=True)
    fitted.training.save(build)
    return fitted.model, fitted.training


def fit(
    project: Project, name: str, spec: ModelSpec, rows: pd.DataFrame, snapshot: str
) -> Fitted:
    """Fit `build(params)` on labelled rows; nothing is written.

    Parameters
    ----------
    rows : DataFrame, shape (n_rows, n_columns)
        Columns of their declared types, the target among them.
    snapshot : str
        Digest of the data.

    Raises
    ------
    UsageError, Refused
        See `train`.
    """
    started = time.perf_counter()
    code = ModelCode.read(project.folder(name), name)
    code.forget()
    code.check_features()
    raw = rows[list(spec.features)]
    target = rows[spec.data.target]
    require_free_names(name, spec, target)
    inputs = compute_features(
        code.function(FEATURES, "features"), raw, code.shown(FEATURES)
    )
    del rows
    estimator, taken = fit_estimator(code, spec, inputs, target)
    with blaming(code.shown(ESTIMATOR)):
        content = model_file.dump(estimator, code)
    types = model_file.allowed_types(content, project.spec.trusted_types, code)
    require_locked(code, types, project.lock)
    modules = code.travelling(own_modules(types, code))
    features = code.sources[f"{FEATURES}.py"]
    signature = describe(spec, raw, target, estimator, taken)
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
        features_sha256=sha256(features),
        modules_sha256=sha256(modules) if modules else "",
        estimator=class_name(estimator),
        seconds=round(time.perf_counter() - started, 3),
    )
    files = {"model.skops": content, "features.py": features}
    if modules:
        files[MODULES] = modules
    return Fitted(Model(name, signature, estimator, code), training, files)


def require_free_names(name: str, spec: ModelSpec, target: pd.Series) -> None:
    """Refuse a feature that is named like an output, before anything is fitted."""
    classes = sorted(target.unique()) if spec.task == "multiclass" else []
    taken = sorted(outputs(spec.task, classes) & set(spec.features))
    if taken:
        raise UsageError(
            "this column is named like an output of the model",
            file=f"models/{name}/model.yaml",
            key="features",
            found=listed(taken),
            do="rename the column",
        )


def fit_estimator(
    code: ModelCode, spec: ModelSpec, inputs: pd.DataFrame, target: pd.Series
) -> tuple[Any, Labels | None]:
    """Return what `build(params)` makes, fitted, and how it was told the classes.

    An estimator that takes no texts (XGBoost) gets positions in the sorted classes.

    Parameters
    ----------
    inputs : DataFrame, shape (n_rows, n_features)
        What features() made of the rows.
    target : Series, shape (n_rows,)

    Raises
    ------
    UsageError, Refused
        When the user's code fails, with file and line.
    """
    build = partial(_built, code, code.function(ESTIMATOR, "build"), spec, inputs)
    if spec.task == "regression":
        return build(target, None), None
    given = labels.as_they_are(target)
    try:
        return build(given.values, given), given
    except MlopsError as error:
        given = labels.as_positions(target)
        try:
            return build(given.values, given), given
        except MlopsError:
            raise error from None


def _built(
    code: ModelCode,
    build: Callable[[dict[str, Any]], Any],
    spec: ModelSpec,
    inputs: pd.DataFrame,
    target: Any,
    given: Labels | None,
) -> Any:
    """Return what `build(params)` makes, fitted; the same for the same seed.

    `given` says how `target` stands for the classes; None for numbers.
    """
    random.seed(spec.train.seed)
    np.random.seed(spec.train.seed)
    # One BLAS thread: the order of additions, and so the bytes, must not depend on the
    # machine.
    with blaming(code.shown(ESTIMATOR)), threadpool_limits(1, "blas"):
        estimator = build(dict(spec.train.params))
        if given is not None:
            labels.translate_weights(estimator, given)
        estimator.fit(inputs, target)
    return estimator


def class_name(estimator: object) -> str:
    """Return the class of an estimator; a pipeline is named by its last step."""
    steps = getattr(estimator, "steps", [("", estimator)])
    return type(steps[-1][1]).__name__


def describe(
    spec: ModelSpec,
    raw: pd.DataFrame,
    target: pd.Series,
    estimator: object,
    taken: Labels | None,
) -> Signature:
    """Return what the model takes and gives, as seen in training.

    Raises
    ------
    UsageError
        When the estimator is no classifier with probabilities for these classes.
    """
    classes = classes_of(estimator, target, taken)
    return signature_of(spec, columns_seen(spec, raw), classes)


def classes_of(
    estimator: object, target: pd.Series, taken: Labels | None
) -> tuple[str, ...]:
    """Return the classes of a fitted classifier in its order; none of a regression.

    Raises
    ------
    UsageError
        When the estimator is no classifier with probabilities for these classes.
    """
    if taken is None:
        return ()
    classes = taken.classes(estimator)
    complete = set(classes) == set(target.unique())
    if not complete or not hasattr(estimator, "predict_proba"):
        raise UsageError(
            "build(params) must return a classifier with predict_proba and classes_",
            file="estimator.py",
            found=type(estimator).__name__,
        )
    return classes


def signature_of(
    spec: ModelSpec, features: tuple[Feature, ...], classes: tuple[str, ...]
) -> Signature:
    """Return what a model of these columns and classes takes and gives."""
    return Signature(
        task=spec.task,
        target=spec.data.target,
        features=features,
        classes=classes,
        positive=positive_label(spec, classes) if spec.task == "binary" else None,
        threshold=spec.metrics.threshold,
    )


def columns_seen(spec: ModelSpec, raw: pd.DataFrame) -> tuple[Feature, ...]:
    """Return each column that the model takes, as training saw it."""
    numbers = numbers_in(raw)
    return tuple(
        _number(name, kind, numbers[name])
        if name in numbers
        else _feature(name, kind, raw[name], spec.data.formats.get(name))
        for name, kind in spec.features.items()
    )


def _number(name: str, kind: Kind, seen: Numbers) -> Feature:
    """Return a number or boolean as training saw it."""
    missing = seen.missing > 0
    return Feature(name=name, kind=kind, missing=missing, low=seen.low, high=seen.high)


def _feature(
    name: str, kind: Kind, column: pd.Series, written: str | None = None
) -> Feature:
    """Return one column as training saw it; `written` is the format of dates."""
    seen: dict[str, Any] = {"format": written}
    if kind == "category":
        values = sorted(column.dropna().unique())
        seen |= {"categories": values if len(values) <= _MOST_CATEGORIES else None}
    return Feature(name=name, kind=kind, missing=bool(column.isna().any()), **seen)
