"""One check: the logged window against the reference of the version in a stage."""

from __future__ import annotations

import io
from datetime import datetime

import pandas as pd

from mlops.config.project import Project
from mlops.data.known import respell, spellings
from mlops.data.read import read_labels
from mlops.data.types import cast_all
from mlops.io.files import write_json
from mlops.monitoring.drift import compare
from mlops.monitoring.evidently_report import draw
from mlops.monitoring.performance import perform
from mlops.registry.chain import fetch
from mlops.results.monitoring import ColumnDrift, DriftCheck, Performance
from mlops.serving.prediction_log import PredictionLog
from mlops.storage.protocol import ReleaseStore


def monitor(
    project: Project,
    name: str,
    stage: str,
    since: datetime,
    until: datetime,
    charts: bool = True,
    store: ReleaseStore | None = None,
) -> DriftCheck:
    """Check the predictions of ``[since, until)`` and write monitor.json and monitor.html.

    Only predictions of the version that the stage has now are looked at: the reference is its own.
    """
    spec = project.model(name)
    rule = spec.monitor
    bundle = fetch(project, f"{name}@{stage}", store)
    signature, version = bundle.manifest.signature, bundle.version.number
    reference = pd.read_parquet(io.BytesIO(bundle.read("reference.parquet")))
    known = {}
    if spec.data.labels:
        labels = read_labels(spec, project.folder(name)).frame
        known = dict(zip(labels[spec.data.id], labels[spec.data.target], strict=True))
    window = PredictionLog(project.state, name).window(since, until, version, known)

    shown = [
        c for c in reference.columns if c not in {*spec.sensitive, signature.target}
    ]
    features = {f.name: f for f in signature.features if f.name in shown}
    outputs = [c for c in shown if c not in features]
    if len(outputs) > 1:
        outputs.remove("prediction")  # the scores say more
    # What free text says has no distribution that two samples of it could share.
    features = {name: f for name, f in features.items() if f.kind != "text"}
    kinds: dict[str, str] = {name: f.kind for name, f in features.items()}
    formats = {name: f.format for name, f in features.items() if f.format}
    logged, _ = cast_all(window.features.reindex(columns=list(kinds)), kinds, formats)
    for column, feature in features.items():
        spelling = spellings(feature.categories or ())
        logged[column] = respell(logged[column], spelling)
    kinds |= dict.fromkeys(outputs, "number")
    current = pd.concat(
        [logged, window.log.reindex(columns=outputs).astype("float64")], axis=1
    )
    old, new = (
        frame.sample(min(len(frame), rule.sample), random_state=0, ignore_index=True)
        for frame in (reference[list(kinds)], current)
    )
    enough = len(current) >= rule.min_rows
    columns = compare(old, new, kinds, features, rule) if enough else []
    performance = perform(spec, signature, bundle.manifest.metrics, window.log)
    reasons = _reasons(columns, performance, rule.min_effect)
    if not enough:
        reasons.append(f"{len(current):,} rows, {rule.min_rows:,} needed")
    if window.damaged:
        reasons.append(f"{window.damaged:,} lines of the log were cut short")
    check = DriftCheck(
        model=name,
        version=version,
        stage=stage,
        since=since.isoformat(timespec="minutes"),
        until=until.isoformat(timespec="minutes"),
        alarm=any(c.alarm for c in columns) or any(p.alarm for p in performance),
        enough=enough,
        rows=len(current),
        labelled=int(window.log["label"].notna().sum()),
        compared=(len(new), len(old)),
        columns=tuple(columns),
        performance=tuple(performance),
        reasons=tuple(reasons),
    )
    folder = project.build(name)
    write_json(folder / "monitor.json", check.model_dump(mode="json"))
    if charts:
        draw(old, new, kinds, rule.min_effect, folder / "monitor.html")
    return check


def _reasons(
    columns: list[ColumnDrift], performance: list[Performance], least: float
) -> list[str]:
    """Return a sentence for every alarm, the worst first, and for a metric that holds."""
    out = []
    for p in performance:
        now, word = p.window, "worse than" if p.alarm else "not shown to be worse than"
        out.append(
            f"{now.name} is {now.value:.3f} ({now.low:.3f} to {now.high:.3f}) on {p.rows:,}"
            f" labelled rows, {word} {p.reference.value:.3f} when it was registered"
        )
    for c in sorted(columns, key=lambda c: -c.effect):
        what = (
            "outside the range seen in training"
            if c.kind == "number"
            else "new since training"
        )
        if c.alarm:
            out.append(
                f"{c.name} has drifted: distance {c.effect:.2f} (from {least:.2f} on it matters),"
                f" p {c.q_value:.2g}, missing {c.missing:.1%} (was {c.reference_missing:.1%})"
                + (f", {c.unseen:,} values {what}" if c.unseen else "")
            )
    return out or (["nothing reached the alarm level"] if columns else [])
