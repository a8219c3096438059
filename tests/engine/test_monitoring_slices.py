"""The performance by slice: which rows are of a group, and what an alarm says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops.config.model_spec import Slices
from mlops.config.project import Project
from mlops.evaluation.outcome import Outcome
from mlops.evaluation.slices import group
from mlops.github.webhook import message_of
from mlops.monitoring.monitor import PAGE
from mlops.monitoring.slices import rows_in, slice_baselines
from mlops.reporting.wording import alarm_title, check_summary
from mlops.results.baseline import Baseline

from .conftest import rows_of, train_in
from .serving_world import release
from .test_monitoring_run import check, serve


def judged(n: int) -> Outcome:
    truth = np.arange(n) % 2
    return Outcome("binary", truth, truth, truth * 0.8 + 0.1, ("no", "yes"))


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("number", pd.Series(np.arange(400) % 57, dtype="float64")),
        ("number", pd.Series(np.arange(400) % 3, dtype="float64")),
        ("number", pd.Series([None, *range(399)], dtype="float64")),
        ("category", pd.Series(["a", "b", None, "a"] * 100, dtype="str")),
        ("date", pd.Series(pd.date_range("2026-01-01", periods=400, freq="13h"))),
    ],
)
def test_the_groups_are_those_of_the_report(kind: str, column: pd.Series) -> None:
    frame = pd.DataFrame({"x": column})
    rules = Slices(columns=("x",), min_rows=2)
    found = slice_baselines(rules, frame, {"x": kind}, judged(400))
    names = group(column).astype("str")
    sizes = names.value_counts()
    assert {one.value for one in found} == {n for n in sizes.index if sizes[n] >= 2}
    for one in found:
        np.testing.assert_array_equal(rows_in(one, frame), names == one.value)
        assert one.loss.rows == sizes[one.value]


def test_values_outside_of_the_test_rows_are_in_no_range() -> None:
    frame = pd.DataFrame({"x": np.arange(400.0)})
    rules = Slices(columns=("x",))
    found = slice_baselines(rules, frame, {"x": "number"}, judged(400))
    assert len(found) == 4
    later = pd.DataFrame({"x": [-1.0, 400.0, np.nan, 399.0]})
    within = np.stack([rows_in(one, later) for one in found]).sum(axis=0)
    assert within.tolist() == [0, 0, 0, 1]


def test_columns_that_are_not_logged_and_small_groups_are_not_watched() -> None:
    frame = pd.DataFrame({"x": ["a"] * 390 + ["b"] * 10, "sex": ["f", "m"] * 200})
    rules = Slices(columns=("x", "sex"), min_rows=100)
    found = slice_baselines(rules, frame, {"x": "category"}, judged(400))
    assert [one.title for one in found] == ["x = a"]


def test_a_loss_in_one_slice_alone_is_an_alarm_that_names_it(
    make_project: Callable[..., Project],
) -> None:
    project = make_project(n=3000, slices={"columns": ["plan"]})
    trained = train_in(project)
    release(trained)
    rows = rows_of(n=900, seed=19)
    broken = (rows["plan"] == "pro").to_numpy()
    other = np.where(rows["churn"] == "yes", "no", "yes")
    serve(trained, rows, labels=np.where(broken, other, rows["churn"]))
    found = check(trained, charts=True)
    assert found.alarm
    raised = [p.title for p in found.slices if p.alarm]
    assert raised == ["plan = pro"]
    assert {p.title for p in found.slices} == {
        "plan = basic",
        "plan = plus",
        "plan = pro",
    }
    (sentence,) = [text for text in found.reasons if text.startswith("where plan")]
    assert "where plan = pro, Brier score is" in sentence
    assert f"on {broken.sum()} labelled rows, worse than" in sentence
    page = (project.build("churn") / PAGE).read_text()
    assert "plan = pro" in page and "plan = basic" in page
    assert "Brier score by plan" in message_of(found, None)["worse"]
    alone = found.model_copy(update={"performance": ()})
    assert check_summary(alone).title.startswith(
        "Predictions are worse than when the version was registered where plan = pro: "
    )
    assert alarm_title(alone) == "churn: predictions are worse in a slice of plan"


def test_slices_that_hold_raise_none_and_are_estimated_without_labels(
    make_project: Callable[..., Project],
) -> None:
    project = make_project(n=3000, slices={"columns": ["plan"]})
    trained = train_in(project)
    release(trained)
    rows = rows_of(n=900, seed=5)
    serve(trained, rows)
    found = check(trained)
    assert not found.alarm and not found.slices
    (accuracy,) = [e for e in found.estimates if e.metric == "accuracy"]
    assert {e.title for e in accuracy.slices} == {
        "plan = basic",
        "plan = plus",
        "plan = pro",
    }
    predicted = trained.model.predict(rows[list(trained.spec.features)])["prediction"]
    for one in accuracy.slices:
        of_slice = (rows["plan"] == one.value).to_numpy()
        right = (predicted.to_numpy() == rows["churn"].to_numpy())[of_slice].mean()
        assert one.rows == of_slice.sum()
        assert one.estimate == pytest.approx(right, abs=0.06)


def test_a_baseline_of_an_older_engine_has_no_slices(tmp_path: Path) -> None:
    old = Baseline.model_validate_json('{"columns": [], "losses": [], "rows": 1}')
    assert old.slices == () and old.watched == ()
