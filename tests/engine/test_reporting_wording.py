"""Sentences about a verdict: made from typed grounds, and never more than was found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlops.reporting import words
from mlops.reporting.gaps import not_written
from mlops.reporting.html import dates_whole
from mlops.reporting.sections import sections
from mlops.reporting.summary import headline, summary
from mlops.reporting.wording import condition, reasons, standing, with_sentences
from mlops.results.verdict import (
    Compared,
    Comparison,
    Condition,
    Failure,
    Finding,
    NoChampion,
    NotComparable,
    OtherGround,
    SplitChanged,
    Verdict,
)

from . import reporting_facts as known


def compared(
    finding: Finding, low: float, high: float, rule: str = "superiority"
) -> Verdict:
    """Return a verdict whose interval has these ends."""
    comparison = Comparison(
        metric="roc_auc",
        champion=0.84,
        challenger=0.84 + (low + high) / 2,
        difference=(low + high) / 2,
        low=low,
        high=high,
        smallest_detectable=0.014,
        method="identical predictions" if finding == "identical" else "DeLong",
    )
    return Verdict(
        decision="inconclusive",
        rule=rule,
        champion="v1.2.0",
        comparison=comparison,
        grounds=(Compared(finding=finding),),
        margin=0.01,
        rows=1950,
    )


def reason(*what: Any) -> str:
    (text,) = reasons(compared(*what))
    return text


def test_a_loss_is_called_a_loss_under_non_inferiority_too() -> None:
    """Wholly below zero and within the margin: worse, and accepted."""
    text = reason("not worse", -0.009, -0.003, "non-inferiority")
    assert "worse by 0.006" in text and "a loss of up to 0.010 is accepted" in text
    open_ = compared("undecided", -0.015, -0.002, "non-inferiority")
    assert "is worse, and whether by more than the accepted 0.010" in reasons(open_)[0]
    tone, title = headline(known.everything(verdict=open_), open_)
    assert (tone, title.partition(": ")[2]) == ("unsure", "this one is worse.")


def test_a_gain_is_called_a_gain_under_non_inferiority_too() -> None:
    text = reason("better", 0.002, 0.02, "non-inferiority")
    assert text.startswith("The new version is better than the one in production")


def test_identical_predictions_are_not_called_a_lack_of_difference() -> None:
    text = reason("identical", 0.0, 0.0)
    assert "exactly the same predictions on 1,950 rows" in text
    assert "significant" not in text
    same = compared("identical", 0.0, 0.0)
    assert headline(known.everything(verdict=same), same)[1].endswith(
        "this one makes the same predictions."
    )


def test_power_is_said_as_four_of_five_tests() -> None:
    text = reason("undecided", -0.01, 0.012)
    assert "a difference of 0.014 would be detected in 4 of 5 such tests" in text
    against_margin = reason("undecided", -0.02, 0.001, "non-inferiority")
    # 0.014 above a margin of -0.010: the version has to be better by 0.004.
    assert "for a version that is better by 0.004" in against_margin


def test_no_sentence_places_the_truth_between_two_numbers_or_promises_more_data() -> (
    None
):
    findings = ("identical", "better", "not worse", "worse", "undecided")
    for finding in findings:
        for rule in ("superiority", "non-inferiority"):
            text = reason(finding, -0.015, -0.002, rule)
            assert "true difference" not in text
            assert "would have shown" not in text
            assert "more test data" not in text


def test_under_a_headline_that_says_no_not_every_condition_is_called_met() -> None:
    worse = compared("worse", -0.03, -0.02).model_copy(
        update={
            "decision": "reject",
            "conditions": (Condition(name="checks", ok=True, asked=7, answered=7),),
        }
    )
    lines = summary(known.everything(verdict=worse)).lines
    assert "The other conditions met: checks." in lines
    assert not any("very condition" in line for line in lines)


@pytest.mark.parametrize("name", ["checks", "slices", "fairness"])
@pytest.mark.parametrize(
    ("asked", "answered", "tone", "word"),
    [
        (0, 0, "unmeasured", "not declared"),
        (3, 0, "unmeasured", "not measured"),
        (3, 2, "partly", "partly measured"),
        (3, 3, "good", "met"),
    ],
)
def test_only_what_was_measured_and_passed_has_a_tick(
    name: str, asked: int, answered: int, tone: str, word: str
) -> None:
    c = Condition(
        name=name, ok=True, measured=answered > 0, asked=asked, answered=answered
    )
    assert standing(c) == (tone, word)
    assert condition(c).endswith(".")


def test_slices_against_production_name_what_is_shown_and_the_largest_loss() -> None:
    worst = Failure(name="plan = pro", value=0.08, low=0.03, limit=0.01)
    failed = Condition(
        name="slices against production",
        ok=False,
        asked=4,
        answered=4,
        worst=worst,
        failures=(worst,),
    )
    assert condition(failed) == (
        "Worse than in production, all slices counted together: plan = pro (by 0.080, "
        "at least 0.030)."
    )
    met = failed.model_copy(update={"ok": True, "failures": ()})
    assert standing(met) == ("good", "met")
    assert condition(met) == (
        "None of 4 slices is shown to be worse than in production by more than 0.010; "
        "the largest loss is 0.080 (plan = pro)."
    )
    gained = worst.model_copy(update={"value": -0.02})
    better = met.model_copy(update={"worst": gained})
    assert condition(better) == (
        "None of 4 slices is shown to be worse than in production."
    )


def test_a_slice_that_is_worse_than_in_production_has_no_tick_in_the_report() -> None:
    holding = known.evaluation().slices[0]
    name = f"{holding.column} = {holding.value}"
    failed = Condition(
        name="slices against production", ok=False, failures=(Failure(name=name),)
    )
    verdict = known.verdict().model_copy(update={"conditions": (failed,)})
    parts = {part.key: part for part in sections(known.everything(verdict=verdict))}
    rows = {
        cells[0]: (tone, cells[1]) for tone, cells in parts["slices"].tables[0].rows
    }
    assert rows[name] == ("bad", "worse than in production")


def test_a_first_version_that_nobody_described_is_no_green_light() -> None:
    first = Verdict(
        decision="promote",
        rule="first version",
        conditions=(Condition(name="fairness", ok=True, measured=False),),
        grounds=(NoChampion(),),
        rows=100,
    )
    bare = known.spec(
        intended_use="Not written yet. Who uses the predictions, and for what?",
        limits="",
        risk_reason="Not written yet.",
        slices={"columns": []},
    )
    assert not_written(bare) == ("intended use", "limits", "reason for the risk")
    said = summary(known.everything(verdict=first, spec=bare))
    assert said.tone == "unsure"
    assert "Put this model into production" not in said.title
    assert not any("Not measured" in line for line in said.lines)
    assert (
        "Not written in model.yaml: intended use, limits, reason for the risk."
        in said.lines
    )
    declared = next(line for line in said.lines if line.startswith("Not declared"))
    assert "checks.floor" in declared and "fairness" in declared
    whole = summary(known.everything(verdict=first))
    assert whole.tone == "good"


@pytest.mark.parametrize(
    ("asked", "answered", "kind"),
    [
        (0, 0, "Not declared in model.yaml"),
        (4, 0, "Not measured"),
        (4, 3, "Partly measured"),
        (4, 4, "Met"),
    ],
)
def test_each_condition_stands_in_one_line_of_the_summary(
    asked: int, answered: int, kind: str
) -> None:
    conditions = tuple(
        Condition(
            name=n, ok=True, measured=answered > 0, asked=asked, answered=answered
        )
        for n in ("slices", "fairness")
    )
    limit = {"column": "sex", "metric": "selection_rate", "max_difference": 0.2}
    spec = known.spec(
        slices={"columns": ["schooling"] if asked else []},
        fairness=[limit] if asked else [],
    )
    facts = known.everything(
        spec=spec,
        verdict=known.verdict().model_copy(update={"conditions": conditions}),
        evaluation=known.evaluation().model_copy(update={"fairness": ()}),
    )
    for name in ("slices", "fairness"):
        naming = [line for line in summary(facts).lines if name in line]
        assert [line.partition(":")[0] for line in naming] == [kind]


def test_a_verdict_of_an_older_engine_is_shown_as_it_was_written() -> None:
    stored = {
        "decision": "promote",
        "rule": "first version",
        "conditions": [{"name": "checks", "ok": True, "message": "7 checks passed."}],
        "reasons": ["There is no version in production yet."],
        "rows": 9,
    }
    old = Verdict.model_validate(stored)
    assert reasons(old) == ("There is no version in production yet.",)
    assert condition(old.conditions[0]) == "7 checks passed."
    assert with_sentences(old) == old


def test_a_verdict_of_a_newer_engine_is_still_read() -> None:
    text = json.dumps(
        {
            "decision": "reject",
            "rule": "superiority",
            "grounds": [{"kind": "spent budget", "questions": 9}],
        }
    )
    newer = Verdict.model_validate_json(text)
    assert newer.grounds == (OtherGround(kind="spent budget"),)
    assert reasons(newer) == ("Spent budget.",)


def test_typed_grounds_survive_being_stored() -> None:
    grounds = (
        NoChampion(),
        NotComparable(obstacle="cannot predict", detail="columns are missing: a"),
        SplitChanged(rows=3, of=9, needs_id=True),
    )
    verdict = Verdict(decision="reject", rule="superiority", grounds=grounds)
    again = Verdict.model_validate_json(verdict.model_dump_json())
    assert again == verdict
    assert [type(ground) for ground in again.grounds] == [type(g) for g in grounds]


def test_a_score_that_is_too_good_to_be_true_is_no_green_light() -> None:
    tests = known.evaluation()
    leak = tests.primary.model_copy(update={"value": 0.999})
    first = Verdict(
        decision="promote", rule="first version", grounds=(NoChampion(),), rows=100
    )
    said = summary(
        known.everything(
            verdict=first, evaluation=tests.model_copy(update={"metrics": (leak,)})
        )
    )
    assert said.tone == "unsure"
    assert any("ROC AUC of 0.999 is unusually high" in line for line in said.lines)
    plain = summary(known.everything(verdict=first))
    assert not any("unusually high" in line for line in plain.lines)


def test_features_that_give_the_target_away_are_named_whatever_the_metric_is() -> None:
    tests = known.evaluation().model_copy(update={"leaking": ("fee_paid", "sum<b>")})
    first = Verdict(
        decision="promote", rule="first version", grounds=(NoChampion(),), rows=100
    )
    for verdict in (first, None):
        said = summary(known.everything(verdict=verdict, evaluation=tests))
        (line,) = [line for line in said.lines if "Too good to be true" in line]
        assert "“fee_paid”" in line and "data.ignore" in line
        assert said.tone == "unsure"


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("two words", 9, "two words"),
        (
            "the rate is less than one in a million years",
            42,
            "the rate is less than one in a million…",
        ),
        ("oneverylongwordthatneverends", 10, "oneverylo…"),
        ("a oneverylongwordthatneverends", 10, "a onevery…"),
    ],
)
def test_what_is_too_long_ends_after_a_whole_word_where_one_ends_near_the_limit(
    text: str, most: int, shown: str
) -> None:
    assert words.clean(text, most) == shown
    assert len(words.clean(text, most)) <= most


def test_a_date_of_a_page_is_never_broken_and_what_surrounds_it_stays_text() -> None:
    text = "a <b> & 2018-01-01 00:00, 2019-12-31"

    assert dates_whole(text) == (
        'a &lt;b&gt; &amp; <span class="date">2018-01-01 00:00</span>, '
        '<span class="date">2019-12-31</span>'
    )
    assert dates_whole(dates_whole(text)) == dates_whole(text)
