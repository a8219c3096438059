"""The logged rows that a check looks at, cast as training had them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.data.known import respell, spellings
from mlops.data.read import read_labels
from mlops.data.sources import MONITOR_LABELS
from mlops.data.types import as_text, cast_all
from mlops.io.digests import sha256
from mlops.io.places import Place
from mlops.monitoring.baseline import baseline_of_sample
from mlops.monitoring.detector import ties
from mlops.monitoring.watch import Rows
from mlops.registry.chain import Bundle
from mlops.results.baseline import Baseline
from mlops.results.evaluation import REFERENCE
from mlops.results.monitoring import DetectorState
from mlops.results.training import Feature
from mlops.serving.log_reader import Window, day_of, read_log, stamp
from mlops.storage.protocol import ReleaseStore

# So many rows must have the hash of their group for rows to be counted by group.
_BY_UNIT = 0.9

_ROWS_AT_ONCE = 100_000

# How far back checks, and what people decided of them, still count.
YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Period:
    """The time ``[since, until)``."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class CheckSources:
    """Where a check reads from, if not where the repository has it.

    Parameters
    ----------
    store : ReleaseStore, optional
        Of the versions.
    predictions : Place, optional
        Of the prediction log.
    """

    store: ReleaseStore | None = None
    predictions: Place | None = None


def first_moment(period: Period, watermark: str | None) -> datetime:
    """Return when the rows begin that a check shows.

    Where a check was late or skipped, that is before the period: with the first row
    that no check has counted.
    """
    if watermark is None:
        return period.since
    return min(period.since, datetime.fromisoformat(watermark))


def first_day(since: datetime) -> datetime:
    """Return when the UTC day of a time began: labels are counted by whole days."""
    return since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def read_window(
    log_place: Place, project: Project, bundle: Bundle, since: datetime, until: datetime
) -> Window:
    """Return what the version of a bundle predicted, with the labels that have come.

    The rows are in the order of time, each id once: of a prediction that is logged
    twice the earlier one counts.

    Parameters
    ----------
    log_place : Place
        Of the prediction log.
    since : datetime
        The begin of a day, of `first_day`.
    """
    version = bundle.version
    spec = project.model(version.model)
    known = _known_labels(spec, project.folder(version.model))
    window = read_log(log_place, version.model, (since, until), version.number, known)
    log = window.log
    unsound = np.zeros(len(log), dtype=bool)
    if bundle.manifest.signature.task == "regression":
        log = log.assign(label=pd.to_numeric(log["label"], errors="coerce"))
        if "prediction" in log:
            numbers = pd.to_numeric(log["prediction"], errors="coerce")
            unsound = (numbers.isna() & log["prediction"].notna()).to_numpy()
            log = log.assign(prediction=numbers)
    keys = log[["at", "id"]][~unsound]
    order = keys.sort_values(["at", "id"], kind="stable").index
    order = order[~log["id"].loc[order].duplicated().to_numpy()]
    return replace(
        window,
        features=window.features.reindex(order).reset_index(drop=True),
        log=log.loc[order].reset_index(drop=True),
        damaged=window.damaged + int(unsound.sum()),
    )


def _known_labels(spec: ModelSpec, folder: Path) -> dict[Any, Any]:
    """Return the labels of a model's label files, by the row's id."""
    if not spec.data.labels:
        return {}
    labels = read_labels(spec, folder, MONITOR_LABELS).frame
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
    state: DetectorState,
    key: str,
) -> Rows:
    """Return what was logged as training had it: cast, and spelled the same.

    Parameters
    ----------
    since : datetime
        Rows from then on are shown, and those that no check has counted.
    state : DetectorState
        Says which rows were counted.
    key : str
        What ties are broken with; of the version.
    """
    log = window.log
    logged = _cast(window.features, baseline, features)
    outputs = [column.cells.name for column in baseline.columns if column.output]
    frame = pd.concat([logged, log.reindex(columns=outputs).astype("float64")], axis=1)
    times = pd.to_datetime(log["at"], format="ISO8601", utc=True)
    shown = np.asarray(log["at"] >= stamp(since), dtype=bool)
    new = shown if state.watermark is None else _not_counted(log, state)
    return Rows(
        frame=frame,
        seconds=times.astype("datetime64[us, UTC]").astype("int64").to_numpy() / 1e6,
        ties=ties(log["id"].astype(str), key),
        units=_unit_hashes(log),
        recent=shown | new,
        new=new,
    )


def _not_counted(log: pd.DataFrame, state: DetectorState) -> NDArray[np.bool_]:
    """Return which rows no check has counted: by how far their source was read.

    Times do not tell: the rows of another machine, or of a run whose artifact came
    later, may be older than rows that were counted.
    """
    if state.floor is None:
        return np.asarray(log["at"] > (state.watermark or ""), dtype=bool)
    read_to = log["source"].astype("object").map(state.positions).astype("float64")
    further = log["position"].to_numpy() > read_to.fillna(0).to_numpy()
    unknown = read_to.isna().to_numpy() & (log["at"] >= state.floor).to_numpy()
    return np.asarray(np.where(read_to.notna(), further, unknown), dtype=bool)


def read_state(state: DetectorState, window: Window, since: datetime) -> DetectorState:
    """Return a state that remembers how far the sources of a window were read.

    Parameters
    ----------
    since : datetime
        When the days begin that were read.
    """
    floor = max(state.floor or "", stamp(since))
    positions = {
        source: position
        for source, position in {**state.positions, **window.positions}.items()
        if day_of(source) >= floor[:10]
    }
    for source, position in state.positions.items():
        if source in positions:
            positions[source] = max(position, positions[source])
    newest = max(window.log["at"].max(), state.watermark or "")
    update = {"watermark": newest, "positions": positions, "floor": floor}
    return state.model_copy(update=update)


def counts_by_unit(window: Window, baseline: Baseline) -> bool:
    """Return whether rows are counted one of each group.

    They are where the version knows its groups and the log has a hash of them.
    """
    if baseline.units is None or "unit" not in window.log:
        return False
    return bool(window.log["unit"].notna().mean() >= _BY_UNIT)


def _unit_hashes(log: pd.DataFrame) -> NDArray[np.uint64]:
    """Return a hash of what makes rows one: texts would be most of the memory."""
    hashes = np.empty(len(log), dtype=np.uint64)
    for first in range(0, len(log), _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        units = _units(log.iloc[part]).to_numpy(dtype=object)
        hashes[part] = pd.util.hash_array(units, categorize=False)
    return hashes


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


def at_most(
    frame: pd.DataFrame, rows: int, among: NDArray[np.bool_] | None = None
) -> pd.DataFrame:
    """Return a frame, or as many of its rows, the same ones each time.

    Parameters
    ----------
    among : ndarray of bool, optional
        Which rows of the frame may be taken.
    """
    positions = np.arange(len(frame)) if among is None else np.flatnonzero(among)
    wanted = min(len(positions), rows)
    chosen = pd.Series(positions).sample(wanted, random_state=0)
    return frame.iloc[chosen.to_numpy()].reset_index(drop=True)
