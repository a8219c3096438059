"""What a person took out no unattended run puts back; what is unsure is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.errors import Refused, UsageError
from mlops.pipeline.production import Production
from mlops.registry import tags
from mlops.registry.approvals import POLICY
from mlops.registry.chain import chain
from mlops.registry.health import problems
from mlops.registry.tag_writes import sync

from .registry_world import (  # noqa: F401
    MODEL,
    NOW,
    PROJECT,
    World,
    follower_of,
    git,
    in_production,
    world_fixture,
)


def live(world: World, *names: str) -> None:
    for name in names:
        number = world.release(name)
        world.promote(number, "staging")
        world.promote(number, "production")


def state(world: World) -> tags.ModelState:
    return tags.read_registry(world.root).models[MODEL]


# -- A person took it out --------------------------------------------------------------


@pytest.mark.parametrize("how", ["rollback", "reject"])
def test_what_was_taken_out_of_production_comes_back_by_a_decision_alone(
    world: World, how: str
) -> None:
    live(world, "one", "two")
    if how == "rollback":
        world.rollback("production")
    else:
        world.reject("v1.1.0", "production")
    with pytest.raises(Refused, match="production by @ana") as caught:
        world.promote("staging", "production", actor="@github-actions[bot]")
    assert "--override-rejection" in str(caught.value)
    assert in_production(world) == "v1.0.0"
    with pytest.raises(UsageError, match="needs a reason"):
        world.promote("v1.1.0", "production", override=True, reason=" ")
    world.promote("v1.1.0", "production", override=True)
    assert in_production(world) == "v1.1.0"
    assert state(world).events[-1].trailers["Overrules"].startswith("churn#production!")


def test_the_same_model_under_another_number_is_still_the_one_taken_out(
    world: World,
) -> None:
    live(world, "one", "two")
    world.rollback("production")
    live(world, "three")
    world.change_code("four")
    world.build("two")
    features = world.project.build(MODEL) / "features.py"
    git(world.root, "show", "churn@v1.1.0:models/churn/features.py")
    text = git(world.root, "show", "churn@v1.1.0:models/churn/features.py") + "\n"
    source = world.root / "models" / MODEL / "features.py"
    source.write_text(text)
    world.commit("As it was")
    world.build("two")
    assert features.read_text() == text
    number = world.register().version.number
    assert number == "v1.3.0"
    world.promote(number, "staging")
    with pytest.raises(Refused, match=r"same model as v1\.1\.0, was taken out of"):
        world.promote(number, "production")
    world.promote(number, "production", override=True)
    assert in_production(world) == number
    world.promote("v1.0.0", "production")
    world.promote(number, "production")


def test_a_withdrawn_model_is_recognised_when_it_is_registered_again(
    world: World,
) -> None:
    live(world, "one")
    world.release("two")
    world.withdraw("v1.1.0")
    for _ in range(2):
        with pytest.raises(Refused, match=r"same model as churn@v1\.1\.0") as caught:
            world.register()
    assert "wrong labels" in str(caught.value)
    with pytest.raises(UsageError, match="needs a reason"):
        world.register(override=True)
    done = world.register(override=True, reason="the labels were right")
    assert (done.version.number, done.created) == ("v1.2.0", True)
    trailers = done.version.event.trailers
    assert trailers["Overrules"] == "churn@v1.1.0!"
    assert trailers["Reason"] == "the labels were right"


# -- Nobody can tell -------------------------------------------------------------------


def lose(world: World, how: str) -> None:
    """Delete or move the tag of the version that is in production."""
    if how == "deleted":
        git(world.root, "tag", "-d", "churn@v1.1.0")
    else:
        git(world.root, "tag", "-fam", "moved", "churn@v1.1.0", "HEAD")


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_stage_that_cannot_be_resolved_is_refused_and_named_by_all(
    world: World, how: str
) -> None:
    live(world, "one", "two")
    third = world.release("three")
    world.promote(third, "staging")
    lose(world, how)
    tag = "churn#production#4"
    with pytest.raises(Refused, match="cannot be resolved") as pulled:
        chain(world.root, "churn@production", world.store)
    assert tag in str(pulled.value)
    with pytest.raises(Refused, match="cannot be resolved"):
        world.promote("staging", "production")
    with pytest.raises(Refused, match="cannot be resolved"):
        world.rollback("production")
    with pytest.raises(Refused, match="cannot be resolved"):
        _ = Production(world.project, MODEL, lambda: world.store).version
    found = [line for line in problems(world.project) if "churn@production" in line]
    assert len(found) == 1 and tag in found[0]
    world.promote(third, "production", override=True)
    assert in_production(world) == third


def test_a_running_service_keeps_what_it_has_and_says_so(world: World) -> None:
    live(world, "one", "two")
    follower, taken_up = follower_of(world)
    lose(world, "deleted")
    assert not follower.refresh()
    assert follower.served is not None and follower.served.version == "v1.1.0"
    assert follower.failure is not None and "cannot be resolved" in follower.failure
    assert taken_up == ["v1.1.0"]


def in_order(world: World) -> None:
    """Leave v1.0.0 and v1.1.0 in production, one after the other, by six tags."""
    live(world, "one", "two")
    world.promote(world.release("three"), "staging")
    world.rollback("production")  # two tags: #6 puts back, #7 takes out


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_a_deleted_assignment_is_missed_by_its_number(
    world: World, number: int
) -> None:
    """A tag of this engine has the next number: the one before it was in use.

    A stage that was decided about later is certain all the same.
    """
    in_order(world)
    last = {}
    for event in state(world).events:
        if event.stage:
            last[event.stage] = event.counter or 0
    (tag,) = [e.tag for e in state(world).events if e.counter == number]
    git(world.root, "tag", "-d", tag)
    found = [line for line in problems(world.project) if f"#{number} " in line]
    assert found, "doctor names it"
    for stage, counter in last.items():
        if counter > number:
            state(world).in_stage(stage)
            continue
        with pytest.raises(Refused, match=f"#{number} was deleted"):
            state(world).in_stage(stage)


def test_the_only_assignment_of_a_stage_is_missed_too(world: World) -> None:
    """Else the next model would be compared with nothing, and promoted."""
    version = world.release("one")
    world.promote(version, "staging")
    world.promote(version, "production")
    world.promote(world.release("two"), "staging")
    git(world.root, "tag", "-d", "churn#production#2")
    with pytest.raises(Refused, match="#2 was deleted"):
        _ = Production(world.project, MODEL, lambda: world.store).version
    with pytest.raises(Refused, match="#2 was deleted"):
        world.promote("staging", "production")
    world.promote("staging", "production", override=True)
    assert in_production(world) == "v1.1.0"


def test_a_number_that_a_person_left_out_is_no_deleted_tag(world: World) -> None:
    live(world, "one", "two")
    target = git(world.root, "rev-parse", "churn@v1.0.0^{commit}")
    git(world.root, "tag", "-am", "go", "churn#staging#9", target)
    assert in_production(world) == "v1.1.0"
    assert not [line for line in problems(world.project) if "deleted" in line]


@pytest.mark.parametrize("how", ["deleted", "moved", "assignment"])
@pytest.mark.parametrize("command", ["predict", "pull", "pages", "registry"])
def test_every_command_names_a_stage_that_cannot_be_resolved(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str, command: str
) -> None:
    """None falls back to the version before."""
    in_order(world)
    tag = "churn@v1.0.0"
    if how == "deleted":
        git(world.root, "tag", "-d", tag)
    elif how == "moved":
        git(world.root, "tag", "-fam", "moved", tag, "HEAD")
    else:
        git(world.root, "tag", "-d", "churn#production#6")
        git(world.root, "tag", "-d", "churn#production!#7")
        world.promote("v1.1.0", "staging")
        git(world.root, "tag", "-d", "churn#production#4")
    monkeypatch.chdir(world.root)
    rows = world.root / "rows.csv"
    rows.write_text("age,plan\n1,basic\n")
    arguments = {
        "predict": ["predict", "churn@production", str(rows)],
        "pull": ["pull", "churn@production"],
        "pages": ["pages"],
        "registry": ["registry", "list"],
    }[command]
    done = CliRunner().invoke(app, arguments, prog_name="mlops")
    if command in {"predict", "pull"}:
        assert done.exit_code == 1, done.output
        assert "cannot be resolved" in done.output
    else:
        assert done.exit_code == 0, done.output
        assert "cannot be resolved" in done.output or "was deleted" in done.output
    assert "defect" not in done.output
    assert "Traceback" not in done.output


def test_a_clone_follows_a_promotion_that_was_made_at_a_later_commit(
    world: World, tmp_path: Path
) -> None:
    origin = tmp_path / "origin.git"
    git(tmp_path, "clone", "-q", "--bare", str(world.root), str(origin))
    git(world.root, "remote", "add", "origin", str(origin))
    world.promote(world.release("one"), "staging")
    git(world.root, "push", "-q", "origin", "main")
    other = World(tmp_path / "other")
    git(tmp_path, "clone", "-q", str(origin), str(other.root))
    (world.root / "README.md").write_text("more\n")
    world.commit("After the clone")
    git(world.root, "push", "-q", "origin", "main")
    world.promote("v1.0.0", "production")
    sync(other.root)
    assert in_production(other) == "v1.0.0"
    assert tags.read_registry(other.root).unresolved == []


# -- Nobody approved -------------------------------------------------------------------

APPROVERS = PROJECT + '    approvers: ["@ben", "@carl"]\n'


@pytest.fixture
def guarded(
    world: World, made_once: Callable[[str, Callable[[], Path]], Path]
) -> World:
    """v1.0.0 in production, approved by @ben; v1.1.0 by @ana in staging."""

    def make() -> Path:
        (world.root / "project.yaml").write_text(APPROVERS)
        world.commit("Approvers")
        for name in ("one", "two"):
            number = world.release(name)
            world.promote(number, "staging")
        world.promote("v1.0.0", "production", approver="@ben")
        return world.root

    kept = made_once("guarded", make)
    shutil.rmtree(world.root)
    shutil.copytree(kept, world.root, symlinks=True)
    world.now = NOW + timedelta(minutes=5)  # after two registrations, three promotions
    return world


def by_hand(world: World, message: str = "go") -> None:
    """Put v1.1.0 into production with git alone."""
    target = git(world.root, "rev-parse", "churn@v1.1.0^{commit}")
    git(world.root, "tag", "-am", message, "churn#production#9", target)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("go", "no approval by @ben, @carl"),
        ("go\n\nActor: @x\nApprover: @mallory", "it names @mallory"),
        ("go\n\nActor: @ana\nApprover: @ana", "it names @ana"),
    ],
)
def test_an_assignment_without_its_approval_does_not_resolve(
    guarded: World, message: str, words: str
) -> None:
    assert in_production(guarded) == "v1.0.0"
    by_hand(guarded, message)
    with pytest.raises(Refused, match="cannot be resolved") as caught:
        in_production(guarded)
    assert words in str(caught.value) and "churn#production#9" in str(caught.value)
    assert any("churn#production#9" in line for line in problems(guarded.project))
    guarded.promote("v1.1.0", "production", approver="@carl", override=True)
    assert in_production(guarded) == "v1.1.0"


def test_an_approver_who_left_has_approved_what_they_approved(guarded: World) -> None:
    (guarded.root / "project.yaml").write_text(PROJECT + '    approvers: ["@dora"]\n')
    guarded.commit("Other approvers")
    assert in_production(guarded) == "v1.0.0", "as it was when it was decided"
    guarded.promote("v1.1.0", "production", approver="@dora")
    assert in_production(guarded) == "v1.1.0"
    assert state(guarded).events[-1].trailers[POLICY] == git(
        guarded.root, "rev-parse", "HEAD"
    )


def test_a_tag_of_an_older_engine_is_judged_by_the_project_of_its_version(
    guarded: World,
) -> None:
    by_hand(guarded, "Promote\n\nActor: @ana\nApprover: @Ben\nReason: better")
    assert in_production(guarded) == "v1.1.0"


@pytest.mark.parametrize("act", ["withdraw", "deprecate"])
def test_taking_back_needs_an_approval_where_promotion_does(
    guarded: World, act: str
) -> None:
    guarded.release("three")

    def decide(**who: Any) -> None:
        if act == "withdraw":
            guarded.withdraw("v1.2.0", **who)
        else:
            guarded.deprecate(**who)

    with pytest.raises(Refused, match="may not approve for production"):
        decide(actor="@mallory")
    decide(actor="@mallory", approver="@ben")
    event = state(guarded).events[-1]
    assert event.trailers["Approver"] == "@ben"


def test_history_marks_an_assignment_that_nobody_approved(
    guarded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(guarded)
    monkeypatch.chdir(guarded.root)
    done: Result = CliRunner().invoke(app, ["registry", "history", MODEL, "--json"])
    rows = json.loads(done.stdout)
    assert rows[-1]["event"].endswith("(without approval)")
    assert not any("without approval" in row["event"] for row in rows[:-1])


TAKEN_BACK = {
    "withdrawn": ("churn@v1.1.0!", "withdrew v1.1.0"),
    "retired": ("churn@deprecated", "retired the model"),
    "taken out": ("churn#production!#9", "took v1.0.0 out of production"),
}


@pytest.mark.parametrize("case", TAKEN_BACK)
@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("no more", "was made by hand"),
        ("no more\n\nReason: wrong labels", "was made by hand"),
        ("no more\n\nActor: @x\nPolicy-Commit: {head}", "no approval by @ben, @carl"),
        (
            "no more\n\nActor: @x\nApprover: @eve\nPolicy-Commit: {head}",
            "it names @eve",
        ),
    ],
)
def test_what_is_taken_back_by_hand_is_named_by_all(
    guarded: World,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    message: str,
    words: str,
) -> None:
    """It happens, because it only takes away; nobody takes it for a decision."""
    tag, event = TAKEN_BACK[case]
    version = "v1.0.0" if "production" in tag else "v1.1.0"
    target = git(guarded.root, "rev-parse", f"churn@{version}^{{commit}}")
    text = message.format(head=git(guarded.root, "rev-parse", "HEAD"))
    git(guarded.root, "tag", "-am", text, tag, target)
    assert any(tag in line and words in line for line in problems(guarded.project))
    monkeypatch.chdir(guarded.root)
    listed = CliRunner().invoke(app, ["registry", "list", "--all"], prog_name="mlops")
    assert f"note: {tag}" in listed.output and words in listed.output
    told = CliRunner().invoke(app, ["registry", "history", MODEL, "--json"])
    row = json.loads(told.stdout)[-1]
    assert row["event"].startswith(event)
    mark = "made by hand" if "hand" in words else "without approval"
    assert row["event"].endswith(f"({mark})")
    page = CliRunner().invoke(app, ["pages"], prog_name="mlops")
    assert "without a name" in page.output


def test_what_is_taken_back_by_a_command_is_no_matter(guarded: World) -> None:
    guarded.release("three")
    guarded.withdraw("v1.2.0", approver="@ben")
    guarded.promote("v1.1.0", "production", approver="@carl")
    guarded.rollback("production", approver="@ben")
    guarded.deprecate(approver="@carl")
    assert not problems(guarded.project, guarded.store)


# -- An approver decides against the verdict -------------------------------------------


def test_an_approver_may_register_against_the_verdict_on_record(
    guarded: World,
) -> None:
    guarded.change_code("three")
    guarded.build("three", decision="inconclusive")
    with pytest.raises(Refused, match="verdict is inconclusive") as caught:
        guarded.register(actor="@ben")
    assert "--decided" in str(caught.value)
    with pytest.raises(UsageError, match="needs a reason"):
        guarded.register(actor="@ben", decided=True)
    with pytest.raises(Refused, match="may not approve"):
        guarded.register(actor="@ana", decided=True, reason="its column is gone")
    done = guarded.register(actor="@ben", decided=True, reason="its column is gone")
    trailers = done.version.event.trailers
    assert trailers["Verdict"] == "inconclusive" and trailers["Approver"] == "@ben"
    assert trailers["Reason"] == "its column is gone"


def test_a_promoted_verdict_needs_no_decision(world: World) -> None:
    world.release("one")
    assert "Verdict" not in state(world).versions["v1.0.0"].event.trailers
