"""Values at the ends of floats and dates: the monitor gives a result all the same."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.config.project import Project
from mlops.evaluation.outcome import outcome
from mlops.monitoring import detector
from mlops.monitoring.evidently_report import draw
from mlops.monitoring.losses import baselines_of
from mlops.monitoring.monitor import APPENDIX, PAGE, monitor
from mlops.monitoring.performance import Labelled, perform
from mlops.monitoring.window import Period
from mlops.results.baseline import Baseline
from mlops.results.evaluation import Metric
from mlops.results.monitoring import DriftCheck
from mlops.results.training import Feature, Signature
from mlops.serving.prediction_log import PredictionLog

from .conftest import git, rows_of, train_in
from .monitoring_rows import compare
from .serving_world import NOW, release

DAY = timedelta(days=1)
KINDS = {"number": "number", "date": "date", "text": "category"}
ROWS = 300
LARGEST = float(np.finfo(float).max)
SMALLEST = 5e-324

NUMBERS = {
    "huge": [1e308],
    "huge, of both signs": [1e308, -1e308],
    "the largest": [LARGEST, -LARGEST],
    "the smallest": [SMALLEST, -SMALLEST],
    "tiny": [1e-310, 2e-310],
    "nanoseconds": [1.7e18, 1.7e18 + 256],
    "neighbours": [1e17, 1e17 + 16],
    "zero": [0.0],
}
DATES = {
    "the last": ["9999-12-31T23:59:59"],
    "the first": ["0001-01-01"],
    "both ends": ["0001-01-01", "9999-12-31"],
    "missing": ["NaT"],
}


@pytest.fixture(autouse=True)
def _no_overflow() -> Iterator[None]:
    """Let a warning about numbers fail the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def usual() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    days = rng.integers(18_000, 18_400, ROWS).astype("datetime64[D]")
    return pd.DataFrame(
        {
            "number": rng.normal(size=ROWS),
            "date": days.astype("datetime64[us]"),
            "text": rng.choice(["a", "b"], ROWS),
        }
    )


def with_values(column: str, values: list[Any], rows: int) -> pd.DataFrame:
    """Return usual rows, the first of which have other values."""
    kind = "datetime64[us]" if column == "date" else "float64"
    frame = usual()
    changed = frame[column].to_numpy().copy()
    changed[:rows] = np.resize(np.array(values, dtype=kind), rows)
    return frame.assign(**{column: changed})


CASES = [("number", name, values) for name, values in NUMBERS.items()]
CASES += [("date", name, values) for name, values in DATES.items()]


@pytest.mark.parametrize("rows", [2, ROWS])
@pytest.mark.parametrize(
    ("column", "values"),
    [pytest.param(c, values, id=f"{c}: {name}") for c, name, values in CASES],
)
def test_any_value_is_compared_and_drawn(
    tmp_path: Path, column: str, values: list[Any], rows: int
) -> None:
    """On either side, in some rows or in all."""
    odd = with_values(column, values, rows)
    page = tmp_path / "monitor.html"
    for reference, window in ((usual(), odd), (odd, usual()), (odd, odd)):
        found = compare(reference, window, KINDS)
        assert all(np.isfinite([c.p_value, c.effect]).all() for c in found)
        draw(reference, window, found, page)
        assert page.stat().st_size > 1e6


def test_a_column_in_a_unit_of_its_own_says_so(tmp_path: Path) -> None:
    page = tmp_path / "monitor.html"
    odd = with_values("number", [1e308, -1e308], ROWS)
    draw(usual(), odd, compare(usual(), odd, KINDS), page)
    assert "number (in units of 1e308)" in page.read_text()
    draw(usual(), usual(), compare(usual(), usual(), KINDS), page)
    assert "in units of" not in page.read_text()
    same = usual().assign(number=5.0)
    draw(same, same, compare(same, same, KINDS), page)
    assert "(less" not in page.read_text(), "most columns are drawn as they are"


def served(project: Project, rows: pd.DataFrame) -> DriftCheck:
    """Release the model, log its predictions for rows, and check them."""
    trained = train_in(project)
    release(trained)
    raw = rows[list(trained.spec.features)]
    ids = [str(number) for number in range(len(rows))]
    log = PredictionLog(project.state, "churn", set(trained.spec.sensitive))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the model's own arithmetic
        predicted = trained.model.predict(raw)
    outputs = predicted.assign(row_id=rows["customer"])
    log.write(raw, outputs, ids, "v1.0.0", NOW)
    period = Period(NOW - DAY, NOW + DAY)
    return monitor(project, "churn", "production", period)


FEATURES = "def features(raw):\n    return raw[['tenure', 'spend', 'plan']]\n"


@pytest.mark.parametrize("values", [[1e308], [1e308, -1e308], [-LARGEST]])
def test_an_alarm_of_huge_numbers_and_far_dates_is_written(
    make_project: Callable[..., Project], values: list[float]
) -> None:
    kinds = {
        "tenure": "number",
        "spend": "number",
        "plan": "category",
        "joined": "date",
    }
    learned = rows_of(n=600).assign(joined="2020-04-13")
    project = make_project(frame=learned, features=kinds)
    (project.folder("churn") / "features.py").write_text(FEATURES)
    git(project.root, "commit", "-qam", "The features that count")
    rows = rows_of(n=300, seed=3)
    ends = np.resize(np.array(["0001-01-01", "9999-12-31"], "datetime64[us]"), 300)
    rows = rows.assign(spend=np.resize(values, 300), joined=ends, tenure=9.0)
    found = served(project, rows)
    assert found.alarm and found.enough
    assert {c.name for c in found.columns if c.alarm} >= {"spend", "joined"}
    build = project.build("churn")
    kept = json.loads((build / "monitor.json").read_text())
    assert DriftCheck.model_validate(kept) == found
    assert (build / APPENDIX).stat().st_size > 1e6
    assert "Data drift detected" in (build / PAGE).read_text()


def test_a_page_that_fails_is_a_note_and_no_lost_alarm(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("Too many bins\nand more")

    monkeypatch.setattr("mlops.monitoring.evidently_report.draw", broken)
    rows = rows_of(n=300, seed=3).assign(tenure=900.0)
    project = make_project()
    found = served(project, rows)
    assert found.alarm
    note = "Evidently's report could not be drawn (ValueError: Too many bins)"
    assert found.reasons[-1] == note
    kept = json.loads((project.build("churn") / "monitor.json").read_text())
    assert kept["reasons"][-1] == note and kept["alarm"] is True


@pytest.mark.parametrize("values", [[1e308], [1e308, -1e308], [1e160], [0.0]])
def test_labels_of_any_size_are_measured(
    make_project: Callable[..., Project], values: list[float]
) -> None:
    spec = make_project("regression").model("churn")
    signature = Signature(
        task="regression",
        target="churn",
        features=(Feature(name="tenure", kind="number", missing=False),),
    )
    then = Metric(name="rmse", value=1.0, low=0.9, high=1.1, higher_is_better=False)
    log = pd.DataFrame(
        {
            "label": [str(value) for value in np.resize(values, ROWS)],
            "prediction": np.resize([1e308, -1.0], ROWS),
            "at": "2026-11-23",
        }
    )
    seen = outcome(signature, log["label"].astype("float64"), log)
    baseline = Baseline(columns=(), losses=baselines_of(seen), rows=ROWS)
    rows = Labelled(seen, log["at"], np.ones(ROWS, dtype=bool))
    state = detector.start(baseline, "v1.0.0", "", 1, by_unit=False)
    done = perform(spec, baseline, (then,), rows, state, 0.0)
    assert len(done.compared) + len(done.notes) == 1
    assert json.dumps(done.state.model_dump(mode="json"), allow_nan=False)
    for found in done.compared:
        assert json.dumps(found.model_dump(mode="json"), allow_nan=False)
    for note in done.notes:
        assert note == "rmse of the window: `rmse` is too large for a number"
