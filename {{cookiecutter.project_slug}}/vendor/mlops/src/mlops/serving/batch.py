"""Predictions for a file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.config.model_spec import Data
from mlops.config.project import Project
from mlops.data.csv_format import ReadOptions
from mlops.data.known import unseen_values
from mlops.data.read import no_rows, read_table, text_columns
from mlops.errors import UsageError
from mlops.registry.chain import fetch
from mlops.registry.queries import sensitive_columns
from mlops.serving.ids import PredictionIds
from mlops.serving.prediction_log import PredictionLog, new_id, records
from mlops.storage.protocol import ReleaseStore

if TYPE_CHECKING:
    import pandas as pd

    from mlops.training.model import Model

_FORMULA = r"\s*[=+\-@]|[\t\r]"


def predict_file(
    project: Project,
    ref: str,
    path: Path,
    now: datetime,
    log: bool = True,
    store: ReleaseStore | None = None,
) -> tuple[pd.DataFrame, str]:
    """Predict the rows of a file with a version, and log them.

    The file has every feature; other columns do not matter. Where it has the model's id
    column, labels of label files can later be joined to the logged predictions.

    Parameters
    ----------
    ref : str
        ``NAME@v1.2.0`` or ``NAME@STAGE``.
    log : bool
        Whether to write the prediction log.

    Returns
    -------
    predictions : DataFrame, shape (n_rows, 1 + n_outputs)
        ``id`` (that of the row where it has one, else the prediction's) and the model's
        outputs. ``attrs["unseen"]`` counts, by column, the values of categories that
        training never saw, ``attrs["outside"]`` the numbers below or above all that it
        saw.
    version : str

    Raises
    ------
    UsageError
        When the file is not readable, or a column is missing or of the wrong type.
    Refused
        When the version does not verify.
    """
    bundle = fetch(project, ref, store)
    name = bundle.version.model
    version = bundle.version.number
    model = bundle.model()
    data = data_of(project, name)
    key = data.id if data else None
    features = {f.name: f.kind for f in model.signature.features}
    group = group_of(project, name)
    frame = _read(path, features, key, group, data)
    predictions = model.predict(frame)
    unseen = unseen_values(frame, model.signature.features)
    predictions.attrs["unseen"] = unseen.categories
    predictions.attrs["outside"] = unseen.numbers
    row_ids = frame.get(key)
    if log:
        maker = PredictionIds.of(project.state, now)
        ids = maker.make(now, len(frame))
        outputs = predictions
        if row_ids is not None:
            outputs = predictions.assign(row_id=row_ids)
        if group in frame:
            # A hash: monitoring counts each group once and need not know which it is.
            units = frame[group].map(lambda v: maker.unit(str(v)), na_action="ignore")
            outputs = outputs.assign(unit=units)
        hidden = sensitive_columns(project, bundle.manifest)
        rules = project.spec.predictions
        share = rules.share
        out = PredictionLog(project.state, name, hidden, share=share, days=rules.days)
        out.write(frame[list(features)], outputs, ids, version, now)
    else:
        ids = [new_id(now) for _ in frame.index]
    shown_ids = ids if row_ids is None else row_ids.where(row_ids.notna(), ids)
    predictions.insert(0, "id", shown_ids)
    return predictions, version


def without_formulas(predictions: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return predictions as a spreadsheet may open them.

    A text that begins like a formula would be run by the spreadsheet of whoever opens
    the file; one that is a number is none.

    Returns
    -------
    DataFrame
        Such texts begin with an apostrophe.
    int
        How many there were.
    """
    import pandas as pd

    safe = predictions.copy()
    changed = 0
    for name in safe.columns:
        column = safe[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            continue
        text = column.astype("string")
        formula = text.str.match(_FORMULA).fillna(False).astype(bool)
        formula &= pd.to_numeric(text, errors="coerce").isna()
        if formula.any():
            safe[name] = column.astype("object").where(~formula, "'" + text)
            changed += int(formula.sum())
    return safe, changed


def row_of_file(project: Project, model: Model, path: Path, row: int) -> dict[str, Any]:
    """Return one row of a file, with every feature, as a service would be sent it.

    Parameters
    ----------
    row : int
        1 is the first.

    Raises
    ------
    UsageError
        When the file is not readable, lacks a feature, or has fewer rows.
    """
    features = {f.name: f.kind for f in model.signature.features}
    frame = _read(path, features, None, None, data_of(project, model.name))
    if row > len(frame):
        raise UsageError(
            "the file has no such row",
            file=str(path),
            key="--row",
            found=f"{row:,}",
            allowed=f"1 to {len(frame):,}",
        )
    return records(frame[list(features)].iloc[[row - 1]])[0]


def _read(
    path: Path,
    features: Mapping[str, str],
    key: str | None,
    group: str | None,
    data: Data | None,
) -> pd.DataFrame:
    """Return the rows of a file, with the columns that the model and the log need."""
    if not path.is_file():
        raise UsageError("there is no such file", file=str(path))
    kinds = dict(features)
    if key:
        kinds[key] = "category"
    if group:
        kinds.setdefault(group, "category")
    options = ReadOptions.of(data) if data else ReadOptions()
    frame, _ = read_table(path, str(path), kinds, text_columns(kinds), options)
    if frame.empty:
        raise no_rows(str(path))
    return frame


def group_of(project: Project, name: str) -> str | None:
    """Return the column that a model's rows are split by, where it is by groups."""
    if name not in project.models():
        return None
    split = project.model(name).split
    return split.column if split.by == "group" else None


def data_of(project: Project, name: str) -> Data | None:
    """Return how the files of a model are read, None where its folder was removed."""
    if name not in project.models():
        return None
    return project.model(name).data
