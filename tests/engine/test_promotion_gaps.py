"""Whoever promotes is shown what nobody has written, declared or measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mlops.cli.main import app
from mlops.reporting.gaps import Gaps, gaps
from mlops.results.evaluation import FairnessResult
from mlops.results.verdict import Condition, Verdict

from .registry_world import MODEL, SPEC, World, world_fixture  # noqa: F401

COMPLETE = """\
limits: Not for decisions about people.
risk_reason: Nobody is refused anything.
checks: {floor: {roc_auc: 0.6}}
slices: {columns: [plan]}
sensitive: [sex]
fairness:
  - {column: sex, metric: selection_rate, max_difference: 0.2}
"""


@pytest.fixture(name="run")
def run_fixture(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(world.root)

    def run(*arguments: str, answer: str | None = None) -> Result:
        if answer is not None:
            monkeypatch.setattr("mlops.cli.output.is_terminal", lambda: True)
        return CliRunner().invoke(app, list(arguments), prog_name="mlops", input=answer)

    return run


def registered(world: World, more: str = "", verdict: Verdict | None = None) -> None:
    """Register v1.0.0 of a specification."""
    (world.root / "models" / MODEL / "model.yaml").write_text(SPEC + more)
    if more:
        world.commit("Specification")
    world.build()
    if verdict is not None:
        verdict.save(world.project.build(MODEL))
    world.register()


def test_a_promotion_lists_the_gaps_first(world: World, run: Any) -> None:
    registered(world)
    done = run("promote", "churn@v1.0.0", "staging")
    assert done.exit_code == 0, done.output
    text = done.output
    assert "Before churn@v1.0.0 is put into staging:" in text
    assert "Not written in model.yaml: limits, reason for the risk." in text
    assert "a floor (checks.floor)" in text and "(fairness)" in text
    assert text.index("Before churn") < text.index("is now in staging")


def test_programs_are_told_the_gaps_too(world: World, run: Any) -> None:
    registered(world)
    done = run("promote", "churn@v1.0.0", "staging", "--json")
    gaps = json.loads(done.stdout)["gaps"]
    assert gaps["not_written"] == ["limits", "reason for the risk"]
    assert len(gaps["not_declared"]) == 3
    assert gaps["not_measured"] == []


def test_a_version_without_gaps_is_promoted_without_a_word(
    world: World, run: Any
) -> None:
    registered(world, COMPLETE)
    done = run("promote", "churn@v1.0.0", "staging")
    assert done.exit_code == 0 and "Before" not in done.output
    again = run("promote", "churn@v1.0.0", "production", "--json")
    gaps = json.loads(again.stdout)["gaps"]
    assert list(gaps) == [
        "not_written",
        "not_declared",
        "partly_measured",
        "not_measured",
        "inconclusive",
    ]
    assert not any(gaps.values())


def test_what_was_asked_for_and_not_measured_is_listed(world: World, run: Any) -> None:
    conditions = (
        Condition(name="checks", ok=True, asked=4, answered=4),
        Condition(name="slices", ok=True, measured=False, asked=3),
        Condition(name="fairness", ok=True, asked=2, answered=1),
        Condition(name="fairness", ok=True, asked=3, answered=3, inconclusive=2),
    )
    verdict = Verdict(
        decision="promote", rule="first version", reasons=(), conditions=conditions
    )
    registered(world, COMPLETE, verdict)
    done = run("promote", "churn@v1.0.0", "staging")
    assert "Partly measured: fairness (1 of 2)." in done.output
    assert "Not measured: slices (0 of 3)." in done.output
    assert "Inconclusive: fairness (2 of 3)." in done.output


def test_a_group_with_too_few_rows_is_not_measured() -> None:
    gap = FairnessResult(
        column="sex", metric="selection_rate", difference=0, measured=False
    )
    found = gaps(None, (), (gap,))
    assert found.not_measured == ("selection_rate by sex (too few rows)",)


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [("y\n", 0, "is now in production"), ("n\n", 1, "gaps were not accepted")],
)
def test_somebody_at_a_terminal_is_asked_before_the_last_stage(
    world: World, run: Any, answer: str, code: int, words: str
) -> None:
    registered(world)
    first = run("promote", "churn@v1.0.0", "staging", answer="")
    assert first.exit_code == 0 and "Promote it anyway" not in first.output
    done = run("promote", "churn@v1.0.0", "production", answer=answer)
    assert done.exit_code == code and words in done.output
    stages = json.loads(run("registry", "list", "--json").stdout)[0]["stages"]
    assert ("production" in stages) is (code == 0)


@pytest.mark.parametrize("case", ["workflow", "yes", "json", "no terminal"])
def test_nobody_is_asked_where_nobody_can_answer(
    world: World, run: Any, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    registered(world)
    world.promote("v1.0.0", "staging")
    options = {"yes": ["--yes"], "json": ["--json"]}.get(case, [])
    if case == "workflow":
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
    answer = None if case == "no terminal" else "n\n"
    done = run("promote", "churn@v1.0.0", "production", *options, answer=answer)
    assert done.exit_code == 0, done.output
    assert "Promote it anyway" not in done.output


def test_the_page_of_a_workflow_has_the_list(
    world: World, run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registered(world)
    page = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    assert run("promote", "churn@v1.0.0", "staging").exit_code == 0
    text = page.read_text()
    assert "is now in staging" in text and "Not written in model.yaml" in text


def test_the_specification_is_that_of_the_version(world: World, run: Any) -> None:
    """What was written since then says nothing about it."""
    registered(world)
    (world.root / "models" / MODEL / "model.yaml").write_text(SPEC + COMPLETE)
    world.commit("Written later")
    done = run("promote", "churn@v1.0.0", "staging")
    assert "Not written in model.yaml: limits" in done.output


def test_a_specification_of_another_engine_is_a_gap(
    world: World, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(world)
    monkeypatch.setattr("mlops.registry.queries.spec_of", lambda *_: None)
    done = run("promote", "churn@v1.0.0", "staging")
    assert "this engine cannot read it" in done.output
    assert not Gaps()
