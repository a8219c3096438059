"""What a command asks of GitHub and git does not grow with the number of versions."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlops.config.project import Project
from mlops.github.client import repository
from mlops.registry import tag_writes, tags
from mlops.registry.chain import fetch
from mlops.registry.health import health
from mlops.registry.tags import State
from mlops.reporting import site_sources
from mlops.reporting.site import site
from mlops.storage import github_releases
from mlops.storage.folder import FolderStore
from mlops.storage.github_releases import GitHubStore
from rehearsal.hub import Hub, releases

from .grown import Grown, Size, release_record
from .registry_world import MODEL, NOW, Killed, World, world_fixture  # noqa: F401


@dataclass
class Work:
    """What a command did: replays of the registry, and processes of git."""

    replays: int = 0
    git: Counter[str] = field(default_factory=Counter)


@contextmanager
def observed(patch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Count what is done in the block."""
    work = Work()
    replay = tags.replay
    start = subprocess.Popen

    def counted_replay(*given: Any) -> State:
        work.replays += 1
        return replay(*given)

    def counted_start(command: list[str], *given: Any, **more: Any) -> Any:
        if command[0] == "git":
            options = command[1:]
            while options[0] == "-c":
                options = options[2:]
            work.git[options[0]] += 1
        return start(command, *given, **more)

    with patch.context() as during:
        during.setattr(tags, "replay", counted_replay)
        during.setattr(subprocess, "Popen", counted_start)
        yield work


def grown(folder: Path, models: int, versions: int) -> Grown:
    made = Grown(folder, Size(models, models * versions, runs=models))
    made.fill(folder / ".mlops" / "releases")
    return made


@contextmanager
def hub_of(
    root: Path, folder: Path, patch: pytest.MonkeyPatch
) -> Iterator[tuple[Hub, GitHubStore]]:
    """Yield a hub with a repository, and a job's store of its releases."""
    origin = folder / "origin.git"
    folder.mkdir()
    clone = ["git", "clone", "-q", "--bare", str(root), str(origin)]
    subprocess.run(clone, check=True)
    with Hub(folder) as hub:
        token = hub.tokens.issue({"contents": "write"}, actor="alice")
        for key, value in {
            "GITHUB_API_URL": hub.api_url,
            "GITHUB_REPOSITORY": hub.repository,
            "GITHUB_TOKEN": token,
            "MLOPS_RETRY_SECONDS": "0.001",
        }.items():
            patch.setenv(key, value)
        yield hub, GitHubStore(repository())


def test_a_grown_repository_is_as_if_it_had_been_registered(tmp_path: Path) -> None:
    made = grown(tmp_path / "acme", models=2, versions=3)
    state = tags.read_registry(made.root)
    assert list(state.models) == made.names
    assert not state.warnings and not state.unresolved
    for model in state.models.values():
        assert list(model.versions) == ["v1.0.0", "v1.1.0", "v1.2.0"]
        assert [version.number for version in model.stages.values()] == ["v1.2.0"] * 2
    assert health(Project(made.root)) == ((), ())
    released = Project(made.root).store / "m001" / "v1.2.0"
    (released / "model.skops").write_bytes(b"other")
    (problem,) = health(Project(made.root)).problems
    assert problem.startswith("m001@v1.2.0: ") and "manifest → asset" in problem


def test_doctor_replays_once_and_asks_git_as_often_for_many_as_for_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = []
    for models, versions in ((1, 2), (4, 6)):
        made = grown(tmp_path / f"{models}", models, versions)
        with observed(monkeypatch) as work:
            assert health(Project(made.root)).problems == ()
        works.append(work)
    few, many = works
    assert few.replays == many.replays == 1
    assert many.git == few.git


def test_doctor_asks_github_as_often_for_many_releases_as_for_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    totals = []
    for versions in (2, 5):
        made = grown(tmp_path / f"acme{versions}", models=3, versions=versions)
        with hub_of(made.root, tmp_path / f"hub{versions}", monkeypatch) as (
            hub,
            store,
        ):
            made.publish(hub)
            with hub.counting() as requests:
                assert health(Project(made.root), store) == ((), ())
            totals.append(requests.total())
    assert totals == [1, 1]


def test_the_pages_replay_once_and_ask_git_as_often_for_many_as_for_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = []
    for models, versions in ((1, 2), (4, 6)):
        made = grown(tmp_path / f"{models}", models, versions)
        project = Project(made.root)
        with observed(monkeypatch) as work:
            found = site(project, FolderStore(project.store), NOW)
        assert found.summary.tone == "good"
        works.append(work)
    few, many = works
    assert few.replays == many.replays == 1
    assert many.git == few.git


def test_pages_download_what_is_new_and_leave_what_is_too_much_for_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two models with three versions each; three are new at a time."""
    monkeypatch.setattr(site_sources, "_NEW", 3)
    made = grown(tmp_path / "acme", models=2, versions=3)
    project = Project(made.root)
    totals = []
    pages = []
    with hub_of(made.root, tmp_path / "hub", monkeypatch) as (hub, _):
        made.publish(hub)
        for _ in range(3):
            with hub.counting() as requests:
                found = site(project, GitHubStore(repository()), NOW)
            totals.append(requests.total())
            pages.append(len(found.files))
            assert found.summary.tone == "good"
            later = found.summary.lines[-1].startswith("The pages of 3 versions")
            assert later == (len(totals) == 1)
    # A list, the reports of three versions, and the one card that all of them have.
    assert totals == [5, 4, 1]
    assert pages == [7, 13, 13]


def test_doctor_says_how_many_releases_it_did_not_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub ends its list after a thousand; here after one, to save time."""
    monkeypatch.setattr(releases, "MOST_LISTED", 1)
    made = grown(tmp_path / "acme", models=2, versions=8)
    with hub_of(made.root, tmp_path / "hub", monkeypatch) as (hub, _):
        made.publish(hub)
        lost = "m000@v1.0.0"
        found = {r["tag_name"]: key for key, r in hub.state.releases.items()}
        del hub.state.releases[found[lost]]
        results = {}
        for most in (0, 2, 99, None):
            store = GitHubStore(repository())
            store._repository.requester.per_page = 1
            with hub.counting() as requests:
                results[most] = health(Project(made.root), store, most=most)
            by_tag = requests["GET /repos/{owner}/{repo}/releases/tags/{tag}"]
            assert by_tag == min(15, 99 if most is None else most)
    assert not results[0].problems
    assert (
        results[0]
        .notes[0]
        .startswith("15 older releases not looked at, 1 of them in a stage: ")
    )
    assert results[2].notes[0].startswith("13 older releases not looked at: ")
    assert results[99] == results[None]
    assert results[None].problems == (f"{lost}: the release store does not hold it",)
    assert not results[None].notes


def test_a_folder_lists_every_release_of_every_model(tmp_path: Path) -> None:
    made = grown(tmp_path / "acme", models=2, versions=2)
    store = FolderStore(Project(made.root).store)
    store.draft("m000", "ab" * 32)
    assert store.listing() == (frozenset(made.manifests), True)
    assert store.drafts("m000") == ["ab" * 32]
    assert FolderStore(tmp_path / "nothing").listing() == (frozenset(), True)


# -- register and promote --------------------------------------------------------------


def built(world: World, text: str) -> None:
    """Leave a run with all files that a release of the template's example has."""
    world.change_code(text)
    world.build(text)
    build = world.project.build(MODEL)
    for name in ("report.html", "card.md"):
        (build / name).write_text(name)


@pytest.mark.parametrize("others", [0, 450])
def test_registering_and_promoting_take_few_requests_however_many_releases_there_are(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    with hub_of(world.root, tmp_path / "hub", monkeypatch) as (hub, store):
        for number in range(others):
            record = hub.state.stamped(release_record(f"other@v1.0.{number}", "now"))
            record["published_at"] = record["created_at"]
            hub.state.releases[record["id"]] = record
        built(world, "one")
        with hub.counting() as requests:
            done = world.register(store=store)
        assert len(hub.state.assets) == 10
        pages = requests["GET /repos/{owner}/{repo}/releases"]
        assert pages == (3 if others else 1)
        assert requests.total() - pages == 14
        with hub.counting() as requests:
            ref = done.version.number
            world.promote(ref, "staging", store=GitHubStore(repository()))
        assert requests.total() == 11
        with hub.counting() as requests:
            world.promote(ref, "production", store=GitHubStore(repository()))
        assert requests.total() == 1, "the files are in the cache"
        built(world, "two")
        with hub.counting() as requests:
            assert world.register(store=GitHubStore(repository())).created
        assert requests.total() <= 17


# What a registration does on GitHub and in git that a kill may come after.
EFFECTS = (
    (GitHubStore, "draft"),
    (GitHubStore, "upload"),
    (tag_writes, "claim"),
    (GitHubStore, "publish"),
)


@pytest.mark.parametrize(("owner", "name"), EFFECTS)
@pytest.mark.parametrize("newer", [1, 4])
def test_a_registration_that_was_killed_is_finished_below_many_newer_releases(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    newer: int,
) -> None:
    """Its draft is looked for among the newest three; an older one is made anew."""
    monkeypatch.setattr(github_releases, "_NEWEST", 3)
    built(world, "one")
    effect = getattr(owner, name)

    def last(*given: Any, **more: Any) -> None:
        effect(*given, **more)
        raise Killed

    with hub_of(world.root, tmp_path / "hub", monkeypatch) as (hub, store):
        with monkeypatch.context() as during:
            during.setattr(owner, name, last)
            with pytest.raises(Killed):
                world.register(store=store)
        (left,) = hub.state.releases.values()
        for number in range(newer):
            record = hub.state.stamped(release_record(f"other@v1.0.{number}", "now"))
            record["published_at"] = record["created_at"]
            hub.state.releases[record["id"]] = record
        world.register(store=GitHubStore(repository()))
        mine = [
            release
            for release in hub.state.releases.values()
            if release["tag_name"].startswith(f"{MODEL}@v")
        ]
        assert [release["tag_name"] for release in mine] == [f"{MODEL}@v1.0.0"]
        assert len(hub.state.assets_of(mine[0]["id"])) == 10
        fetch(world.project, f"{MODEL}@v1.0.0", GitHubStore(repository()), whole=True)
        found = newer < 3 or name == "publish"
        assert (mine[0] is left) == found
