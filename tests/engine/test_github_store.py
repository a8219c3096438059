"""GitHub Releases as a store: as the folder does, and registering over it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from github import GithubException, UnknownObjectException

from mlops.errors import EnvironmentFailure, Refused
from mlops.github.client import repository
from mlops.io.digests import sha256
from mlops.registry import tags
from mlops.registry.chain import Bundle, fetch
from mlops.storage import cache
from mlops.storage.folder import FolderStore
from mlops.storage.github_releases import GitHubStore, _rest
from mlops.storage.protocol import Asset, ReleaseStore

from .github_world import GitHub, github_fixture  # noqa: F401
from .registry_world import MODEL, World, finished, git, python, world_fixture  # noqa: F401

DIGEST = "ab" * 32


@pytest.fixture(params=["folder", "github"], name="store")
def store_fixture(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    github: GitHub,
    monkeypatch: pytest.MonkeyPatch,
) -> ReleaseStore:
    folder = FolderStore(tmp_path / "store")
    return folder if request.param == "folder" else GitHubStore(repository())


def put(store: ReleaseStore, folder: Path, asset: str, content: bytes) -> None:
    path = folder / f"source of {asset}"
    path.write_bytes(content)
    store.upload(MODEL, DIGEST, asset, path)


def get(store: ReleaseStore, release: str, asset: str) -> bytes:
    return b"".join(store.read(MODEL, release, asset))


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
            get(store, release, asset)


def test_discarding(store: ReleaseStore, tmp_path: Path) -> None:
    store.draft(MODEL, DIGEST)
    put(store, tmp_path, "a", b"a")
    for _ in range(2):
        store.discard(MODEL, DIGEST)
    assert store.list(MODEL) == []


def test_removing_what_was_published(store: ReleaseStore, tmp_path: Path) -> None:
    store.draft(MODEL, DIGEST)
    put(store, tmp_path, "a", b"a")
    store.publish(MODEL, DIGEST, "v1.0.0")
    for _ in range(2):
        store.remove(MODEL, "v1.0.0")
    assert store.list(MODEL) == []
    with pytest.raises(Refused, match="does not hold this file"):
        next(store.read(MODEL, "v1.0.0", "a"))


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


def test_a_draft_is_used_before_github_lists_it(github: GitHub, tmp_path: Path) -> None:
    github.lag = 99
    store = GitHubStore(repository())
    for _ in range(2):
        store.draft(MODEL, DIGEST)
    for asset in ("a", "b"):
        put(store, tmp_path, asset, b"a")
    assert github.requests.count("GET releases") == 1, "once, before it was made"
    store.publish(MODEL, DIGEST, "v1.0.0")
    (release,) = github.releases.values()
    assert (release["tag_name"], release["draft"]) == (f"{MODEL}@v1.0.0", False)
    store.draft(MODEL, "cd" * 32)
    store.discard(MODEL, "cd" * 32)
    assert list(github.releases.values()) == [release]


def test_a_draft_of_another_process_is_looked_for_again(
    github: GitHub, tmp_path: Path
) -> None:
    github.lag = 2
    GitHubStore(repository()).draft(MODEL, DIGEST)
    put(GitHubStore(repository()), tmp_path, "a", b"a")
    assert [asset["name"] for asset in github.assets.values()] == ["a"]
    github.requests.clear()
    with pytest.raises(Refused, match="does not hold this file"):
        GitHubStore(repository()).publish(MODEL, "cd" * 32, "v1.0.0")
    assert github.requests.count("GET releases") == 4


def test_the_twin_of_a_draft_goes_and_what_is_published_stays(
    github: GitHub, tmp_path: Path
) -> None:
    """The answer to a creation gets lost, and the list does not show it yet."""
    github.lag = 2
    github.fail("POST releases", "lost", obeyed=True)
    store = GitHubStore(repository())
    store.draft(MODEL, DIGEST)
    put(store, tmp_path, "a", b"a")
    github.fail("PATCH releases/[0-9]+", "lost", obeyed=True)
    store.publish(MODEL, DIGEST, "v1.0.0")
    assert sorted(r["draft"] for r in github.releases.values()) == [False, True]
    GitHubStore(repository()).list(MODEL)
    GitHubStore(repository()).publish(
        MODEL, DIGEST, "v1.0.0"
    )  # as the next register does
    assert [r["tag_name"] for r in github.releases.values()] == [f"{MODEL}@v1.0.0"]
    assert get(GitHubStore(repository()), "v1.0.0", "a") == b"a"


def test_the_digests_of_a_release_take_one_request(
    github: GitHub, world: World
) -> None:
    store = released(world)
    github.requests.clear()
    bundle = fetch(world.project, f"{MODEL}@v1.0.0", store)
    assert len(bundle.files) > 4
    assert github.requests == [f"GET releases/tags/{MODEL}%40v1.0.0"]


def test_of_a_release_with_many_assets_the_assets_are_asked_for(
    github: GitHub, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.storage.github_releases._ASSETS_LISTED", 3)
    store = released(world)
    github.requests.clear()
    fetch(world.project, f"{MODEL}@v1.0.0", store)
    (release,) = github.releases
    assert github.requests == [
        f"GET releases/tags/{MODEL}%40v1.0.0",
        f"GET releases/{release}/assets",
    ]


def test_a_listed_release_is_not_asked_for_again(github: GitHub, world: World) -> None:
    store = released(world)
    github.requests.clear()
    assert store.listing() == (frozenset({f"{MODEL}@v1.0.0"}), True)
    fetch(world.project, f"{MODEL}@v1.0.0", store)
    assert github.requests == ["GET releases"]
    store.remove(MODEL, "v1.0.0")
    assert store.listing().refs == frozenset()


class Listed:
    """A repository of releases that GitHub lists up to a limit, by its tags."""

    full_name = "acme/demo"

    def __init__(self, tags: list[str], limit: int = 10**6, status: int = 422) -> None:
        self.tags = tags
        self.limit = limit
        self.status = status
        self.seen = 0
        self.asked: list[str] = []

    def get_releases(self) -> Iterator[Any]:
        for number, tag in enumerate(self.tags):
            if number == self.limit:
                raise GithubException(self.status, {"message": "Only the first 1000"})
            self.seen += 1
            yield SimpleNamespace(
                tag_name=tag, draft="@draft-" in tag, assets=[], id=number
            )
        if self.limit == len(self.tags):
            raise GithubException(self.status, {"message": "Only the first 1000"})

    def get_release(self, tag: str) -> Any:
        self.asked.append(tag)
        if tag not in self.tags:
            raise UnknownObjectException(404, {"message": "Not Found"})
        return SimpleNamespace(tag_name=tag, draft=False, assets=[], id=1)


def listed(world: Any) -> GitHubStore:
    return GitHubStore(world)


def test_beyond_the_end_of_githubs_list_versions_are_asked_for_by_their_tags() -> None:
    tags = [f"{MODEL}@v1.0.{number}" for number in range(9, -1, -1)]
    world = Listed([*tags, "other@v1.0.0"], limit=4)
    store = listed(world)
    wanted = ["v1.0.9", "v1.0.2", "v7.0.0"]
    assert store.list(MODEL, wanted) == [
        "v1.0.2",
        "v1.0.6",
        "v1.0.7",
        "v1.0.8",
        "v1.0.9",
    ]
    assert world.asked == [f"{MODEL}@v1.0.2", f"{MODEL}@v7.0.0"]
    assert store.listing() == (frozenset(tags[:4]), False)


def test_a_list_that_is_whole_asks_for_nothing_more() -> None:
    world = Listed([f"{MODEL}@v1.0.0", f"{MODEL}@draft-{DIGEST}"])
    store = listed(world)
    assert store.list(MODEL, ["v1.0.0", "v9.0.0"]) == [f"draft-{DIGEST}", "v1.0.0"]
    assert world.asked == []
    assert store.listing() == (frozenset({f"{MODEL}@v1.0.0"}), True)


@pytest.mark.parametrize(("limit", "status"), [(0, 422), (2, 404)])
def test_a_list_that_fails_otherwise_is_no_end_of_it(limit: int, status: int) -> None:
    """A 422 to the first page, or another error in the middle, is an error."""
    world = Listed([f"{MODEL}@v1.0.{number}" for number in range(5)], limit, status)
    with pytest.raises(EnvironmentFailure):
        listed(world).listing()


def test_a_draft_that_was_looked_for_is_used(github: GitHub, tmp_path: Path) -> None:
    GitHubStore(repository()).draft(MODEL, DIGEST)
    store = GitHubStore(repository())
    assert store.drafts(MODEL) == [DIGEST]
    put(store, tmp_path, "a", b"a")
    store.publish(MODEL, DIGEST, "v1.0.0")
    assert get(store, "v1.0.0", "a") == b"a"
    assert github.requests.count("GET releases") == 2, "once by each"


def test_a_new_draft_is_not_asked_what_it_holds(github: GitHub, tmp_path: Path) -> None:
    store = GitHubStore(repository())
    store.draft(MODEL, DIGEST)
    put(store, tmp_path, "a", b"a")
    put(store, tmp_path, "b", b"b")
    assert not any(line.endswith("/assets") for line in gets(github))


def gets(github: GitHub) -> list[str]:
    return [line for line in github.requests if line.startswith("GET ")]


@pytest.mark.parametrize(("assets", "complete"), [(29, True), (30, False)])
def test_a_list_with_as_many_assets_as_it_can_bring_may_not_have_all(
    assets: int, complete: bool
) -> None:
    files = [SimpleNamespace(name=f"{n}.json", url="", digest="") for n in range(30)]
    asked = []

    class Full(Listed):
        def get_releases(self) -> Iterator[Any]:
            brought = files[:assets]
            yield SimpleNamespace(tag_name=self.tags[0], draft=False, assets=brought)

        def get_release(self, tag: str) -> Any:
            asked.append(tag)
            every = {"get_assets": lambda: files, "assets": files}
            return SimpleNamespace(tag_name=tag, draft=False, **every)

    store = listed(Full([f"{MODEL}@v1.0.0"]))
    store.listing()
    store.digest(MODEL, "v1.0.0", "0.json")
    assert asked == ([] if complete else [f"{MODEL}@v1.0.0"])


@pytest.mark.parametrize(
    ("act", "what"),
    [
        (lambda store: store.draft(MODEL, DIGEST), f"draft {MODEL}@draft-{DIGEST}"),
        (lambda store: store.drafts(MODEL), "list drafts"),
        (lambda store: store.listing(), "list releases"),
        (
            lambda store: store.publish(MODEL, DIGEST, "v1.0.0"),
            f"publish {MODEL}@v1.0.0",
        ),
        (lambda store: store.remove(MODEL, "v1.0.0"), f"delete {MODEL}@v1.0.0"),
        (lambda store: store.holds(MODEL, "v1.0.0"), f"look for {MODEL}@v1.0.0"),
        (lambda store: get(store, "v1.0.0", "a"), f"look into {MODEL}@v1.0.0"),
    ],
)
def test_an_error_says_what_github_was_asked_to_do(
    github: GitHub, act: Callable[[GitHubStore], object], what: str
) -> None:
    github.fail(".*", 401, times=9)
    with pytest.raises(EnvironmentFailure, match="when asked to") as caught:
        act(GitHubStore(repository()))
    assert what in str(caught.value)


def test_a_file_is_uploaded_as_bytes_to_a_draft_that_is_there(
    github: GitHub, tmp_path: Path
) -> None:
    store = GitHubStore(repository())
    with pytest.raises(Refused) as caught:
        put(store, tmp_path, "a.json", b"{}")
    assert f"{MODEL}@draft-{DIGEST} a.json" in str(caught.value)
    store.draft(MODEL, DIGEST)
    put(store, tmp_path, "a.json", b"{}")
    assert github.sent_as == ["application/octet-stream"]


@pytest.mark.parametrize("act", ["draft", "remove"])
def test_nothing_is_written_by_a_former_name_of_the_repository(
    github: GitHub, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    repository_of = repository()
    asked = []

    def refuse(about: Any) -> None:
        asked.append(about)
        raise Refused("it was renamed")

    module = "mlops.storage.github_releases.require_present_name"
    monkeypatch.setattr(module, refuse)
    store = GitHubStore(repository_of)
    with pytest.raises(Refused, match="renamed"):
        getattr(store, act)(MODEL, DIGEST)
    assert asked == [repository_of]
    assert github.requests == []


def test_drafts_are_looked_for_among_the_newest_and_once_for_each_model() -> None:
    tags = [f"{MODEL}@v1.0.{number}" for number in range(400)]
    tags[1] = f"{MODEL}@draft-{DIGEST}"
    tags[2] = f"other@draft-{DIGEST}"
    tags[350] = f"{MODEL}@draft-{'cd' * 32}"  # nobody waits for that one any more
    world = Listed(tags)
    store = listed(world)
    assert store.drafts(MODEL) == [DIGEST]
    assert world.seen == 300
    assert store.drafts(MODEL) == [DIGEST]
    assert world.seen == 300
    assert store.drafts("other") == [DIGEST]
    assert world.seen == 600


def test_a_file_that_no_release_holds_is_named_with_what_to_do(github: GitHub) -> None:
    with pytest.raises(Refused) as error:
        get(GitHubStore(repository()), "v9.0.0", "model.skops")
    (problem,) = error.value.problems
    assert problem.file.startswith("the releases of ")
    assert problem.found == f"{MODEL}@v9.0.0 model.skops"
    assert "register the version again" in problem.do


def test_what_is_too_large_for_github_is_not_sent(
    github: GitHub, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.storage.github_releases.LIMIT", 100_000)
    world.build("x" * 100_000)
    with pytest.raises(Refused, match="2 GiB") as error:
        world.register(store=GitHubStore(repository()))
    assert error.value.problems[0].file.endswith("model.skops")
    assert not github.releases and not git(world.root, "tag")
    world.build("x" * 99_999)
    assert world.register(store=GitHubStore(repository())).created


@pytest.mark.parametrize("answer", [500, "lost", 429])
@pytest.mark.parametrize("obeyed", [False, True])
@pytest.mark.parametrize(
    "call",
    [
        "POST releases",
        "GET releases",
        "POST releases/[0-9]+/assets",
        "GET releases/[0-9]+/assets",
        "PATCH releases/[0-9]+",
    ],
)
def test_registering_when_a_call_fails(
    github: GitHub, world: World, call: str, obeyed: bool, answer: int | str
) -> None:
    if call == "GET releases/[0-9]+/assets":  # asked where a draft may hold something
        github.fail("POST releases/[0-9]+/assets", "lost", obeyed=True)
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


def test_a_file_that_arrived_otherwise_is_noticed_by_the_digest_that_github_has(
    github: GitHub, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is downloaded for it, and no version comes of it."""
    digest = GitHubStore.digest

    def other(store: GitHubStore, model: str, release: str, asset: str) -> str | None:
        if asset == "model.skops":
            return "0" * 64
        return digest(store, model, release, asset)

    monkeypatch.setattr(GitHubStore, "digest", other)
    world.build()
    with pytest.raises(Refused, match=r"model\.skops of the draft is not the file"):
        world.register(store=GitHubStore(repository()))
    assert not tags.read_registry(world.root).models and not github.releases


def test_registering_while_github_is_down_leaves_no_version(
    github: GitHub, world: World
) -> None:
    world.build()
    github.fail("POST releases/[0-9]+/assets", 500, times=4)
    with pytest.raises(EnvironmentFailure, match="upload"):
        world.register(store=GitHubStore(repository()))
    assert not github.releases
    assert world.register(store=GitHubStore(repository())).version.number == "v1.0.0"
    assert [r["tag_name"] for r in github.releases.values()] == [f"{MODEL}@v1.0.0"]


def released(world: World, model: str = "model 1") -> GitHubStore:
    world.build(model)
    world.register(store=GitHubStore(repository()))
    return GitHubStore(repository())


def asset_of(github: GitHub, name: str) -> dict[str, Any]:
    return next(asset for asset in github.assets.values() if asset["name"] == name)


@pytest.mark.parametrize("asset", ["model.skops", "report.md", "manifest.json"])
def test_an_asset_that_was_uploaded_anew_is_refused_without_a_download(
    github: GitHub, world: World, asset: str
) -> None:
    store = released(world)
    asset_of(github, asset)["digest"] = "sha256:" + "0" * 64
    github.requests.clear()
    with pytest.raises(Refused, match="chain of digests is broken"):
        fetch(world.project, f"{MODEL}@v1.0.0", store)
    assert not downloads(github)


def test_bytes_that_are_not_what_github_says_are_never_handed_out(
    github: GitHub, world: World, tmp_path: Path
) -> None:
    store = released(world)
    asset_of(github, "model.skops")["content"] += b"!"
    bundle = fetch(world.project, f"{MODEL}@v1.0.0", store)
    with pytest.raises(Refused, match="manifest → asset"):
        bundle.read("model.skops")
    with pytest.raises(Refused, match="manifest → asset"):
        bundle.save(tmp_path / "out")
    assert not list((tmp_path / "out").iterdir()), "all or nothing"
    with pytest.raises(Refused, match="manifest → asset"):
        world.promote("v1.0.0", "staging", store=store)
    asset_of(github, "model.skops").update(digest=None)  # as GitHub has of old releases
    with pytest.raises(Refused, match="manifest → asset"):
        fetch(world.project, f"{MODEL}@v1.0.0", GitHubStore(repository()))


# -- the cache -------------------------------------------------------------------------


def downloads(github: GitHub) -> list[str]:
    return [line for line in github.requests if line.startswith("GET releases/assets/")]


def test_what_is_not_needed_is_not_downloaded_and_nothing_twice(
    github: GitHub, world: World, tmp_path: Path
) -> None:
    store = released(world)
    github.requests.clear()
    bundle = fetch(world.project, f"{MODEL}@v1.0.0", store)
    assert downloads(github) == []
    assert bundle.read("model.skops") == b"model 1"
    assert len(downloads(github)) == 1
    bundle.save(tmp_path / "out")
    assert (tmp_path / "out" / "model.skops").read_bytes() == b"model 1"
    assert len(downloads(github)) == len(bundle.files)
    again = fetch(world.project, f"{MODEL}@v1.0.0", GitHubStore(repository()))
    again.save(tmp_path / "again")
    assert len(downloads(github)) == len(bundle.files)


def test_a_corrupt_entry_is_dropped_and_fetched_again(
    github: GitHub, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = fetch(world.project, f"{MODEL}@v1.0.0", released(world))
    bundle.read("model.skops")
    kept = cache.cache_path(bundle.manifest.assets["model.skops"])
    for corrupt in (b"model !", b"mod", b"model 1 and more"):
        kept.write_bytes(corrupt)
        caplog.clear()
        assert bundle.read("model.skops") == b"model 1"
        assert f"{kept} is corrupt in the cache" in caplog.text
        assert kept.read_bytes() == b"model 1"
    kept.write_bytes(b"evil")
    asset_of(github, "model.skops")["content"] = b"evil"
    with pytest.raises(Refused, match="manifest → asset"):
        bundle.read("model.skops")
    assert not kept.exists()


def test_offline_what_is_cached_still_serves(
    github: GitHub, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    fetch(world.project, f"{MODEL}@v1.0.0", released(world)).read("model.skops")
    github.fail(".*", 503, times=100)
    bundle = fetch(world.project, f"{MODEL}@v1.0.0", GitHubStore(repository()))
    assert bundle.read("model.skops") == b"model 1"
    assert "working with what is cached" in caplog.text
    with pytest.raises(EnvironmentFailure, match="look into"):
        bundle.read("features.py")
    with pytest.raises(EnvironmentFailure):
        fetch(world.project, f"{MODEL}@v1.0.0", GitHubStore(repository()), whole=True)


def test_the_cache_forgets_what_was_not_used_for_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [
        Asset(sha256=sha256(text), size=len(text))
        for text in (b"aaaa", b"bbbb", b"cccc")
    ]
    for at, (asset, text) in enumerate(zip(files[:2], (b"aaaa", b"bbbb"), strict=True)):
        assert cache.cache_file(asset, lambda start, text=text: [text]) == asset
        os.utime(cache.cache_path(asset), (1000 + at, 1000 + at))
    monkeypatch.setattr(cache, "MOST", 9)
    os.utime(cache.cache_path(files[0]))
    cache.cache_file(files[2], lambda start: [b"cccc"])
    assert [cache.cache_path(asset).is_file() for asset in files] == [True, False, True]
    monkeypatch.setattr(cache, "MOST", 1)
    cache.cache_file(files[1], lambda start: [b"bbbb"])
    assert [cache.cache_path(asset).is_file() for asset in files] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"MLOPS_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "LOCALAPPDATA": "/c"}, "/b/mlops"),
        ({"LOCALAPPDATA": "/c"}, "/c/mlops"),
        ({"HOME": "/home/ana"}, "/home/ana/.cache/mlops"),
    ],
)
def test_where_the_cache_is(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], place: str
) -> None:
    for name in ("MLOPS_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert cache.cache_root() == Path(place)


def test_a_cache_that_cannot_be_written_says_what_to_do(
    github: GitHub, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = fetch(world.project, f"{MODEL}@v1.0.0", released(world))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLOPS_CACHE", str(tmp_path / "file"))
    with pytest.raises(EnvironmentFailure, match="set MLOPS_CACHE"):
        bundle.read("model.skops")


# -- downloads that break off ----------------------------------------------------------

LARGE = "0123456789abcdef" * 320_000  # five pieces
PIECE, THIRD = 1 << 20, len(LARGE) // 3


@pytest.fixture
def large(github: GitHub, world: World) -> Bundle:
    bundle = fetch(world.project, f"{MODEL}@v1.0.0", released(world, LARGE))
    github.asked.clear()
    return bundle


def ranges(github: GitHub) -> list[str | None]:
    return [wanted for wanted, _ in github.asked]


def test_the_token_does_not_go_to_the_host_of_the_files(
    github: GitHub, large: Bundle
) -> None:
    large.read("model.skops")
    assert github.asked == [(None, None)]


@pytest.mark.parametrize("start", [0, 7])
@pytest.mark.parametrize("token", [SimpleNamespace(token="ghs_7"), None])
def test_a_download_says_who_asks_and_wants_the_bytes_as_they_are(
    monkeypatch: pytest.MonkeyPatch, start: int, token: Any
) -> None:
    asked = []

    def answer(url: str, **facts: Any) -> Any:
        asked.append((url, facts["headers"], facts["stream"]))
        return SimpleNamespace(status_code=206, raise_for_status=lambda: None)

    monkeypatch.setattr("requests.get", answer)
    world = SimpleNamespace(requester=SimpleNamespace(auth=token))
    GitHubStore(world)._get("https://host/7", start)  # type: ignore[arg-type]
    headers = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
    if token:
        headers["Authorization"] = "Bearer ghs_7"
    if start:
        headers["Range"] = "bytes=7-"
    assert asked == [("https://host/7", headers, True)]


@pytest.mark.parametrize("status", [200, 206, 416])
@pytest.mark.parametrize("position", [0, 2, 3, 5, 9])
def test_of_an_answer_the_rest_is_taken(status: int, position: int) -> None:
    content = b"abcdefghi"
    sent = content if status == 200 else content[position:]

    class Answer:
        status_code = status

        def __enter__(self) -> Answer:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def iter_content(self, size: int) -> Iterator[bytes]:
            yield from (sent[at : at + 3] for at in range(0, len(sent), 3))

    rest = b"".join(_rest(Answer(), position))  # type: ignore[arg-type]
    assert rest == (b"" if status == 416 else content[position:])


def test_a_download_that_breaks_off_before_it_begins_is_tried_again(
    github: GitHub, large: Bundle
) -> None:
    github.breaks = [0, 0]
    assert large.read("model.skops") == LARGE.encode()
    assert ranges(github) == [None, None, None]


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_download_that_breaks_off_goes_on(
    github: GitHub, large: Bundle, knows_ranges: bool
) -> None:
    github.ranges, github.breaks = knows_ranges, [THIRD, THIRD + 1]
    assert large.read("model.skops") == LARGE.encode()
    first, second, third = ranges(github)
    assert (first, second) == (None, f"bytes={PIECE}-")
    assert third == f"bytes={2 * PIECE if knows_ranges else PIECE}-"


def test_a_host_that_always_breaks_off_is_given_up_and_gone_on_with_later(
    github: GitHub, large: Bundle
) -> None:
    github.breaks = [THIRD, *[0] * 4]
    with pytest.raises(EnvironmentFailure, match="keeps breaking off"):
        large.read("model.skops")
    github.breaks, start = [], len(github.asked)
    assert large.read("model.skops") == LARGE.encode()
    assert ranges(github)[start:] == [f"bytes={PIECE}-"]


def test_a_process_that_is_killed_leaves_a_part_that_the_next_one_goes_on_with(
    github: GitHub, world: World, large: Bundle, tmp_path: Path
) -> None:
    code = (
        "from mlops.github.client import repository\n"
        "from mlops.storage.github_releases import GitHubStore\n"
        "from mlops.registry.chain import fetch\n"
        "real, got = GitHubStore.read, [0]\n"
        "def read(*given):\n"
        "    for piece in real(*given):\n"
        "        yield piece\n"
        "        got[0] += given[3] == 'model.skops'\n"
        "        if got[0] == 2:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "GitHubStore.read = read\n"
        "bundle = fetch(World(Path(sys.argv[1])).project, 'churn@v1.0.0', "
        "GitHubStore(repository()))\n"
        "bundle.save(Path(sys.argv[2]))\n"
    )
    process = python(code, str(world.root), str(tmp_path / "out"))
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not [path for path in (tmp_path / "out").iterdir() if path.name[0] != "."]
    github.asked.clear()
    large.save(tmp_path / "out")
    assert (tmp_path / "out" / "model.skops").read_bytes() == LARGE.encode()
    assert [wanted for wanted in ranges(github) if wanted] == [f"bytes={2 * PIECE}-"]


@pytest.mark.parametrize(
    "left", [b"x" * 1000, LARGE.encode() + b"x", b"x" * len(LARGE)]
)
def test_a_part_that_is_none_is_thrown_away(
    github: GitHub, large: Bundle, left: bytes
) -> None:
    kept = cache.cache_path(large.manifest.assets["model.skops"])
    kept.parent.mkdir(parents=True)
    part = kept.with_name(f"{kept.name}.part")
    part.write_bytes(left)
    assert large.read("model.skops") == LARGE.encode()
    assert kept.is_file() and not part.exists()


def test_a_whole_part_is_not_downloaded_again(github: GitHub, large: Bundle) -> None:
    kept = cache.cache_path(large.manifest.assets["model.skops"])
    kept.parent.mkdir(parents=True)
    kept.with_name(f"{kept.name}.part").write_bytes(LARGE.encode())
    assert large.read("model.skops") == LARGE.encode()
    assert github.asked == []


def test_a_range_beyond_the_end_is_no_error_of_ours(
    github: GitHub, large: Bundle
) -> None:
    store = GitHubStore(repository())
    assert b"".join(store.read(MODEL, "v1.0.0", "model.skops", len(LARGE))) == b""
    assert (
        b"".join(store.read(MODEL, "v1.0.0", "model.skops", len(LARGE) - 3)) == b"def"
    )


def test_processes_that_want_the_same_file_download_it_once(
    github: GitHub, world: World, large: Bundle
) -> None:
    code = (
        "from mlops.github.client import repository\n"
        "from mlops.storage.github_releases import GitHubStore\n"
        "from mlops.registry.chain import fetch\n"
        "project = World(Path(sys.argv[1])).project\n"
        "bundle = fetch(project, 'churn@v1.0.0', GitHubStore(repository()))\n"
        "print(len(bundle.read('model.skops')))\n"
    )
    sizes = [finished(p) for p in [python(code, str(world.root)) for _ in range(3)]]
    assert sizes == [str(len(LARGE))] * 3
    assert len(github.asked) == 1
