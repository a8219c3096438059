"""The comment of a pull request that changes many models: none is left out."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest

from mlops.reporting.comment import comment, reports
from mlops.reporting.run_report import RunReport

from .reporting_facts import everything, validation

LIMIT = 65_536  # of GitHub


@cache
def of_decision(decision: str) -> RunReport:
    return everything(decision=decision, n=200, rows=None)  # type: ignore[arg-type]


def many(number: int) -> list[RunReport]:
    """Return reports by turns: promoted, inconclusive, rejected, with wrong data."""
    kinds = [of_decision(d) for d in ("promote", "inconclusive", "reject")]
    failed = replace(
        of_decision("promote"),
        validation=validation(ok=False),
        training=None,
        evaluation=None,
        verdict=None,
    )
    kinds.append(failed)
    return [replace(kinds[at % 4], model=f"model_{at:03}") for at in range(number)]


def body_of(runs: list[RunReport]) -> str:
    texts, broken = reports(runs)
    assert not broken
    return comment(texts, [], "https://github.com/acme/demo/actions/runs/1")


def models_in(body: str) -> list[str]:
    """Return the models that a comment names, in the order of their first names."""
    return list(dict.fromkeys(re.findall(r"model_\d{3}", body)))


@pytest.mark.parametrize("number", [1, 4, 60, 100, 256, 300])
def test_every_model_is_named_and_the_comment_stays_below_githubs_limit(
    number: int,
) -> None:
    body = body_of(many(number))
    assert len(body) < LIMIT
    assert sorted(models_in(body)) == [f"model_{at:03}" for at in range(number)]


@pytest.mark.parametrize("number", [8, 100])
def test_what_is_refused_comes_before_what_changes(number: int) -> None:
    kinds = [int(model[-3:]) % 4 for model in models_in(body_of(many(number)))]
    order = {2: 0, 3: 0, 1: 1, 0: 2}  # rejected and failed, inconclusive, promoted
    places = [order[kind] for kind in kinds]
    assert places == sorted(places)


def test_what_there_is_no_space_for_is_counted_by_how_it_ended() -> None:
    texts, _ = reports(many(40), most=9_000)
    rest = [text for text in texts if "more model" in text]
    counts = [int(re.findall(r"\*\*(\d+) more models? ", text)[0]) for text in rest]
    assert len(texts) - len(rest) + sum(counts) == 40
    assert sum(len(text) + 2 for text in texts) <= 9_000
    assert "**10 more models good:** model_000, model_004" in rest[-1]


def test_a_thousand_models_are_counted_where_their_names_are_too_long() -> None:
    runs = [
        replace(of_decision("promote"), model="m_" * 19 + f"{at:03}")
        for at in range(0, 1000)
    ]
    body = body_of(runs)
    assert len(body) < LIMIT
    assert re.search(r"\*\*\d+ more models good:\*\* .* and \d+ more", body)


def test_more_notes_than_anybody_reads_are_counted() -> None:
    body = comment([], [f"note {at}" for at in range(50)], None)
    assert "note 19" in body and "note 20" not in body
    assert body.endswith("And 30 more notes.")
