"""The page of a check: what an alarm says, with the numbers that raised it."""

from __future__ import annotations

import html as entities
import re
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.monitoring.monitor import APPENDIX, PAGE, monitor
from mlops.monitoring.window import Period
from mlops.reporting import words
from mlops.reporting.alarm_page import alarm_page
from mlops.reporting.past_checks import history_of
from mlops.reporting.site import site
from mlops.reporting.wording import alarm_title, check_summary, how_sure, monitored
from mlops.results.evaluation import Metric
from mlops.results.monitoring import (
    CellChange,
    CellCount,
    ColumnDrift,
    DriftCheck,
    EstimatedMetric,
    Performance,
    UndoneShift,
)
from mlops.runlog.journal import append_check
from mlops.serving.prediction_log import PredictionLog
from mlops.storage.folder import FolderStore

from .conftest import Trained, rows_of
from .serving_world import NOW, release
from .test_monitoring_run import serve

DAY = timedelta(days=1)
HOSTILE = "gold|`<b>\"'</svg><script>alert(1)</script>"


def text_of(page: str) -> str:
    """Return what a reader sees of a page, in one line."""
    body = page.split("<body>")[1]
    return " ".join(entities.unescape(re.sub("<[^>]*>", " ", body)).split())


def check_at(trained: Trained, days: int, charts: bool = False) -> DriftCheck:
    """Check the day before a moment, and record it."""
    until = NOW + days * DAY
    period = Period(until - DAY, until)
    found = monitor(trained.project, "churn", "production", period, charts=charts)
    append_check(trained.project, found.model_dump(mode="json"), "ana")
    return found


def shifted(seed: int, n: int = 500) -> pd.DataFrame:
    rows = rows_of(n=n, seed=seed)
    rows["customer"] = [f"{seed}-{i}" for i in range(n)]
    rows["tenure"] = rows["tenure"] + 40
    rows.loc[: len(rows) // 4, "plan"] = HOSTILE
    return rows


def labelled(trained: Trained, rows: pd.DataFrame, labels: Any, day: int) -> None:
    """Log predictions for rows on a day, and their labels on the same day."""
    serve(trained, rows, at=NOW + day * DAY)
    log = PredictionLog(trained.project.state, "churn")
    ids = [f"{len(rows)}-{i}" for i in range(len(rows))]
    log.feedback(list(zip(ids, labels, strict=True)), NOW + day * DAY)


@pytest.fixture(name="watched")
def watched_fixture(trained: Trained) -> Trained:
    """A version that was watched for five days, whose data then changed."""
    release(trained)
    for day in range(5):
        rows = rows_of(n=300 + day, seed=20 + day)
        rows["customer"] = [f"{day}-{i}" for i in range(len(rows))]
        if day % 2:
            labelled(trained, rows, rows["churn"], day)
        else:
            serve(trained, rows, at=NOW + day * DAY)
        check_at(trained, day + 1)
    rows = shifted(6)
    labels = np.where(rows["churn"] == "yes", "no", "yes")
    labelled(trained, rows, [str(v) for v in labels], 5)
    return trained


def test_an_alarm_has_a_page_of_its_own_with_the_numbers_that_raised_it(
    watched: Trained,
) -> None:
    found = check_at(watched, 6, charts=True)
    assert found.alarm
    build = watched.project.build("churn")
    page = (build / PAGE).read_text()
    seen = text_of(page)
    summary = check_summary(found)
    for sentence in (summary.title, *summary.lines):
        assert sentence in seen
    tenure = next(c for c in found.columns if c.name == "tenure")
    assert tenure.alarm and tenure.mean and tenure.reference_mean
    for value in (tenure.mean, tenure.reference_mean, tenure.effect):
        assert words.number(value) in seen
    assert sum(cell.window for cell in tenure.cells) == found.compared[0]
    assert sum(cell.reference for cell in tenure.cells) == found.compared[1]
    assert "The last 6 of 6 checks" in seen
    assert f'href="{APPENDIX}"' in page
    assert "this page counts" in seen


def metric(value: float) -> Metric:
    return Metric(name="roc_auc", value=value, low=value - 0.02, high=value + 0.02)


def made_up(**update: Any) -> DriftCheck:
    """Return a check whose texts are hostile wherever they come from data."""
    column = ColumnDrift(
        name=HOSTILE,
        kind="category",
        chance=1e-4,
        p_value=1e-9,
        q_value=1e-9,
        effect=0.25,
        cell=CellChange(name=HOSTILE, share=0.2, reference=0.05, relative_risk=4.0),
        alarm=True,
        missing=0.1,
        reference_missing=0.0,
        unseen=3,
        cells=(
            CellCount(name=HOSTILE, reference=50, window=200),
            CellCount(name="other", reference=950, window=800),
        ),
    )
    shift = UndoneShift(column=HOSTILE, value=0.86, change=0.02)
    estimate = EstimatedMetric(
        metric="roc_auc",
        value=0.84,
        registered=0.86,
        method="CBPE",
        rows=900,
        undone=(shift,),
    )
    facts: dict[str, Any] = {
        "model": "churn",
        "version": "v1.2.0",
        "stage": "production",
        "since": "2026-11-22T12:00+00:00",
        "until": "2026-11-29T12:00+00:00",
        "alarm": True,
        "enough": True,
        "rows": 1000,
        "labelled": 0,
        "compared": (1000, 1000),
        "began": "2026-11-27T12:00+00:00",
        "columns": (column,),
        "estimates": (estimate,),
        "notes": (HOSTILE,),
        "reasons": (HOSTILE,),
    }
    return DriftCheck(**facts | update)


def drawn(check: DriftCheck, past: list[DriftCheck] | None = None) -> str:
    raws = [one.model_dump(mode="json") for one in past or []]
    return alarm_page(check, history_of(raws, check), HOSTILE, APPENDIX)


def test_text_of_the_data_does_nothing_on_the_page() -> None:
    page = drawn(made_up())
    assert "<script" not in page and "gold|`<b>" not in page
    assert page.count("alert(1)") >= 5, "it is shown wherever it stands, as text"
    assert page.count("<svg") == page.count("</svg>")


def test_the_verdict_says_what_happened_since_when_how_sure_and_what_to_do() -> None:
    page = text_of(drawn(made_up()))
    assert "Data drift detected in 1 of 1 column" in page
    assert "is 20% of the rows, was 5%" in page
    assert "Since the check of 2026-11-27 12:00 UTC" in page
    assert "chance alone shows so much in at most 1 of 10,000 years" in page
    assert "ROC AUC is estimated as 0.840 without labels, was 0.860." in page
    assert "mlops monitor accept churn --reason WHY" in page
    assert "ROC AUC would be higher by 0.020" in page


def test_harm_comes_before_the_sign_of_it() -> None:
    worse = Performance(
        rows=400,
        window=metric(0.71),
        reference=metric(0.86),
        loss="Brier score",
        mean_loss=0.3,
        registered_loss=0.1,
        chance=1e-5,
        alarm=True,
    )
    check = made_up(performance=(worse,))
    assert check_summary(check).title == (
        "Predictions are worse than when the version was registered: ROC AUC 0.710, "
        "was 0.860."
    )
    assert alarm_title(check) == "churn: predictions are worse"
    assert alarm_title(made_up()) == "churn: data drift detected"


def test_what_changed_below_the_alarm_level_is_shown_as_such() -> None:
    (column,) = made_up().columns
    below = column.model_copy(update={"alarm": False, "changed": True})
    check = made_up(alarm=False, columns=(below,))
    assert check_summary(check).title == (
        "No alarm; 1 column changed, below the alarm level."
    )
    page = drawn(check)
    assert "changed, below the alarm level: distance 0.250" in text_of(page)
    assert '<tr class="unsure">' in page and '<tr class="bad">' not in page


@pytest.mark.parametrize(
    ("update", "title"),
    [
        pytest.param({}, "No alarm: nothing reached the alarm level.", id="no alarm"),
        pytest.param(
            {"enough": False, "rows": 12},
            "Not enough data for a verdict: 12 rows.",
            id="too few rows",
        ),
    ],
)
def test_a_check_without_an_alarm_has_a_page_too(
    update: dict[str, Any], title: str
) -> None:
    check = made_up(alarm=False, columns=(), estimates=(), **update)
    page = text_of(drawn(check))
    assert title in page and "Nothing has to be done." in page


def test_versions_alarms_and_both_kinds_of_performance_are_on_one_line_of_time() -> (
    None
):
    days = [f"2026-11-2{day}T12:00+00:00" for day in range(5)]
    before = [
        made_up(until=day, version="v1.1.0", alarm=False, columns=()) for day in days
    ]
    p = Performance(rows=9, window=metric(0.8), reference=metric(0.86), alarm=False)
    before[2] = before[2].model_copy(update={"performance": (p,)})
    page = drawn(made_up(), before)
    (chart,) = re.findall(r'<svg[^>]*aria-labelledby="performance-1".*?</svg>', page)
    for text in ("v1.1.0", "v1.2.0", "measured", "estimated", "registered", "alarm"):
        assert f">{text}</text>" in chart
    assert chart.count("<polygon") == 2, "one in the legend, one at the alarm"
    assert chart.count('fill="var(--new)"') == 2, "and one check with labels"
    assert "Measured in 1 check and estimated without labels in 6 checks." in page


def test_a_check_of_an_older_engine_does_not_stop_the_page() -> None:
    old = made_up().model_dump(mode="json")
    for key in ("columns", "performance", "estimates", "version", "rows"):
        del old[key]
    past = history_of([old | {"until": "2026-11-20T12:00+00:00"}, {"until": 3}])
    assert [(check.version, check.rows, check.alarm) for check in past] == [
        ("", 0, True)
    ]


def test_many_cells_are_cut_to_those_that_changed_most() -> None:
    (column,) = made_up().columns
    cells = [CellCount(name=f"c{i}", reference=100, window=100) for i in range(28)]
    cells[20] = CellCount(name="c20", reference=100, window=400)
    check = made_up(columns=(column.model_copy(update={"cells": tuple(cells)}),))
    page = drawn(check)
    assert ">c20</text>" in page
    assert len(re.findall(r">c\d+</text>", page)) == 14
    assert "14 more cells changed less." in page


def test_the_page_needs_nothing_from_elsewhere_and_is_small(watched: Trained) -> None:
    check_at(watched, 6, charts=True)
    page = (watched.project.build("churn") / PAGE).read_text()
    links = re.findall(r'(?:href|src)="([^"#]+)"', page)
    assert set(links) == {"data:,", APPENDIX}
    assert "default-src 'none'" in page
    assert len(page) < 200_000
    for title_id in re.findall(r'<svg[^>]* aria-labelledby="([^"]+)"', page):
        assert page.count(f'id="{title_id}"') == 1


def test_a_value_of_the_data_stands_in_quotation_marks_not_in_backticks() -> None:
    """Each output escapes marks of markdown: a reader would see the backticks."""
    (column,) = made_up().columns
    cell = CellChange(name="gold", share=0.2, reference=0.05, relative_risk=4.0)
    plain = column.model_copy(update={"name": "plan", "cell": cell, "cells": ()})
    check = made_up(columns=(plain,), notes=(), estimates=())
    check = check.model_copy(update={"reasons": tuple(monitored((plain,), ()))})
    page = text_of(drawn(check).replace(entities.escape(HOSTILE), ""))
    assert "most in" not in page and "plan, “gold” is 20% of the rows, was 5%." in page
    assert "“gold” 20% (was 5%, 4.000 times)" in page
    assert "“gold” 20% (was 5%, 4.000 times)" in check.text()
    assert "`" not in check.text() + check_summary(check).title
    assert "`" not in text_of(alarm_page(check, history_of([], check), "about"))


@pytest.mark.parametrize(
    ("chance", "sentence"),
    [
        pytest.param(
            1e-3, "chance alone shows so much in at most 1 of 1,000 years", id="rare"
        ),
        pytest.param(
            1e-9,
            "chance alone shows so much in fewer than 1 of a million years",
            id="very rare",
        ),
        pytest.param(
            0.0,
            "chance alone shows so much in fewer than 1 of a million years",
            id="none",
        ),
        pytest.param(1.0, "the alarm of an earlier check has not ended", id="lasts"),
    ],
)
def test_how_sure_an_alarm_is_reads_as_a_sentence(chance: float, sentence: str) -> None:
    assert how_sure(chance) == sentence


def test_the_page_of_a_model_leads_to_its_last_check_and_back(watched: Trained) -> None:
    found = check_at(watched, 6)
    store = FolderStore(watched.project.store)
    made = site(watched.project, store, NOW + 6 * DAY)
    first = made.files["index.html"].decode()
    assert 'href="churn/monitor.html">2026' in first
    page = made.files["churn/monitor.html"].decode()
    assert 'href="../index.html#churn"' in page
    seen = text_of(page)
    assert check_summary(found).title in seen
    assert "The last 6 of 6 checks" in seen and "Evidently" not in seen


def test_a_check_that_an_older_engine_made_has_no_page_on_the_site(
    watched: Trained,
) -> None:
    old = {"model": "churn", "version": "v1.0.0", "alarm": False}
    append_check(watched.project, old | {"until": "2026-12-24T12:00:00+00:00"}, "ana")
    store = FolderStore(watched.project.store)
    made = site(watched.project, store, NOW + 6 * DAY)
    assert "churn/monitor.html" not in made.files
    assert "monitor.html" not in made.files["index.html"].decode()
