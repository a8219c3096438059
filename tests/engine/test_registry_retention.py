"""Pruning: what can be pruned, what never is, and that it can be killed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.errors import Refused
from mlops.registry import tag_writes, tags
from mlops.registry.chain import fetch
from mlops.registry.decisions import Decision
from mlops.registry.manifest import manifest_of
from mlops.registry.retention import candidates, prune
from mlops.registry.tags import Event, parse, replay
from mlops.storage.folder import FolderStore

from .registry_world import MODEL, NOW, Killed, World, git, world_fixture  # noqa: F401

DAY = timedelta(days=1)


def act(world: World, **changes: Any) -> Decision:
    world.now += timedelta(minutes=1)
    return Decision(**{"actor": "@ana", "reason": "prune", "now": world.now, **changes})


def lived(world: World, *plan: tuple[str, str, float]) -> None:
    """Release v1.0.0 to v1.5.0, each event so many days after the start."""
    for at in range(6):
        world.release(f"release {at}")
    for number, stage, day in plan:
        world.now = NOW + DAY * day
        world.promote(number, stage)


def may_go(world: World, newest: int, days: int) -> list[str]:
    model = tags.read_registry(world.root).models[MODEL]
    there = world.store.list(MODEL)
    found = candidates(model, "production", newest, world.now - DAY * days, there)
    return [version.number for version in found]


def pruned(world: World, newest: int, days: int) -> list[str]:
    by = act(world)
    since = world.now - DAY * days
    gone = prune(world.project, MODEL, newest, since, by, world.store)
    return [version.number for version in gone]


def test_what_stays(world: World) -> None:
    lived(
        world,
        ("v1.0.0", "staging", 1), ("v1.0.0", "production", 1),
        ("v1.1.0", "staging", 10), ("v1.1.0", "production", 10),
        ("v1.2.0", "staging", 50), ("v1.2.0", "production", 50),
        ("v1.3.0", "staging", 90), ("v1.3.0", "production", 90),
        ("v1.4.0", "staging", 95),
    )  # fmt: skip
    world.now = NOW + DAY * 100
    assert may_go(world, 0, 0) == [
        "v1.0.0",
        "v1.1.0",
        "v1.5.0",
    ]  # v1.2.0: a rollback's goal
    assert may_go(world, 1, 0) == ["v1.0.0", "v1.1.0"]
    assert may_go(world, 1, 49) == ["v1.0.0", "v1.1.0"]
    assert may_go(world, 1, 51) == ["v1.0.0"], "v1.1.0 left production 50 days ago"
    assert may_go(world, 1, 95) == []
    assert may_go(world, 5, 0) == ["v1.0.0"] and may_go(world, 99, 0) == []
    world.rollback("production")
    assert may_go(world, 1, 0) == ["v1.0.0"], "v1.1.0 is a rollback's goal now"
    assert "v1.3.0" not in may_go(world, 0, 0), "in staging a rollback would go to it"
    world.reject("v1.3.0", "staging")
    assert "v1.3.0" not in may_go(world, 0, 1) and "v1.3.0" in may_go(world, 0, 0)


def test_pruned_versions_are_a_record_without_files(world: World) -> None:
    lived(world, ("v1.0.0", "staging", 1), ("v1.0.0", "production", 1))
    world.now = NOW + DAY * 100
    assert pruned(world, 2, 0) == ["v1.1.0", "v1.2.0", "v1.3.0"]
    assert world.store.list(MODEL) == ["v1.0.0", "v1.4.0", "v1.5.0"]
    model = tags.read_registry(world.root).models[MODEL]
    assert [e.tag for e in model.events[-3:]] == [f"churn@v1.{n}.0!" for n in (1, 2, 3)]
    assert model.events[-1].trailers["Reason"] == "prune"
    version = model.versions["v1.2.0"]
    assert manifest_of(world.root, version)[0].version == "v1.2.0"
    with pytest.raises(Refused, match="withdrawn"):
        fetch(world.project, version.ref)
    before = git(world.root, "tag")
    assert pruned(world, 2, 0) == []
    assert git(world.root, "tag") == before
    assert world.release("next") == "v1.6.0"


def test_files_of_what_was_withdrawn_go_but_not_those_of_what_served_lately(
    world: World,
) -> None:
    lived(
        world,
        ("v1.0.0", "staging", 1), ("v1.0.0", "production", 1),
        ("v1.1.0", "staging", 98), ("v1.1.0", "production", 98),
    )  # fmt: skip
    for number in ("v1.0.0", "v1.3.0"):
        world.withdraw(number)
    world.now = NOW + DAY * 100
    assert may_go(world, 9, 30) == ["v1.3.0"]
    assert may_go(world, 9, 1) == ["v1.0.0", "v1.3.0"]
    pruned(world, 9, 30)
    assert world.store.list(MODEL) == ["v1.0.0", "v1.1.0", "v1.2.0", "v1.4.0", "v1.5.0"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_killed_while_pruning(
    world: World, monkeypatch: pytest.MonkeyPatch, at: int, after: bool
) -> None:
    lived(world, ("v1.0.0", "staging", 1), ("v1.0.0", "production", 1))
    real, seen = FolderStore.remove, list[str]()

    def remove(store: FolderStore, model: str, release: str) -> None:
        seen.append(release)
        if len(seen) == at + 1 and not after:
            raise Killed
        real(store, model, release)
        if len(seen) == at + 1:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "remove", remove)
        with pytest.raises(Killed):
            pruned(world, 2, 0)
    pruned(world, 2, 0)
    assert world.store.list(MODEL) == ["v1.0.0", "v1.4.0", "v1.5.0"]
    events = tags.read_registry(world.root).models[MODEL].events
    assert sum(event.kind == "deregister" for event in events) == 3


def test_what_is_promoted_meanwhile_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:

    lived(world, ("v1.0.0", "staging", 1), ("v1.0.0", "production", 1))
    real, once = tag_writes.claim, []

    def claim(root: Any, names: Any) -> bool:
        if not once:
            once.append(names)
            world.promote("v1.2.0", "staging")
            return False
        return real(root, names)

    monkeypatch.setattr(tag_writes, "claim", claim)
    assert "v1.2.0" not in pruned(world, 1, 0)
    assert fetch(world.project, "churn@staging").version.number == "v1.2.0"


KINDS = st.sampled_from(["assign", "assign", "unassign", "deregister"])
STEPS = st.lists(
    st.tuples(KINDS, st.integers(0, 4), st.sampled_from(["staging", "production"])),
    max_size=12,
)


@settings(
    phases=[Phase.generate], suppress_health_check=list(HealthCheck), deadline=None
)
@given(steps=STEPS, newest=st.integers(0, 4), days=st.integers(0, 20))
def test_never_what_serves_or_served_lately(
    steps: list[tuple[Any, int, str]], newest: int, days: int
) -> None:
    """Against a slow second way to say it: who held production at each moment."""
    start = int(NOW.timestamp())
    events = [event(f"churn@v1.{n}.0", start, f"c{n}") for n in range(5)]
    for at, (kind, number, stage) in enumerate(steps):
        name = tags.tag_name(
            kind, at + 1, model=MODEL, version=f"v1.{number}.0", stage=stage
        )
        events.append(event(name, start + 86_400 * (at + 1), f"c{number}"))
    model = replay(events).models[MODEL]
    there, now = list(model.versions), NOW + DAY * (len(steps) + 1)
    going = candidates(model, "production", newest, now - DAY * days, there)
    gone = {version.number for version in going}
    for stage in ("staging", "production"):
        if stage in model.stages:
            assert model.stages[stage].number not in gone
    for moment in range(max(len(steps) + 1 - days, 0), len(steps) + 1):
        held = replay(events[: 5 + moment]).models[MODEL].stages.get("production")
        if held and days:
            assert held.number not in gone
    active = [number for number, version in model.versions.items() if version.active]
    assert not gone & set(active[len(active) - newest :] if newest else [])


def event(tag: str, time: int, commit: str) -> Event:
    parsed = parse(tag, "", commit, time)
    assert parsed
    return parsed


# -- the command -----------------------------------------------------------------------


@pytest.fixture
def ask(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def run(*arguments: str) -> Any:
        monkeypatch.chdir(world.root)
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int((NOW + DAY * 200).timestamp())))
        return CliRunner().invoke(
            app, ["registry", "prune", *arguments], prog_name="mlops"
        )

    return run


def test_prune_proposes_and_does_it_only_when_told(
    world: World, ask: Callable[..., Any]
) -> None:
    lived(world, ("v1.0.0", "staging", 1), ("v1.0.0", "production", 1))
    before = git(world.root, "tag"), world.store.list(MODEL)
    assert "Nothing can be pruned." in ask().output
    proposal = ask("churn", "--keep", "3", "--days", "30")
    assert (
        proposal.exit_code == 0 and "2 versions to prune: add --yes" in proposal.output
    )
    assert (git(world.root, "tag"), world.store.list(MODEL)) == before
    told = json.loads(ask("--keep", "3", "--days", "30", "--json").stdout)
    assert told == {"versions": ["churn@v1.1.0", "churn@v1.2.0"], "done": False}
    done = json.loads(ask("--keep", "3", "--days", "30", "--yes", "--json").stdout)
    assert done == {"versions": ["churn@v1.1.0", "churn@v1.2.0"], "done": True}
    assert world.store.list(MODEL) == ["v1.0.0", "v1.3.0", "v1.4.0", "v1.5.0"]
    assert ask("chrun").exit_code == 2
    assert ask("--keep", "-1").exit_code == 2
