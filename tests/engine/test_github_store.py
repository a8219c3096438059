"""GitHub Releases as a store: as the folder does, and registering over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.errors import Refused, WorldError
from mlops.github.client import repository
from mlops.github.store import GitHubStore
from mlops.registry.store import FolderStore, ReleaseStore
from mlops.registry.verify import fetch

from .github_world import GitHub, github_fixture  # noqa: F401
from .registry_world import MODEL, World, world_fixture  # noqa: F401

DIGEST = "ab" * 32


@pytest.fixture(params=["folder", "github", "server"], name="store")
def store_fixture(
    request: pytest.FixtureRequest, tmp_path: Path, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> ReleaseStore:
    if request.param == "server":
        github.url += "/api/v3"
        monkeypatch.setenv("GITHUB_API_URL", github.url)
    folder = FolderStore(tmp_path / "store")
    return folder if request.param == "folder" else GitHubStore(repository())


def put(store: ReleaseStore, folder: Path, asset: str, content: bytes) -> None:
    path = folder / f"source of {asset}"
    path.write_bytes(content)
    store.upload(MODEL, DIGEST, asset, path)


def get(store: ReleaseStore, release: str, asset: str) -> bytes:
    with store.open(MODEL, release, asset) as file:
        return file.read()


def test_the_life_of_a_release(store: ReleaseStore, tmp_path: Path) -> None:
    draft = f"draft-{DIGEST}"
    assert store.list(MODEL) == []
    for _ in range(2):  # whatever is done may be done again
        store.draft(MODEL, DIGEST)
        put(store, tmp_path, "a.bin", b"\x00\x01" * 700_000)
    put(store, tmp_path, "b.json", b"{}")
    put(store, tmp_path, "b.json", b"[]")
    assert store.list(MODEL) == [draft] and store.list("other") == []
    assert get(store, draft, "b.json") == b"[]"
    for _ in range(2):
        store.publish(MODEL, DIGEST, "v1.0.0")
    assert store.list(MODEL) == ["v1.0.0"]
    assert get(store, "v1.0.0", "a.bin") == b"\x00\x01" * 700_000
    for release, asset in (("v1.0.0", "c"), ("v2.0.0", "a.bin"), (draft, "a.bin")):
        with pytest.raises(Refused, match="does not hold this file"):
            store.open(MODEL, release, asset)


def test_discarding(store: ReleaseStore, tmp_path: Path) -> None:
    store.draft(MODEL, DIGEST)
    put(store, tmp_path, "a", b"a")
    for _ in range(2):
        store.discard(MODEL, DIGEST)
    assert store.list(MODEL) == []


def test_what_is_there_is_not_uploaded_again(github: GitHub, tmp_path: Path) -> None:
    store = GitHubStore(repository())
    store.draft(MODEL, DIGEST)
    put(store, tmp_path, "a", b"a")
    put(store, tmp_path, "a", b"a")
    (asset,) = github.assets.values()
    asset["state"] = "starter"  # an upload that broke off
    put(store, tmp_path, "a", b"a")
    assert len(github.assets) == 1 and asset["id"] not in github.assets
    assert sum(line.startswith("POST releases/") for line in github.requests) == 2


@pytest.mark.parametrize("answer", [500, "lost", 429])
@pytest.mark.parametrize("obeyed", [False, True])
@pytest.mark.parametrize(
    "call",
    [
        "POST releases",
        "GET releases",
        "POST releases/[0-9]+/assets",
        "GET releases/assets/[0-9]+",
        "GET releases/[0-9]+/assets",
        "PATCH releases/[0-9]+",
    ],
)
def test_registering_when_a_call_fails(
    github: GitHub, world: World, call: str, obeyed: bool, answer: int | str
) -> None:
    github.fail(call, answer, obeyed)
    world.build()
    done = world.register(store=GitHubStore(repository()))
    assert not github.faults, "the call was never made"
    assert done.version.number == "v1.0.0"
    (release,) = github.releases.values()
    assert (release["tag_name"], release["draft"]) == (f"{MODEL}@v1.0.0", False)
    bundle = fetch(world.project, f"{MODEL}@v1.0.0", GitHubStore(repository()))
    held = sorted(a["name"] for a in github.assets.values() if a["of"] == release["id"])
    assert held == sorted([*bundle.manifest.assets, "manifest.json"])
    assert not world.project.store.exists()


def test_registering_while_github_is_down_leaves_no_version(github: GitHub, world: World) -> None:
    world.build()
    github.fail("POST releases/[0-9]+/assets", 500, times=4)
    with pytest.raises(WorldError, match="upload"):
        world.register(store=GitHubStore(repository()))
    assert not github.releases
    assert world.register(store=GitHubStore(repository())).version.number == "v1.0.0"
    assert [r["tag_name"] for r in github.releases.values()] == [f"{MODEL}@v1.0.0"]


def test_a_changed_asset_is_refused(github: GitHub, world: World) -> None:
    world.build()
    world.register(store=GitHubStore(repository()))
    model = next(a for a in github.assets.values() if a["name"] == "model.skops")
    model["content"] += b"!"
    with pytest.raises(Refused, match="chain of digests is broken"):
        fetch(world.project, f"{MODEL}@v1.0.0", GitHubStore(repository()))
