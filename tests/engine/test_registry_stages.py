"""Promotion, approval, rollback."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mlops.errors import Refused, UsageError
from mlops.registry import tags
from mlops.registry.decisions import promote, same_person

from .registry_world import (  # noqa: F401
    MODEL,
    NOW,
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


def holder(world: World, stage: str) -> str | None:
    found = tags.read_registry(world.root).models[MODEL].stages.get(stage)
    return found.number if found else None


def two(world: World) -> None:
    """Make v1.0.0 and v1.1.0, both in staging, the first in production."""
    world.release("one")
    world.promote("v1.0.0", "staging")
    world.promote("v1.0.0", "production")
    world.release("two")
    world.promote("latest", "staging")


def test_promotion_is_one_annotated_tag(world: World) -> None:
    two(world)
    answer = world.promote(
        "staging", "production", approver="@ben", run="run-9", reason="a\n\nb"
    )
    assert (answer.version.number, answer.stage, answer.created) == (
        "v1.1.0",
        "production",
        True,
    )
    assert answer.replaced and answer.replaced.number == "v1.0.0"
    event = tags.read_registry(world.root).models[MODEL].events[-1]
    assert (event.tag, event.commit) == ("churn#production#4", answer.version.commit)
    assert event.trailers == {
        "Actor": "@ana",
        "Approver": "@ben",
        "Reason": "a b",
        "Run": "run-9",
        "Manifest-SHA256": answer.version.manifest_sha256,
        "Policy-Commit": git(world.root, "rev-parse", "HEAD"),
        "At": world.now.isoformat(timespec="seconds"),
    }
    assert set(answer.version.stages) == {"production", "staging"}


def test_there_already(world: World) -> None:
    two(world)
    before = git(world.root, "tag")
    answer = world.promote("v1.0.0", "production")
    assert not answer.created and answer.version.number == "v1.0.0"
    assert git(world.root, "tag") == before


def test_stages_come_in_order(world: World) -> None:
    world.release("one")
    with pytest.raises(Refused, match=r"never in staging.*") as caught:
        world.promote("v1.0.0", "production")
    assert "mlops promote churn@v1.0.0 staging" in str(caught.value)
    world.promote("v1.0.0", "staging")
    world.release("two")
    world.promote("v1.1.0", "staging")
    world.promote(
        "v1.0.0", "production"
    )  # it was in staging, though it is there no more
    assert holder(world, "production") == "v1.0.0"


@pytest.mark.parametrize(
    ("ref", "stage", "word"),
    [
        ("v1.0.0", "productoin", "did you mean `production`"),
        ("v7.0.0", "staging", "v1.0.0"),
        ("canary", "staging", "latest"),
    ],
)
def test_unknown_names(world: World, ref: str, stage: str, word: str) -> None:
    world.release("one")
    with pytest.raises(UsageError, match=word):
        world.promote(ref, stage)


@pytest.fixture
def guarded(world: World) -> World:
    """The world with approvers for production; @ana registers."""
    text = PROJECT + '    approvers: ["@Ben", "@ana"]\n'
    (world.root / "project.yaml").write_text(text)
    world.commit("Approvers")
    world.release("one")
    world.promote("v1.0.0", "staging")
    return world


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ({}, ["nobody approves", "@ana", "@Ben", "--approver"]),
        (
            {"actor": "@carl"},
            ["may not approve for production", "@carl", "project.yaml"],
        ),
        ({"actor": "@ben", "approver": "ANA"}, ["nobody approves"]),
        ({"approver": ""}, ["nobody approves"]),
    ],
)
def test_approval_is_refused(
    guarded: World, who: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(Refused) as caught:
        guarded.promote("v1.0.0", "production", **who)
    assert all(word in str(caught.value) for word in words)
    assert holder(guarded, "production") is None


@pytest.mark.parametrize(
    "who", [{"actor": "ben"}, {"approver": "@ben"}, {"approver": " BEN"}]
)
def test_approval_by_another(guarded: World, who: dict[str, Any]) -> None:
    guarded.promote("v1.0.0", "production", **who)
    event = tags.read_registry(guarded.root).models[MODEL].events[-1]
    assert same_person(event.trailers["Approver"], "ben")


def test_nobody_else_is_listed(guarded: World) -> None:
    (guarded.root / "project.yaml").write_text(PROJECT + '    approvers: ["@ana"]\n')
    with pytest.raises(Refused, match="empty the list where one person works alone"):
        guarded.promote("v1.0.0", "production")


def test_one_person_alone(world: World) -> None:
    two(world)
    assert world.promote("v1.1.0", "production").created
    assert (
        "Approver"
        not in tags.read_registry(world.root).models[MODEL].events[-1].trailers
    )


def test_rollback_twice_goes_two_back(world: World) -> None:
    two(world)
    world.promote("v1.1.0", "production")
    world.release("three")
    world.promote("v1.2.0", "staging")
    world.promote("v1.2.0", "production")
    first = world.rollback("production")
    assert first.version.number == "v1.1.0" and first.replaced
    event, left = tags.read_registry(world.root).models[MODEL].events[-2:]
    assert (
        event.trailers["Rollback"] == "v1.2.0"
        and event.trailers["Reason"] == "complaints"
    )
    assert (left.kind, left.version, left.trailers["Reason"]) == (
        "unassign",
        "v1.2.0",
        "complaints",
    )
    assert world.rollback("production").version.number == "v1.0.0"
    with pytest.raises(Refused, match="before the current one"):
        world.rollback("production")
    assert holder(world, "production") == "v1.0.0"
    world.promote("v1.2.0", "production", override=True)
    assert world.rollback("production").version.number == "v1.0.0"


def test_rollback_where_nothing_is(world: World) -> None:
    world.release("one")
    with pytest.raises(Refused, match="no version of churn was in production"):
        world.rollback("production")


def test_rollback_passes_over_what_was_withdrawn(world: World) -> None:
    two(world)
    world.promote("v1.1.0", "production")
    world.release("three")
    world.promote("v1.2.0", "staging")
    world.promote("v1.2.0", "production")
    git(world.root, "tag", "-am", "no", "churn@v1.1.0!", "churn@v1.1.0^{commit}")
    assert world.rollback("production").version.number == "v1.0.0"


def test_a_broken_chain_is_not_promoted(world: World) -> None:
    two(world)
    (world.project.store / MODEL / "v1.1.0" / "model.skops").write_text("evil")
    with pytest.raises(Refused, match="manifest → asset"):
        world.promote("v1.1.0", "production")
    assert holder(world, "production") == "v1.0.0"


def test_a_version_withdrawn_by_hand(world: World) -> None:
    two(world)
    world.promote("v1.0.0", "staging")
    git(
        world.root,
        "tag",
        "-am",
        "wrong labels",
        "churn@v1.1.0!",
        "churn@v1.1.0^{commit}",
    )
    with pytest.raises(Refused, match="withdrawn"):
        world.promote("v1.1.0", "staging")
    world.build("two again", seed=5)
    assert world.register().version.number == "v1.2.0"


def test_a_model_retired_by_hand(world: World) -> None:
    world.release("one")
    git(
        world.root, "tag", "-am", "no more", "churn@deprecated", "churn@v1.0.0^{commit}"
    )
    with pytest.raises(Refused, match="retired"):
        world.promote("v1.0.0", "staging")
    world.release("two")
    world.promote("v1.1.0", "staging")


@pytest.mark.parametrize("after", [False, True])
def test_killed_while_promoting(world: World, after: bool) -> None:
    two(world)
    with dying(-1, False, killed) as seen:
        world.promote("v1.0.0", "staging")
    for at in range(len(seen)):
        with pytest.raises(Killed), dying(at, after, killed):
            world.promote("v1.1.0", "staging")
        world.promote("v1.1.0", "staging")
        assert holder(world, "staging") == "v1.1.0"
        world.promote("v1.0.0", "staging")
        events = tags.read_registry(world.root).models[MODEL].events
        assert len({e.tag for e in events}) == len(events)
        held = [e.version for e in events if e.stage == "staging"]
        assert all(a != b for a, b in pairwise(held)), "no event twice"


def test_concurrent_promotions_from_clones(world: World, tmp_path: Path) -> None:
    numbers = [world.release(f"release {at}") for at in range(4)]
    git(
        tmp_path, "clone", "-q", "--bare", str(world.root), str(tmp_path / "origin.git")
    )
    code = (
        "world = World(Path(sys.argv[1]))\n"
        "decisions.promote(world.project, f'churn@{sys.argv[2]}', 'staging',\n"
        "    actor='@ana', reason='race', now=NOW,\n"
        "    store=FolderStore(Path(sys.argv[3])))\n"
    )
    store = str(world.project.store)
    running = []
    for at, number in enumerate(numbers):
        git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), f"clone{at}")
        running.append(python(code, str(tmp_path / f"clone{at}"), number, store))
    for process in running:
        finished(process)
    git(world.root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(world.root, "fetch", "-q", "--tags", "origin")
    model = tags.read_registry(world.root).models[MODEL]
    assigned = [e for e in model.events if e.kind == "assign"]
    assert [e.counter for e in assigned] == [1, 2, 3, 4]
    assert {e.version for e in assigned} == set(numbers)
    assert [e.time for e in assigned] == sorted({e.time for e in assigned})


def test_outside_git(tmp_path: Path) -> None:
    (tmp_path / "project.yaml").write_text(PROJECT)
    with pytest.raises(UsageError, match="not a git repository"):
        promote(
            World(tmp_path).project,
            "churn@latest",
            "staging",
            actor="a",
            reason="r",
            now=NOW,
        )
