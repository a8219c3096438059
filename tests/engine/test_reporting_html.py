"""The HTML report: one file that asks for nothing, and readable by everybody."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops.reporting.charts import charts
from mlops.reporting.html import html
from mlops.reporting.markdown import markdown
from mlops.reporting.outcome import outcome_text
from mlops.reporting.run_report import PredictedRows, RunInfo, RunReport
from mlops.reporting.summary import summary
from mlops.results.evaluation import Importance

from . import reporting_facts as known
from .html_page import Page

TASKS = ("binary", "multiclass", "regression")


@functools.cache
def page_of(task: str = "binary") -> str:
    """Return the page of all facts; the same facts are the same bytes."""
    return html(known.everything(task))


@pytest.mark.parametrize("task", TASKS)
def test_the_page_is_whole_and_asks_for_nothing(task: str) -> None:
    text = page_of(task)
    page = Page(text)
    assert len(text.encode()) < 200_000
    assert not {"script", "iframe", "img", "object", "embed", "form"} & {
        t for t, _ in page.elements
    }
    for _, attributes in page.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\((?!#)|@import|https?:", text)
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("task", TASKS)
def test_every_reference_has_its_one_target(task: str) -> None:
    text = page_of(task)
    page = Page(text)
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'(?:href="#|url\(#|aria-labelledby=")([\w-]+)', text))
    assert wanted <= set(ids)
    pictures = page.all("svg")
    assert pictures
    assert all(p["role"] == "img" and p["aria-labelledby"] in ids for p in pictures)


def test_tables_have_headers_and_captions() -> None:
    page = Page(page_of())
    tables = len(page.all("table"))
    assert tables == len(page.all("caption")) > 8
    assert all(th.get("scope") in ("col", "row") for th in page.all("th"))


@pytest.mark.parametrize(
    ("task", "titles"),
    [
        (
            "binary",
            ["ROC curve", "Precision and recall", "Calibration", "Scores by outcome"],
        ),
        ("multiclass", []),
        ("regression", ["Predicted and actual"]),
    ],
)
def test_each_task_has_its_charts(task: str, titles: list[str]) -> None:
    drawn = [chart.title for chart in charts(known.everything(task))]
    assert drawn == [
        "Difference to the model in production",
        "Quality by slice",
        "What each feature adds",
        "From version to version",
        *titles,
    ]


def test_on_a_phone_each_cell_names_its_column() -> None:
    """A table too wide for it is a list there, so that nothing is off screen."""
    page = Page(page_of())
    labels = [cell.get("data-label") for cell in page.all("td")]
    assert all(labels)
    assert {"Better by", "95% CI of it", "Details"} <= set(labels)
    wide = [
        box["aria-label"]
        for box in page.all("div")
        if box.get("role") == "region" and "stack" in (box["class"] or "").split()
    ]
    assert "Metrics" in wide and "Slices" in wide
    assert "Rows" not in wide  # of two columns


def test_who_made_it_stands_below_the_verdict() -> None:
    run = RunInfo(started="2026-11-30 02:41 UTC", actor="@ada", pull_request=12)
    text = Page(html(known.everything(run=run, rows=None))).text
    assert "Made 2026-11-30 02:41 UTC by @ada for pull request #12" in text
    older = html(known.everything(run=RunInfo(), rows=None))
    assert "for pull request" not in Page(older).text


def test_the_errors_of_a_regression_are_shown_by_tenths() -> None:
    text = markdown(known.everything("regression"))
    (table,) = re.findall(
        r"Errors \(predicted minus actual\).*?</details>", text, re.DOTALL
    )
    assert len(re.findall(r"^\| [\d,.]+ to [\d,.]+ \|", table, re.MULTILINE)) == 10
    assert "Errors (predicted" not in markdown(known.everything("binary"))


def test_what_was_not_measured_says_why() -> None:
    tests = known.evaluation()
    unmeasured = Importance(metric="roc_auc", problem="too many features")
    facts = known.everything(
        evaluation=tests.model_copy(update={"importance": unmeasured}), rows=None
    )
    assert "Not measured: too many features." in Page(html(facts)).text
    unknown = tests.model_copy(update={"importance": None})
    older = known.everything(evaluation=unknown, rows=None)
    assert "Feature importance" not in Page(html(older)).text


def test_the_value_of_decisions_has_its_unit_wherever_it_is_named() -> None:
    value = {"true_positive": 1, "false_positive": -1, "unit": "EUR"}
    spec = known.spec(metrics={"primary": "value", "others": [], "value": value})
    tests = known.evaluation()
    worth = tests.primary.model_copy(update={"name": "value"})
    measured = tests.model_copy(update={"metrics": (worth,)})
    verdict = known.verdict()
    assert verdict.comparison is not None
    compared = verdict.comparison.model_copy(update={"metric": "value"})
    verdict = verdict.model_copy(update={"comparison": compared, "others": ()})
    facts = known.everything(spec=spec, evaluation=measured, verdict=verdict)
    assert summary(facts).lines[0].startswith("Value per row (EUR) on the same")
    text = markdown(facts)
    assert "| Slice | Result | Rows | Value per row (EUR) |" in text


def test_the_same_facts_are_the_same_bytes_in_another_process() -> None:
    here = html(known.everything())
    assert html(known.everything()) == here
    code = (
        "import sys; from engine.reporting_facts import everything as facts; "
        "from mlops.reporting.html import html; "
        "sys.stdout.buffer.write(html(facts()).encode())"
    )
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "42"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment
    )
    assert done.stdout.decode() == here, done.stderr.decode()


def test_colours_are_those_of_the_page_in_light_and_dark() -> None:
    text = html(known.everything(decision="reject"))
    assert "#00000" not in text
    for name in ("ink", "muted", "line", "new", "old", "bad"):
        assert f"var(--{name})" in text


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_can_be_read_on_every_ground(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", page_of(), re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#\w{6});", blocks[scheme]))
    for ground in ("page", "card", "tint"):
        for text in ("ink", "muted", "new", "old", "good", "bad", "unsure"):
            pair = sorted((_luminance(colours[ground]), _luminance(colours[text])))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (ground, text)


@pytest.mark.parametrize("task", TASKS)
def test_hostile_facts_add_no_element(task: str) -> None:
    page, plain = Page(html(known.hostile(task))), Page(page_of(task))
    assert {t for t, _ in page.elements} <= {t for t, _ in plain.elements}
    assert not {a for _, x in page.elements for a in x} - {
        a for _, x in plain.elements for a in x
    }
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7*7 }}" in page.text
    assert not re.search(r"[\x00-\x08\x1b\u202e\u2066\u200b]", page.text)


def test_values_of_sensitive_columns_are_not_shown() -> None:
    assert "SECRET" not in html(known.everything(validation=known.validation(ok=False)))


@pytest.mark.parametrize("ok", [True, False])
def test_five_thousand_tests_fit(ok: bool) -> None:
    many = known.evaluation(checks=5000)
    checks = tuple(
        c.model_copy(update={"ok": ok, "message": "<&>" * 100}) for c in many.checks
    )
    text = html(known.everything(evaluation=many.model_copy(update={"checks": checks})))
    assert len(text.encode()) < 500_000
    assert "more are not shown" in Page(text).text


@pytest.mark.parametrize("gone", range(1, 5))
def test_a_run_that_stopped_has_a_page(gone: int) -> None:
    stages = ("verdict", "evaluation", "training", "validation")
    facts = known.everything(rows=None, **dict.fromkeys(stages[:gone]))
    page = Page(html(facts))
    assert "How to reproduce" in page.text
    assert not page.all("svg") or gone == 1


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_few_rows_make_no_trouble(task: str, n: int) -> None:
    Page(html(known.everything(task, n=n)))


def test_one_class_only_or_numbers_that_are_none_are_drawn_as_far_as_they_go() -> None:
    same = PredictedRows(
        np.array(["yes"] * 9), np.array(["yes"] * 9), np.linspace(0, 1, 9)
    )
    titles = [c.title for c in charts(known.everything(rows=same))]
    assert "ROC curve" not in titles
    values = np.array([1.0, np.nan, 3.0, np.inf, 5.0])
    titles = [
        c.title
        for c in charts(
            known.everything("regression", rows=PredictedRows(values, values))
        )
    ]
    assert "Predicted and actual" in titles


def test_curves_have_few_points_whatever_the_rows() -> None:
    small, large = (_roc(known.everything(n=n)) for n in (3_000, 60_000))
    assert len(large) < 1.3 * len(small)
    assert (
        max(line.count("L ") + line.count("\nL") for line in large.split("<path"))
        <= 205
    )


def _roc(facts: RunReport) -> str:
    return next(chart.svg for chart in charts(facts) if chart.title == "ROC curve")


def test_what_a_chart_says_agrees_with_the_rows() -> None:
    score = np.array([0.9, 0.8, 0.7, 0.2, 0.6, 0.1, 0.3, 0.4])
    actual = np.array(["yes"] * 4 + ["no"] * 4)
    rows = PredictedRows(actual, np.where(score >= 0.5, "yes", "no"), score)
    said: dict[str, Any] = {c.title: c.alt for c in charts(known.everything(rows=rows))}
    assert said["ROC curve"].startswith(
        "Of 8 test rows, at the threshold 0.5: 75% of the positive"
    )
    assert "25% of the negative are called positive" in said["ROC curve"]
    assert said["Scores by outcome"].startswith(
        "The median is 0.750 for positive and 0.350"
    )
    assert "precision is 100%; 50% of all rows" in said["Precision and recall"]


@pytest.mark.parametrize("size", [1e308, -1e308, 1e200])
def test_a_chart_of_numbers_out_of_range_is_a_note_and_the_page_is_whole(
    size: float,
) -> None:
    rows = known.rows("regression", 200)
    huge = dataclasses.replace(
        rows, actual=rows.actual * 0 + size, predicted=rows.predicted * 0 - size
    )
    verdict = known.verdict("regression")
    assert verdict.comparison
    wide = verdict.comparison.model_copy(update={"low": -abs(size), "high": abs(size)})
    facts = known.everything(
        "regression",
        rows=huge,
        verdict=verdict.model_copy(update={"comparison": wide}),
    )
    drawn = {chart.title: chart for chart in charts(facts)}
    assert drawn["Predicted and actual"].svg == ""
    assert "could not be drawn" in drawn["Predicted and actual"].alt
    assert drawn["Quality by slice"].svg
    text = html(facts)
    assert "This chart could not be drawn" in text and text.rstrip().endswith("</html>")


def test_a_text_of_400_kilobytes_and_one_that_steers_do_not_get_through() -> None:
    long = "\u202e\x1b[2J" + "x" * 400_000
    tests = known.evaluation()
    check = tests.checks[0].model_copy(update={"name": long, "message": long})
    facts = known.everything(
        spec=known.spec().model_copy(update={"description": long, "limits": long}),
        evaluation=tests.model_copy(update={"checks": (check,)}),
    )
    for text in (html(facts), markdown(facts), outcome_text(facts, "quality", "tests")):
        assert "x" * 3000 not in text
        assert "\u202e" not in text and "\x1b" not in text
