"""The markdown report: the verdict first, everything escaped, never too long."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from mlops.config.project_spec import Cost
from mlops.reporting.html import html
from mlops.reporting.markdown import LIMIT, escape, markdown
from mlops.reporting.run_report import RunInfo
from mlops.reporting.summary import summary
from mlops.reporting.words import NONE, clean
from mlops.results.evaluation import Group

from . import reporting_facts as known

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
# What GitHub makes of text after markdown is rendered.
LIVE = re.compile(r"@\w|#\d|://|www\.|\bGH-\d|:[\w+-]+:", re.IGNORECASE)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text("@#|`*_~[]()<>!\\&;:/.-+=1a \n\t$w", max_size=30),
    st.sampled_from(
        (*known.HOSTILE, "__0__", "\\|", "1) x", "a@b.example", "[x] y", "[^1]")
    ),
)


def flat(text: str) -> list[Token]:
    """Return all tokens of a document, inline ones too."""
    tokens = PARSER.parse(text)
    return [t for token in tokens for t in (token, *(token.children or []))]


def shown(tokens: list[Token]) -> str:
    """Return the text that a reader sees."""
    return "".join(t.content for t in tokens if t.type in ("text", "text_special"))


@pytest.mark.parametrize(
    ("decision", "title"),
    [
        (
            "promote",
            "✅ employment: Replace the model in production (v1.2.0) with this one.",
        ),
        ("reject", "❌ employment: Do not replace the model in production (v1.2.0)."),
        (
            "inconclusive",
            "⚠️ employment: Keep the model in production (v1.2.0): a loss of more than",
        ),
    ],
)
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_verdict_comes_first_and_everything_after_in_order(
    task: str, decision: known.Decision, title: str
) -> None:
    text = markdown(known.everything(task, decision))
    assert text.startswith(f"## {title}")
    heads = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert heads == [
        "Against the model in production",
        "What changed since v1.2.0",
        "Use and limits",
        "Data",
        "Feature importance",
        "Tests",
        "Slices",
        "Fairness",
        "Over versions",
        "Cost",
        "How to reproduce",
    ]


def test_a_manager_reads_the_comparison_in_one_sentence() -> None:
    said = summary(known.everything())
    assert said.lines[0] == (
        "ROC AUC on the same 3,745 rows: 0.860 against 0.839, better by 0.022 "
        "(95% CI of the difference: +0.012 to +0.032)."
    )
    assert said.lines[1] == "Met: slices, fairness."
    assert "Partly measured: checks (7 of 8)." in said.lines
    unsure = summary(known.everything(decision="inconclusive")).lines[0]
    assert "no significant difference" in unsure
    assert "95% CI of the difference: \u22120.007 to +0.013" in unsure
    assert "A loss of up to 0.005 is accepted here." in unsure
    worse = summary(known.everything(decision="reject")).lines
    assert "worse by 0.022" in worse[0]
    assert (
        worse[1]
        == "1 of 3 conditions not met: Quality is too low on marital_status = Widowed."
    )


def test_an_interval_says_its_confidence() -> None:
    verdict = known.verdict()
    assert verdict.comparison
    wide = verdict.comparison.model_copy(update={"confidence": 0.9})
    facts = known.everything(verdict=verdict.model_copy(update={"comparison": wide}))
    assert (
        "better by 0.022 (90% CI of the difference: +0.012 to +0.032)."
        in summary(facts).lines[0]
    )
    text = markdown(facts)
    assert "| In production | Better by | 95% CI of it |" in text
    assert "| +0.022 | 90%: +0.012 to +0.032 |" in text
    assert "| +0.024 | +0.013 to +0.035 |" in text


def test_two_versions_that_predict_the_same_are_said_to() -> None:
    same = known.verdict()
    assert same.comparison
    values = {
        "difference": 0.0,
        "low": 0.0,
        "high": 0.0,
        "method": "identical predictions",
    }
    same = same.model_copy(
        update={"comparison": same.comparison.model_copy(update=values)}
    )
    assert (
        "make exactly the same predictions"
        in summary(known.everything(verdict=same)).lines[0]
    )


def test_what_no_group_was_large_enough_for_is_not_called_met() -> None:
    few = known.verdict(), known.evaluation()
    unseen = {"measured": False, "answered": 0, "accepted": 0}
    conditions = [
        c.model_copy(update=unseen if c.name == "fairness" else {})
        for c in few[0].conditions
    ]
    gaps = [
        f.model_copy(update={"measured": False, "difference": 0.0})
        for f in few[1].fairness
    ]
    facts = known.everything(
        verdict=few[0].model_copy(update={"conditions": tuple(conditions)}),
        evaluation=few[1].model_copy(update={"fairness": tuple(gaps)}),
    )
    lines = summary(facts).lines
    assert "Met: slices." in lines
    assert "Not measured: fairness (0 of 2)." in lines
    text = markdown(facts)
    assert "| ⚪ fairness | not measured | None of the 2 limits" in text
    cells = text.partition("Selection rate by sex | ")[2].split(" | ")[:3]
    assert cells == [NONE, NONE, "0.200"]


def test_a_first_version_needs_no_champion() -> None:
    first = known.verdict().model_copy(
        update={
            "champion": None,
            "comparison": None,
            "others": (),
            "rule": "first version",
        }
    )
    text = markdown(known.everything(verdict=first))
    assert "Put this model into production: it is the first version." in text
    assert (
        "ROC AUC (how often a positive row is scored above a negative one) on 3,745"
        in text
    )
    assert "In production" not in text


@pytest.mark.parametrize(
    ("missing", "title"),
    [
        (("verdict",), "passed its tests; it was not compared"),
        (("verdict", "evaluation"), "A model was trained, but not tested"),
        (("verdict", "evaluation", "training"), "no model was trained"),
        (
            ("verdict", "evaluation", "training", "validation"),
            "Nothing has been run yet",
        ),
    ],
)
def test_a_run_that_stopped_says_how_far_it_came(
    missing: tuple[str, ...], title: str
) -> None:
    facts = known.everything(rows=None, **dict.fromkeys(missing))
    assert title in summary(facts).title
    text = markdown(facts)
    assert title in text
    assert ("### Slices" in text) == ("evaluation" not in missing)
    assert ("### Data" in text) == ("validation" not in missing)


def test_a_broken_contract_names_column_rows_and_examples() -> None:
    stopped: dict[str, Any] = dict.fromkeys(
        ("training", "evaluation", "verdict", "rows")
    )
    text = markdown(known.everything(validation=known.validation(ok=False), **stopped))
    assert "❌ employment: No new model: data validation failed." in text
    row = "| ❌ age | expected 16 to 99, found -4 to 999 | 312 (2.1%) | 999, -4, 120 |"
    assert row in text
    assert (
        text.index("2 of 4 expectations failed")
        < text.index(row)
        < text.index("Rows read")
    )


def test_failed_tests_come_first_and_passed_ones_are_folded() -> None:
    facts = known.everything(verdict=None, evaluation=known.evaluation(ok=False))
    assert summary(facts).title == "Do not use this model: it failed its tests."
    text = markdown(facts)
    failed, folded = (
        text.index("❌ test_schooling_helps"),
        text.index("<summary>6 passed"),
    )
    assert (
        failed
        < text.index("⚪ test_champion_agrees")
        < folded
        < text.index("✅ latency")
    )


def test_values_of_sensitive_columns_are_not_shown() -> None:
    facts = known.everything(validation=known.validation(ok=False))
    assert "SECRET" in facts.validation.model_dump_json()  # type: ignore[union-attr]
    assert "SECRET" not in markdown(facts)


def test_groups_that_are_too_small_to_count_are_not_shown() -> None:
    tests = known.evaluation()
    tiny = Group(name="other", rows=3, value=0.333)
    limit = tests.fairness[0].model_copy(
        update={"groups": (*tests.fairness[0].groups, tiny)}
    )
    facts = known.everything(evaluation=tests.model_copy(update={"fairness": (limit,)}))
    assert "Female 0.569, Male 0.651, other (too few rows)" in markdown(facts)
    assert not re.search(r"(?<![\d.])0\.333(?!\d)", markdown(facts) + html(facts))


def test_a_comment_is_folded_below_the_conditions_and_begins_with_the_run() -> None:
    link = (
        "[The run, with the whole report](https://github.com/acme/demo/actions/runs/9)"
    )
    text = markdown(known.everything(), folded=True, link=link)
    open_, fold, folded = text.partition("<details><summary>Evidence: ")
    assert fold
    assert (
        open_.index("Replace the model") < open_.index(link) < open_.index("| Metric")
    )
    assert (
        "| \u25d0 checks | partly measured | 7 of 8 checks passed; 1 not run. |"
        in open_
    )
    assert "### Data" not in open_ and "### Fairness" in folded
    assert text.count("<details>") == text.count("</details>")
    whole = markdown(known.everything())
    for line in whole.splitlines():
        assert line in text


def test_who_made_it_and_for_which_change_is_said() -> None:
    run = RunInfo(
        started="2026-11-23 12:00 UTC",
        actor="@bob",
        pull_request=7,
        change="code, parameters",
    )
    text = markdown(known.everything(run=run))
    assert "| Made | 2026-11-23 12:00 UTC |" in text
    assert "| By | @&#8203;bob |" in text
    assert "| Pull request | #&#8203;7 |" in text
    assert "| Changed | code, parameters |" in text


def test_a_value_has_its_unit() -> None:
    spec = known.spec(
        metrics={"primary": "value", "value": {"unit": "EUR", "true_positive": 1}}
    )
    tests = known.evaluation()
    value = tests.primary.model_copy(update={"name": "value"})
    tests = tests.model_copy(update={"metrics": (value,)})
    text = markdown(known.everything(spec=spec, evaluation=tests, verdict=None))
    assert "| Value per row (EUR) | 0.860 |" in text


def test_a_confusion_matrix_counts_the_test_rows() -> None:
    facts = known.everything()
    assert facts.rows is not None
    actual, predicted = facts.rows.actual, facts.rows.predicted
    hits = int(((actual == "yes") & (predicted == "yes")).sum())
    misses = int(((actual == "yes") & (predicted == "no")).sum())
    assert f"| Actual: yes | {misses:,} | {hits:,} |" in markdown(facts)
    assert "Confusion matrix" not in markdown(known.everything("regression"))


def test_a_gap_without_a_limit_is_shown_and_has_no_tick() -> None:
    tests = known.evaluation()
    bounds = {"low": 0.041, "high": 0.123}
    open_ = tests.fairness[0].model_copy(update={"limit": None, **bounds})
    text = markdown(
        known.everything(evaluation=tests.model_copy(update={"fairness": (open_,)}))
    )
    row = "| Selection rate by sex | 0.082 | 0.041 to 0.123 | none | measured; no limit"
    assert f"{row} is declared |" in text


def test_cost_is_time_money_and_energy() -> None:
    run = RunInfo(
        seconds={"train": 3600, "test": 1800}, price=Cost(per_hour=0.48, watts=20)
    )
    text = markdown(known.everything(run=run))
    assert "| train | 60 min 0 s | 0.48 USD | 20 Wh |" in text
    assert "It took 90 min 0 s, 0.72 USD, about 30 Wh." in text


def test_an_uncommitted_change_is_said() -> None:
    text = markdown(known.everything(run=RunInfo(commit="a" * 40, dirty=True)))
    assert "Files were changed and not committed" in text
    assert f"git checkout {'a' * 40}\nmake setup\nmlops run employment --force" in text


@given(TEXTS)
def test_escaped_text_shows_itself_and_does_nothing(text: str) -> None:
    safe = escape(text)
    for frame in ("{}", "- {}", "## {}", "word {}", "> {}"):
        tokens = flat(frame.format(safe))
        allowed = {"inline", "text", "text_special"} | {
            t.type for t in flat(frame.format("word"))
        }
        assert {t.type for t in tokens} <= allowed
        seen = shown(tokens)
        assert not LIVE.search(seen)
        assert seen.replace("\u200b", "").removeprefix("word").strip() == clean(text)


@given(TEXTS, TEXTS)
def test_escaped_text_stays_in_its_cell(left: str, right: str) -> None:
    tokens = flat(
        f"| a | b |\n|---|---|\n| {escape(left)} | {escape(right)} |\n| x | y |"
    )
    cells = [
        t.content for i, t in enumerate(tokens) if i and tokens[i - 1].type == "td_open"
    ]
    assert len(cells) == 4
    assert cells[2:] == ["x", "y"]
    found = [shown(flat(f"word {cell}")).removeprefix("word") for cell in cells[:2]]
    assert [f.replace("\u200b", "").strip() for f in found] == [
        clean(left),
        clean(right),
    ]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_hostile_facts_cannot_act_in_the_report(task: str) -> None:
    tokens = flat(markdown(known.hostile(task)))
    raw = {t.content.strip() for t in tokens if t.type in ("html_inline", "html_block")}
    plain = flat(markdown(known.everything(task)))
    own = {t.content.strip() for t in plain if t.type == "html_block"}
    assert {re.sub(r">[^<]+<", "><", r) for r in raw} <= {
        re.sub(r">[^<]+<", "><", r) for r in own
    }
    assert not {"link_open", "image", "code_inline", "s_open", "em_open"} & {
        t.type for t in tokens
    }
    assert not LIVE.search("".join(t.content for t in tokens if t.type == "text"))
    heads = [t for t in tokens if t.type == "heading_open"]
    assert len(heads) == len([t for t in plain if t.type == "heading_open"])


@pytest.mark.parametrize("ok", [True, False])
def test_five_thousand_tests_fit(ok: bool) -> None:
    many = known.evaluation(ok=False, checks=5000)
    checks = tuple(
        c.model_copy(update={"ok": ok, "message": "|<@a" * 60}) for c in many.checks
    )
    text = markdown(
        known.everything(evaluation=many.model_copy(update={"checks": checks}))
    )
    assert len(text) < LIMIT
    assert "more in the full report" in text
    assert text.startswith("## ✅ employment: Replace")
    assert "### How to reproduce" in text
    hostile = known.hostile().verdict
    assert len(markdown(known.everything(verdict=hostile))) < LIMIT
