"""A copy of a world goes on where the first one is; nothing passes between them."""

from __future__ import annotations

from pathlib import Path

from rehearsal.hub import Hub
from rehearsal.stories.copies import copied
from rehearsal.stories.world import World


def begun(hub: Hub, root: Path) -> World:
    """Return a world with a tag, an issue, a release with a file, and an approver."""
    source = root / "source"
    source.mkdir()
    (source / "README.md").write_text("A repository.\n")
    world = World(hub, root, source)
    world.api("POST", "/issues", {"title": "Drift", "body": "Look."})
    world.api("POST", "/releases", {"tag_name": "v1", "name": "v1"})
    (release,) = hub.state.releases.values()
    stored = hub.storage.keep("asset", b"bytes")
    asset = {"release": release["id"], "name": "model", "path": stored}
    hub.state.assets[7] = hub.state.stamped({**asset, "id": 7})
    world.approves("production", "carol")
    world.runner.disabled.add("pages")
    hub.events.take()
    return world


def test_a_copy_goes_on_where_the_first_world_is(hub: Hub, tmp_path: Path) -> None:
    world = begun(hub, tmp_path)
    with copied(world, tmp_path / "copy") as twin:
        assert twin.tags() == ["v1"]
        assert twin.issues() == world.issues()
        assert twin.releases() == {"v1": ["model"]}
        assert twin.runner.approvals == {"production": "carol"}
        assert twin.runner.disabled == {"pages"}
        (asset,) = twin.hub.state.assets.values()
        assert asset["path"].is_relative_to(twin.root)
        assert asset["path"].read_bytes() == b"bytes"
        issue = twin.api("POST", "/issues", {"title": "Another"})
        assert issue["number"] == 2


def test_nothing_passes_between_a_copy_and_the_first_world(
    hub: Hub, tmp_path: Path
) -> None:
    world = begun(hub, tmp_path)
    with copied(world, tmp_path / "copy") as twin:
        twin.push({"new.txt": "New\n"}, "In the copy")
        twin.api("PATCH", "/issues/1", {"state": "closed"})
        twin.approves("production", "dora")
        assert len(world.issues()) == 1
        assert world.runner.approvals == {"production": "carol"}
        world.git("fetch", "--quiet", "origin")
        log = ("log", "--format=%s", "origin/main")
        assert world.git(*log) == "First commit"
        assert twin.git(*log).splitlines() == ["In the copy", "First commit"]


def test_a_copy_has_the_plan_that_it_is_given(hub: Hub, tmp_path: Path) -> None:
    world = begun(hub, tmp_path)
    about = {"private": True, "plan": "team"}
    with copied(world, tmp_path / "copy", **about) as twin:
        assert (twin.hub.state.private, twin.hub.state.plan) == (True, "team")
        assert twin.issues() == world.issues()
    assert (hub.state.private, hub.state.plan) == (False, "free")


def test_copies_share_what_is_only_a_cache(hub: Hub, tmp_path: Path) -> None:
    world = begun(hub, tmp_path)
    with copied(world, tmp_path / "copy") as twin:
        assert twin.runner.machine.caches == world.runner.machine.caches
        assert twin.runner.machine.artifacts != world.runner.machine.artifacts
