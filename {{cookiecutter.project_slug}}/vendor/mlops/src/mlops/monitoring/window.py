"""The logged rows that a check looks at, cast as training had them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.data.known import respell, spellings
from mlops.data.read import read_labels
from mlops.data.types import as_text, cast_all
from mlops.io.digests import sha256
from mlops.monitoring.baseline import baseline_of_sample
from mlops.monitoring.detector import ties
from mlops.monitoring.watch import Rows
from mlops.registry.chain import Bundle
from mlops.results.baseline import Baseline
from mlops.results.evaluation import REFERENCE
from mlops.results.training import Feature
from mlops.serving.prediction_log import PredictionLog, Window

# So many rows must have the hash of their group for rows to be counted by group.
_BY_UNIT = 0.9


@dataclass(frozen=True)
class Period:
    """The time ``[since, until)``."""

    since: datetime
    until: datetime


def first_moment(period: Period, watermark: str | None) -> datetime:
    """Return when the rows begin that a check shows.

    Where a check was late or skipped, that is before the period: with the first row
    that no check has counted.
    """
    if watermark is None:
        return period.since
    return min(period.since, datetime.fromisoformat(watermark))


def read_window(
    project: Project, spec: ModelSpec, bundle: Bundle, since: datetime, until: datetime
) -> Window:
    """Return what the version of a bundle predicted, with the labels that have come.

    Whole days are read, by UTC: labels are counted by the day of the prediction.
    """
    version = bundle.version
    log = PredictionLog(project.state, version.model)
    known = _known_labels(spec, project.folder(version.model))
    day = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    window = log.window(day, until, version.number, known)
    order = window.log.sort_values(["at", "id"], kind="stable").index
    order = order[~window.log["id"].loc[order].duplicated().to_numpy()]
    return Window(
        features=window.features.reindex(order).reset_index(drop=True),
        log=window.log.loc[order].reset_index(drop=True),
        damaged=window.damaged,
    )


def _known_labels(spec: ModelSpec, folder: Path) -> dict[Any, Any]:
    """Return the labels of a model's label files, by the row's id."""
    if not spec.data.labels:
        return {}
    labels = read_labels(spec, folder).frame
    return dict(zip(labels[spec.data.id], labels[spec.data.target], strict=True))


def read_reference(bundle: Bundle) -> pd.DataFrame:
    """Return the reference sample of a version, shape (n_rows, n_columns)."""
    return pd.read_parquet(io.BytesIO(bundle.read(REFERENCE)))


def read_baseline(bundle: Bundle, spec: ModelSpec) -> tuple[Baseline, str]:
    """Return the baseline of a version, and its digest.

    Versions of older engines have none: it is made from their reference sample.
    """
    if Baseline.FILE in bundle.files:
        content = bundle.read(Baseline.FILE)
        return Baseline.model_validate_json(content), sha256(content)[:16]
    signature = bundle.manifest.signature
    baseline = baseline_of_sample(read_reference(bundle), signature, spec)
    digest = sha256(baseline.model_dump_json().encode())
    return baseline, digest[:16]


def rows_of(
    window: Window,
    baseline: Baseline,
    features: Sequence[Feature],
    since: datetime,
    watermark: str | None,
    key: str,
) -> Rows:
    """Return what was logged as training had it: cast, and spelled the same.

    Parameters
    ----------
    since : datetime
        Rows from then on are shown, and those that no check has counted.
    key : str
        What ties are broken with; of the version.
    """
    log = window.log
    logged = _cast(window.features, baseline, features)
    outputs = [column.cells.name for column in baseline.columns if column.output]
    frame = pd.concat([logged, log.reindex(columns=outputs).astype("float64")], axis=1)
    times = pd.to_datetime(log["at"], format="ISO8601", utc=True)
    first = since.astimezone(UTC).isoformat(timespec="microseconds")
    shown = np.asarray(log["at"] >= first, dtype=bool)
    new = shown
    if watermark is not None:
        new = np.asarray(log["at"] > watermark, dtype=bool)
    ids = log["id"].astype(str)
    return Rows(
        frame=frame,
        seconds=times.astype("datetime64[us, UTC]").astype("int64").to_numpy() / 1e6,
        ties=ties(list(ids), key),
        units=_units(log).to_numpy(dtype=object),
        recent=shown | new,
        new=new,
    )


def counts_by_unit(window: Window, baseline: Baseline) -> bool:
    """Return whether rows are counted one of each group.

    They are where the version knows its groups and the log has a hash of them.
    """
    if baseline.units is None or "unit" not in window.log:
        return False
    return bool(window.log["unit"].notna().mean() >= _BY_UNIT)


def _units(log: pd.DataFrame) -> pd.Series:
    """Return what makes rows one: their group, else their row, else nothing."""
    units = "id " + log["id"].astype(str)
    if "row_id" in log:
        known = log["row_id"].notna()
        units = units.mask(known, "row " + as_text(log["row_id"]).astype("object"))
    if "unit" in log:
        known = log["unit"].notna()
        units = units.mask(known, "unit " + log["unit"].astype("object").astype(str))
    return units


def _cast(
    sent: pd.DataFrame, baseline: Baseline, features: Sequence[Feature]
) -> pd.DataFrame:
    shown = {column.cells.name for column in baseline.columns if not column.output}
    compared = [feature for feature in features if feature.name in shown]
    kinds: dict[str, str] = {f.name: f.kind for f in compared}
    formats = {f.name: f.format for f in compared if f.format}
    logged, _ = cast_all(sent.reindex(columns=list(kinds)), kinds, formats)
    for feature in compared:
        known = spellings(feature.categories or ())
        logged[feature.name] = respell(logged[feature.name], known)
    return logged


def at_most(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    """Return a frame, or as many of its rows, the same ones each time."""
    return frame.sample(min(len(frame), rows), random_state=0, ignore_index=True)
