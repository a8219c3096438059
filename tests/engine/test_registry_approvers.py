"""Who approves for a model: the people of the stage, or those named for the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.doctor import settings
from mlops.cli.main import app
from mlops.config.approvers import people_for
from mlops.config.project import Project
from mlops.errors import Refused, UsageError
from mlops.registry import tags
from mlops.registry.branch import policy_of
from mlops.registry.decisions import guard

from .registry_world import MODEL, PROJECT, World, world_fixture  # noqa: F401

GENERAL = '    approvers: ["@ben", "@dora"]\n'
OWN = '    approvers_of: {"chu*": ["@carl", "@dora"], "churn": ["@eve"]}\n'


@pytest.fixture
def own(world: World) -> World:
    """churn@v1.0.0 by @ana in staging; @carl and @dora approve it for production."""
    (world.root / "project.yaml").write_text(PROJECT + GENERAL + OWN)
    world.commit("Who approves")
    world.promote(world.release("one"), "staging")
    return world


def serving(world: World) -> str | None:
    found = tags.read_registry(world.root).models[MODEL].in_stage("production")
    return found.number if found else None


@pytest.mark.parametrize(
    ("model", "people"),
    [
        ("churn", ("@first",)),
        ("chat", ("@first",)),
        ("price", ("@second",)),
        ("prices", ("@usual",)),
    ],
)
def test_the_first_pattern_that_matches_counts(
    model: str, people: tuple[str, ...]
) -> None:
    by_pattern = {"ch*": ["@first"], "churn": ["@never"], "pric?": ["@second"]}
    assert people_for(model, ["@usual"], by_pattern) == people


def test_people_of_a_model_approve_and_those_of_the_stage_do_not(own: World) -> None:
    for who in ("@ben", "@eve", "@ana"):
        with pytest.raises(Refused) as caught:
            own.promote("v1.0.0", "production", approver=who)
        if who != "@ana":
            assert "may not approve churn for production" in str(caught.value)
            assert "stages.production.approvers_of" in str(caught.value)
            assert "@carl, @dora" in str(caught.value)
    assert serving(own) is None
    assert own.promote("v1.0.0", "production", approver="@carl").created
    assert serving(own) == "v1.0.0"


def test_nobody_approves_what_they_registered(own: World) -> None:
    own.change_code("two")
    own.build("two")
    own.register(actor="@carl")
    own.promote("v1.1.0", "staging")
    with pytest.raises(Refused, match="nobody approves a version that they registered"):
        own.promote("v1.1.0", "production", approver="@carl")
    assert own.promote("v1.1.0", "production", approver="@dora").created


def test_other_models_have_the_people_of_the_stage(world: World) -> None:
    text = PROJECT + GENERAL + '    approvers_of: {"price": ["@carl", "@dora"]}\n'
    (world.root / "project.yaml").write_text(text)
    world.commit("Who approves")
    world.promote(world.release("one"), "staging")
    with pytest.raises(Refused, match="may not approve for production"):
        world.promote("v1.0.0", "production", approver="@carl")
    assert world.promote("v1.0.0", "production", approver="@ben").created


def test_a_stage_may_have_people_for_some_models_alone(world: World) -> None:
    text = PROJECT + '    approvers_of: {"price": ["@carl", "@dora"]}\n'
    (world.root / "project.yaml").write_text(text)
    world.commit("Who approves")
    project = Project(world.root)
    assert guard(project, MODEL) is None
    assert guard(project, "price") == project.stage("production")
    world.promote(world.release("one"), "staging")
    assert world.promote("v1.0.0", "production").created


@pytest.mark.parametrize("approver", ["@ben", "@eve", None])
def test_a_tag_by_somebody_else_does_not_resolve(
    own: World, approver: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As whoever may push writes it: by an engine that does not look."""
    with monkeypatch.context() as patch:
        patch.setattr("mlops.registry.decisions._require_approver", lambda *facts: None)
        assert own.promote("v1.0.0", "production", approver=approver).created
    with pytest.raises(Refused, match=r"no approval by @carl, @dora"):
        serving(own)


def test_what_was_approved_stays_when_the_people_change(own: World) -> None:
    own.promote("v1.0.0", "production", approver="@carl")
    text = PROJECT + GENERAL + '    approvers_of: {"churn": ["@frank", "@gina"]}\n'
    (own.root / "project.yaml").write_text(text)
    own.commit("Others approve")
    assert serving(own) == "v1.0.0"
    own.promote(own.release("two"), "staging")
    with pytest.raises(Refused, match="may not approve churn"):
        own.promote("v1.1.0", "production", approver="@carl")
    assert own.promote("v1.1.0", "production", approver="@gina").created


@pytest.mark.parametrize(
    "act",
    [
        lambda world, who: world.withdraw("v1.1.0", approver=who),
        lambda world, who: world.deprecate(approver=who),
        lambda world, who: world.register(decided=True, approver=who, reason="why"),
    ],
    ids=["withdraw", "deprecate", "register what was not promoted"],
)
def test_what_belongs_to_no_stage_is_decided_by_the_same_people(
    own: World, act: Callable[[World, str], Any]
) -> None:
    own.release("two")
    own.change_code("three")
    own.build("three")
    with pytest.raises(Refused, match="may not approve churn"):
        act(own, "@ben")
    act(own, "@dora")


def test_a_job_that_somebody_else_approved_says_who_may(
    own: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own.root)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(own.now.timestamp()) + 60))
    ask = ["promote", f"{MODEL}@v1.0.0", "production", "--ask", "--yes"]

    def promoted(*more: str) -> str:
        done = CliRunner().invoke(app, [*ask, *more], prog_name="mlops")
        assert done.exit_code == 0, done.output
        return done.stdout

    waits = "churn@v1.0.0 waits: @carl, @dora{} may put it into production"
    assert waits.format("") in promoted()
    assert waits.format(" (not @ben)") in promoted("--approver", "@ben")
    assert serving(own) is None
    assert "is now in production" in promoted("--approver", "@carl")


def test_a_pattern_of_no_model_is_said_by_doctor(own: World) -> None:
    assert settings(Project(own.root)) == ""
    text = PROJECT + '    approvers_of: {"chrun": ["@carl", "@dora"]}\n'
    (own.root / "project.yaml").write_text(text)
    problem = settings(Project(own.root))
    assert problem == "approvers of no model, in `approvers_of`: production: chrun"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"churn": []}', "stages.1.approvers_of.churn"),
        ('{"churn": ["@acme/team"]}', "a team cannot approve"),
        ('{"Churn-*": ["@ana"]}', "approvers_of.Churn-*"),
        ('["@ana"]', "stages.1.approvers_of"),
    ],
)
def test_what_is_wrong_is_one_clear_error(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "project.yaml").write_text(f"{PROJECT}    approvers_of: {text}\n")
    with pytest.raises(UsageError) as caught:
        _ = Project(tmp_path).spec
    assert words in str(caught.value)
    assert "project.yaml" in str(caught.value)


@pytest.mark.parametrize("own", ["7", "[1]", "{churn: 7}", "{churn: }"])
def test_a_policy_that_cannot_be_read_names_nobody_and_ends_nothing(own: str) -> None:
    policy = policy_of(f"{PROJECT}    approvers_of: {own}\n".encode())
    assert policy.of("production", "churn") == ()
