"""A change of the rules on past decisions: what is recorded is judged again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.gate.replay import changed_keys, replayed_run, rules_of
from mlops.results.evaluation import EvaluationRecord, FairnessResult, Metric, Slice
from mlops.results.replay import ReplayedRun
from mlops.results.runs import Record
from mlops.results.verdict import (
    Anchored,
    Compared,
    Comparison,
    Condition,
    Failure,
    NoChampion,
    NotComparable,
    RefusedByTest,
    SplitChanged,
    Verdict,
)
from mlops.runlog.journal import append_all, append_check

from .conftest import git, spec_of


def specification(**changes: Any) -> ModelSpec:
    return ModelSpec.model_validate(spec_of(**changes))


OLD = specification(
    gate={"rule": "non-inferiority", "margin": 0.01, "alpha": 0.05},
    checks={"floor": {"roc_auc": 0.6}, "size_mb": 10, "latency_ms": 250},
    fairness=[{"column": "sex", "metric": "accuracy", "max_difference": 0.2}],
)


def new(**changes: Any) -> ModelSpec:
    """Return the specification with other keys in its sections."""
    content = OLD.model_dump(mode="json")
    for section, keys in changes.items():
        if isinstance(keys, dict):
            content[section] = {**content[section], **keys}
        else:
            content[section] = keys
    return ModelSpec.model_validate(content)


def comparison(low: float, high: float, **update: Any) -> Comparison:
    facts: dict[str, Any] = {
        "metric": "roc_auc",
        "champion": 0.8,
        "challenger": 0.8 + (low + high) / 2,
        "difference": (low + high) / 2,
        "low": low,
        "high": high,
        "confidence": 0.9,
        "p_value": 0.01,
        "smallest_detectable": 0.02,
        "method": "DeLong; 90% interval",
    }
    return Comparison(**facts | update)


def metric(value: float, half: float = 0.02) -> Metric:
    return Metric(name="roc_auc", value=value, low=value - half, high=value + half)


def record(
    decision: str = "promote", low: float = -0.008, high: float = 0.004, **update: Any
) -> Record:
    verdict: dict[str, Any] = {
        "decision": decision,
        "rule": "non-inferiority",
        "champion": "v1.0.0",
        "comparison": comparison(low, high),
        "conditions": (
            Condition(name="checks", ok=True, asked=4, answered=4),
            Condition(name="slices", ok=True),
            Condition(name="fairness", ok=True, asked=1, answered=1),
        ),
        "grounds": (Compared(finding="not worse"),),
        "margin": 0.01,
        "rows": 1000,
    }
    facts: dict[str, Any] = {
        "id": "r1",
        "model": "churn",
        "started": "2026-11-01T00:00:00+00:00",
        "seconds": 1.0,
        "stages": {},
        "outcome": decision,
        "metrics": (metric(0.8),),
        "verdict": Verdict(**verdict | update.pop("verdict", {})),
    }
    return Record(**facts | update)


def replay(past: Record, spec: ModelSpec) -> ReplayedRun:
    found = replayed_run(past, OLD, spec)
    assert found is not None
    return found


def test_no_change_changes_nothing_whatever_the_decision_was() -> None:
    pasts = [
        record(),
        record("inconclusive", -0.02, 0.01),
        record("reject", -0.05, -0.02),
    ]
    for past in pasts:
        found = replay(past, OLD)
        assert found.replayed == found.recorded == past.outcome
        assert (found.because, found.not_recorded) == ((), ())


@pytest.mark.parametrize(
    ("gate", "decision"),
    [
        ({"margin": 0.005}, "inconclusive"),
        ({"margin": 0.009}, "promote"),
        ({"rule": "superiority"}, "inconclusive"),
        ({"alpha": 0.01}, "inconclusive"),
        ({"alpha": 0.2}, "promote"),
    ],
)
def test_a_refresh_by_another_margin_rule_or_level(
    gate: dict[str, Any], decision: str
) -> None:
    found = replay(record(), new(gate=gate))
    assert found.replayed == decision
    assert found.because == (
        () if decision == "promote" else (f"gate.{next(iter(gate))}",)
    )
    assert found.not_recorded == ()


def test_a_wider_margin_promotes_what_was_inconclusive_and_keeps_what_was_worse() -> (
    None
):
    wide = new(gate={"margin": 0.03})
    assert replay(record("inconclusive", -0.02, 0.01), wide).replayed == "promote"
    assert replay(record("reject", -0.09, -0.05), wide).replayed == "reject"


def test_the_interval_of_another_level_is_scaled_by_quantiles() -> None:
    """1.645 standard errors become 2.326 of them."""
    edge = 0.002 - 0.006 * 2.3263 / 1.6449
    past = record(low=-0.004, high=0.008)
    just_within = new(gate={"alpha": 0.01, "margin": -edge + 1e-5})
    just_beyond = new(gate={"alpha": 0.01, "margin": -edge - 1e-5})
    assert replay(past, just_within).replayed == "promote"
    assert replay(past, just_beyond).replayed == "inconclusive"


def test_a_p_value_that_does_not_reject_keeps_zero_within() -> None:
    exact = comparison(0.001, 0.009, p_value=0.03, confidence=0.95)
    past = record(verdict={"rule": "superiority", "comparison": exact, "margin": 0.01})
    old = new(gate={"rule": "superiority"})
    stricter = new(gate={"rule": "superiority", "alpha": 0.02})
    found = replayed_run(past, old, stricter)
    assert found is not None and found.replayed == "inconclusive"
    milder = replayed_run(past, old, new(gate={"rule": "superiority", "alpha": 0.06}))
    assert milder is not None and milder.replayed == "promote"


def test_few_units_and_exact_bounds_are_not_scaled_and_it_says_so() -> None:
    other = new(gate={"alpha": 0.01})
    few = record(verdict={"units": 8, "unit": "groups"})
    method = "DeLong, no spread to be seen: exact bound; 90% interval"
    exact = record(verdict={"comparison": comparison(-0.008, 0.004, method=method)})
    for past in (few, exact):
        found = replay(past, other)
        assert found.replayed == "promote"
        (missing,) = found.not_recorded
        assert missing.startswith("gate.alpha: the interval at this level")


def test_auto_goes_by_whether_code_changed_where_that_is_recorded() -> None:
    auto = new(gate={"rule": "auto"})
    for changed, decision in ((True, "inconclusive"), (False, "promote")):
        past = record(verdict={"code_changed": changed})
        assert replay(past, auto).replayed == decision
    found = replay(record(), auto)
    assert found.replayed == "promote"
    assert found.not_recorded == (
        "gate.rule: whether more than data and libraries was new",
    )


def test_a_share_of_alpha_that_the_ledger_gave_stays_one() -> None:
    """A tenth of 0.05: 99.5 % two-sided for superiority."""
    asked = comparison(0.0003, 0.02, confidence=0.995, p_value=1e-4)
    past = record(verdict={"rule": "superiority", "comparison": asked})
    old = new(gate={"rule": "superiority"})
    stricter = new(gate={"rule": "superiority", "alpha": 0.03})
    found = replayed_run(past, old, stricter)
    assert found is not None and found.replayed == "inconclusive"
    milder = replayed_run(past, old, new(gate={"rule": "superiority", "alpha": 0.1}))
    assert milder is not None and milder.replayed == "promote"


def test_the_anchor_has_its_say_under_another_margin() -> None:
    far = Anchored(version="v0.9.0", comparison=comparison(-0.02, -0.001))
    past = record(
        "inconclusive", verdict={"grounds": (Compared(finding="not worse"), far)}
    )
    assert replay(past, new(gate={"margin": 0.03})).replayed == "promote"
    assert replay(past, new(gate={"margin": 0.015})).replayed == "inconclusive"
    superior = record("promote", 0.005, 0.02, verdict={"grounds": (far,)})
    assert replay(superior, new(gate={"rule": "superiority"})).replayed == "promote"


@pytest.mark.parametrize(
    ("decision", "verdict"),
    [
        ("promote", {"rule": "first version", "grounds": (NoChampion(),)}),
        (
            "inconclusive",
            {
                "comparison": None,
                "grounds": (NotComparable(obstacle="another target", detail="x"),),
            },
        ),
        ("reject", {"grounds": (RefusedByTest(),)}),
    ],
)
def test_what_no_rule_of_the_gate_decided_stays(
    decision: str, verdict: dict[str, Any]
) -> None:
    past = record(decision, verdict=verdict)
    for gate in ({"margin": 0.2}, {"rule": "superiority"}, {"alpha": 0.4}):
        assert replay(past, new(gate=gate)).replayed == decision


def test_a_champion_that_saw_test_rows_rejects_nobody() -> None:
    grounds = (Compared(finding="worse"), SplitChanged(rows=9, of=100, needs_id=False))
    past = record("inconclusive", -0.05, -0.03, verdict={"grounds": grounds})
    assert replay(past, new(gate={"margin": 0.02})).replayed == "inconclusive"


@pytest.mark.parametrize(
    ("floor", "decision", "missing"),
    [
        ({"roc_auc": 0.79}, "reject", ()),
        ({"roc_auc": 0.77}, "promote", ()),
        (
            {"roc_auc": 0.6, "accuracy": 0.9},
            "promote",
            ("checks.floor: accuracy of this run",),
        ),
    ],
)
def test_a_floor_is_judged_by_the_recorded_interval(
    floor: dict[str, float], decision: str, missing: tuple[str, ...]
) -> None:
    found = replay(record(), new(checks={"floor": floor}))
    assert (found.replayed, found.not_recorded) == (decision, missing)


def test_a_lower_floor_lets_through_what_nothing_else_stopped() -> None:
    failed = Condition(
        name="checks", ok=False, failures=(Failure(name="floor[roc_auc]"),)
    )
    more = failed.model_copy(
        update={"failures": (*failed.failures, Failure(name="directional[age]"))}
    )
    lower = new(checks={"floor": {"roc_auc": 0.5}})
    for condition, decision in ((failed, "promote"), (more, "reject")):
        past = record("reject", verdict={"conditions": (condition,)})
        assert replay(past, lower).replayed == decision


def test_a_check_whose_measure_is_not_recorded_says_so() -> None:
    found = replay(record(), new(checks={"better_than": ["dummy"], "latency_ms": 1}))
    assert found.replayed == "promote"
    assert set(found.not_recorded) == {
        "checks.better_than: what it would have measured",
        "checks.latency_ms: the latency of this run",
    }
    known = record(judged=EvaluationRecord(latency_ms=3.0))
    found = replay(known, new(checks={"latency_ms": 1}))
    assert (found.replayed, found.because) == ("reject", ("checks.latency_ms",))


def fair(difference: float, low: float) -> FairnessResult:
    return FairnessResult(
        column="sex", metric="accuracy", difference=difference, low=low
    )


def limit(value: float, **more: Any) -> list[dict[str, Any]]:
    return [{"column": "sex", "metric": "accuracy", "max_difference": value, **more}]


def test_fairness_by_another_limit() -> None:
    known = record(judged=EvaluationRecord(fairness=(fair(0.15, 0.12),)))
    assert replay(known, new(fairness=limit(0.1))).replayed == "reject"
    assert replay(known, new(fairness=limit(0.13))).replayed == "promote"
    excepted = new(fairness=limit(0.1, exception="as it is in the population"))
    assert replay(known, excepted).replayed == "promote"
    found = replay(record(), new(fairness=limit(0.1)))
    assert found.not_recorded == ("fairness: accuracy by sex",)
    breach = Failure(name="accuracy by sex", value=0.3, low=0.25, limit=0.2)
    failed = Condition(name="fairness", ok=False, failures=(breach,))
    past = record("reject", verdict={"conditions": (failed,)})
    assert replay(past, new(fairness=limit(0.28))).replayed == "promote"
    assert replay(past, new(fairness=limit(0.24))).replayed == "reject"


def test_slices_by_another_drop() -> None:
    part = Slice(column="plan", value="", rows=200, metric=metric(0.7, 0.03))
    known = record(judged=EvaluationRecord(slices=(part,)))
    assert replay(known, new(slices={"max_drop": 0.05})).replayed == "reject"
    assert replay(known, new(slices={"max_drop": 0.08})).replayed == "promote"
    found = replay(record(), new(slices={"max_drop": 0.05}))
    assert found.not_recorded == ("slices.max_drop: the metric of each slice",)


def test_slices_against_production_by_another_margin() -> None:
    worst = Failure(name="plan = pro", value=0.05, low=0.02, limit=0.03)
    held = Condition(
        name="slices against production", ok=True, asked=3, answered=3, worst=worst
    )
    verdict = {"conditions": (held,), "margin": 0.03}
    past = record(low=-0.001, high=0.02, verdict=verdict)
    assert replay(past, new(gate={"margin": 0.015})).replayed == "reject"
    found = replay(past, new(gate={"margin": 0.025}))
    assert found.replayed == "promote"
    assert found.not_recorded == ("gate.margin: each slice against production",)
    assert replay(past, new(gate={"margin": 0.04})).not_recorded == ()


def test_a_run_is_judged_against_the_rules_that_it_recorded_itself() -> None:
    """What was before the change need not be what judged an old run."""
    earlier = new(checks={"better_than": ["dummy"]})
    past = record(rules=rules_of(earlier))
    found = replay(past, new(checks={"better_than": ["dummy"]}))
    assert (found.replayed, found.not_recorded) == ("promote", ())
    back = replay(past, OLD)
    assert back.not_recorded == ("checks.better_than: what it would have measured",)


def test_a_run_without_a_verdict_is_left_out() -> None:
    assert replayed_run(record(), OLD, OLD) is not None
    past = record().model_copy(update={"verdict": None})
    assert replayed_run(past, OLD, new(gate={"margin": 0.2})) is None


def test_only_keys_that_judge_count_and_each_is_named() -> None:
    other = new(
        gate={"margin": 0.02},
        checks={"floor": {"roc_auc": 0.7}},
        fairness=[],
        monitor={"alpha": 0.1},
        description="another",
    )
    assert changed_keys(OLD, other) == (
        "gate.margin",
        "checks.floor",
        "fairness",
        "monitor.alpha",
    )
    assert changed_keys(OLD, new(description="another")) == ()


# -- the command -----------------------------------------------------------------------


@pytest.fixture(name="project")
def project_fixture(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> Project:
    """Return a repository whose run log has two decisions and a check."""
    project = make_project(gate={"rule": "non-inferiority", "margin": 0.01})
    far = record(id="r2", started="2026-11-02T00:00:00+00:00", low=-0.001)
    append_all(project, [record(), far])
    check = {
        "model": "churn",
        "version": "v1.0.0",
        "until": "2026-11-03T06:00+00:00",
        "alarm": True,
        "rows": 500,
        "reasons": [],
    }
    append_check(project, check, "ana")
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("COLUMNS", "200")
    return project


def changed(project: Project, before: str, after: str) -> None:
    path = project.folder("churn") / "model.yaml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def command(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["gate", *words])
    assert done.exit_code == code, done.output
    assert "defect of mlops" not in done.output
    return str(done.stdout if code == 0 else done.output)


def test_the_command_says_what_a_change_would_have_changed(project: Project) -> None:
    assert command("churn", "--replay").strip() == "churn: no rule has changed"
    changed(project, "margin: 0.01", "margin: 0.005")
    text = command("churn", "--replay")
    assert (
        "With the new gate.margin, 1 of 2 past decisions and 0 of 0 past checks of the "
        "monitor would have come out differently." in text
    )
    assert "inconclusive" in text and "r1" in text and "r2" not in text
    (found,) = json.loads(command("churn", "--replay", "--json"))
    assert (found["keys"], found["runs"], found["checks"]) == (["gate.margin"], 2, 0)
    (decision,) = found["decisions"]
    assert (decision["run"], decision["recorded"], decision["replayed"]) == (
        "r1",
        "promote",
        "inconclusive",
    )


def test_a_change_is_measured_against_a_commit(project: Project) -> None:
    changed(project, "margin: 0.01", "margin: 0.005")
    git(project.root, "commit", "-qam", "Stricter")
    assert "no rule has changed" in command("--replay")
    assert "1 of 2 past decisions" in command("--replay", "--base", "HEAD~1")
    assert "no such commit here" in command("--replay", "--base", "x~9", code=2)
    assert "this goes with --replay" in command("--base", "HEAD", code=2)
    assert "no such commit" in command("--replay", "--base", "--all", code=2)


def test_a_model_that_is_new_has_nothing_to_compare_with(project: Project) -> None:
    folder = project.folder("churn")
    other = folder.with_name("other")
    other.mkdir()
    (other / "model.yaml").write_text((folder / "model.yaml").read_text())
    text = command("other", "--replay", code=2)
    assert "has no models/other/model.yaml" in text


def test_past_alarms_are_named_too(project: Project) -> None:
    path = project.folder("churn") / "model.yaml"
    day = "{from: 2026-11-03, to: 2026-11-03, reason: sale}"
    path.write_text(f"{path.read_text()}\nmonitor: {{quiet: [{day}]}}\n")
    text = command("churn", "--replay")
    assert "1 of 1 past check of the monitor" in text
    assert "alarm, quiet" in text
