"""What the ledger adds to a verdict, and the sentences that say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops.gate.ledger import (
    QUESTIONS,
    Ledger,
    inherited,
    may_be_asked,
    on_test,
    on_validation,
    question_rule,
    share_of_alpha,
)
from mlops.gate.rules import Rule
from mlops.reporting.wording import account, reasons
from mlops.results.ledger import Question, RowSketch
from mlops.results.verdict import (
    Compared,
    Comparison,
    NoQuestionLeft,
    RefusedByTest,
    Verdict,
)
from mlops.runlog.journal import append_question, fetch
from mlops.runlog.query import questions

from .registry_world import World

RULE = Rule("superiority", ("roc_auc",))
REFRESH = Rule("non-inferiority", ("roc_auc",), margin=0.01)
# 1.96 and 0.84 errors of 0.01 each
COMPARISON = Comparison(
    metric="roc_auc",
    champion=0.8,
    challenger=0.83,
    difference=0.03,
    low=0.0104,
    high=0.0496,
    smallest_detectable=0.02802,
    method="DeLong",
)


def verdict(**changes: Any) -> Verdict:
    facts: dict[str, Any] = {
        "decision": "promote",
        "rule": "superiority",
        "champion": "v1.0.0",
        "comparison": COMPARISON,
        "grounds": (Compared(finding="better"),),
        "rows": 500,
    }
    return Verdict(**{**facts, **changes})


def question(**changes: Any) -> Question:
    facts: dict[str, Any] = {
        "model": "churn",
        "model_sha256": "a" * 64,
        "champion": "v1.0.0",
        "time": "2026-11-30T12:00:00+00:00",
        "rule": "superiority",
        "number": 3,
        "passed": False,
        "rows": RowSketch(units=100, by=("id",)),
    }
    return Question(**{**facts, **changes})


def test_validation_says_which_question_comes_and_what_it_asks_for() -> None:
    found = on_validation(verdict(), RULE, Ledger(3), ratio=0.25)
    assert (found.decision, found.part) == ("promote", "validation")
    assert found.account is not None
    assert (found.account.number, found.account.passed) == (4, None)
    # The test part has four times the rows, so half of the error; 2.81 of it.
    assert found.account.needed == pytest.approx(2.81 * 0.01 / 2, rel=0.01)
    assert account(found) == (
        "The test part has not been asked: once, at the merge. Question 4 of 10, 29.7% "
        "of alpha spent before; a difference has to reach about +0.014 there."
    )


def test_a_later_question_asks_for_more_and_the_eleventh_is_not_asked() -> None:
    needed = []
    for count in range(QUESTIONS):
        found = on_validation(verdict(), RULE, Ledger(count), 1.0)
        assert found.decision == "promote" and may_be_asked(found)
        assert found.account is not None and found.account.needed is not None
        needed.append(found.account.needed)
    assert max(needed) < 0.0285 and min(needed) > 0.0275
    last = on_validation(verdict(), RULE, Ledger(QUESTIONS), 1.0)
    assert last.decision == "inconclusive"
    assert not may_be_asked(last)
    assert last.grounds[-1] == NoQuestionLeft(questions=10)
    assert account(last) == ""
    assert reasons(last)[-1].startswith("No question is left: 10 questions were put")


def test_what_was_rejected_stays_so_where_no_question_is_left() -> None:
    before = verdict(decision="reject")
    assert on_validation(before, RULE, Ledger(99), 1.0).decision == "reject"


def test_a_model_that_the_test_refused_is_refused_by_name() -> None:
    found = on_validation(verdict(), RULE, Ledger(5, question()), 1.0)
    assert found.decision == "reject"
    assert not may_be_asked(found)
    assert found.grounds[-1] == RefusedByTest()
    assert found.account is not None
    assert (found.account.number, found.account.passed) == (3, False)
    assert "asked, and it failed. Question 3 of 10" in account(found)
    assert "mlops register MODEL --decided" in reasons(found)[-1]


def test_a_model_that_the_test_let_through_keeps_its_number() -> None:
    ledger = Ledger(5, question(passed=True))
    found = on_validation(verdict(), RULE, ledger, 1.0)
    assert found.decision == "promote"
    assert found.account is not None and found.account.number == 3


def test_a_refresh_spends_nothing_and_is_asked_unless_validation_rejects() -> None:
    for decision, asks in {"promote": 1, "inconclusive": 1, "reject": 0}.items():
        refresh = verdict(decision=decision, rule="non-inferiority", margin=0.01)
        found = on_validation(refresh, REFRESH, Ledger(99), 1.0)
        assert found.decision == decision
        assert may_be_asked(found) is bool(asks)
        assert found.account is not None and found.account.number == 0
        assert "No question of the account is spent" in account(found)
    refused = on_validation(
        verdict(decision="inconclusive", rule="non-inferiority"),
        REFRESH,
        Ledger(0, question(number=0)),
        1.0,
    )
    assert not may_be_asked(refused)
    assert question_rule(REFRESH, Ledger(7)) == REFRESH


def test_what_cannot_be_compared_is_asked_only_where_validation_promotes() -> None:
    first = verdict(rule="first version", comparison=None, champion=None)
    assert may_be_asked(on_validation(first, RULE, Ledger(99), 1.0))
    stuck = verdict(decision="inconclusive", rule="non-inferiority", comparison=None)
    assert not may_be_asked(on_validation(stuck, REFRESH, Ledger(), 1.0))


def test_a_question_is_judged_at_its_share_and_slices_at_the_whole_alpha() -> None:
    rule = question_rule(RULE, Ledger(3))
    assert rule.confidence == pytest.approx(1 - 0.05 * 0.099)
    assert rule.alpha == RULE.alpha
    again = question_rule(RULE, Ledger(9, question(number=10)))
    assert again.confidence == pytest.approx(1 - 0.05 * 0.109)


@pytest.mark.parametrize(("decision", "passed"), [("promote", True), ("reject", False)])
def test_the_test_part_passes_or_fails(decision: str, passed: bool) -> None:
    found = on_test(verdict(decision=decision), RULE, Ledger(3))
    assert found.part == "test"
    assert found.account is not None
    assert (found.account.number, found.account.passed) == (4, passed)


def test_there_is_no_question_before_the_first() -> None:
    with pytest.raises(ValueError, match="0"):
        share_of_alpha(0)


@pytest.mark.parametrize(
    ("shares", "count"),
    [([], 0), ([0.1] * 10, 1), ([0.01], 1), ([1.0] * 10, 10), ([0.95] * 10, 10)],
)
def test_questions_are_counted_up(shares: list[float], count: int) -> None:
    assert inherited(shares) == count


def test_without_a_validation_part_there_is_no_account() -> None:
    assert account(verdict()) == ""


def test_two_runs_at_once_lose_no_question(tmp_path: Path) -> None:
    """Both had the same number: both count."""
    origin = World(tmp_path / "origin").create()
    one = origin.clone(tmp_path / "one")
    two = origin.clone(tmp_path / "two")
    first = question(number=1)
    append_question(one.project, first)
    append_question(two.project, question(number=1, model_sha256="b" * 64))
    append_question(one.project, first)  # a job that is run again
    fetch(one.root)
    found = questions(one.project, "churn")
    assert [q.model_sha256[0] for q in found] == ["a", "b"]
    assert questions(one.project, "another") == ()
