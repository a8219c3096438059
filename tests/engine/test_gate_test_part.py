"""Validation is compared on as often as one likes; the test part is asked once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from mlops.cli.main import app
from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.data.hashing import hash_values
from mlops.data.snapshot import parts_of
from mlops.registry.queries import show
from mlops.results.evaluation import Evaluation
from mlops.results.ledger import Question
from mlops.results.runs import Record
from mlops.results.verdict import Verdict
from mlops.runlog.journal import append_question
from mlops.runlog.query import questions, records

from .conftest import git, rows_of, spec_of

SPLIT = {"by": "random", "test": 0.3, "validation": 0.3, "seed": 1}
CHECKS = {"better_than": [], "latency_ms": 5000}
WITHOUT_TENURE = "raw.assign(tenure=0.0, long=0.0)"
WITH_TENURE = 'raw.assign(long=(raw["tenure"] > 24).astype("float64"))'


def run(*arguments: str) -> Result:
    done = CliRunner().invoke(app, list(arguments), prog_name="mlops")
    assert done.exit_code in (0, 1), done.output
    return done


@dataclass
class World:
    """A model with a validation part, whose first version is weak and in production."""

    project: Project

    def improve(self, features: str = WITH_TENURE) -> None:
        file = self.project.folder("churn") / "features.py"
        file.write_text(f"def features(raw):\n    return {features}\n")
        git(self.project.root, "commit", "-qam", "A better idea")

    @property
    def verdict(self) -> Verdict:
        return Verdict.load(self.project.build("churn"))

    @property
    def evaluation(self) -> Evaluation:
        return Evaluation.load(self.project.build("churn"))

    @property
    def asked_before(self) -> tuple[Question, ...]:
        return questions(self.project, "churn")

    def report(self) -> str:
        return (self.project.build("churn") / "report.md").read_text()


def frame(noisy_test: bool) -> pd.DataFrame:
    """Return rows; where the test is noisy, no model can be better on the test part."""
    rows = rows_of(n=1500)
    if noisy_test:
        spec = ModelSpec.model_validate(spec_of(split=SPLIT))
        test = parts_of(spec, rows, hash_values(rows)).test
        mixed = np.random.default_rng(0).permutation(rows.loc[test, "churn"])
        rows.loc[test, "churn"] = mixed
    return rows


@pytest.fixture(name="world")
def world_fixture(
    request: pytest.FixtureRequest,
    make_project: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    noisy = getattr(request, "param", False)
    project = make_project(frame=frame(noisy), split=SPLIT, checks=CHECKS)
    monkeypatch.chdir(project.root)
    world = World(project)
    world.improve(WITHOUT_TENURE)
    return world


def first_version(world: World) -> None:
    run("run", "churn", "--test")
    assert "is registered" in run("register", "churn", "-m", "first").output
    run("promote", "churn@v1.0.0", "staging")
    run("promote", "churn@v1.0.0", "production", "--yes")


def test_nothing_is_registered_before_the_test_part_was_asked(world: World) -> None:
    done = run("run", "churn")
    assert world.verdict.part == world.evaluation.part == "validation"
    assert world.verdict.decision == "promote"
    assert "mlops run churn --test" in done.output
    refused = run("register", "churn", "-m", "first")
    assert refused.exit_code == 1
    assert "the test part was not asked" in refused.output
    assert world.asked_before == ()


def test_a_first_version_is_asked_and_spends_nothing(world: World) -> None:
    first_version(world)
    (question,) = world.asked_before
    assert question.passed and not question.spends
    assert world.evaluation.part == world.verdict.part == "test"
    _, manifest = show(world.project, "churn@v1.0.0")
    assert manifest.measured_on == "test"
    assert manifest.metrics == world.evaluation.metrics


def test_the_process_of_user_code_judges_on_the_same_part(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it hands over is computed again from its predictions."""
    monkeypatch.setattr("mlops.pipeline.run.APART", True)
    run("run", "churn")
    rows = world.evaluation.rows
    assert world.evaluation.part == "validation"
    run("run", "churn", "--test")
    assert world.evaluation.part == world.verdict.part == "test"
    assert world.evaluation.rows != rows


def test_an_improvement_passes_and_the_figures_are_those_of_the_test(
    world: World,
) -> None:
    first_version(world)
    world.improve()
    on_validation = run("run", "churn").output
    account = world.verdict.account
    assert account is not None
    assert (account.number, account.passed) == (1, None)
    assert account.needed is not None and 0 < account.needed < 0.2
    assert "validation rows" in on_validation and "Question 1 of 10" in on_validation
    assert "| Validation rows |" in world.report()
    assert "among 4" in world.report() and " validation rows." in world.report()
    figures = world.evaluation.metrics

    assert run("run", "churn", "--test").exit_code == 0
    assert world.verdict.part == "test"
    assert world.evaluation.metrics != figures
    assert "test part was asked, and it passed. Question 1 of 10" in world.report()
    question = world.asked_before[-1]
    assert (question.number, question.passed) == (1, True)
    assert question.alpha == pytest.approx(0.025 * 0.099)
    assert world.verdict.comparison is not None
    assert world.verdict.comparison.confidence == pytest.approx(1 - 0.05 * 0.099)
    last = records(world.project, "churn")[-1]
    assert (last.measured_on, last.outcome) == ("test", "promote")
    assert "is registered" in run("register", "churn", "-m", "better").output

    # Once: a second time nothing is asked.
    before = len(world.asked_before)
    assert run("run", "churn", "--test").exit_code in (0, 1)
    assert len(world.asked_before) == before


@pytest.mark.parametrize("world", [True], indirect=True)
def test_a_model_that_the_test_refuses_shows_no_figure_and_is_not_asked_again(
    world: World,
) -> None:
    first_version(world)
    world.improve()
    run("run", "churn")
    figures = world.evaluation
    assert world.verdict.decision == "promote"
    predicted = (world.project.build("churn") / "predictions.parquet").read_bytes()

    done = run("run", "churn", "--test")
    assert done.exit_code == 1
    assert world.verdict.decision == "reject"
    assert world.verdict.part == world.evaluation.part == "validation"
    assert world.evaluation == figures
    stored = (world.project.build("churn") / "predictions.parquet").read_bytes()
    assert stored == predicted
    report = world.report()
    assert "did not let it through" in report
    assert "an approver decides against it" in report
    assert world.asked_before[-1].passed is False
    record = Record.load(world.project.build("churn"))
    assert (record.outcome, record.measured_on) == ("reject", "validation")
    assert run("register", "churn", "-m", "no").exit_code == 1

    again = run("run", "churn", "--test")
    assert again.exit_code == 1
    assert len([q for q in world.asked_before if q.spends]) == 1
    left = (world.project.root / "build").glob(".churn.*/")
    assert not list(left)

    # A person may know better; what is registered says what it was measured on.
    done = run("register", "churn", "--decided", "-m", "the test rows are wrong")
    assert "is registered" in done.output
    _, manifest = show(world.project, "churn@v1.1.0")
    assert manifest.measured_on == "validation"
    assert manifest.verdict.refused_by_test


def test_after_ten_questions_validation_says_that_none_is_left(world: World) -> None:
    first_version(world)
    world.improve()
    run("run", "churn", "--test")
    real = world.asked_before[-1]
    for number in range(2, 11):
        other = real.model_copy(
            update={
                "number": number,
                "model_sha256": f"{number:064d}",
                "passed": False,
            }
        )
        append_question(world.project, other)
    world.improve(WITH_TENURE.replace("24", "30"))
    done = run("run", "churn")
    assert done.exit_code == 1
    account = world.verdict.account
    assert account is not None
    assert (account.number, account.spent) == (11, 1.0)
    assert world.verdict.decision in ("inconclusive", "reject")
    assert "No question is left" in world.report()
    assert "Add labelled rows" in world.report()
    run("run", "churn", "--test")
    assert len(world.asked_before) == 11, "the test part was not asked"


def test_without_a_validation_part_everything_is_as_before(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(n=600, checks=CHECKS)
    monkeypatch.chdir(project.root)
    assert "validation" not in project.model("churn").split.model_dump()
    run("run", "churn", "--test")
    verdict = Verdict.load(project.build("churn"))
    assert (verdict.part, verdict.account) == ("test", None)
    assert questions(project, "churn") == ()
    assert "validation" not in (project.build("churn") / "report.md").read_text()
