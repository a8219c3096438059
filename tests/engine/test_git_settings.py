"""git as people have it: one registry under every setting, their tags untouched."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlops import settings
from mlops.cli.main import app
from mlops.errors import EnvironmentFailure, UsageError
from mlops.io import git as io_git
from mlops.io.git import GitError, git_remote, require_repository
from mlops.registry import tags
from mlops.registry.chain import chain
from mlops.registry.tag_writes import sync
from mlops.runlog.journal import append
from mlops.runlog.query import records

from .registry_world import MODEL, World, git, world_fixture  # noqa: F401
from .test_registry_journal import record

SETTINGS = [
    {"fetch.prune": "true", "fetch.pruneTags": "true"},
    {"remote.origin.prune": "true", "remote.origin.pruneTags": "true"},
    {"remote.origin.tagOpt": "--tags"},
    {"push.followTags": "true", "push.default": "nothing"},
    {"core.autocrlf": "true", "core.safecrlf": "warn"},
    {"core.autocrlf": "input"},
    {"tag.gpgSign": "false", "commit.gpgSign": "true", "user.signingKey": "nobody"},
    {"log.showSignature": "true"},
    {"diff.noprefix": "true", "diff.mnemonicPrefix": "true", "diff.external": "false"},
    {"diff.renames": "copies", "status.showUntrackedFiles": "no"},
    {"color.ui": "always", "core.pager": "false"},
    {"init.defaultBranch": "trunk"},
    {"i18n.commitEncoding": "latin1", "i18n.logOutputEncoding": "latin1"},
    {"submodule.recurse": "true", "push.recurseSubmodules": "check"},
    {"push.gpgSign": "true"},
    {"fetch.output": "compact", "advice.statusHints": "false"},
    {"core.quotePath": "false"},
]


def play(world: World) -> tuple[list[str], str]:
    """Register, promote, roll back, log a run; return tags and production."""
    for name in ("one", "two"):
        number = world.release(name)
        world.promote(number, "staging")
        world.promote(number, "production")
    world.rollback("production")
    append(world.project, record("r1"))
    sync(world.root)
    state = tags.read_registry(world.root)
    assert state.warnings == () and state.unresolved == []
    assert [r.id for r in records(world.project)] == ["r1"]
    bundle = chain(world.root, "churn@production", world.store)
    bundle.verify(whole=True)
    return [e.tag for e in state.models[MODEL].events], bundle.version.number


PLAYED = (
    [
        "churn@v1.0.0",
        "churn#staging#1",
        "churn#production#2",
        "churn@v1.1.0",
        "churn#staging#3",
        "churn#production#4",
        "churn#production#5",
        "churn#production!#6",
    ],
    "v1.0.0",
)


@pytest.fixture
def shared(world: World) -> World:
    """A repository with an origin, and a tag that is only the user's own."""
    origin = world.root.parent / "origin.git"
    git(world.root.parent, "init", "-q", "--bare", "-b", "main", str(origin))
    git(world.root, "remote", "add", "origin", str(origin))
    git(world.root, "push", "-q", "origin", "main")
    git(world.root, "tag", "mine")
    git(world.root, "tag", "-am", "mine too", "notes/2026")
    return world


def at_origin(world: World) -> set[str]:
    lines = git(world.root, "ls-remote", "--refs", "--tags", "origin").splitlines()
    return {line.split("refs/tags/")[1] for line in lines}


@pytest.mark.parametrize("chosen", SETTINGS, ids=lambda chosen: ",".join(chosen))
def test_the_registry_is_the_same_under_every_setting(
    shared: World, chosen: dict[str, str]
) -> None:
    for key, value in chosen.items():
        git(shared.root, "config", key, value)
    assert play(shared) == PLAYED
    assert {"mine", "notes/2026"} <= set(git(shared.root, "tag").split())
    assert at_origin(shared) == set(PLAYED[0]), "nothing of the user's was pushed"


def test_hooks_of_the_user_do_not_run(shared: World) -> None:
    hooks = shared.root.parent / "hooks"
    hooks.mkdir()
    for name in ("pre-push", "reference-transaction", "post-index-change"):
        hook = hooks / name
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
    (shared.root / ".gitattributes").write_text("*.csv text\n")
    git(shared.root, "add", "-A")
    git(shared.root, "commit", "-qm", "Attributes")
    git(shared.root, "config", "core.hooksPath", str(hooks))
    shared.build("one")
    assert shared.register().version.number == "v1.0.0"
    assert at_origin(shared) == {"churn@v1.0.0"}


def test_the_variables_of_a_hook_lead_nowhere_else(
    shared: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q", "elsewhere")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    with settings.changed(environment=dict(os.environ)):
        assert tags.read_registry(shared.root).models == {}
        require_repository(shared.root)
    assert not (tmp_path / "index").exists()


def test_an_address_that_the_user_rewrites_is_honoured(shared: World) -> None:
    origin = git(shared.root, "remote", "get-url", "origin")
    git(shared.root, "config", f"url.{origin}.insteadOf", "https://git.example/x")
    git(shared.root, "remote", "set-url", "origin", "https://git.example/x")
    shared.release("one")
    assert at_origin(shared) == {"churn@v1.0.0"}


def test_a_work_tree_of_its_own(shared: World, tmp_path: Path) -> None:
    git(shared.root, "worktree", "add", "-q", "-b", "other", str(tmp_path / "other"))
    assert play(World(tmp_path / "other")) == PLAYED
    assert list(tags.read_registry(shared.root).models[MODEL].versions) == [
        "v1.0.0",
        "v1.1.0",
    ]


def test_a_partial_clone(shared: World, tmp_path: Path) -> None:
    origin = git(shared.root, "remote", "get-url", "origin")
    git(shared.root.parent / "origin.git", "config", "uploadpack.allowFilter", "true")
    clone = ("clone", "-q", "--filter=blob:none", f"file://{origin}")
    git(tmp_path, *clone, "partial")
    assert play(World(tmp_path / "partial")) == PLAYED


def test_a_repository_with_a_submodule(shared: World, tmp_path: Path) -> None:
    other = World(tmp_path / "library").create()
    allow = ("-c", "protocol.file.allow=always")
    git(shared.root, *allow, "submodule", "add", "-q", str(other.root), "lib")
    shared.commit("A submodule")
    assert play(shared) == PLAYED


def test_git_says_itself_that_it_does_not_trust_a_folder(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    changed = settings.changed(environment=dict(os.environ))
    with changed, pytest.raises(EnvironmentFailure) as caught:
        require_repository(world.root)
    text = str(caught.value)
    assert "dubious ownership" in text and "safe.directory" in text
    assert "git init" not in text


def test_no_repository_is_still_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a git repository"):
        require_repository(tmp_path)


@pytest.fixture
def bare(world: World, tmp_path: Path) -> Path:
    """A bare clone that somebody put a project.yaml into."""
    git(tmp_path, "clone", "-q", "--bare", str(world.root), "bare.git")
    folder = tmp_path / "bare.git"
    (folder / "project.yaml").write_text((world.root / "project.yaml").read_text())
    return folder


def test_a_bare_repository_is_said_to_be_one_and_not_to_be_none(bare: Path) -> None:
    with pytest.raises(UsageError) as caught:
        require_repository(bare)
    text = str(caught.value)
    assert "bare git repository" in text and f"git clone {bare}" in text
    assert "git init" not in text


@pytest.mark.parametrize("kind", ["bare", "none"])
def test_doctor_says_once_that_there_is_no_work_tree_and_nothing_of_git_itself(
    kind: str, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bare
    if kind == "none":
        folder = tmp_path / "plain"
        folder.mkdir()
        (folder / "project.yaml").write_text((bare / "project.yaml").read_text())
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, ["doctor", "--json"])
    found = {row["check"]: row["found"] for row in json.loads(done.stdout)}
    assert "git repository" in found["repository"] and "do:" in found["repository"]
    assert found["registry"].startswith("not looked at")
    assert found["pre-commit"].startswith("not looked at")
    assert "fatal:" not in done.stdout and "git cat-file" not in done.stdout


@pytest.mark.parametrize("where", ["work tree", "core.hooksPath"])
def test_doctor_finds_the_hook_where_git_looks_for_it(
    where: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = world.root
    hooks = root / ".git" / "hooks"
    if where == "work tree":
        root = tmp_path / "other"
        git(world.root, "worktree", "add", "-q", "-b", "other", str(root))
    else:
        hooks = tmp_path / "hooks"
        git(world.root, "config", "core.hooksPath", str(hooks))
    monkeypatch.chdir(root)

    def found() -> str:
        done = CliRunner().invoke(app, ["doctor", "--json"])
        rows = {row["check"]: row["found"] for row in json.loads(done.stdout)}
        return str(rows["pre-commit"])

    assert "pre-commit install" in found()
    hooks.mkdir(exist_ok=True)
    (hooks / "pre-commit").write_text("#!/bin/sh\n")
    assert found() == ""


# -- A server that accepts and never answers -------------------------------------------


@contextmanager
def silent_server() -> Iterator[int]:
    """Yield the port of a server that accepts every connection and says nothing."""
    held = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
    for connection in held:
        connection.close()


@pytest.mark.parametrize("scheme", ["git", "http"])
def test_a_remote_that_never_answers_is_given_up(
    world: World, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    with silent_server() as port:
        address = f"{scheme}://127.0.0.1:{port}/x.git"
        git(world.root, "remote", "add", "origin", address)
        begun = time.monotonic()
        with pytest.raises(EnvironmentFailure, match="origin cannot be reached"):
            sync(world.root, seconds=3)
        assert time.monotonic() - begun < 20
    assert "waiting for the remote" in caplog.text
    assert not list((world.root / ".git").rglob("*.lock"))
    git(world.root, "remote", "remove", "origin")
    assert world.release("one") == "v1.0.0", "and nothing is in the way"


def test_a_push_that_is_given_up_can_be_done_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.release("one")
    monkeypatch.setattr(io_git, "NETWORK_SECONDS", 2.0)
    with silent_server() as port:
        address = f"git://127.0.0.1:{port}/x.git"
        git(world.root, "remote", "add", "origin", address)
        with pytest.raises(EnvironmentFailure):
            world.promote("v1.0.0", "staging")
    git(world.root, "remote", "remove", "origin")
    assert world.promote("v1.0.0", "staging").created


def test_a_remote_that_speaks_may_take_longer_than_the_limit(world: World) -> None:
    origin = world.root.parent / "origin.git"
    git(world.root.parent, "clone", "-q", "--bare", str(world.root), str(origin))
    slow = world.root.parent / "slow-upload-pack"
    slow.write_text(
        "#!/bin/sh\nfor i in 1 2 3 4; do echo tick >&2; sleep 1; done\n"
        'exec git-upload-pack "$@"\n'
    )
    slow.chmod(0o755)
    git(world.root, "remote", "add", "origin", str(origin))
    pack = f"--upload-pack={slow}"
    git_remote(world.root, "fetch", pack, "origin", "main", seconds=2.5)


def test_what_git_answers_in_an_error_is_kept(world: World) -> None:
    with pytest.raises(GitError) as caught:
        git_remote(world.root, "ls-remote", str(world.root / "nowhere"))
    assert "nowhere" in caught.value.stderr
    assert subprocess.run(["git", "--version"], check=True).returncode == 0
