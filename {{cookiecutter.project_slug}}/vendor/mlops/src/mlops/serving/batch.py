"""Predictions for a file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.config.model_spec import Data
from mlops.config.project import Project
from mlops.data.csv_format import ReadOptions
from mlops.data.known import count_unseen
from mlops.data.read import no_rows, read_table, text_columns
from mlops.errors import UsageError
from mlops.registry.chain import fetch
from mlops.registry.queries import sensitive_columns
from mlops.serving.prediction_log import PredictionLog, new_id
from mlops.storage.protocol import ReleaseStore

if TYPE_CHECKING:
    import pandas as pd


def predict_file(
    project: Project,
    ref: str,
    path: Path,
    now: datetime,
    log: bool = True,
    store: ReleaseStore | None = None,
) -> tuple[pd.DataFrame, str]:
    """Predict a CSV or Parquet file with ``NAME@v1.2.0`` or ``NAME@STAGE``, and log it.

    The file has every feature; other columns do not matter. Where it has the model's id column,
    labels that arrive in label files can be joined to the logged predictions.

    Returns
    -------
    answers : DataFrame, shape (n_rows, 1 + n_outputs)
        ``id`` (that of the row where it has one, else the prediction's) and the model's
        outputs. ``attrs["unseen"]`` counts, by column, the values of categories that
        training never saw.
    version : str

    Raises
    ------
    UsageError
        When the file is not readable, or a column is missing or of the wrong type.
    Refused
        When the version does not verify.
    """
    bundle = fetch(project, ref, store)
    name, version = bundle.version.model, bundle.version.number
    model = bundle.model()
    hidden = sensitive_columns(project, bundle.manifest)
    data = _data_of(project, name)
    features = {f.name: f.kind for f in model.signature.features}
    key = data.id if data else None
    kinds = {**features, key: "category"} if key else features
    if not path.is_file():
        raise UsageError("there is no such file", file=str(path))
    options = ReadOptions.of(data) if data else ReadOptions()
    frame, _ = read_table(path, str(path), kinds, text_columns(kinds), options)
    if frame.empty:
        raise no_rows(str(path))
    answers = model.predict(frame)
    known = {f.name: f.categories for f in model.signature.features if f.categories}
    answers.attrs["unseen"] = count_unseen(frame, known)
    ids = [new_id(now) for _ in frame.index]
    if log:
        outputs = answers.assign(row_id=frame[key]) if key in frame else answers
        out = PredictionLog(project.state, name, hidden)
        out.write(frame[list(features)], outputs, ids, version, now)
    answers.insert(
        0, "id", frame[key].where(frame[key].notna(), ids) if key in frame else ids
    )
    return answers, version


def _data_of(project: Project, name: str) -> Data | None:
    """Return how the files of a model are read, None where its folder was removed."""
    if name not in project.models():
        return None
    return project.model(name).data
