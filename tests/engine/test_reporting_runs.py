"""Runs side by side: one page that asks for nothing, and only what differs."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from mlops.cli.runs import _rows
from mlops.reporting.runs import MOST_RUNS, best, flat, labels, page, side_by_side
from mlops.results.runs import Record

from . import reporting_facts as known
from .test_reporting_html import Page


def run(at: int = 0, **changes: Any) -> Record:
    """Return one of several runs that differ in a parameter and in what it did."""
    training, snapshot = known.training(), known.validation().snapshot
    metrics = [
        m.model_copy(
            update={k: getattr(m, k) + at / 100 for k in ("value", "low", "high")}
        )
        for m in known.MEASURED["binary"]
    ]
    facts: dict[str, Any] = {
        "id": f"20261123-10{at:02}00-abcdef",
        "model": "employment",
        "started": (datetime(2026, 11, 23, 10) + timedelta(minutes=at)).isoformat(),
        "seconds": 12.5,
        "stages": {"train": "ran"},
        "outcome": "promote",
        "run_url": f"https://github.com/acme/demo/actions/runs/{at}",
        "data": snapshot,
        "training": training.model_copy(
            update={"params": {"max_depth": 6, "rate": 0.1 * at}}
        ),
        "metrics": tuple(metrics),
    }
    return Record(**{**facts, **changes})


def test_the_page_is_whole_asks_for_nothing_and_links_to_the_runs() -> None:
    text = page([run(at) for at in range(MOST_RUNS)])
    found = Page(text)
    assert not {"script", "iframe", "img", "object", "embed", "form"} & {
        t for t, _ in found.elements
    }
    links = {str(a["href"]) for a in found.all("a")}
    assert {
        f"https://github.com/acme/demo/actions/runs/{at}" for at in range(MOST_RUNS)
    } <= links
    assert not re.search(r"url\((?!#)|@import|src=", text)
    assert len(text.encode()) < 400_000
    assert len(found.all("svg")) == len(known.MEASURED["binary"])
    ids = [a["id"] for _, a in found.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    assert "#00000" not in text


def test_only_what_differs_is_a_column_and_the_rest_a_sentence() -> None:
    words = Page(page([run(0), run(1), run(2)])).text
    assert "rate" in words and "0.2" in words
    assert "The same in all: estimator HistGradientBoosting, max_depth 6." in words
    assert "Best ROC AUC: 0.880 (0.869 to 0.892), by rate 0.2." in words
    assert "with care" not in words


def test_runs_are_called_by_what_differs_and_the_best_is_marked() -> None:
    records = [run(0), run(2), run(1)]
    assert labels(records) == ["rate 0", "rate 0.2", "rate 0.1"]
    assert best(records) == 1
    words = Page(page(records)).text
    assert "rate 0.2 (best)" in words and "rate 0.1 (best)" not in words
    twins = [run(0), run(0, id="20261123-999999-abcdef")]
    assert labels(twins) == [record.id for record in twins]
    three = [run(0), run(0, id="other"), run(1)]
    assert labels(three) == [f"rate 0, {run(0).id}", "rate 0, other", "rate 0.1"]


def test_the_list_tells_runs_of_a_model_apart_and_marks_the_best() -> None:
    records = [run(0), run(2), run(1, model="other", id="other"), run(1)]
    bare = run(0, id="older", metrics=(), training=None)
    lines = _rows([one.model_dump(mode="json") for one in (*records, bare)])
    told = [line["differs by"] for line in lines]
    assert told == [
        "rate 0",
        "rate 0.2",
        None,  # the only run of its model: nothing to tell it from
        "rate 0.1",
        None,  # it trained nothing
    ]
    assert [str(line["metric"]).endswith("(best)") for line in lines] == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert lines[4]["metric"] is None


def test_lower_is_better_where_it_is() -> None:
    def brier(at: int) -> Record:
        return run(at, metrics=run(at).metrics[3:])

    assert "Best Brier score: 0.150" in Page(page([brier(1), brier(0)])).text


def test_other_data_or_rows_are_said() -> None:
    snapshot = known.validation().snapshot
    assert snapshot is not None
    data = snapshot.model_copy(update={"digest": "0" * 64})
    words = Page(
        page([run(0), run(1, data=data), run(2, measured_on="cross-validation")])
    ).text
    assert "Not all were measured on the same data" in words
    assert "Not all were measured on the same rows" in words


def test_runs_without_anything_have_a_page() -> None:
    bare: dict[str, Any] = {
        "metrics": (),
        "training": None,
        "data": None,
        "run_url": None,
    }
    assert (
        "None of them was measured."
        in Page(page([run(0, **bare), run(1, **bare)])).text
    )


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", 'https://x/"><script>alert(1)</script>']
)
def test_hostile_records_add_no_element(url: str) -> None:
    attack = " ".join(known.HOSTILE)
    training = known.training().model_copy(update={"params": {attack: attack}})
    bad = run(
        1, outcome=attack, actor=attack, training=training, run_url=url, group=attack
    )
    found, plain = Page(page([run(0), bad])), Page(page([run(0), run(1)]))
    assert {t for t, _ in found.elements} <= {t for t, _ in plain.elements}
    assert not any(str(a.get("href")).startswith("javascript:") for a in found.all("a"))


def test_many_runs_in_the_terminal_are_a_line_each() -> None:
    few = side_by_side({r.id: flat(r) for r in (run(0), run(1))})
    assert few.splitlines()[0].split() == [run(0).id, run(1).id]
    many = side_by_side({r.id: flat(r) for r in map(run, range(5))}).splitlines()
    assert len(many) == 6 and "PARAMS.RATE" in many[0] and "MAX_DEPTH" not in many[0]
    assert many[1].startswith(run(0).id)
