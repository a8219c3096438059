"""One check: the logged window against the reference of the version in a stage."""

from __future__ import annotations

from mlops.config.model_spec import Monitor
from mlops.config.project import Project
from mlops.io.files import write_json
from mlops.monitoring.drift import compare_columns
from mlops.monitoring.evidently_report import draw_or_note
from mlops.monitoring.performance import perform
from mlops.monitoring.window import (
    Period,
    at_most,
    columns_of,
    current_sample,
    read_reference,
    read_window,
)
from mlops.registry.chain import fetch
from mlops.reporting import wording
from mlops.results.monitoring import DriftCheck
from mlops.serving.prediction_log import Window
from mlops.storage.protocol import ReleaseStore


def monitor(
    project: Project,
    name: str,
    stage: str,
    period: Period,
    charts: bool = True,
    store: ReleaseStore | None = None,
) -> DriftCheck:
    """Check the predictions of a period, and write monitor.json and monitor.html.

    Only predictions of the version that the stage has now count: the reference is its
    own.

    Parameters
    ----------
    charts : bool
        Whether to write monitor.html, Evidently's report.
    store : ReleaseStore, optional
        Where versions lie, if not where the repository says.
    """
    spec = project.model(name)
    rule = spec.monitor
    bundle = fetch(project, f"{name}@{stage}", store)
    signature = bundle.manifest.signature
    window = read_window(project, spec, bundle, period)
    reference = read_reference(bundle)
    columns = columns_of(reference, signature, spec)
    current = current_sample(window, columns)
    old = at_most(reference[list(columns.kinds)], rule.sample)
    new = at_most(current, rule.sample)
    enough = len(current) >= rule.min_rows
    drift = (
        compare_columns(old, new, columns.kinds, columns.features, rule)
        if enough
        else []
    )
    performance, unmeasured = perform(
        spec, signature, bundle.manifest.metrics, window.log
    )
    check = DriftCheck(
        model=name,
        version=bundle.version.number,
        stage=stage,
        since=period.since.isoformat(timespec="minutes"),
        until=period.until.isoformat(timespec="minutes"),
        alarm=any(c.alarm for c in drift) or any(p.alarm for p in performance),
        enough=enough,
        rows=len(current),
        labelled=int(window.log["label"].notna().sum()),
        compared=(len(new), len(old)),
        columns=tuple(drift),
        performance=tuple(performance),
        reasons=(
            *wording.monitored(drift, performance),
            *unmeasured,
            *_shortcomings(window, rule),
        ),
    )
    folder = project.build(name)
    write_json(folder / "monitor.json", check.model_dump(mode="json"))
    if charts:
        page = folder / "monitor.html"
        note = draw_or_note(old, new, columns.kinds, rule.min_effect, page)
        if note:
            check = check.model_copy(update={"reasons": (*check.reasons, note)})
            write_json(folder / "monitor.json", check.model_dump(mode="json"))
    return check


def _shortcomings(window: Window, rule: Monitor) -> list[str]:
    """Return what the log lacks, a sentence each."""
    shortcomings = []
    rows = len(window.log)
    if rows < rule.min_rows:
        shortcomings.append(f"{rows:,} rows, {rule.min_rows:,} needed")
    if window.damaged:
        shortcomings.append(f"{window.damaged:,} lines of the log were cut short")
    return shortcomings
