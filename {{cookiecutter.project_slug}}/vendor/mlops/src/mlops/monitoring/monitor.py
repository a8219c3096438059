"""One check: what was logged since the last one, against the version in a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.io.digests import sha256
from mlops.io.files import write_json, write_text
from mlops.io.places import FolderPlace, Place
from mlops.monitoring import detector
from mlops.monitoring.acceptance import digest_of, newest, with_reference
from mlops.monitoring.baseline import labelled as outcome_of
from mlops.monitoring.cells import code
from mlops.monitoring.evidently_report import draw_or_note
from mlops.monitoring.follows import quiet_period
from mlops.monitoring.history import last_state, references_watched
from mlops.monitoring.labels import Labelling, labelling
from mlops.monitoring.performance import Labelled, Performed, perform
from mlops.monitoring.slices import rows_in
from mlops.monitoring.watch import Rows, Watched, watch
from mlops.monitoring.window import (
    YEAR,
    CheckSources,
    Period,
    at_most,
    counts_by_unit,
    first_day,
    first_moment,
    read_baseline,
    read_reference,
    read_state,
    read_window,
    rows_of,
)
from mlops.monitoring.without_labels import estimates
from mlops.registry.chain import Bundle, fetch
from mlops.registry.manifest import Manifest
from mlops.reporting import wording
from mlops.reporting.alarm_page import alarm_page
from mlops.reporting.past_checks import history_of
from mlops.results.baseline import Baseline
from mlops.results.monitoring import (
    AcceptedReference,
    ColumnDrift,
    DetectorState,
    DriftCheck,
    EstimatedMetric,
)
from mlops.runlog.query import acceptances, checks
from mlops.serving.log_reader import Window

PAGE = "monitor.html"

# Beside the page: the upload of monitor.yml takes whatever begins so.
APPENDIX = "monitor.evidently.html"

_ESTIMATED = 5000  # rows, of the period, that an estimate without labels rests on


@dataclass(frozen=True)
class _Material:
    """What a check looks at, read once.

    Parameters
    ----------
    first : datetime
        When the days begin that were read.
    reference : DataFrame
        The reference sample, with predictions and target.
    state : DetectorState
        That the check begins with.
    by_unit : bool
        Whether rows are counted one of each group.
    history : sequence of dict
        The checks of a year on the run log, oldest first.
    accepted : AcceptedReference, optional
        The decision that made a period the reference.
    """

    spec: ModelSpec
    manifest: Manifest
    period: Period
    baseline: Baseline
    first: datetime
    window: Window
    rows: Rows
    reference: pd.DataFrame
    state: DetectorState
    by_unit: bool
    history: Sequence[dict[str, Any]]
    accepted: AcceptedReference | None


def monitor(
    project: Project,
    name: str,
    stage: str,
    period: Period,
    charts: bool = True,
    sources: CheckSources | None = None,
) -> DriftCheck:
    """Check the predictions of a period, and write its files.

    They are monitor.json, the page monitor.html, and Evidently's report.

    Only predictions of the version that the stage has now count: the baseline is its
    own. The check begins with the state that the last one of this version left on the
    run log. Whoever records the result writes the new state there with it.

    Parameters
    ----------
    charts : bool
        Whether to write the page, and Evidently's report as its appendix.
    sources : CheckSources, optional
        By default versions lie where the repository says, and predictions in its state
        folder.
    """
    spec = project.model(name)
    read_from = sources or CheckSources()
    bundle = fetch(project, f"{name}@{stage}", read_from.store)
    log_place = read_from.predictions or FolderPlace(project.state)
    material = _read(log_place, project, bundle, period)
    check = _check(material, stage)
    folder = project.build(name)
    if charts:
        check = _with_appendix(material, check, folder / APPENDIX)
        past = history_of(material.history, check)
        appendix = APPENDIX if (folder / APPENDIX).is_file() else ""
        page = alarm_page(check, past, spec.description, appendix)
        write_text(folder / PAGE, page)
    write_json(folder / "monitor.json", check.model_dump(mode="json"))
    return check


def _with_appendix(material: _Material, check: DriftCheck, path: Path) -> DriftCheck:
    """Draw Evidently's report; return the check, with a note where that fails."""
    ranked = sorted(check.columns, key=lambda c: (not c.alarm, not c.changed))
    names = [column.name for column in ranked]
    sample = material.spec.monitor.sample
    old = at_most(material.reference[names], sample)
    new = at_most(material.rows.frame, sample, material.rows.recent)[names]
    note = draw_or_note(old, new, ranked, path)
    if not note:
        return check
    update = {"reasons": (*check.reasons, note), "notes": (*check.notes, note)}
    return check.model_copy(update=update)


def _read(
    log_place: Place, project: Project, bundle: Bundle, period: Period
) -> _Material:
    """Read the log, the baseline, and the state that the last check has left."""
    version = bundle.version
    spec = project.model(version.model)
    history = checks(project, version.model, since=period.until - YEAR)
    state = last_state(history, version.number)
    first = first_day(first_moment(period, state.watermark if state else None))
    window = read_window(log_place, project, bundle, first, period.until)
    baseline, digest = read_baseline(bundle, spec)
    accepted = acceptances(project, version.model, since=period.until - YEAR)
    acceptance = newest(accepted, version.number)
    if acceptance is not None:
        baseline = with_reference(baseline, acceptance)
        digest = digest_of(acceptance)
    by_unit = counts_by_unit(window, baseline)
    if by_unit:
        digest = f"{digest}-units"
    nth = references_watched(history, version.number, len(accepted))
    if state is None or (state.baseline != digest and acceptance is None):
        state = detector.start(baseline, version.number, digest, nth, by_unit)
    elif state.baseline != digest:
        state = detector.accept(state, baseline, digest, nth, by_unit)
    rows = rows_of(
        window,
        baseline,
        bundle.manifest.signature.features,
        period.since,
        state,
        sha256(bundle.manifest_bytes),
    )
    return _Material(
        spec=spec,
        manifest=bundle.manifest,
        period=period,
        baseline=baseline,
        first=first,
        window=replace(window, features=pd.DataFrame()),  # they are cast in `rows`
        rows=rows,
        reference=read_reference(bundle),
        state=state,
        by_unit=by_unit,
        history=history,
        accepted=acceptance.reference if acceptance else None,
    )


def _check(material: _Material, stage: str) -> DriftCheck:
    """Return the result of a check; nothing is read or written."""
    drift = _drift(material)
    spread = _labelling(material)
    performed = _perform(material, spread, drift.state)
    drifted = any(column.alarm for column in drift.columns)
    alarm = drifted or bool(performed.state.worse)
    until = material.period.until.isoformat(timespec="minutes")
    began = (performed.state.began or until) if alarm else None
    recent = material.rows.recent
    estimated = _estimates(material, drift.columns)
    shortcomings = tuple(_shortcomings(material, spread))
    day = material.period.until.astimezone(UTC).date()
    calm = quiet_period(material.spec.monitor, day) if alarm else None
    return DriftCheck(
        model=material.manifest.model,
        version=material.manifest.version,
        stage=stage,
        since=material.period.since.isoformat(timespec="minutes"),
        until=until,
        alarm=alarm,
        enough=_enough(material),
        rows=int(recent.sum()),
        counted=drift.counted,
        labelled=int(material.window.log["label"].notna()[recent].sum()),
        compared=drift.compared,
        began=began,
        accepted=material.accepted,
        columns=drift.columns,
        performance=performed.compared,
        slices=performed.slices,
        labels=spread.shares if spread.selective else (),
        estimates=estimated,
        quiet=calm,
        notes=(*performed.notes, *shortcomings),
        reasons=(
            *wording.monitored(drift.columns, performed.compared, performed.slices),
            *wording.quiet(calm),
            *wording.accepted(material.accepted),
            *performed.notes,
            *wording.estimated(estimated),
            *shortcomings,
        ),
        state=performed.state.model_copy(update={"began": began}),
    )


def _enough(material: _Material) -> bool:
    return int(material.rows.recent.sum()) >= material.spec.monitor.min_rows


def _drift(material: _Material) -> Watched:
    """Return what the rows say of drift; too few rows wait for the next check."""
    if not _enough(material):
        compared = (int(material.rows.recent.sum()), material.baseline.rows)
        return Watched((), 0, compared, material.state)
    drift = watch(
        material.baseline,
        material.rows,
        material.state,
        material.spec.monitor,
        material.by_unit,
    )
    state = read_state(drift.state, material.window, material.first)
    return Watched(drift.columns, drift.counted, drift.compared, state)


def _labelling(material: _Material) -> Labelling:
    """Return how labels are spread over the scores, on the days that have any.

    Labels may come for whole days alone, and scores move from day to day: rows of days
    without a label say nothing of which scores are labelled.
    """
    rows = material.rows
    labelled = material.window.log["label"].notna().to_numpy(dtype=bool)
    outputs = [column for column in material.baseline.columns if column.output]
    if not outputs:
        return Labelling((), labelled, selective=False, overlap=bool(labelled.any()))
    cells = outputs[0].cells
    codes = code(cells, rows.frame[cells.name])
    days, _ = pd.factorize(material.window.log["at"].str[:10])
    begun = np.isin(days, np.unique(days[labelled]))
    found = labelling(codes[begun], cells.names, labelled[begun], rows.ties[begun])
    used = np.zeros(len(labelled), dtype=bool)
    used[begun] = found.used
    return replace(found, used=used)


def _perform(material: _Material, spread: Labelling, state: DetectorState) -> Performed:
    """Return what the labelled rows say of the performance."""
    used = np.flatnonzero(spread.used)
    if not len(used) or not spread.overlap:
        return Performed((), (), state)
    log = material.window.log.iloc[used].reset_index(drop=True)
    signature = material.manifest.signature
    rows = Labelled(
        outcome=outcome_of(log["label"], log, signature, material.spec),
        days=log["at"].str[:10],
        recent=material.rows.recent[used],
        slices={
            one.loss.name: rows_in(one, material.rows.frame)[used]
            for one in material.baseline.slices
        },
    )
    return perform(
        material.spec,
        material.baseline,
        material.manifest.metrics,
        rows,
        state,
        material.period.until.timestamp(),
    )


def _estimates(
    material: _Material, columns: Sequence[ColumnDrift]
) -> tuple[EstimatedMetric, ...]:
    """Return what is expected of the period without labels; too few rows wait."""
    if not _enough(material):
        return ()
    recent = at_most(material.rows.frame, _ESTIMATED, material.rows.recent)
    return estimates(
        material.manifest, material.baseline, material.reference, recent, columns
    )


def _shortcomings(material: _Material, spread: Labelling) -> list[str]:
    """Return what the log lacks, a sentence each."""
    shortcomings = wording.selective_labels(spread.selective, spread.overlap)
    rows = int(material.rows.recent.sum())
    least = material.spec.monitor.min_rows
    if rows < least:
        shortcomings.append(f"{rows:,} rows, {least:,} needed")
    if material.window.damaged:
        lines = material.window.damaged
        shortcomings.append(
            f"{lines:,} rows of the log could not be read and were left out; the first "
            f"is in {material.window.first_damaged}"
        )
    shortcomings += material.window.notes
    return shortcomings
