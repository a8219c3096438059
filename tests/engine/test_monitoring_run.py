"""`mlops monitor` end to end: from a release and its log to an alarm and a report."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.config.project import Project
from mlops.monitoring.evidently_report import draw
from mlops.monitoring.monitor import monitor
from mlops.monitoring.performance import worse
from mlops.monitoring.window import Period
from mlops.results.evaluation import Metric
from mlops.results.monitoring import DriftCheck
from mlops.serving.prediction_log import PredictionLog

from .conftest import Trained, rows_of, train_in
from .serving_world import NOW, release

DAY = timedelta(days=1)


def serve(
    trained: Trained, rows: pd.DataFrame, version: str = "v1.0.0", labels: Any = None
) -> None:
    """Log predictions for rows as the service does, and their labels."""
    log = PredictionLog(trained.project.state, "churn", set(trained.spec.sensitive))
    raw = rows[list(trained.spec.features)]
    ids = [f"{len(rows)}-{i}" for i in range(len(rows))]
    outputs = trained.model.predict(raw).assign(row_id=rows["customer"])
    log.write(raw, outputs, ids, version, NOW)
    if labels is not None:
        log.feedback(list(zip(ids, labels, strict=True)), NOW)


def check(trained: Trained, charts: bool = False) -> DriftCheck:
    period = Period(NOW - DAY, NOW + DAY)
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


def test_a_shift_and_a_new_category_alarm_and_are_named(released: Trained) -> None:
    rows = rows_of(n=500, seed=6)
    rows["tenure"] = rows["tenure"] + 40
    rows.loc[: len(rows) // 4, "plan"] = "gold|`<b>"
    serve(released, rows)
    found = check(released, charts=True)
    assert found.alarm
    columns = {c.name: c for c in found.columns}
    assert (
        columns["tenure"].alarm and columns["plan"].alarm and not columns["spend"].alarm
    )
    assert columns["plan"].unseen == 126
    tenure, plan = (
        next(r for r in found.reasons if r.startswith(f"{name} has drifted"))
        for name in ("tenure", "plan")
    )
    assert (
        f"{columns['tenure'].unseen} values outside the range seen in training"
        in tenure
    )
    assert "126 values new since training" in plan
    html = (released.project.build("churn") / "monitor.html").read_text()
    assert len(html) > 1e6 and "tenure" in html


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
    assert not (released.project.build("churn") / "monitor.html").exists()


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


def test_what_is_compared_is_a_sample_drawn_the_same_way_again(
    make_project: Callable[..., Project],
) -> None:
    trained = train_in(make_project(monitor={"sample": 150}))
    release(trained)
    serve(trained, rows_of(n=500, seed=17))
    found = check(trained)
    assert (found.rows, found.compared[0]) == (500, 150)
    assert check(trained) == found


def test_an_interval_that_overlaps_is_no_alarm_and_a_higher_loss_is_worse() -> None:
    def metric(value: float, half: float, up: bool = True) -> Metric:
        return Metric(
            name="m",
            value=value,
            low=value - half,
            high=value + half,
            higher_is_better=up,
        )

    assert worse(metric(0.8, 0.02), metric(0.8, 0.02)) == pytest.approx(0.5)
    assert worse(metric(0.79, 0.02), metric(0.8, 0.02)) > 0.1
    assert worse(metric(0.7, 0.02), metric(0.8, 0.02)) < 1e-6
    assert worse(metric(0.9, 0.02), metric(0.8, 0.02)) > 0.999
    assert worse(metric(0.9, 0.02, up=False), metric(0.8, 0.02, up=False)) < 1e-6
    assert worse(metric(0.7, 0), metric(0.8, 0)) == 0


def test_a_model_that_holds_is_rarely_called_worse() -> None:
    rng = np.random.default_rng(14)
    found = []
    for _ in range(2000):
        values = 0.8 + rng.normal(0, [0.01, 0.02])
        now, then = (
            Metric(name="m", value=v, low=v - 1.96 * s, high=v + 1.96 * s)
            for v, s in zip(values, (0.01, 0.02), strict=True)
        )
        found.append(worse(now, then) <= 0.05)
    assert 0.035 <= np.mean(found) <= 0.065


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
    draw(frame, frame, kinds, 0.1, path)
    html = path.read_text()
    assert "alert(1)" in html
    assert "<script>alert(1)" not in html
    draw(frame, frame, {"empty": "number"}, 0.1, path)
    assert not path.exists()
