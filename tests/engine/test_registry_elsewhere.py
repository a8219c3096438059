"""`mlops pull --from`: another repository's version, in any folder, verified."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mlops.cli.main import app
from mlops.github.client import repository
from mlops.io.digests import sha256
from mlops.registry import publish
from mlops.storage.cache import cache_root
from mlops.storage.github_releases import GitHubStore
from mlops.storage.protocol import Asset

from .conftest import ENGINE
from .github_world import REPOSITORY, GitHub, github_fixture  # noqa: F401
from .registry_world import MODEL, World, git, world_fixture  # noqa: F401

SERVER = "https://github.example"
Pull = Callable[..., Result]


@pytest.fixture
def origin(
    world: World, github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Put the world on a GitHub, with v1.0.0 in staging; return its git repository."""
    origin = tmp_path / "hub" / f"{REPOSITORY}.git"
    git(tmp_path, "clone", "-q", "--bare", str(world.root), str(origin))
    git(origin, "config", "uploadpack.allowFilter", "true")
    git(world.root, "remote", "add", "origin", str(origin))
    world.build()
    world.register(store=GitHubStore(repository()))
    world.promote("v1.0.0", "staging", store=GitHubStore(repository()))
    config = Path(os.environ["GIT_CONFIG_GLOBAL"])
    found = f'[url "file://{tmp_path}/hub/"]\n\tinsteadOf = {SERVER}/\n'
    config.write_text(
        f'{config.read_text()}{found}[protocol "file"]\n\tallow = always\n'
    )
    monkeypatch.setenv("GITHUB_SERVER_URL", SERVER)
    monkeypatch.delenv("GITHUB_REPOSITORY")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "0")
    shutil.rmtree(cache_root())
    github.asked.clear()
    return origin


@pytest.fixture
def pull(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pull:
    """Return a function that pulls in an empty folder, which is no repository."""
    folder = tmp_path / "anywhere"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(ref: str, source: str = REPOSITORY, *more: str) -> Result:
        arguments = ["pull", ref, "--from", source, *more]
        result = CliRunner().invoke(app, arguments, prog_name="mlops")
        assert "defect of mlops" not in result.output, result.output
        return result

    return run


def said(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    for word in words:
        assert word in " ".join(result.output.split()), result.output
    assert not [p for p in Path.cwd().rglob("*") if p.is_file()], "nothing half done"


@pytest.mark.parametrize(
    "source", [REPOSITORY, f"{SERVER}/{REPOSITORY}", f"{SERVER}/{REPOSITORY}.git"]
)
@pytest.mark.parametrize("ref", ["v1.0.0", "staging", "latest"])
def test_a_version_of_another_repository(
    origin: Path, pull: Pull, source: str, ref: str
) -> None:
    result = pull(f"{MODEL}@{ref}", source, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["version"] == f"{MODEL}@v1.0.0"
    folder = Path(f"{MODEL}-v1.0.0")
    assert (folder / "model.skops").read_text() == "model 1"
    assert (folder / "manifest.json").is_file()
    assert os.listdir() == [folder.name], "the tags lie in the cache, not here"


def spy_on_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a `git` on PATH that writes its first setting to a file."""
    log = folder / "git.log"
    spy = folder / "bin" / "git"
    spy.parent.mkdir()
    spy.write_text(
        f'#!/bin/sh\necho "$GIT_CONFIG_KEY_0" >> "{log}"\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", str(spy.parent), prepend=os.pathsep)
    return log


def test_little_is_fetched_and_the_token_is_in_no_file(
    origin: Path,
    world: World,
    pull: Pull,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (world.root / "large.bin").write_bytes(os.urandom(3_000_000))
    world.commit("Data")
    world.build("second")
    monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
    world.register(store=GitHubStore(repository()))
    monkeypatch.delenv("GITHUB_REPOSITORY")
    log = spy_on_git(tmp_path, monkeypatch)
    assert pull(f"{MODEL}@latest").exit_code == 0
    files = [p for p in cache_root().rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 1_000_000
    assert not [p for p in files if b"ghs_test" in p.read_bytes()]
    assert f"http.{SERVER}/.extraheader" in log.read_text().splitlines()
    assert os.environ["GIT_CONFIG_COUNT"] == "0", "git's environment, not this one"


def test_a_new_promotion_is_seen_and_nothing_is_fetched_twice(
    origin: Path,
    github: GitHub,
    world: World,
    pull: Pull,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert pull(f"{MODEL}@staging").exit_code == 0
    asked = len(github.asked)
    assert pull(f"{MODEL}@staging", REPOSITORY, "--out", "again").exit_code == 0
    assert len(github.asked) == asked
    monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
    world.change_code("better")
    world.build("model 2")
    world.register(store=GitHubStore(repository()))
    world.promote("v1.1.0", "staging", store=GitHubStore(repository()))
    assert "v1.1.0" in pull(f"{MODEL}@staging").output
    assert Path(f"{MODEL}-v1.1.0", "model.skops").read_text() == "model 2"


def test_offline_what_is_cached_is_pulled_and_that_is_said(
    origin: Path, github: GitHub, pull: Pull, caplog: pytest.LogCaptureFixture
) -> None:
    assert pull(f"{MODEL}@staging").exit_code == 0
    shutil.rmtree(f"{MODEL}-v1.0.0")
    origin.rename(origin.with_name("gone"))
    github.fail(".*", 503, times=100)
    assert pull(f"{MODEL}@staging").exit_code == 0
    assert Path(f"{MODEL}-v1.0.0", "model.skops").read_text() == "model 1"
    assert f"working with the tags of {REPOSITORY} that are cached" in caplog.text
    shutil.rmtree(f"{MODEL}-v1.0.0")
    shutil.rmtree(cache_root() / "sha256")
    said(pull(f"{MODEL}@staging"), 3, "GitHub answered 503")


def test_what_is_not_there_is_named(origin: Path, github: GitHub, pull: Pull) -> None:
    said(
        pull("chrun@v1.0.0"),
        2,
        REPOSITORY,
        "no version of this model",
        "did you mean `churn`?",
    )
    said(pull(f"{MODEL}@v9.0.0"), 2, "no version of this name", "v1.0.0")
    said(pull(f"{MODEL}@production"), 2, "none is in a stage of this name", "staging")
    said(
        pull(f"{MODEL}@v1.0.0", "acme/nothing"),
        3,
        "acme/nothing cannot be read",
        "GITHUB_TOKEN",
    )
    said(
        pull(f"{MODEL}@v1.0.0", "https://gitlab.example/acme/demo"),
        2,
        "--from",
        "OWNER/REPO",
    )
    said(pull(f"{MODEL}@v1.0.0", "nowhere"), 2, "--from", "OWNER/REPO")
    github.fail("GET releases.*", 401)
    said(pull(f"{MODEL}@v1.0.0"), 3, "GitHub answered 401", "GITHUB_TOKEN")
    github.releases.clear()
    said(pull(f"{MODEL}@v1.0.0"), 1, "does not hold this file")


def test_a_moved_tag_is_refused(origin: Path, pull: Pull) -> None:
    assert pull(f"{MODEL}@v1.0.0").exit_code == 0
    shutil.rmtree(f"{MODEL}-v1.0.0")
    git(origin, "tag", "-f", "-am", "moved", f"{MODEL}@v1.0.0", "main")
    said(
        pull(f"{MODEL}@v1.0.0"),
        1,
        "has moved tags that were known here",
        f"{MODEL}@v1.0.0",
    )
    shutil.rmtree(cache_root())
    said(pull(f"{MODEL}@v1.0.0"), 1, "tag → manifest")


def test_changed_bytes_are_refused(origin: Path, github: GitHub, pull: Pull) -> None:
    asset = next(a for a in github.assets.values() if a["name"] == "features.py")
    asset["content"] = b"import os\n"
    said(pull(f"{MODEL}@v1.0.0"), 1, "manifest → asset", "features.py")


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", ".bashrc", "a/b", "manifest.json"]
)
def test_a_manifest_that_would_write_elsewhere_is_refused(
    world: World, pull: Pull, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whoever owns the other repository may have written its manifest by hand."""
    real = publish.dump

    def forged(result: Any) -> bytes:
        document = json.loads(real(result))
        if "assets" in document:
            document["assets"][name] = Asset(sha256=sha256(b"x"), size=1).model_dump()
        return json.dumps(document).encode()

    monkeypatch.setattr(publish, "dump", forged)
    monkeypatch.setattr(publish._Draft, "fill", lambda self: None)
    monkeypatch.setattr(publish, "_tidy", lambda *given: None)
    monkeypatch.setattr("mlops.storage.folder.FolderStore.publish", lambda *given: None)
    world.build()
    world.register()
    said(
        pull(f"{MODEL}@v1.0.0", str(world.root)),
        1,
        "manifest → asset",
        "leads outside its folder",
    )


def test_a_folder_on_this_machine(world: World, pull: Pull) -> None:
    world.build()
    world.register()
    assert pull(f"{MODEL}@v1.0.0", str(world.root), "--out", "here").exit_code == 0
    assert Path("here", "model.skops").read_text() == "model 1"
    assert not cache_root().exists()
    said_ = pull(f"{MODEL}@v1.0.0", ".")
    assert said_.exit_code == 2 and "no project.yaml" in said_.output


def test_three_at_once_share_one_clone_and_one_download(
    origin: Path, github: GitHub, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "mlops",
        "pull",
        f"{MODEL}@staging",
        "--from",
        REPOSITORY,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ENGINE / "vendor/mlops/src")}
    folders = [tmp_path / f"pulls{at}" for at in range(3)]
    for folder in folders:
        folder.mkdir()
    started = [
        subprocess.Popen(command, cwd=folder, env=environment) for folder in folders
    ]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    for folder in folders:
        assert (folder / f"{MODEL}-v1.0.0" / "model.skops").read_text() == "model 1"
    assert len(github.asked) == len(list((folders[0] / f"{MODEL}-v1.0.0").iterdir()))
    assert len(list((cache_root() / "git").iterdir())) == 1
