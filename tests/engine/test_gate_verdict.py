"""The gate on facts alone: no model is trained, and nothing is read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine import reporting_facts as known
from engine.evaluation_worlds import pair
from mlops.errors import UsageError
from mlops.evaluation.compare import paired_difference
from mlops.evaluation.outcome import Outcome
from mlops.gate.champion import challenger_on, champion_on
from mlops.gate.conditions import conditions
from mlops.gate.contenders import Challenger, Champion
from mlops.gate.findings import decision_of, finding_of
from mlops.gate.rules import Rule, rule_of
from mlops.gate.verdict import compare
from mlops.reporting.wording import reasons
from mlops.results.evaluation import Check, Evaluation, FairnessResult, Metric, Slice
from mlops.results.training import Signature
from mlops.results.verdict import (
    Compared,
    Comparison,
    Condition,
    ConditionFailed,
    Failure,
    NoChampion,
    NotComparable,
    OnePeriod,
    SplitChanged,
    Verdict,
)

ROWS = 400
METRIC = Metric(name="roc_auc", value=0.9, low=0.8, high=0.95)
BETTER = Rule("superiority", ("roc_auc", "accuracy", "brier"))
NO_WORSE = Rule("non-inferiority", ("roc_auc", "accuracy", "brier"), margin=0.02)


def evaluation(**changes: Any) -> Evaluation:
    facts: dict[str, Any] = {
        "ok": True,
        "rows": ROWS,
        "metrics": (METRIC,),
        "checks": (Check(name="a", ok=True),),
    }
    return Evaluation(**{**facts, **changes})


def outcomes(noise: tuple[float, float], per: int = 1) -> tuple[Outcome, Outcome]:
    """Return champion and challenger; less noise is better."""
    return pair(np.random.default_rng(7), "binary", ROWS, per, noise)


def judged(old: Outcome, new: Outcome, rule: Rule = BETTER, **champion: Any) -> Verdict:
    held = champion.pop("evaluation", evaluation())
    unit = champion.pop("unit", "rows")
    return compare(
        Challenger(held, new, unit), Champion("v1.2.0", old, **champion), rule
    )


WORSE_THEN_BETTER = outcomes((3.0, 0.1))


# -- the verdict -----------------------------------------------------------------------


def test_a_better_challenger_is_promoted_with_all_that_was_found() -> None:
    old, new = WORSE_THEN_BETTER
    assert judged(old, new) == Verdict(
        decision="promote",
        rule="superiority",
        champion="v1.2.0",
        comparison=paired_difference("roc_auc", old, new, 0.95),
        others=(
            paired_difference("accuracy", old, new),
            paired_difference("brier", old, new),
        ),
        conditions=conditions(evaluation()),
        grounds=(Compared(finding="better"),),
        margin=0.0,
        rows=ROWS,
    )


def test_a_worse_challenger_is_rejected() -> None:
    new, old = WORSE_THEN_BETTER
    verdict = judged(old, new)
    assert verdict.decision == "reject"
    assert verdict.grounds == (Compared(finding="worse"),)
    assert verdict.comparison is not None
    assert verdict.comparison.difference < 0


def test_the_rule_gives_the_confidence_and_the_margin() -> None:
    old, new = WORSE_THEN_BETTER
    verdict = judged(old, new, NO_WORSE)
    assert (verdict.decision, verdict.rule) == ("promote", "non-inferiority")
    assert verdict.margin == 0.02
    assert verdict.comparison == paired_difference("roc_auc", old, new, 0.9)
    assert verdict.others[0].confidence == 0.95


def test_units_are_counted_where_rows_belong_together() -> None:
    old, new = outcomes((3.0, 0.1), per=4)
    verdict = judged(old, new, unit="groups")
    assert (verdict.units, verdict.unit) == (ROWS // 4, "groups")
    alone = judged(*WORSE_THEN_BETTER)
    assert (alone.units, alone.unit) == (None, "rows")


def test_a_metric_that_these_rows_cannot_answer_is_passed_over() -> None:
    """All rows are of one class: there is no AUC, and the next metric decides."""
    rows = np.ones(ROWS, int)
    old = Outcome("binary", rows, 1 - rows, 1.0 - rows, ("no", "yes"))
    new = Outcome("binary", rows, rows, rows.astype(float), ("no", "yes"))
    verdict = judged(old, new, BETTER)
    assert verdict.comparison is not None
    assert verdict.comparison.metric == "accuracy"
    assert [one.metric for one in verdict.others] == ["brier"]


@pytest.mark.parametrize(
    ("champion", "decision", "grounds"),
    [
        (None, "promote", (NoChampion(),)),
        ("better", "promote", (Compared(finding="better"),)),
        (
            "not comparable",
            "inconclusive",
            (NotComparable(obstacle="cannot predict", detail="columns"),),
        ),
    ],
)
def test_a_condition_that_fails_rejects_whatever_the_comparison_says(
    champion: str | None, decision: str, grounds: tuple[Any, ...]
) -> None:
    old, new = WORSE_THEN_BETTER
    answer = old if champion == "better" else grounds[0]
    asked = None if champion is None else Champion("v1.2.0", answer)
    fine = compare(Challenger(evaluation(), new), asked, BETTER)
    assert (fine.decision, fine.grounds) == (decision, grounds)
    failing = evaluation(ok=False, checks=(Check(name="latency", ok=False),))
    verdict = compare(Challenger(failing, new), asked, BETTER)
    failed = ConditionFailed(name="checks")
    assert verdict.decision == "reject"
    expected = (failed,) if champion is None else (failed, *grounds)
    assert verdict.grounds == expected
    assert verdict.comparison == fine.comparison


def test_the_first_version_has_no_champion_and_a_rule_of_its_own() -> None:
    _, new = WORSE_THEN_BETTER
    assert compare(Challenger(evaluation(), new), None, BETTER) == Verdict(
        decision="promote",
        rule="first version",
        conditions=conditions(evaluation()),
        grounds=(NoChampion(),),
        rows=ROWS,
    )


def test_a_champion_that_cannot_answer_is_named_and_its_rows_are_not_the_same() -> None:
    _, new = WORSE_THEN_BETTER
    obstacle = NotComparable(obstacle="another target", detail="regression: income")
    champion = Champion("v1.2.0", obstacle)
    same_rows = Condition(name="same rows", ok=False, measured=False)
    assert compare(Challenger(evaluation(), new), champion, NO_WORSE) == Verdict(
        decision="inconclusive",
        rule="non-inferiority",
        champion="v1.2.0",
        conditions=(*conditions(evaluation()), same_rows),
        grounds=(obstacle,),
        margin=0.02,
        rows=ROWS,
    )


@pytest.mark.parametrize("needs_id", [False, True])
def test_a_champion_that_may_know_the_test_can_lose_but_not_win(needs_id: bool) -> None:
    old, new = WORSE_THEN_BETTER
    changed = SplitChanged(rows=30, of=ROWS, needs_id=needs_id)
    won = judged(old, new, rows_seen=30, needs_id=needs_id)
    assert won.decision == "promote"
    assert won.grounds == (Compared(finding="better"), changed)
    lost = judged(new, old, rows_seen=30, needs_id=needs_id)
    assert lost.decision == "inconclusive"
    assert lost.grounds == (Compared(finding="worse"), changed)
    failing = evaluation(ok=False, checks=(Check(name="latency", ok=False),))
    assert judged(new, old, rows_seen=30, evaluation=failing).decision == "reject"
    assert judged(new, old, rows_seen=0).decision == "reject"


def test_test_rows_of_one_time_decide_nothing() -> None:
    old, new = WORSE_THEN_BETTER
    for before, after in ((old, new), (new, old)):
        verdict = judged(before, after, unit="periods")
        assert verdict.decision == "inconclusive"
        assert OnePeriod() in verdict.grounds
        assert "All test rows are of one time" in reasons(verdict)[-1]
    apart = outcomes((3.0, 0.1), per=4)
    assert judged(*apart, unit="periods").decision == "promote"


def test_a_challenger_that_predicts_the_same_is_promoted_where_no_worse_is_enough() -> (
    None
):
    old, _ = WORSE_THEN_BETTER
    same = old.take(np.arange(ROWS))
    verdict = judged(old, same, BETTER)
    assert verdict.decision == "inconclusive"
    assert verdict.grounds == (Compared(finding="identical"),)
    assert judged(old, same, NO_WORSE).decision == "promote"


# -- findings and rules ----------------------------------------------------------------


def comparison(low: float, high: float, method: str = "DeLong") -> Comparison:
    return Comparison(
        metric="roc_auc",
        champion=0.8,
        challenger=0.8,
        difference=(low + high) / 2,
        low=low,
        high=high,
        smallest_detectable=0.1,
        method=method,
    )


@pytest.mark.parametrize(
    ("low", "high", "superiority", "non_inferiority"),
    [
        (0.01, 0.05, "better", "better"),
        (0.0, 0.05, "undecided", "not worse"),
        (-0.01, 0.05, "undecided", "not worse"),
        (-0.02, 0.05, "undecided", "undecided"),
        (-0.03, 0.0, "undecided", "undecided"),
        (-0.03, -0.01, "worse", "undecided"),
        (-0.05, -0.02, "worse", "undecided"),
        (-0.05, -0.03, "worse", "worse"),
    ],
)
def test_a_finding_is_about_the_interval_and_the_threshold(
    low: float, high: float, superiority: str, non_inferiority: str
) -> None:
    """A bound that touches the threshold shows nothing."""
    found = comparison(low, high)
    assert finding_of(found, BETTER) == superiority
    assert finding_of(found, NO_WORSE) == non_inferiority


def test_identical_predictions_are_a_finding_of_their_own() -> None:
    same = comparison(0.0, 0.0, "identical predictions; 95% interval")
    assert finding_of(same, BETTER) == finding_of(same, NO_WORSE) == "identical"


@pytest.mark.parametrize(
    ("finding", "superiority", "non_inferiority"),
    [
        ("better", "promote", "promote"),
        ("not worse", "promote", "promote"),
        ("worse", "reject", "reject"),
        ("undecided", "inconclusive", "inconclusive"),
        ("identical", "inconclusive", "promote"),
    ],
)
def test_each_finding_stands_for_a_decision(
    finding: Any, superiority: str, non_inferiority: str
) -> None:
    assert decision_of(finding, BETTER) == superiority
    assert decision_of(finding, NO_WORSE) == non_inferiority


def test_alpha_is_split_in_two_for_superiority_and_spent_once_otherwise() -> None:
    better = Rule("superiority", ("roc_auc",), alpha=0.2, margin=0.03)
    no_worse = Rule("non-inferiority", ("roc_auc",), alpha=0.2, margin=0.03)
    assert (better.confidence, better.threshold) == (pytest.approx(0.8), 0.0)
    assert (no_worse.confidence, no_worse.threshold) == (pytest.approx(0.6), -0.03)


@pytest.mark.parametrize(
    ("asked", "code_changed", "kind"),
    [
        ("auto", True, "superiority"),
        ("auto", False, "non-inferiority"),
        ("superiority", False, "superiority"),
        ("non-inferiority", True, "non-inferiority"),
    ],
)
def test_the_rule_is_that_of_the_specification(
    asked: str, code_changed: bool, kind: Any
) -> None:
    spec = known.spec(gate={"rule": asked, "margin": 0.04, "alpha": 0.1})
    metrics = ("roc_auc", "average_precision", "accuracy", "brier")
    assert rule_of(spec, code_changed) == Rule(kind, metrics, 0.1, 0.04)


# -- the conditions --------------------------------------------------------------------


def test_checks_hold_where_none_fails_and_skipped_ones_answer_nothing() -> None:
    checks = (
        Check(name="a", ok=True),
        Check(name="b", ok=True, skipped=True),
        Check(name="c", ok=False, message="too slow"),
    )
    found, slices, fairness = conditions(evaluation(ok=False, checks=checks))
    failure = Failure(name="c", message="too slow")
    assert found == Condition(
        name="checks", ok=False, asked=3, answered=2, failures=(failure,)
    )
    assert (slices.name, fairness.name) == ("slices", "fairness")
    held, *_ = conditions(evaluation(checks=checks[:2]))
    assert held == Condition(name="checks", ok=True, asked=2, answered=1)


def test_where_everything_was_skipped_nothing_was_measured() -> None:
    skipped = (Check(name="a", ok=True, skipped=True),)
    for condition in conditions(evaluation(checks=skipped)):
        assert condition.ok
        assert not condition.measured
        assert condition.answered == 0


@pytest.mark.parametrize("name", ["slices[plan]", "fairness[sex]"])
def test_a_standard_check_that_is_a_condition_of_its_own_fails_once(name: str) -> None:
    part = Slice(column="plan", value="pro", rows=9, ok=False)
    failing = Check(name=name, ok=False)
    found = conditions(evaluation(ok=False, checks=(failing,), slices=(part,)))
    assert [one.ok for one in found] == [True, False, True]
    own = Check(name=name, ok=False, standard=False)
    found = conditions(evaluation(ok=False, checks=(own,), slices=(part,)))
    assert [one.ok for one in found] == [False, False, True]


def test_a_slice_below_its_threshold_is_named() -> None:
    slices = (
        Slice(column="plan", value="pro", rows=90, metric=METRIC, ok=False),
        Slice(column="plan", value="basic", rows=90, metric=METRIC),
        Slice(column="plan", value="plus", rows=9),
    )
    _, found, _ = conditions(evaluation(ok=False, slices=slices))
    assert found == Condition(
        name="slices",
        ok=False,
        asked=3,
        answered=2,
        failures=(Failure(name="plan = pro"),),
    )


def limit(**changes: Any) -> FairnessResult:
    facts = {"column": "sex", "metric": "accuracy", "difference": 0.3, "limit": 0.1}
    return FairnessResult(**{**facts, **changes})


def test_only_a_limit_decides_about_fairness() -> None:
    results = (
        limit(ok=False),
        limit(ok=True, exception="the law asks for it"),
        limit(ok=True, difference=0.05, exception="kept all the same"),
        limit(ok=True, difference=0.0, measured=False),
        limit(ok=True, limit=None, difference=0.9, exception="none is declared"),
    )
    _, _, found = conditions(evaluation(ok=False, fairness=results))
    breach = Failure(name="accuracy by sex", value=0.3, limit=0.1)
    assert found == Condition(
        name="fairness",
        ok=False,
        asked=4,
        answered=3,
        accepted=1,
        failures=(breach,),
    )


def test_one_answer_is_a_measurement() -> None:
    slices = (Slice(column="plan", value="pro", rows=90, metric=METRIC),)
    fairness = (limit(ok=True, difference=0.05),)
    for condition in conditions(evaluation(slices=slices, fairness=fairness)):
        assert (condition.answered, condition.measured) == (1, True)


@pytest.mark.parametrize("part", ["checks", "slices", "fairness"])
def test_what_made_an_evaluation_fail_is_named_and_nothing_else(part: str) -> None:
    parts: dict[str, Any] = {
        "checks": (Check(name="c", ok=False),),
        "slices": (Slice(column="plan", value="pro", rows=9, ok=False),),
        "fairness": (limit(ok=False),),
    }
    found = conditions(evaluation(ok=False, **{part: parts[part]}))
    assert [one.name for one in found if not one.ok] == [part]


def test_an_evaluation_that_failed_for_no_reason_that_is_known_fails_the_checks() -> (
    None
):
    found, *others = conditions(evaluation(ok=False))
    assert not found.ok
    assert found.failures == (Failure(name="the evaluation is not ok"),)
    assert (found.asked, found.answered) == (1, 1)
    assert all(one.ok for one in others)


# -- the champion ----------------------------------------------------------------------


SIGNATURE = Signature(
    task="binary",
    target="employed",
    classes=("no", "yes"),
    positive="yes",
    outputs=("prediction", "score"),
    features=(),
)


class Context:
    """Of an evaluation, what the gate asks about."""

    def __init__(self, answer: Any, **spec: Any) -> None:
        self.spec = known.spec(**{"slices": {"columns": []}, **spec})
        self.dataset = SimpleNamespace(learned_by=lambda training, part: training.rows)
        self.part = "test"
        self.answer = answer

    def outcome(self, model: Any) -> Outcome:
        assert model.signature.target == "employed"
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def asked(context: Any, training: Any = None, **signature: Any) -> Champion:
    model: Any = SimpleNamespace(signature=SIGNATURE.model_copy(update=signature))
    return champion_on(context, model, "v1.2.0", SIGNATURE, training)


def test_a_champion_answers_about_the_same_rows() -> None:
    old, _ = WORSE_THEN_BETTER
    champion = asked(Context(old))
    assert champion.version == "v1.2.0"
    assert champion.outcome is old
    assert champion.rows_seen == 0
    trained: Any = SimpleNamespace(rows=12)
    assert asked(Context(old), trained).rows_seen == 12


@pytest.mark.parametrize(
    ("split", "data", "needs_id"),
    [
        ({"by": "random"}, {}, True),
        ({"by": "random"}, {"id": "person"}, False),
        ({"by": "group", "column": "household"}, {}, False),
    ],
)
def test_only_a_random_split_without_an_id_depends_on_the_columns(
    split: dict[str, Any], data: dict[str, Any], needs_id: bool
) -> None:
    whole = known.spec().model_dump()["data"]
    context = Context(WORSE_THEN_BETTER[0], split=split, data={**whole, **data})
    assert asked(context).needs_id is needs_id


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"task": "multiclass"}, "multiclass: employed"),
        ({"target": "income"}, "binary: income"),
        ({"positive": "no"}, "binary: employed"),
    ],
)
def test_a_champion_of_another_target_is_not_asked(
    changes: dict[str, Any], detail: str
) -> None:
    context = Context(AssertionError("the champion was asked"))
    expected = NotComparable(obstacle="another target", detail=detail)
    assert asked(context, **changes).outcome == expected


def test_a_champion_that_cannot_predict_says_why() -> None:
    context = Context(UsageError("columns are missing: income", do="add them"))
    expected = NotComparable(
        obstacle="cannot predict", detail="columns are missing: income"
    )
    assert asked(context).outcome == expected


@pytest.mark.parametrize(
    ("split", "unit"),
    [
        ({"by": "random"}, "rows"),
        ({"by": "group", "column": "household"}, "groups"),
        ({"by": "time", "column": "year"}, "periods"),
    ],
)
def test_a_challenger_says_what_stands_for_itself(
    split: dict[str, Any], unit: str
) -> None:
    _, new = WORSE_THEN_BETTER
    model: Any = SimpleNamespace(signature=SIGNATURE)
    context: Any = Context(new, split=split)
    challenger = challenger_on(context, model, evaluation())
    assert challenger.evaluation == evaluation()
    assert challenger.outcome is new
    assert challenger.unit == unit
