"""A change does not say who approves the version that is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.config.approvers import Demand, without_own_change
from mlops.errors import Refused
from mlops.registry import tags
from mlops.registry.approvals import POLICY
from mlops.registry.mirror import mirror

from .registry_world import (
    MODEL,
    PROJECT,
    World,
    git,
    in_production,
    world_fixture,
)

__all__ = ["world_fixture"]

# Of production, the last stage of PROJECT.
LEAD = PROJECT + '    approvers: ["@lead", "@ana"]\n'
OWN = LEAD + '    approvers_of:\n      "chu*": ["@ben", "@ana"]\n'


def project_yaml(world: World, text: str) -> None:
    """Change project.yaml; the next commit has it."""
    (world.root / "project.yaml").write_text(text)


def staged(world: World, name: str) -> str:
    """Commit what has changed with new code, register and stage; return the version."""
    number = world.release(name)
    world.promote(number, "staging", approver="@lead")
    return number


def merged(world: World, text: str) -> None:
    """Merge a change of project.yaml by itself."""
    project_yaml(world, text)
    world.commit("Approvers")


@pytest.mark.parametrize(
    ("now", "after", "before", "handles"),
    [
        # The change put its author on the list.
        (("@ben", "@x"), ("@ben", "@x"), ("@ben",), ("@ben",)),
        # It put the author in the place of everybody.
        (("@x",), ("@x",), ("@ben",), ("@ben",)),
        # It emptied the list.
        ((), (), ("@ben",), ("@ben",)),
        # It took somebody off the list: that holds from the next change on.
        (("@ben",), ("@ben",), ("@ben", "@x"), ("@ben", "@x")),
        (("@ben", "@dora"), ("@ben",), ("@ben", "@x"), ("@ben", "@dora")),
        # The first list counts: before it nobody had to approve.
        (("@x",), ("@x",), (), ("@x",)),
        # What a later change says of a version counts.
        (("@dora",), ("@ben",), ("@ben",), ("@dora",)),
        ((), ("@ben",), ("@ben",), ()),
        # Who was added by the version's change is not brought in by a later one.
        (("@x", "@dora"), ("@ben", "@x"), ("@ben",), ("@dora",)),
        (("@x",), ("@ben", "@x"), ("@ben",), ("@ben",)),
    ],
)
def test_the_change_of_a_version_adds_no_approver_to_it(
    now: tuple[str, ...],
    after: tuple[str, ...],
    before: tuple[str, ...],
    handles: tuple[str, ...],
) -> None:
    demands = [Demand(people, narrow=True) for people in (now, after, before)]
    assert without_own_change(*demands) == handles


def test_the_list_of_a_stage_counts_as_it_is() -> None:
    demands = (Demand(("@x",)), Demand(("@x",)), Demand(("@ben",)))
    assert without_own_change(*demands) == ("@x",)


# -- Promotion -------------------------------------------------------------------------


def by_hand(world: World, number: str, approver: str) -> None:
    """Put a version into production by a tag that says all that `promote` would."""
    version = tags.read_registry(world.root).models[MODEL].versions[number]
    trailers = {
        "Actor": "@x",
        "Approver": approver,
        "Manifest-SHA256": version.manifest_sha256,
        POLICY: git(world.root, "rev-parse", "HEAD"),
    }
    lines = "".join(f"{key}: {text}\n" for key, text in trailers.items())
    message = f"Promote\n\n{lines}"
    git(world.root, "tag", "-am", message, f"{MODEL}#production#90", version.commit)


@pytest.mark.parametrize(
    ("before", "change"),
    [
        (OWN, OWN.replace('"@ben"', '"@ben", "@mallory"')),
        (OWN, OWN.replace('"@ben", "@ana"', '"@mallory"')),
        (OWN, PROJECT + '    approvers: ["@mallory"]\n'),
        (OWN, PROJECT),
        (LEAD, OWN.replace('"@ben"', '"@mallory"')),
    ],
    ids=["added", "replaced", "the stage's", "no list", "a new list"],
)
def test_an_author_cannot_become_an_approver_by_the_same_pull_request(
    world: World, before: str, change: str
) -> None:
    merged(world, before)
    project_yaml(world, change)
    number = staged(world, "one")
    assert git(world.root, "show", "--name-only", "--format=", "HEAD").split() == [
        "models/churn/features.py",
        "project.yaml",
    ]
    with pytest.raises(Refused, match=r"who was one before|may not approve"):
        world.promote(number, "production", approver="@mallory")
    by_hand(world, number, "@mallory")
    with pytest.raises(Refused, match="no approval by"):
        in_production(world)
    listed = "@lead" if before == LEAD else "@ben"
    world.promote(number, "production", approver=listed, override=True)
    assert in_production(world) == number


def test_who_is_listed_by_a_later_change_approves_an_older_version(
    world: World,
) -> None:
    merged(world, OWN)
    number = staged(world, "one")
    merged(world, OWN.replace('"@ben", "@ana"', '"@dora"'))
    world.promote(number, "production", approver="@dora")
    assert in_production(world) == number


def test_an_assignment_stays_valid_when_the_list_changes_later(world: World) -> None:
    merged(world, OWN)
    number = staged(world, "one")
    world.promote(number, "production", approver="@ben")
    merged(world, OWN.replace('"@ben"', '"@dora"'))
    assert in_production(world) == number
    merged(world, PROJECT + '    approvers: ["@erin"]\n')
    assert in_production(world) == number, "as it was when it was decided"


def test_rolling_back_and_rejecting_ask_the_models_approvers(world: World) -> None:
    merged(world, OWN)
    for name in ("one", "two"):
        world.promote(staged(world, name), "production", approver="@ben")
    with pytest.raises(Refused, match="may not approve"):
        world.rollback("production", approver="@lead")
    with pytest.raises(Refused, match="may not approve"):
        world.reject("v1.1.0", "production", approver="@lead")
    world.rollback("production", approver="@ben")
    assert in_production(world) == "v1.0.0"
    world.reject("v1.1.0", "staging")
    with pytest.raises(Refused, match="may not approve"):
        world.withdraw("v1.1.0", approver="@lead")
    world.withdraw("v1.1.0", approver="@ben")


def test_registering_against_the_verdict_asks_who_was_listed_before(
    world: World,
) -> None:
    merged(world, OWN)
    project_yaml(world, OWN.replace('"@ben"', '"@ben", "@mallory"'))
    world.change_code("one")
    world.build("one")
    with pytest.raises(Refused, match="who was one before"):
        world.register(decided=True, reason="better", approver="@mallory")
    world.register(decided=True, reason="better", approver="@ben")


def test_another_repository_knows_the_models_approvers(
    world: World, tmp_path: Path
) -> None:
    merged(world, OWN)
    project_yaml(world, OWN.replace('"@ben"', '"@ben", "@mallory"'))
    number = staged(world, "one")
    world.promote(number, "production", approver="@ben")
    git(world.root, "config", "uploadpack.allowFilter", "true")
    git(world.root, "config", "uploadpack.allowAnySHA1InWant", "true")
    address = f"file://{world.root}"
    folder = mirror(address, "acme/demo", MODEL)
    state = tags.read_registry(folder)
    assert tags.resolve(state, f"{MODEL}@production").number == number
    by_hand(world, number, "@mallory")
    mirror(address, "acme/demo", MODEL)
    with pytest.raises(Refused, match="no approval by"):
        tags.resolve(tags.read_registry(folder), f"{MODEL}@production")


def test_a_clone_without_the_commit_before_says_that_it_cannot_know(
    world: World, tmp_path: Path
) -> None:
    merged(world, OWN)
    number = staged(world, "one")
    world.promote(number, "production", approver="@ben")
    shallow = tmp_path / "shallow"
    address = f"file://{world.root}"
    git(tmp_path, "clone", "-q", "--depth=1", address, str(shallow))
    git(shallow, "fetch", "-q", "--depth=1", "origin", "refs/tags/*:refs/tags/*")
    with pytest.raises(Refused, match="that is not in this clone"):
        tags.resolve(tags.read_registry(shallow), f"{MODEL}@production")
