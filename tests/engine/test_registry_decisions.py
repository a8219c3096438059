"""Rejecting, withdrawing, retiring: what they change, who may, whole or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.errors import MlopsError, Refused, UsageError
from mlops.registry import tags
from mlops.registry.chain import fetch

from .registry_world import (  # noqa: F401
    MODEL,
    PROJECT,
    Killed,
    World,
    dying,
    finished,
    git,
    killed,
    python,
    world_fixture,
)


def state(world: World) -> tags.ModelState:
    return tags.read_registry(world.root).models[MODEL]


def holder(world: World, stage: str) -> str | None:
    found = state(world).stages.get(stage)
    return found.number if found else None


def live(world: World, *names: str) -> None:
    """Release versions, each through staging into production."""
    for name in names:
        number = world.release(name)
        world.promote(number, "staging")
        world.promote(number, "production")


# -- reject ----------------------------------------------------------------------------


def test_rejecting_what_is_in_a_stage_brings_back_the_last_approved(
    world: World,
) -> None:
    live(world, "one", "two")
    answer = world.reject("production", "production", run="run-7")
    assert (answer.version.number, answer.created) == ("v1.1.0", True)
    assert (
        holder(world, "production") == "v1.0.0" and holder(world, "staging") == "v1.1.0"
    )
    back, no = state(world).events[-2:]
    assert (back.tag, no.tag) == ("churn#production#5", "churn#production!#6")
    assert (back.version, back.trailers["Rollback"]) == ("v1.0.0", "v1.1.0")
    assert (no.version, no.trailers["Decision"]) == ("v1.1.0", "reject")
    assert (no.trailers["Reason"], no.trailers["Run"]) == ("it is unfair", "run-7")
    before = git(world.root, "tag")
    assert not world.reject("v1.1.0", "production").created
    assert git(world.root, "tag") == before


def test_a_rejected_version_stays_out_until_somebody_decides_anew(world: World) -> None:
    live(world, "one", "two")
    no = world.reject("v1.1.0", "production", actor="@ben")
    assert no.created
    with pytest.raises(Refused, match="rejected for production by @ben") as caught:
        world.promote("v1.1.0", "production")
    assert "it is unfair" in str(caught.value) and "--override-rejection" in str(
        caught.value
    )
    with pytest.raises(UsageError, match="needs a reason"):
        world.promote("v1.1.0", "production", override=True, reason=" ")
    assert world.promote(
        "v1.1.0", "production", override=True, reason="the data were wrong"
    ).created
    event = state(world).events[-1]
    assert event.trailers["Overrules"] == "churn#production!#6"
    world.rollback("production")
    with pytest.raises(Refused, match="taken out of production by @ana"):
        world.promote("v1.1.0", "production")
    assert world.promote("v1.1.0", "production", override=True).created


def test_what_is_rejected_for_staging_does_not_enter_production(world: World) -> None:
    world.release("one")
    world.promote("v1.0.0", "staging")
    world.reject("v1.0.0", "staging")
    assert holder(world, "staging") is None
    for override in (False, True):
        with pytest.raises(Refused, match="rejected for staging"):
            world.promote("v1.0.0", "production", override=override)
    world.promote("v1.0.0", "staging", override=True)
    assert world.promote("v1.0.0", "production").created


def test_rejecting_what_never_was_in_the_stage(world: World) -> None:
    live(world, "one")
    world.release("two")
    assert world.reject("v1.1.0", "production").created
    assert holder(world, "production") == "v1.0.0"
    world.promote("v1.1.0", "staging")
    with pytest.raises(Refused, match="rejected for production"):
        world.promote("v1.1.0", "production")


def test_a_rollback_never_goes_to_what_was_rejected(world: World) -> None:
    live(world, "one", "two", "three")
    world.reject("v1.1.0", "production")
    assert world.rollback("production").version.number == "v1.0.0"
    with pytest.raises(Refused, match="before the current one"):
        world.rollback("production")


def test_rejecting_after_a_rollback_does_not_bring_back_what_was_rolled_back(
    world: World,
) -> None:
    live(world, "one", "two")
    world.rollback("production")
    world.reject("v1.0.0", "production")
    assert holder(world, "production") is None


@pytest.fixture
def guarded(world: World) -> World:
    """v1.0.0 by @ana, v1.1.0 by @ben in production; @ben, @ana, @carl may approve."""
    live(world, "one")
    world.change_code("two")
    world.build("two")
    world.register(actor="@ben")
    text = PROJECT + '    approvers: ["@ben", "@ana", "@carl"]\n'
    (world.root / "project.yaml").write_text(text)
    world.commit("Approvers")
    world.promote("v1.1.0", "staging")
    world.promote("v1.1.0", "production", approver="@ana")
    return world


@pytest.mark.parametrize("command", ["rollback", "reject"])
@pytest.mark.parametrize(
    ("who", "words"),
    [
        ({"actor": "@mallory"}, "may not approve for production"),
        (
            {"actor": "@ben", "approver": "@ana"},
            "nobody approves",
        ),  # what comes back is hers
    ],
)
def test_four_eyes_over_what_comes_back(
    guarded: World, command: str, who: dict[str, Any], words: str
) -> None:
    def act(**who: Any) -> None:
        if command == "rollback":
            guarded.rollback("production", **who)
        else:
            guarded.reject("production", "production", **who)

    with pytest.raises(Refused, match=words):
        act(**who)
    assert holder(guarded, "production") == "v1.1.0"
    act(actor="@ana", approver="@ben")
    assert holder(guarded, "production") == "v1.0.0"


def test_whoever_may_approve_may_reject_also_their_own(guarded: World) -> None:
    guarded.change_code("three")
    guarded.build("three")
    guarded.register(actor="@ben")
    with pytest.raises(Refused, match="may not approve"):
        guarded.reject("v1.2.0", "production", actor="@mallory")
    guarded.reject("v1.2.0", "production", actor="@ben")
    guarded.promote("v1.2.0", "staging")
    for who, words in (
        ({"actor": "@ben"}, "nobody approves"),
        ({"actor": "@x"}, "may not"),
    ):
        with pytest.raises(Refused, match=words):
            guarded.promote("v1.2.0", "production", override=True, **who)
    guarded.promote("v1.2.0", "production", override=True, actor="@carl")


# -- withdraw and deprecate ------------------------------------------------------------


def test_a_withdrawn_version_is_a_record_and_nothing_more(world: World) -> None:
    live(world, "one", "two")
    with pytest.raises(Refused, match="is in staging, production") as caught:
        world.withdraw("v1.1.0")
    assert "mlops reject churn@v1.1.0 staging" in str(caught.value)
    assert world.withdraw("v1.0.0").created and not world.withdraw("v1.0.0").created
    event = state(world).events[-1]
    assert (event.tag, event.trailers["Reason"]) == ("churn@v1.0.0!", "wrong labels")
    with pytest.raises(Refused, match="withdrawn"):
        fetch(world.project, "churn@v1.0.0")
    with pytest.raises(Refused, match="withdrawn"):
        world.promote("v1.0.0", "staging")
    with pytest.raises(Refused, match="before the current one"):
        world.rollback("production")
    version = tags.resolve(tags.read_registry(world.root), "churn@v1.0.0")
    assert git(world.root, "show", f"{version.commit}:models/churn/manifest.json")


def test_withdrawn_twice_with_a_return_between(world: World) -> None:
    world.release("one")
    commit = world.withdraw("v1.0.0").version.commit
    date = f"{int(world.now.timestamp()) + 60} +0000"
    git(world.root, "tag", "-am", "back", "churn@v1.0.0#4", commit)
    retime(world, "churn@v1.0.0#4", date)
    assert state(world).versions["v1.0.0"].active
    world.withdraw("v1.0.0")
    assert state(world).events[-1].tag == "churn@v1.0.0!#5"
    assert not state(world).versions["v1.0.0"].active


def retime(world: World, tag: str, date: str) -> None:
    """Give a tag made by hand another time than that of this machine."""
    text = git(world.root, "cat-file", "tag", tag)
    head, _, body = text.partition("\n\n")
    lines = [
        f"tagger T <t@t> {date}" if x.startswith("tagger") else x
        for x in head.split("\n")
    ]
    content = "\n".join(lines) + f"\n\n{body}\n"
    path = world.root / ".git" / "retimed"
    path.write_text(content)
    oid = git(world.root, "hash-object", "-t", "tag", "-w", str(path))
    git(world.root, "update-ref", f"refs/tags/{tag}", oid)


def test_a_retired_model_serves_on_and_takes_nothing_in(world: World) -> None:
    live(world, "one")
    world.release("two")
    assert world.deprecate().created and not world.deprecate().created
    event = state(world).events[-1]
    assert (event.tag, event.trailers["Reason"]) == ("churn@deprecated", "no more")
    assert holder(world, "production") == "v1.0.0"
    assert fetch(world.project, "churn@production").version.number == "v1.0.0"
    with pytest.raises(Refused, match="retired"):
        world.promote("v1.1.0", "staging")
    world.release("three")
    assert world.promote("v1.2.0", "staging").created
    world.deprecate()
    assert (
        state(world).events[-1].tag == "churn@deprecated#4" and state(world).deprecated
    )


@pytest.mark.parametrize("command", ["reject", "withdraw", "deprecate", "rollback"])
def test_unknown_names(world: World, command: str) -> None:
    act = {
        "reject": lambda: world.reject("v9.0.0", "staging"),
        "withdraw": lambda: world.withdraw("v9.0.0"),
        "deprecate": world.deprecate,
        "rollback": lambda: world.rollback("staging"),
    }[command]
    with pytest.raises(UsageError, match="nothing is registered yet"):
        act()
    if command in ("reject", "withdraw"):
        world.release("one")
        with pytest.raises(UsageError, match=r"v1\.0\.0"):
            act()


# -- why not ---------------------------------------------------------------------------


def refusal(act: Callable[[], object]) -> list[str]:
    """Return the lines of the error that a decision ends with."""
    with pytest.raises(MlopsError) as caught:
        act()
    return str(caught.value).split("\n")


def test_a_refusal_says_what_was_decided_before_and_what_to_do(world: World) -> None:
    live(world, "one")
    assert refusal(lambda: world.rollback("production")) == [
        "no version of churn was in production before the current one",
        "  do:      `mlops promote churn@VERSION production` sets any version",
    ]
    assert refusal(lambda: world.withdraw("v1.0.0")) == [
        "churn@v1.0.0 is in staging, production",
        "  do:      `mlops rollback` or `mlops reject churn@v1.0.0 staging` first",
    ]
    world.release("two")

    def promote(stage: str = "production", **how: Any) -> list[str]:
        return refusal(lambda: world.promote("v1.1.0", stage, **how))

    assert promote() == [
        "project.yaml: stages.production.after: churn@v1.1.0 was never in staging, "
        "which comes before production",
        "  do:      `mlops promote churn@v1.1.0 staging` first",
    ]
    world.promote("v1.1.0", "staging")
    world.promote("v1.1.0", "production")
    world.rollback("production", actor="@ben")
    decides = (
        "  do:      `mlops promote churn@v1.1.0 production --override-rejection -m "
        "WHY` decides anew"
    )
    assert promote() == [
        "churn@v1.1.0 was taken out of production by @ben",
        "  found:   complaints",
        decides,
    ]
    world.reject("v1.1.0", "production", actor="@carl")
    assert promote() == [
        "churn@v1.1.0 was rejected for production by @carl",
        "  found:   it is unfair",
        decides,
    ]
    assert promote(override=True, reason="") == [
        "--override-rejection: overriding a decision needs a reason",
        "  do:      add -m WHY",
    ]
    world.deprecate()
    assert promote(override=True) == [
        "churn is retired",
        "  do:      register a new version first",
    ]


def test_a_refusal_says_who_may_approve(guarded: World) -> None:
    advice = (
        "  do:      name one of them with --approver, or empty the list where one "
        "person works alone"
    )
    where = "project.yaml: stages.production.approvers: "
    rollback = guarded.rollback
    assert refusal(lambda: rollback("production", actor="@mallory")) == [
        f"{where}this person may not approve for production",
        "  found:   @mallory",
        "  allowed: @ben, @carl",  # what comes back was registered by @ana
        advice,
    ]
    assert refusal(lambda: rollback("production", approver="@Ana")) == [
        f"{where}nobody approves a version that they registered",
        "  found:   @Ana",
        "  allowed: @ben, @carl",
        advice,
    ]
    (guarded.root / "project.yaml").write_text(f'{PROJECT}    approvers: ["@ana"]\n')
    guarded.commit("Nobody but her")
    lines = refusal(lambda: rollback("production"))
    assert "  allowed: nobody else is listed" in lines


# -- as a user says it -----------------------------------------------------------------


def test_the_verbs_say_what_they_did_and_why_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(world, "one", "two")
    monkeypatch.chdir(world.root)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(world.now.timestamp()) + 60))

    def mlops(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(arguments), prog_name="mlops")
        assert (
            "Traceback" not in result.output and "defect of mlops" not in result.output
        )
        return result.exit_code, (
            result.output if result.exit_code else result.stdout
        ).strip()

    no = ("reject", "churn@production", "production", "--actor", "@ben")
    assert mlops(*no)[0] == 2, "somebody who rejects says why"
    assert mlops(*no, "-m", "unfair") == (
        0,
        "churn@v1.1.0 is rejected for production; v1.0.0 is in it",
    )
    again = mlops("reject", "churn@v1.1.0", "production", "-m", "unfair", "--json")
    assert json.loads(again[1]) == {"version": "churn@v1.1.0", "created": False}
    code, text = mlops("promote", "churn@v1.1.0", "production")
    assert (
        code == 1 and "was rejected for production by @ben" in text and "unfair" in text
    )
    code, text = mlops(
        "promote", "churn@v1.1.0", "production", "--again", "-m", "fixed"
    )
    assert code == 0 and text == "churn@v1.1.0 is now in production (before: v1.0.0)"
    code, text = mlops("withdraw", "churn@v1.1.0", "-m", "x")
    assert code == 1 and "churn@v1.1.0 is in staging, production" in text
    for key, value in {
        "SERVER_URL": "https://x",
        "REPOSITORY": "a/b",
        "RUN_ID": "7",
    }.items():
        monkeypatch.setenv(f"GITHUB_{key}", value)
    assert mlops("withdraw", "churn@v1.0.0", "-m", "x") == (
        0,
        "churn@v1.0.0 is withdrawn",
    )
    assert state(world).events[-1].trailers["Run"] == "https://x/a/b/actions/runs/7"
    assert mlops("deprecate", "churn", "-m", "x") == (0, "churn is retired")
    assert mlops("deprecate", "churn", "-m", "x") == (0, "churn was retired already")


# -- whole or not at all ---------------------------------------------------------------


@pytest.mark.parametrize("command", ["rollback", "reject"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_between_two_tags(world: World, command: str, after: bool) -> None:
    live(world, "one", "two", "three")

    def act() -> None:
        if command == "rollback":
            world.rollback("production")
        else:
            world.reject("v1.2.0", "production")

    with dying(-1, False, killed) as seen:
        world.reject("v1.1.0", "production")
    assert seen.count("claim") == 1
    for at, effect in enumerate(["sync", "tag_object", "tag_object", "claim"]):
        with pytest.raises(Killed), dying(at, after, killed):
            act()
        if (effect, after) == ("claim", True):
            assert holder(world, "production") == "v1.0.0"
        else:
            assert holder(world, "production") == "v1.2.0"
            events = [e for e in state(world).events if e.stage == "production"]
            numbers = [event.version for event in events]
            assert numbers == ["v1.0.0", "v1.1.0", "v1.2.0", "v1.1.0"]


def test_origin_takes_both_tags_or_none(world: World, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(world.root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    live(world, "one", "two")
    hook = tmp_path / "origin.git" / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in *production!*) exit 1;; esac\n')
    hook.chmod(0o755)
    before = git(tmp_path / "origin.git", "tag")
    with pytest.raises(MlopsError, match="origin did not accept the tag"):
        world.rollback("production")
    assert git(tmp_path / "origin.git", "tag") == before == git(world.root, "tag")
    hook.unlink()
    world.rollback("production")
    assert holder(world, "production") == "v1.0.0"
    assert git(tmp_path / "origin.git", "tag") == git(world.root, "tag") != before


def test_two_rollbacks_at_once_from_two_clones(world: World, tmp_path: Path) -> None:
    live(world, "one", "two", "three")
    git(
        tmp_path, "clone", "-q", "--bare", str(world.root), str(tmp_path / "origin.git")
    )
    code = (
        "world = World(Path(sys.argv[1]))\n"
        "decisions.rollback(world.project, MODEL, 'production', actor='@ana',\n"
        "    reason=sys.argv[3], now=NOW, store=FolderStore(Path(sys.argv[2])))\n"
    )
    running, store = [], str(world.project.store)
    for at in range(2):
        git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), f"clone{at}")
        running.append(python(code, str(tmp_path / f"clone{at}"), store, f"race {at}"))
    for process in running:
        finished(process)
    git(world.root, "fetch", "-q", "--tags", str(tmp_path / "origin.git"))
    assert holder(world, "production") == "v1.0.0", "each went one back"
    counters = [event.counter for event in state(world).events if event.counter]
    assert counters == list(range(1, 11))


@pytest.mark.parametrize("how", ["lightweight", "of another commit"])
def test_a_tag_in_the_way_is_named(world: World, how: str) -> None:
    world.release("one")
    world.promote("v1.0.0", "staging")
    tag = "churn#production#2"
    git(
        world.root,
        "tag",
        *([] if how == "lightweight" else ["-am", "by hand"]),
        tag,
        "HEAD",
    )
    problem = "not an event of the registry already has|cannot be resolved"
    with pytest.raises(Refused, match=problem) as caught:
        world.promote("v1.0.0", "production")
    assert tag in str(caught.value)
    git(world.root, "tag", "-d", tag)
    assert world.promote("v1.0.0", "production").created


def test_a_version_number_in_the_way_is_named(world: World) -> None:
    world.release("one")
    git(world.root, "tag", "churn@v1.1.0", "HEAD")
    with pytest.raises(Refused, match=r"churn@v1\.1\.0"):
        world.release("two")
    git(world.root, "tag", "-d", "churn@v1.1.0")
    assert world.register().version.number == "v1.1.0"
