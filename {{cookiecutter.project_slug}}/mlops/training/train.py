"""Training: from a snapshot to a fitted pipeline, its canonical file and its description."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.data.columns import positive_label
from mlops.data.dataset import Dataset, split_by
from mlops.errors import UsageError
from mlops.files import cannot, sha256, sha256_file, write_bytes
from mlops.project import Project
from mlops.results import Feature, Signature, Training
from mlops.spec import ModelSpec
from mlops.training import modelfile
from mlops.training.model import FEATURE_IMPORTS, Model, compute_features
from mlops.usercode import blaming, load_function

if TYPE_CHECKING:
    import pandas as pd

_MOST_CATEGORIES = 1000


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
    import numpy as np
    from threadpoolctl import threadpool_limits

    started, folder = time.perf_counter(), project.folder(name)
    source = _read(folder / "features.py")
    shown = f"models/{name}/estimator.py"
    build_estimator = load_function(_read(folder / "estimator.py"), shown, "build")
    features = load_function(source, f"models/{name}/features.py", "features", FEATURE_IMPORTS)
    raw = rows[list(spec.features)]
    inputs = compute_features(features, raw, f"models/{name}/features.py")
    target = rows[spec.data.target]
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
    model = Model(name, signature, estimator, source)
    training = Training(
        signature=signature,
        params=spec.train.params,
        seed=spec.train.seed,
        split=spec.split,
        split_by=split_by(spec),
        rows=len(target),
        snapshot=snapshot,
        code=project.code_digest(name, spec),
        lock=sha256_file(project.lock) if project.lock.is_file() else "",
        model_sha256=sha256(content),
        model_bytes=len(content),
        features_sha256=sha256(source),
        estimator=estimator_name(estimator),
        seconds=round(time.perf_counter() - started, 3),
    )
    return model, training, content


def describe(spec: ModelSpec, raw: pd.DataFrame, target: pd.Series, estimator: object) -> Signature:
    """Return what the model takes and gives, as seen in training."""
    features = []
    for name, kind in spec.features.items():
        column = raw[name]
        low = high = categories = None
        if kind in {"number", "boolean"} and column.notna().any():
            low, high = float(column.min()), float(column.max())
        if kind == "category":
            values = sorted(column.dropna().unique())
            categories = tuple(values) if len(values) <= _MOST_CATEGORIES else None
        missing = bool(column.isna().any())
        features.append(
            Feature(
                name=name, kind=kind, missing=missing, low=low, high=high, categories=categories
            )
        )
    classes: tuple[str, ...] = ()
    if spec.task != "regression":
        classes = tuple(str(c) for c in getattr(estimator, "classes_", ()))
        if set(classes) != set(target.unique()) or not hasattr(estimator, "predict_proba"):
            what = "build(params) must return a classifier with predict_proba and classes_"
            raise UsageError(what, file="estimator.py", found=type(estimator).__name__)
    return Signature(
        task=spec.task,
        target=spec.data.target,
        features=tuple(features),
        classes=classes,
        positive=positive_label(spec, classes) if spec.task == "binary" else None,
        threshold=spec.metrics.threshold,
    )


def estimator_name(estimator: object) -> str:
    """Return the class of the last step, for people."""
    steps = getattr(estimator, "steps", None)
    return type(steps[-1][1] if steps else estimator).__name__


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError("this file is missing", file=str(path), do="a model needs it") from error
    except OSError as error:
        raise cannot("read", path, error) from error
