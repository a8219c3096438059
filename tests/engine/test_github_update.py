"""The template's changes: brought, proposed once, never over somebody's work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.errors import EnvironmentFailure
from mlops.github.advisories import advisory_change
from mlops.github.client import repository
from mlops.github.switches import SWITCHES
from mlops.github.update import BRANCH, STATE
from rehearsal.hub import Hub
from rehearsal.hub.desk import Desk

from .conftest import git

TREE = "{{cookiecutter.slug}}"
HOSTILE = "<img src=x> @all `x` | [a](b).txt"
WORKFLOW = "on: push\njobs: {}\n"


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


class World:
    """A template, a repository made of it on a hub, and the two jobs of update.yml."""

    def __init__(self, hub: Hub, tmp: Path, patch: pytest.MonkeyPatch) -> None:
        self.hub, self.tmp, self.patch = hub, tmp, patch
        self.template = tmp / "template"
        self.tree = self.template / TREE
        write(self.template, **{"cookiecutter.json": '{"slug": "demo"}'})
        write(self.tree, **{"project.yaml": 'name: demo\nowner: "@acme"\n'})
        write(self.tree, Makefile="one:\n\ttrue\n", notes="a\nb\nc\n", gone="x\n")
        write(
            self.tree,
            **{".github__workflows__x.yml": WORKFLOW, ".gitignore": "build/\n"},
        )
        git(self.template, "init", "-q", "-b", "main")
        self.release("first")
        command = [
            sys.executable,
            "-m",
            "cruft",
            "create",
            str(self.template),
            "--no-input",
        ]
        subprocess.run(command, cwd=tmp, check=True, capture_output=True)
        self.token = hub.tokens.issue("write-all", actor="alice", kind="user")
        self.desk = Desk(hub, tmp / "demo", self.token)
        self.desk.git("init", "--quiet", "--initial-branch=main")
        self.desk.git("remote", "add", "origin", f"{hub.server_url}/acme/demo.git")
        self.push("Makefile", "one:\n\ttrue\n")
        for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "UPDATE_TOKEN"):
            patch.delenv(name, raising=False)
        facts = {
            "REPOSITORY": hub.repository,
            "API_URL": hub.api_url,
            "SERVER_URL": hub.server_url,
        }
        for name, value in facts.items():
            patch.setenv(f"GITHUB_{name}", value)
        patch.setenv("MLOPS_RETRY_SECONDS", "0.001")
        patch.setenv("HOME", str(tmp))
        patch.setenv(
            "GITHUB_TOKEN", hub.tokens.issue({"issues": "write", "contents": "read"})
        )

    def release(self, message: str) -> str:
        """Commit what the template has become."""
        git(self.template, "add", "-A")
        git(self.template, "commit", "-q", "-m", message)
        return git(self.template, "rev-parse", "HEAD")

    def push(self, name: str, content: str) -> None:
        self.desk.commit(name, content)
        self.desk.git("push", "--quiet", "origin", "HEAD:main")

    def may(self, **permissions: str) -> None:
        granted = {name.replace("_", "-"): level for name, level in permissions.items()}
        self.patch.setenv(
            "UPDATE_TOKEN", self.hub.tokens.issue(granted, "acme", kind="user")
        )

    def run(self, command: str, *options: str, code: int = 0) -> str:
        self.patch.chdir(self.tmp / "job")
        done = CliRunner().invoke(app, ["github", command, *options])
        assert done.exit_code == code, done.output
        assert "defect of mlops" not in done.output
        return str(done.output)

    def job(self) -> Path:
        """Check main out afresh, as a job does."""
        folder = self.tmp / "job"
        subprocess.run(["rm", "-rf", str(folder)], check=True)
        git(self.tmp, "clone", "--quiet", f"{self.hub.server_url}/acme/demo.git", "job")
        return folder

    def workflow(self, code: int = 0) -> str:
        """Run both jobs; return what the second one said."""
        self.job()
        patch = str(self.tmp / "template.patch")
        self.run("update", "--out", patch)
        self.job()
        return self.run("propose", patch, code=code)

    @property
    def issues(self) -> list[dict[str, Any]]:
        return list(self.hub.state.issues.values())

    @property
    def pulls(self) -> list[dict[str, Any]]:
        return list(self.hub.state.pulls.values())


@pytest.fixture(name="world")
def world_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.com")
    with Hub(tmp_path / "hub") as hub:
        yield World(hub, tmp_path, monkeypatch)


ENOUGH = {"contents": "write", "pull_requests": "write", "workflows": "write"}


def test_of_conflicts_ours_stays_and_both_sides_lie_beside_it(world: World) -> None:
    world.push("notes", "a\nours\nc\n")
    world.desk.git("rm", "--quiet", "gone")
    world.push("own.txt", "mine\n")
    write(world.tree, notes="a\ntheirs\nc\n", gone="y\n", new="new\n")
    world.release("second")
    root = world.job()
    assert "staged" in world.run("update")
    assert (root / "notes").read_text() == "a\nours\nc\n"
    rejected = (root / "notes.rej").read_text()
    assert "<<<<<<<" in rejected and "ours" in rejected and "theirs" in rejected
    changed = git(root, "status", "--porcelain").split()
    assert sorted(changed[1::2]) == [STATE, "new", "notes.rej"] and set(
        changed[::2]
    ) == {"A", "M"}
    assert not (root / "gone").exists() and (root / "own.txt").read_text() == "mine\n"
    assert "not committed" in world.run("update", code=2)


def test_what_there_is_not_to_update(world: World) -> None:
    root = world.job()
    assert "nothing new" in world.run("update", "--out", "build/x.patch")
    assert (root / "build" / "x.patch").read_bytes() == b""
    assert "nothing new" in world.run("propose", "build/x.patch")
    state = json.loads((root / STATE).read_text())
    (root / STATE).write_text(
        json.dumps({**state, "template": str(world.tmp / "nowhere")})
    )
    git(root, "commit", "-qam", "Lost")
    said = world.run("update", code=3)
    assert (
        "cruft could not update" in said
        and f"{world.tmp / 'nowhere'}' does not exist" in said
    )
    assert "Traceback" not in said and len(said) < 800
    git(root, "rm", "-q", STATE)
    git(root, "commit", "-qm", "Without")
    assert "was not made with cruft" in world.run("update")
    assert world.issues == world.pulls == []


def test_one_pull_request_from_the_first_to_the_last(world: World) -> None:
    world.may(**ENOUGH)
    write(
        world.tree,
        new="1\n",
        **{HOSTILE: "x\n", ".github__workflows__x.yml": "on: pull_request\n"},
    )
    first = world.release("second")
    assert "pull/1 proposes it" in world.workflow()
    (pull,) = world.pulls
    assert pull["title"].endswith(f"to {first[:7]}") and (
        pull["user"],
        pull["base"]["ref"],
    ) == (
        "acme",
        "main",
    )
    body = pull["body"]
    assert (
        "new" in body
        and "<img" not in body
        and "@all" not in body
        and "`x`" not in body
    )
    head = world.hub.git.resolve(f"refs/heads/{BRANCH}")
    assert world.hub.git.run("log", "-1", "--format=%an %cn", str(head)) == (
        "github-actions[bot] github-actions[bot]"
    )
    assert "has it already, and is open" in world.workflow()
    assert world.hub.git.resolve(f"refs/heads/{BRANCH}") == head

    write(world.tree, new="2\n")
    second = world.release("third")
    world.workflow()
    assert len(world.pulls) == 1 and pull["title"].endswith(f"to {second[:7]}")
    assert world.hub.git.resolve(f"refs/heads/{BRANCH}") != head
    assert world.hub.git.run("rev-list", "--count", f"main..{BRANCH}") == "1"

    world.desk.git("fetch", "--quiet", "origin", BRANCH)  # somebody goes on with it
    world.desk.git("checkout", "--quiet", "-B", "mine", "FETCH_HEAD")
    theirs = world.desk.commit("new", "mine\n")
    world.desk.git("push", "--quiet", "origin", f"HEAD:{BRANCH}")
    write(world.tree, new="3\n")
    world.release("fourth")
    assert "holds somebody's work" in world.workflow()
    assert world.hub.git.resolve(f"refs/heads/{BRANCH}") == theirs

    world.desk.ask("PUT", "/pulls/1/merge", {"merge_method": "squash"})
    assert "pull/2 proposes it" in world.workflow()
    world.desk.ask("PATCH", "/pulls/2", {"state": "closed"})
    assert (
        "has it already, and is closed" in world.workflow()
    )  # somebody does not want it
    assert len(world.pulls) == 2 and world.issues == []


def test_without_the_secret_one_issue_says_what_to_do(world: World) -> None:
    write(world.tree, new="1\n")
    world.release("second")
    assert "issues/1 says what to do" in world.workflow()
    world.workflow()
    (issue,) = world.issues
    assert issue["labels"] == [BRANCH] and "mlops github update" in issue["body"]
    assert "personal-access-tokens/new" in issue["body"] and "new" in issue["body"]
    assert world.pulls == [] and not world.hub.git.resolve(f"refs/heads/{BRANCH}")
    world.may(**ENOUGH)
    assert "pull/2 proposes it" in world.workflow()
    assert issue["state"] == "closed" and len(world.hub.state.comments(1)) == 1


@pytest.mark.parametrize("lost", ENOUGH)
def test_the_token_that_is_asked_for_is_just_enough(world: World, lost: str) -> None:
    write(world.tree, **{".github__workflows__x.yml": "on: pull_request\n"})
    world.release("second")
    world.may(**{name: level for name, level in ENOUGH.items() if name != lost})
    said = world.workflow(code=3)
    assert "error: " in said and world.pulls == []
    if lost == "workflows":
        assert "without `workflows` permission" in said
    world.may(**ENOUGH)
    assert "proposes it" in world.workflow()


def test_killed_between_branch_and_pull_request_the_next_run_goes_on(
    world: World,
) -> None:
    world.may(**ENOUGH)
    write(world.tree, new="1\n")
    world.release("second")
    world.hub.faults.add("POST", "*/pulls", 500, times=4)
    world.workflow(code=3)
    assert world.pulls == [] and world.hub.git.resolve(f"refs/heads/{BRANCH}")
    world.hub.faults.add("POST", "*/pulls", 502, done_first=True)
    assert "proposes it" in world.workflow()
    assert len(world.pulls) == 1


def test_a_patch_is_data(world: World) -> None:
    world.may(**ENOUGH)
    root = world.job()
    for bad in ("no patch\n", "--- a/../../x\n+++ b/../../x\n@@ -0,0 +1 @@\n+x\n"):
        (root / "x.patch").write_text(bad)
        assert "the patch does not fit" in world.run("propose", "x.patch", code=3)
    (root / STATE).write_text(
        json.dumps({"template": "<b>@all</b>", "commit": "-->`x`abc"})
    )
    git(root, "add", "-A")
    patch = git(root, "diff", "--cached", "--binary", STATE)
    git(root, "reset", "-q", "--hard")
    (world.tmp / "y.patch").write_text(patch + "\n")
    world.run("propose", str(world.tmp / "y.patch"))
    (pull,) = world.pulls
    assert pull["body"].startswith("<!-- mlops: template abc -->")
    assert "<b>" not in pull["body"] and pull["title"].endswith("to abc")


def test_a_template_that_may_not_be_read_is_said_and_not_red_every_week(
    world: World,
) -> None:
    folder = world.job()
    state = json.loads((folder / STATE).read_text())
    state["template"] = f"{world.hub.server_url}/acme/secret.git"
    (folder / STATE).write_text(json.dumps(state))
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "moved")
    patch = world.tmp / "template.patch"
    said = world.run("update", "--out", str(patch))
    assert "is private: nothing here may read it" in said
    assert "`mlops github update`" in said and patch.read_bytes() == b""
    state["template"] = "http://127.0.0.1:9/acme/demo.git"  # nobody is there
    (folder / STATE).write_text(json.dumps(state))
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "gone")
    assert "cruft could not update" in world.run("update", code=3)


@pytest.mark.parametrize(
    "said",
    [
        # By ssh from a machine of GitHub, which knows neither the host nor a key.
        "Host key verification failed.\\nfatal: Could not read from remote repository.",
        "git@github.com: Permission denied (publickey).",
        # Where an organisation wants single sign-on, or has blocked this machine.
        "fatal: unable to access 'x': The requested URL returned error: 403",
        "fatal: could not read Username for 'x': No such device or address",
        "remote: Repository not found.",
    ],
)
def test_every_way_of_being_hidden_is_said_and_not_red(
    world: World, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By which address the template was named, its maker's machine decided."""
    root = world.job()
    (world.tmp / "bin").mkdir()
    git_there = shutil.which("git")
    fake = world.tmp / "bin" / "git"
    fake.write_text(
        "#!/bin/sh\n"
        f'case " $* " in *" ls-remote "*) printf "{said}\\n" >&2; exit 128;; esac\n'
        f'exec {git_there} "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    patch = world.tmp / "template.patch"
    shown = world.run("update", "--out", str(patch))
    assert "is private: nothing here may read it" in shown
    assert patch.read_bytes() == b"" and (root / STATE).is_file()


# -- newer locks -----------------------------------------------------------------------

OLD_LOCK = "numpy==2.4.0 \\\n    --hash=sha256:aa\npandas==3.0.5\nsix==1.17.0\n"
NEW_LOCK = "numpy==2.4.1 \\\n    --hash=sha256:bb\npandas==3.0.6\ntyper==0.20.0\n"


def newer_locks(world: World, **more: str) -> Path:
    """Return the patch that lock.yml makes where there are newer versions."""
    folder = world.job()
    assert (folder / "requirements" / "all.txt").is_file()
    write(folder, **{"requirements__all.txt": NEW_LOCK, **more})
    git(folder, "add", "-A")
    patch = world.tmp / "lock.patch"
    patch.write_text(
        git(folder, "diff", "--binary", "--full-index", "HEAD") + "\n", "utf-8"
    )
    world.job()
    return patch


def test_newer_locks_are_one_pull_request_that_says_what_is_newer(
    world: World,
) -> None:
    world.push("requirements/all.txt", OLD_LOCK)
    patch = newer_locks(world)
    world.may(contents="write", pull_requests="write")
    world.run("propose", str(patch), "--lock")
    (pull,) = world.hub.state.pulls.values()
    assert pull["title"] == "Newer versions of 4 libraries"
    assert pull["head"]["ref"] == "lock-update"
    for line in ("numpy 2.4.0 → 2.4.1", "pandas 3.0.5 → 3.0.6", "six 1.17.0 is gone"):
        assert line in pull["body"].replace("\\", "")
    world.job()
    assert "has it already" in world.run("propose", str(patch), "--lock")
    assert len(world.hub.state.pulls) == 1


def advisory(ghsa: str, package: str, *versions: str, **about: str) -> dict[str, Any]:
    """Return what GitHub's database has of versions of a package."""
    return {
        "ghsa_id": ghsa,
        "ecosystem": "pip",
        "package": package,
        "versions": versions,
        "severity": "high",
        "summary": f"{package} is unsafe",
        **about,
    }


def test_newer_locks_say_which_advisories_they_settle_and_which_they_leave(
    world: World,
) -> None:
    world.push("requirements/all.txt", OLD_LOCK)
    patch = newer_locks(world)
    world.hub.state.advisories += [
        advisory("GHSA-aaaa", "numpy", "2.4.0"),
        advisory("GHSA-bbbb", "pandas", "3.0.5", "3.0.6", severity="critical"),
        advisory("GHSA-cccc", "six", "1.0.0"),  # of no version that is locked
        advisory("GHSA-dddd", "typer", "0.20.0", summary="<b>@all</b>"),
        advisory("GHSA-eeee", "numpy", "2.4.0", ecosystem="npm"),
    ]
    world.may(contents="write", pull_requests="write")
    world.hub.exchanges.clear()
    world.run("propose", str(patch), "--lock")
    (pull,) = world.hub.state.pulls.values()
    text = pull["body"].replace("\\", "")
    settled, left = text.split("affect the newer versions")
    assert "GHSA-aaaa (high), numpy is unsafe" in settled
    assert "GHSA-bbbb (critical)" in left and left.index("bbbb") < left.index("dddd")
    assert "GHSA-cccc" not in text and "GHSA-eeee" not in text
    assert "<b>@all" not in pull["body"]
    lookups = [one for one in world.hub.exchanges if one.path == "/advisories"]
    assert len(lookups) == 2  # what is replaced, and what is there afterwards


def test_newer_locks_without_an_advisory_say_so(world: World) -> None:
    world.push("requirements/all.txt", OLD_LOCK)
    patch = newer_locks(world)
    world.may(contents="write", pull_requests="write")
    world.run("propose", str(patch), "--lock")
    (pull,) = world.hub.state.pulls.values()
    assert "No known security advisory affects the newer versions" in pull["body"]


@pytest.mark.parametrize("status", [429, 500, 403])
def test_a_database_that_does_not_answer_keeps_nobody_from_newer_locks(
    world: World, status: Any
) -> None:
    world.push("requirements/all.txt", OLD_LOCK)
    patch = newer_locks(world)
    world.hub.faults.add("GET", "/advisories", status, times=9)
    world.may(contents="write", pull_requests="write")
    world.hub.exchanges.clear()
    world.run("propose", str(patch), "--lock")
    (pull,) = world.hub.state.pulls.values()
    assert "could not be looked up" in pull["body"] and str(status) in pull["body"]
    lookups = [one for one in world.hub.exchanges if one.path == "/advisories"]
    assert len(lookups) == 1  # it is asked once, and the pull request need not wait


def test_a_lock_of_more_packages_than_are_looked_up_says_so(world: World) -> None:
    many = {f"package{n}": ["1.0"] for n in range(700)}
    with pytest.raises(EnvironmentFailure, match="more packages than are looked up"):
        advisory_change(repository(), {}, many)
    assert not [one for one in world.hub.exchanges if one.path == "/advisories"]


def test_newer_locks_without_a_token_are_one_issue_and_none_is_silent(
    world: World,
) -> None:
    world.push("requirements/all.txt", OLD_LOCK)
    patch = newer_locks(world)
    for _ in range(2):
        world.run("propose", str(patch), "--lock")
        world.job()
    (issue,) = world.issues
    assert issue["labels"] == ["lock-update"] and "make lock UPGRADE=1" in issue["body"]
    patch.write_bytes(b"")
    assert "the locks are fresh" in world.run("propose", str(patch), "--lock")
    assert [issue["state"] for issue in world.issues] == ["closed"]


@pytest.mark.parametrize("kind", ["template", "lock"])
def test_what_is_new_where_issues_are_off_says_where_to_switch_them_on(
    world: World, kind: str
) -> None:
    """Without UPDATE_TOKEN nobody else could be told; with it nobody needs Issues."""
    world.hub.state.repository["has_issues"] = False
    options = ["--lock"] if kind == "lock" else []
    if kind == "lock":
        world.push("requirements/all.txt", OLD_LOCK)
        patch = newer_locks(world)
    else:
        write(world.tree, new="new\n")
        world.release("second")
        world.job()
        patch = world.tmp / "template.patch"
        world.run("update", "--out", str(patch))
        world.job()
    said = world.run("propose", str(patch), *options, code=3)
    assert SWITCHES["Issues"].remedy in said
    assert "something newer" in SWITCHES["Issues"].effect
    assert not world.pulls
    world.job()
    world.may(**ENOUGH)
    assert "proposes it" in world.run("propose", str(patch), *options)
    assert len(world.pulls) == 1 and world.issues == []
    world.job()
    nothing = world.tmp / "nothing.patch"
    nothing.write_bytes(b"")
    world.run("propose", str(nothing), *options)


def test_a_patch_of_locks_that_changes_more_is_refused(world: World) -> None:
    world.push("requirements/all.txt", OLD_LOCK)
    patch = newer_locks(world, **{".github__workflows__x.yml": "on: issues\n"})
    said = world.run("propose", str(patch), "--lock", code=3)
    assert "changes more than locks" in said and ".github/workflows/x.yml" in said
    assert not world.hub.state.pulls
