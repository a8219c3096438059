"""Training: from a snapshot to a fitted pipeline."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from mlops.config.model_spec import Kind, ModelSpec
from mlops.config.project import Project
from mlops.data.snapshot import Dataset
from mlops.data.split import split_by
from mlops.data.summary import positive_label
from mlops.errors import UsageError
from mlops.io.digests import sha256
from mlops.io.files import write_bytes
from mlops.io.user_code import blaming, load_function
from mlops.results.training import Feature, Signature, Training
from mlops.training import model_file
from mlops.training.model import (
    FEATURE_IMPORTS,
    Model,
    compute_features,
    read_user_file,
)

_MOST_CATEGORIES = 1000


def train(
    project: Project, name: str, spec: ModelSpec, dataset: Dataset
) -> tuple[Model, Training]:
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
            raise UsageError(
                "this file is missing", file=str(path), do="a model needs it"
            )
    source = read_user_file(folder / "features.py")
    shown, shown_features = f"models/{name}/estimator.py", f"models/{name}/features.py"
    build_estimator = load_function(
        read_user_file(folder / "estimator.py"), shown, "build"
    )
    features = load_function(source, shown_features, "features", FEATURE_IMPORTS)
    raw, target = rows[list(spec.features)], rows[spec.data.target]
    inputs = compute_features(features, raw, shown_features)
    del rows
    random.seed(spec.train.seed)
    np.random.seed(spec.train.seed)
    # One BLAS thread: the order of additions, and so the bytes, must not depend on the machine.
    with blaming(shown), threadpool_limits(1, "blas"):
        estimator = build_estimator(dict(spec.train.params))
        fit_target = (
            target if spec.task == "regression" else target.to_numpy(dtype=object)
        )
        estimator.fit(inputs, fit_target)
        content = model_file.dump(estimator)
    model_file.allowed_types(content, project.spec.trusted_types)
    signature = describe(spec, raw, target, estimator)
    steps = getattr(
        estimator, "steps", [("", estimator)]
    )  # a pipeline is named by its last
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


def describe(
    spec: ModelSpec, raw: pd.DataFrame, target: pd.Series, estimator: object
) -> Signature:
    """Return what the model takes and gives, as seen in training."""
    classes: tuple[str, ...] = ()
    if spec.task != "regression":
        classes = tuple(str(c) for c in getattr(estimator, "classes_", ()))
        if set(classes) != set(target.unique()) or not hasattr(
            estimator, "predict_proba"
        ):
            what = (
                "build(params) must return a classifier with predict_proba and classes_"
            )
            raise UsageError(what, file="estimator.py", found=type(estimator).__name__)
    return Signature(
        task=spec.task,
        target=spec.data.target,
        features=tuple(
            _feature(name, kind, raw[name], spec.data.formats.get(name))
            for name, kind in spec.features.items()
        ),
        classes=classes,
        positive=positive_label(spec, classes) if spec.task == "binary" else None,
        threshold=spec.metrics.threshold,
    )


def _feature(
    name: str, kind: Kind, column: pd.Series, written: str | None = None
) -> Feature:
    """Return one column of the input as training saw it; `written` is a date's format."""
    seen: dict[str, Any] = {"format": written}
    if kind in {"number", "boolean"} and column.notna().any():
        seen |= {"low": column.min(), "high": column.max()}
    if kind == "category":
        values = sorted(column.dropna().unique())
        seen |= {"categories": values if len(values) <= _MOST_CATEGORIES else None}
    return Feature(name=name, kind=kind, missing=bool(column.isna().any()), **seen)
