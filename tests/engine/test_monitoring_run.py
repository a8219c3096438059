"""`mlops monitor` end to end: from a release and its log to an alarm and a report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.config.project import Project
from mlops.io.places import FolderPlace
from mlops.monitoring.evidently_report import draw
from mlops.monitoring.monitor import APPENDIX, PAGE, monitor
from mlops.monitoring.window import Period
from mlops.registry.chain import fetch
from mlops.results.evaluation import Metric
from mlops.results.monitoring import DriftCheck
from mlops.runlog.journal import append_check
from mlops.serving.log_parts import part_of
from mlops.serving.log_reader import stamp
from mlops.serving.prediction_log import PredictionLog

from .conftest import Trained, rows_of, train_in
from .monitoring_rows import compare
from .serving_world import NOW, release

DAY = timedelta(days=1)


def serve(
    trained: Trained,
    rows: pd.DataFrame,
    version: str = "v1.0.0",
    labels: Any = None,
    at: datetime = NOW,
) -> None:
    """Log predictions for rows as the service does, and their labels."""
    log = PredictionLog(trained.project.state, "churn", set(trained.spec.sensitive))
    raw = rows[list(trained.spec.features)]
    ids = [f"{len(rows)}-{i}" for i in range(len(rows))]
    outputs = trained.model.predict(raw).assign(row_id=rows["customer"])
    log.write(raw, outputs, ids, version, at)
    if labels is not None:
        log.feedback(list(zip(ids, labels, strict=True)), NOW)


def manifest_metrics(trained: Trained) -> tuple[Metric, ...]:
    return fetch(trained.project, "churn@v1.0.0").manifest.metrics


def check(trained: Trained, charts: bool = False, minute: int = 0) -> DriftCheck:
    period = Period(NOW - DAY, NOW + DAY + timedelta(minutes=minute))
    return monitor(trained.project, "churn", "production", period, charts=charts)


@pytest.fixture
def released(trained: Trained) -> Trained:
    release(trained)
    return trained


def test_the_same_population_is_no_alarm(released: Trained) -> None:
    serve(released, rows_of(n=500, seed=5))
    found = check(released)
    assert (found.alarm, found.enough) == (False, True)
    assert {c.name for c in found.columns} == {"tenure", "spend", "plan", "score"}
    assert (found.rows, found.labelled, found.performance) == (500, 0, ())
    assert found.compared[0] == 500 and found.compared[1] > 100
    build = released.project.build("churn")
    assert (
        DriftCheck.model_validate(json.loads((build / "monitor.json").read_text()))
        == found
    )
    assert not (build / "monitor.html").exists()
    assert found.text().startswith("no alarm: churn@v1.0.0")


def test_the_performance_is_estimated_without_labels(released: Trained) -> None:
    serve(released, rows_of(n=500, seed=5))
    found = check(released)
    estimates = {e.metric: e for e in found.estimates}
    assert set(estimates) == {"accuracy", "roc_auc"}
    then = next(m for m in manifest_metrics(released) if m.name == "roc_auc")
    assert estimates["roc_auc"].registered == then.value
    assert abs(estimates["roc_auc"].value - then.value) < 0.1
    (sentence,) = [r for r in found.reasons if r.startswith("ROC AUC without labels")]
    assert sentence.endswith("an estimate; it cannot see concept drift)")


def test_the_next_check_begins_where_the_last_one_ended(released: Trained) -> None:
    """The state goes over the run log; a check that is repeated counts nothing."""
    serve(released, rows_of(n=500, seed=5))
    first = check(released)
    assert (first.counted, first.state and first.state.rows) == (500, 500)
    append_check(released.project, first.model_dump(mode="json"), "ana")
    again = check(released)
    assert (again.counted, again.rows, again.alarm) == (0, 500, False)
    assert again.state == first.state
    more = rows_of(n=300, seed=6).assign(customer=[f"more-{i}" for i in range(300)])
    serve(released, more, at=NOW + timedelta(hours=1))
    third = check(released)
    assert (third.counted, third.rows) == (300, 800)
    assert third.state and third.state.rows == 800


def late(released: Trained, name: str, n: int, hours: float) -> None:
    """Let another machine's rows, older than what was counted, reach the log now."""
    state = released.project.state
    own = PredictionLog(state, "churn", set(released.spec.sensitive))
    place = FolderPlace(state)
    path = f"predictions/churn/2026-11-23/{name}-00000.parquet"
    rows = rows_of(n=n, seed=int(name[-1]))
    raw = rows[list(released.spec.features)]
    log = released.model.predict(raw).assign(row_id=name + rows["customer"])
    log.insert(0, "version", "v1.0.0")
    log.insert(0, "at", stamp(NOW + timedelta(hours=hours)))
    log.insert(0, "id", [f"{name}-{i}" for i in range(n)])
    place.write(path, part_of(raw.drop(columns=list(own.hidden), errors="ignore"), log))


def test_rows_that_come_late_from_another_machine_are_counted_once(
    released: Trained,
) -> None:
    """Though newer rows were counted before, and whatever their order is."""
    serve(released, rows_of(n=300, seed=5), at=NOW)
    first = check(released)
    assert first.counted == 300
    append_check(released.project, first.model_dump(mode="json"), "ana")
    late(released, "11-00000000000000a7", 200, hours=-1)
    second = check(released, minute=1)
    assert (second.counted, second.rows) == (200, 500)
    again = check(released, minute=2)
    assert (again.counted, again.state) == (200, second.state)
    append_check(released.project, second.model_dump(mode="json"), "ana")
    third = check(released, minute=2)
    assert (third.counted, third.rows, third.state) == (0, 500, second.state)


def test_a_wider_period_counts_no_row_of_an_earlier_one_again(
    released: Trained,
) -> None:
    serve(released, rows_of(n=250, seed=5), at=NOW - 5 * DAY)
    wide = Period(NOW - 6 * DAY, NOW - 4 * DAY)
    first = monitor(released.project, "churn", "production", wide, charts=False)
    assert first.counted == 250
    append_check(released.project, first.model_dump(mode="json"), "ana")
    more = rows_of(n=260, seed=6).assign(customer=[f"more-{i}" for i in range(260)])
    serve(released, more, at=NOW)
    narrow = check(released)
    assert narrow.counted == 260
    append_check(released.project, narrow.model_dump(mode="json"), "ana")
    wide = Period(NOW - 9 * DAY, NOW + DAY)
    third = monitor(released.project, "churn", "production", wide, charts=False)
    assert (third.counted, third.rows) == (0, 510)


def test_a_state_of_an_older_engine_is_resumed_by_its_watermark(
    released: Trained,
) -> None:
    serve(released, rows_of(n=300, seed=5), at=NOW)
    first = check(released)
    older = first.model_dump(mode="json")
    for key in ("positions", "floor"):
        del older["state"][key]
    append_check(released.project, older, "ana")
    more = rows_of(n=250, seed=6).assign(customer=[f"more-{i}" for i in range(250)])
    serve(released, more, at=NOW + timedelta(hours=1))
    second = check(released)
    assert (second.counted, second.rows) == (250, 550)
    assert second.state and second.state.floor and second.state.positions


def test_odd_rows_of_the_log_are_counted_and_change_nothing_else(
    released: Trained,
) -> None:
    serve(released, rows_of(n=300, seed=5))
    clean = check(released)
    (path,) = (released.project.state / "predictions" / "churn").glob("*.jsonl")
    with path.open("a") as file:
        file.write('{}\nnull\n{"id": 1}\n')
    found = check(released)
    assert (found.counted, found.alarm) == (clean.counted, clean.alarm)
    (sentence,) = [r for r in found.reasons if "could not be read" in r]
    assert sentence.startswith("3 rows of the log")
    assert sentence.endswith(f"predictions/churn/{path.name}, line 301")


def test_a_version_without_a_baseline_is_watched_by_its_reference(
    trained: Trained,
) -> None:
    """What an engine before this one registered."""
    release(trained, baseline=False)
    assert "baseline.json" not in fetch(trained.project, "churn@production").files
    rows = rows_of(n=500, seed=6)
    serve(trained, rows.assign(tenure=rows["tenure"] + 40))
    found = check(trained)
    assert [c.name for c in found.columns if c.alarm][:1] == ["tenure"]
    assert found.state and set(found.state.losses) == {"Brier score"}


def test_a_shift_and_a_new_category_alarm_and_are_named(released: Trained) -> None:
    rows = rows_of(n=1000, seed=6)
    rows["tenure"] = rows["tenure"] + 40
    rows.loc[: len(rows) // 4, "plan"] = "gold|`<b>"
    serve(released, rows)
    found = check(released, charts=True)
    assert found.alarm
    columns = {c.name: c for c in found.columns}
    assert (
        columns["tenure"].alarm and columns["plan"].alarm and not columns["spend"].alarm
    )
    assert columns["plan"].unseen == 251
    tenure, plan = (
        next(r for r in found.reasons if r.startswith(f"{name} has drifted"))
        for name in ("tenure", "plan")
    )
    assert (
        f"{columns['tenure'].unseen} values outside the range seen in training"
        in tenure
    )
    assert "251 values new since training" in plan
    build = released.project.build("churn")
    assert "tenure" in (build / PAGE).read_text()
    verdicts = re.findall(
        r"Data drift (detected|not detected)\.\s*Drift detection method: ([^.]*)\."
        r"\s*Drift score: ([0-9.]+)",
        (build / APPENDIX).read_text(),
    )
    assert len(verdicts) == len(columns)
    ours = sorted((c.alarm, f"{round(c.effect, 3)}") for c in columns.values())
    theirs = sorted((word == "detected", score) for word, _, score in verdicts)
    assert theirs == ours, "the appendix does not contradict the page"


def test_an_alarm_in_a_quiet_period_is_one_and_says_that_it_starts_nothing(
    released: Trained,
) -> None:
    path = released.project.folder("churn") / "model.yaml"
    day = (NOW + DAY).date()
    quiet = f"[{{from: {day}, to: {day}, reason: a sale}}]"
    path.write_text(f"{path.read_text()}\nmonitor: {{quiet: {quiet}}}\n")
    serve(released, rows_of(n=500, seed=5))
    assert check(released).quiet is None, "there is no alarm to be quiet about"
    rows = rows_of(n=600, seed=6).assign(tenure=lambda rows: rows["tenure"] + 40)
    serve(released, rows)
    found = check(released, charts=True)
    assert found.alarm and found.quiet and found.quiet.reason == "a sale"
    sentence = f"uiet from {day} to {day} (a sale): an alarm starts nothing"
    assert f"q{sentence}" in found.text()
    page = (released.project.build("churn") / PAGE).read_text()
    assert f"Q{sentence}" in page and "alarm, quiet" in page


def test_too_few_rows_are_no_evidence(released: Trained) -> None:
    rows = rows_of(n=50, seed=7)
    rows["tenure"] += 1000
    serve(released, rows)
    found = check(released)
    assert (found.alarm, found.enough, found.columns) == (False, False, ())
    assert "50 rows, 200 needed" in found.reasons
    assert found.text().startswith("not enough data")


def test_an_empty_log_is_not_enough_data_and_draws_nothing(released: Trained) -> None:
    found = check(released, charts=True)
    assert (found.rows, found.alarm, found.enough) == (0, False, False)
    build = released.project.build("churn")
    assert "Not enough data for a verdict: 0 rows." in (build / PAGE).read_text()
    assert not (build / APPENDIX).exists()


def test_only_the_version_in_production_counts(released: Trained) -> None:
    rows = rows_of(n=500, seed=8)
    serve(released, rows.assign(tenure=rows["tenure"] + 40), version="v0.9.0")
    assert check(released).rows == 0


def test_labels_show_whether_the_model_holds(released: Trained) -> None:
    rows = rows_of(n=500, seed=19)
    serve(released, rows, labels=rows["churn"])
    found = check(released)
    assert found.labelled == 500
    (holds,) = found.performance
    assert (holds.window.name, holds.rows, holds.alarm) == ("roc_auc", 500, False)
    swapped = np.where(rows["churn"] == "yes", "no", "yes")
    log = PredictionLog(released.project.state, "churn")
    log.feedback(
        [(f"500-{i}", str(label)) for i, label in enumerate(swapped)], NOW + DAY
    )
    worse_now = check(released)
    assert worse_now.alarm and worse_now.performance[0].alarm
    assert worse_now.reasons[0].startswith("ROC AUC is")
    assert "labelled rows, worse than" in worse_now.reasons[0]
    assert not any(c.alarm for c in worse_now.columns)


def test_days_without_a_label_say_nothing_of_which_scores_are_labelled(
    released: Trained,
) -> None:
    """Labels come for the days since they are collected; scores were others before."""
    before = rows_of(n=900, seed=18)
    before = before[before["churn"] == "no"].reset_index(drop=True)
    serve(released, before, at=NOW - timedelta(hours=30))
    rows = rows_of(n=500, seed=19)
    swapped = np.where(rows["churn"] == "yes", "no", "yes")
    serve(released, rows, labels=swapped)
    found = check(released)
    assert found.labelled == 500 and not found.labels
    assert found.performance[0].alarm, found.notes


@pytest.mark.parametrize("file", ["later.csv", "later.parquet"])
@pytest.mark.parametrize("number", [False, True], ids=["text", "number"])
def test_labels_of_label_files_are_joined_by_the_row(
    make_project: Callable[..., Project], number: bool, file: str
) -> None:
    first, later = rows_of(n=600), rows_of(n=400, seed=10)
    if number:  # in Parquet; a CSV file knows text alone
        later["customer"] = np.arange(400)
    data = {
        "source": "data/*.csv",
        "labels": "labels/*",
        "id": "customer",
        "target": "churn",
        "positive": "yes",
    }
    project = make_project(frame=first.drop(columns="churn"), data=data)
    folder = project.folder("churn") / "labels"
    folder.mkdir()
    first[["customer", "churn"]].to_csv(folder / "first.csv", index=False)
    from .conftest import git

    git(project.root, "add", "-A")
    git(project.root, "commit", "-qm", "Labels")
    trained = train_in(project)
    release(trained)
    serve(trained, later)
    assert check(trained).labelled == 0
    labels = later[["customer", "churn"]]
    (labels.to_csv if file.endswith("csv") else labels.to_parquet)(
        folder / file, index=False
    )
    found = check(trained)
    assert (found.labelled, len(found.performance)) == (400, 1)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks_are_watched_too(
    make_project: Callable[..., Project], task: str
) -> None:
    trained = train_in(make_project(task=task))
    release(trained)
    rows = rows_of(task, n=400, seed=11)
    serve(
        trained,
        rows,
        labels=[v if task == "multiclass" else float(v) for v in rows["churn"]],
    )
    found = check(trained)
    assert not found.alarm
    outputs = [c.name for c in found.columns if c.output]
    assert outputs == (
        ["prediction"] if task == "regression" else ["p_go", "p_maybe", "p_stay"]
    )
    assert found.performance[0].rows == 400


def test_a_sensitive_feature_is_neither_logged_nor_compared(
    make_project: Callable[..., Project],
) -> None:
    features = {
        "tenure": "number",
        "plan": "category",
        "sex": "category",
        "spend": "number",
    }
    trained = train_in(make_project(features=features))
    release(trained)
    serve(trained, rows_of(n=400, seed=12))
    found = check(trained)
    assert "sex" not in {c.name for c in found.columns}
    assert not found.alarm
    written = [*trained.project.state.glob("predictions/**/*.jsonl")]
    written += trained.project.build("churn").glob("monitor.*")
    assert len(written) == 2
    for path in written:
        assert "female" not in path.read_text()


def test_a_feature_that_is_not_logged_alarms_and_an_unknown_one_does_not_matter(
    released: Trained,
) -> None:
    rows = rows_of(n=300, seed=13)
    raw = rows[["tenure", "plan"]].assign(colour="red")
    outputs = released.model.predict(rows)
    log = PredictionLog(released.project.state, "churn")
    log.write(raw, outputs, [str(i) for i in range(300)], "v1.0.0", NOW)
    found = check(released)
    assert {c.name for c in found.columns if c.alarm} == {"spend"}
    assert any("spend has drifted" in r and "missing 100%" in r for r in found.reasons)


def test_numbers_within_the_range_of_training_are_not_called_new(
    released: Trained,
) -> None:
    rows = rows_of(n=500, seed=16)
    serve(released, rows.assign(tenure=rows["tenure"].median()))
    (reason,) = check(released).reasons[:1]
    assert reason.startswith("tenure has drifted") and "values" not in reason


def test_every_row_is_counted_and_the_same_check_comes_to_the_same_result(
    make_project: Callable[..., Project],
) -> None:
    trained = train_in(make_project(monitor={"sample": 150}))
    release(trained)
    serve(trained, rows_of(n=500, seed=17))
    found = check(trained)
    assert (found.rows, found.counted, found.compared[0]) == (500, 500, 500)
    assert check(trained) == found


def test_no_markup_reaches_the_charts(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>"
    frame = pd.DataFrame(
        {
            hostile: pd.Series([hostile, "x", None] * 40, dtype="str"),
            "n": np.arange(120.0),
            "empty": np.nan,
            "when": pd.date_range("2026-01-01", periods=120),
        }
    )
    kinds = {hostile: "category", "n": "number", "empty": "number", "when": "date"}
    path = tmp_path / "monitor.html"
    found = compare(frame, frame, kinds)
    draw(frame, frame, found, path)
    html = path.read_text()
    assert "alert(1)" in html
    assert "<script>alert(1)" not in html
    draw(frame, frame, [c for c in found if c.name == "empty"], path)
    assert not path.exists()
