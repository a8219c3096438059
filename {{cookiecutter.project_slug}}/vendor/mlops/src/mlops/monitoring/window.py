"""The window of the log and the reference: two samples of the same columns."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.data.known import respell, spellings
from mlops.data.read import read_labels
from mlops.data.types import cast_all
from mlops.registry.chain import Bundle
from mlops.results.training import Feature, Signature
from mlops.serving.prediction_log import PredictionLog, Window


@dataclass(frozen=True)
class Period:
    """The time ``[since, until)``."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class Columns:
    """The columns that are compared.

    Parameters
    ----------
    kinds : dict of str to str
        number, boolean, date or category, by column: first features, then outputs.
    features : dict of str to Feature
        What training saw.
    outputs : list of str
        Outputs of the model.
    """

    kinds: dict[str, str]
    features: dict[str, Feature]
    outputs: list[str]


def read_window(
    project: Project, spec: ModelSpec, bundle: Bundle, period: Period
) -> Window:
    """Return what the version of a bundle predicted, with the labels that have come."""
    version = bundle.version
    log = PredictionLog(project.state, version.model)
    known = _known_labels(spec, project.folder(version.model))
    return log.window(period.since, period.until, version.number, known)


def _known_labels(spec: ModelSpec, folder: Path) -> dict[Any, Any]:
    """Return the labels of a model's label files, by the row's id."""
    if not spec.data.labels:
        return {}
    labels = read_labels(spec, folder).frame
    return dict(zip(labels[spec.data.id], labels[spec.data.target], strict=True))


def read_reference(bundle: Bundle) -> pd.DataFrame:
    """Return the reference of a version, shape (n_rows, n_columns)."""
    return pd.read_parquet(io.BytesIO(bundle.read("reference.parquet")))


def columns_of(
    reference: pd.DataFrame, signature: Signature, spec: ModelSpec
) -> Columns:
    """Return the columns of a reference that are compared.

    Sensitive columns are not: they are not logged. Nor is free text, which has no
    distribution that two samples of it could share.
    """
    left_out = {*spec.sensitive, signature.target}
    shown = [name for name in reference.columns if name not in left_out]
    known = {f.name: f for f in signature.features if f.name in shown}
    outputs = [name for name in shown if name not in known]
    if len(outputs) > 1:
        outputs.remove("prediction")  # the scores say more
    features = {name: f for name, f in known.items() if f.kind != "text"}
    kinds: dict[str, str] = {name: f.kind for name, f in features.items()}
    kinds |= dict.fromkeys(outputs, "number")
    return Columns(kinds, features, outputs)


def current_sample(window: Window, columns: Columns) -> pd.DataFrame:
    """Return what was logged as training had it: cast, and spelled the same."""
    logged = _cast(window.features, columns.features)
    outputs = window.log.reindex(columns=columns.outputs).astype("float64")
    return pd.concat([logged, outputs], axis=1)


def _cast(sent: pd.DataFrame, features: Mapping[str, Feature]) -> pd.DataFrame:
    kinds: dict[str, str] = {name: f.kind for name, f in features.items()}
    formats = {name: f.format for name, f in features.items() if f.format}
    logged, _ = cast_all(sent.reindex(columns=list(kinds)), kinds, formats)
    for name, feature in features.items():
        logged[name] = respell(logged[name], spellings(feature.categories or ()))
    return logged


def at_most(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Return a frame, or as many of its rows, the same ones each time."""
    return frame.sample(min(len(frame), rows), random_state=0, ignore_index=True)
