"""The life of a repository on GitHub: renamed, moved, hidden, archived, restored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.context import attests
from mlops.cli.main import app
from mlops.errors import EnvironmentFailure, UsageError
from mlops.github.client import repository
from mlops.github.pages import publishing
from mlops.github.switches import SWITCHES
from mlops.registry import tags
from mlops.registry.chain import fetch
from mlops.registry.health import health
from mlops.storage.cache import cache_root
from mlops.storage.github_releases import GitHubStore
from rehearsal.hub import Hub

from .conftest import git
from .registry_world import MODEL, World, world_fixture  # noqa: F401
from .test_github_settings import desk_of

RIGHTS = {"contents": "write", "issues": "write", "pages": "read", "actions": "read"}


class Life:
    """A repository on a hub whose v1.0.0 is in production, and a clone of it."""

    def __init__(
        self, hub: Hub, world: World, folder: Path, patch: pytest.MonkeyPatch
    ) -> None:
        self.hub, self.world, self.folder, self.patch = hub, world, folder, patch
        token = hub.tokens.issue("write-all", actor="alice", kind="user")
        facts = {
            "GITHUB_API_URL": hub.api_url,
            "GITHUB_SERVER_URL": hub.server_url,
            "GITHUB_TOKEN": token,
            "MLOPS_RETRY_SECONDS": "0.001",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{hub.server_url}/.extraheader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Bearer {token}",
        }
        for name, value in facts.items():
            patch.setenv(name, value)
        patch.delenv("GITHUB_REPOSITORY", raising=False)
        patch.chdir(world.root)
        git(world.root, "remote", "add", "origin", self.address())
        git(world.root, "push", "-q", "origin", "HEAD:refs/heads/main")

    def address(self) -> str:
        return f"{self.hub.server_url}/{self.hub.repository}.git"

    def store(self) -> GitHubStore:
        """Return the store of a command that begins now."""
        return GitHubStore(repository())

    def deliver(self, text: str, number: str) -> None:
        """Register a version, and put it into both stages."""
        self.world.change_code(text)
        git(self.world.root, "push", "-q", "origin", "HEAD:refs/heads/main")
        self.world.build(text)
        version = self.world.register(store=self.store()).version
        assert version.number == number
        for stage in ("staging", "production"):
            self.world.promote(number, stage, store=self.store())

    def production(self) -> str:
        """Return the version in production, downloaded and verified."""
        shutil.rmtree(cache_root(), ignore_errors=True)
        bundle = fetch(self.world.project, f"{MODEL}@production", self.store())
        assert bundle.read("model.skops")
        return bundle.version.number

    def in_a_job(self, **event: Any) -> None:
        """Go on as a job of the repository, by its present name."""
        path = self.folder / "event.json"
        path.write_text(json.dumps({"repository": {**self.shown(), **event}}))
        self.patch.setenv("GITHUB_REPOSITORY", self.hub.repository)
        self.patch.setenv("GITHUB_EVENT_PATH", str(path))

    def shown(self) -> dict[str, Any]:
        return dict(self.hub.view.repository())

    def doctor(self) -> str:
        done = CliRunner().invoke(app, ["doctor", "--json"])
        assert "defect of mlops" not in done.output, done.output
        rows = {row["check"]: row["found"] for row in json.loads(done.stdout)}
        assert rows["registry"] == ""
        return str(rows["GitHub"])


@pytest.fixture(name="life")
def life_fixture(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Life]:
    with Hub(tmp_path / "hub") as hub:
        life = Life(hub, world, tmp_path, monkeypatch)
        life.deliver("one", "v1.0.0")
        yield life


@pytest.mark.parametrize("name", ["acme/better-name", "beta/demo"])
def test_a_renamed_or_transferred_repository_goes_on_by_its_new_name(
    life: Life, name: str
) -> None:
    life.hub.rename(name)
    life.in_a_job()
    git(life.world.root, "remote", "set-url", "origin", life.address())
    assert life.production() == "v1.0.0"
    life.deliver("two", "v1.1.0")
    assert life.production() == "v1.1.0"
    assert health(life.world.project, life.store()).problems == ()


@pytest.mark.parametrize("name", ["acme/better-name", "beta/demo"])
def test_a_clone_of_before_still_reads_and_is_told_the_new_name(
    life: Life, name: str
) -> None:
    life.hub.rename(name)
    git(life.world.root, "fetch", "-q", "origin")  # GitHub leads git on
    assert life.production() == "v1.0.0"
    found = life.doctor()
    assert f"it is {name}" in found and SWITCHES["name"].remedy in found
    life.world.change_code("two")
    life.world.build("two")
    with pytest.raises(UsageError) as failure:
        life.world.register(store=life.store())
    assert name in str(failure.value) and "git remote set-url" in str(failure.value)
    assert "v1.1.0" not in tags.read(life.world.root).model(MODEL).versions
    with pytest.raises(UsageError, match="former name"):
        life.store().remove(MODEL, "v1.0.0")
    assert life.store().holds(MODEL, "v1.0.0")
    git(life.world.root, "remote", "set-url", "origin", life.address())
    assert SWITCHES["name"].effect not in life.doctor()
    assert life.world.register(store=life.store()).version.number == "v1.1.0"


def test_a_repository_that_is_made_private_is_neither_attested_nor_published(
    life: Life,
) -> None:
    life.hub.state.pages = {"build_type": "workflow"}
    for private in (False, True, False):
        life.hub.state.private = private
        life.in_a_job()
        assert attests() is not private
        answer = publishing(repository(), private=private, wanted="")
        assert answer == ("private" if private else "on")
        assert life.production() == "v1.0.0"
    life.deliver("two", "v1.1.0")


def test_the_settings_of_a_repository_that_is_made_private_and_public_again(
    tmp_path: Path,
) -> None:
    """On Free GitHub drops the rules; they are applied again where it has them."""
    with desk_of(tmp_path) as desk:
        desk.said("apply", code=0)
        assert desk.said("plan", code=0) == {}
        desk.hub.state.private = True
        rows = desk.said("plan", code=0)
        assert {result for result, _ in rows.values()} == {"not in this plan"}
        assert "ruleset main" in rows
        desk.hub.state.private = False
        desk.hub.state.rulesets.clear()
        assert desk.differs() == [
            f"ruleset {name}" for name in ("main", "review", "registry", "journal")
        ]
        desk.said("apply", code=0)
        assert desk.said("plan", code=0) == {}


def test_a_default_branch_of_another_name_is_named_until_the_files_follow(
    life: Life,
) -> None:
    folder = life.world.root / ".github" / "workflows"
    folder.mkdir(parents=True)
    release = folder / "release.yml"
    release.write_text("on:\n  push:\n    branches: [main]\njobs: {}\n")
    (life.world.root / ".github" / "settings.yaml").write_text(
        "environments:\n  upkeep: {branches: [main]}\n"
    )
    assert SWITCHES["default branch"].effect not in life.doctor()
    life.hub.state.repository["default_branch"] = "trunk"
    found = life.doctor()
    assert "it is trunk: release.yml, .github/settings.yaml" in found
    release.write_text("on:\n  push:\n    branches: [trunk]\njobs: {}\n")
    (life.world.root / ".github" / "settings.yaml").write_text(
        "environments:\n  upkeep: {branches: [trunk]}\n"
    )
    assert SWITCHES["default branch"].effect not in life.doctor()


def test_an_archived_repository_is_read_and_says_why_nothing_can_be_written(
    life: Life,
) -> None:
    life.hub.state.repository["archived"] = True
    assert life.production() == "v1.0.0"
    assert SWITCHES["archived"].remedy in life.doctor()
    life.world.change_code("two")
    life.world.build("two")
    with pytest.raises(EnvironmentFailure, match="archived"):
        life.world.register(store=life.store())
    life.hub.state.repository["archived"] = False
    assert life.world.register(store=life.store()).version.number == "v1.1.0"


def test_a_repository_is_restored_from_a_clone_and_the_files_of_its_releases(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/how-to/move.md says: push what is in git, then each release."""
    life.deliver("two", "v1.1.0")
    saved = tmp_path / "saved"
    for release in life.hub.state.releases.values():
        folder = saved / release["tag_name"]
        folder.mkdir(parents=True)
        for asset in life.hub.state.assets_of(release["id"]):
            shutil.copy(asset["path"], folder / asset["name"])
    with Hub(tmp_path / "elsewhere", repository="acme/again") as hub:
        git(life.world.root, "remote", "remove", "origin")
        again = Life(hub, life.world, tmp_path, monkeypatch)
        git(life.world.root, "push", "-q", "--all", "origin")
        git(life.world.root, "push", "-q", "--tags", "origin")
        problems = health(life.world.project, again.store()).problems
        assert len(problems) == 2  # its versions have no files yet
        for folder in sorted(saved.iterdir()):
            created = repository().create_git_release(folder.name, folder.name, "")
            for file in sorted(folder.iterdir()):
                created.upload_asset(str(file))
        assert health(life.world.project, again.store()).problems == ()
        assert again.production() == "v1.1.0"
        again.deliver("three", "v1.2.0")
        assert again.production() == "v1.2.0"
