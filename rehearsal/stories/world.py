"""The words in which stories are told: people, what they do, and what came of it."""

from __future__ import annotations

import base64
import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehearsal.errors import RehearsalError
from rehearsal.event import Event
from rehearsal.hub import Hub
from rehearsal.hub.client import request
from rehearsal.runner import Runner
from rehearsal.runner.run import Run

# What a story changes in a work tree: texts by path, or a function of the tree.
Edit = Mapping[str, str] | Callable[[Path], object]


@dataclass
class PullRequest:
    """A pull request and the runs that it caused.

    Parameters
    ----------
    number : int
    branch, actor : str
        Where it comes from, and who opened it.
    fork : bool
    runs : list
        Oldest first.
    """

    number: int
    branch: str
    actor: str
    fork: bool = False
    runs: list[Run] = field(default_factory=list)

    def last(self, workflow: str) -> Run:
        """Return the newest run of a workflow."""
        return newest(self.runs, workflow)


def newest(runs: list[Run], workflow: str) -> Run:
    """Return the newest run of a workflow.

    Raises
    ------
    LookupError
        When it did not run.
    """
    for run in reversed(runs):
        if run.workflow == workflow:
            return run
    raise LookupError(
        f"{workflow} did not run; there were {[run.workflow for run in runs]}"
    )


class World:
    """A repository on the hub, and people who work with it.

    Parameters
    ----------
    hub : Hub
        Started, and empty.
    root : Path
        Everything lies below it.
    source : Path
        What the first commit holds: a folder, such as a generated repository.
    environment, secrets, python, caches
        See `Runner`.
    """

    def __init__(
        self,
        hub: Hub,
        root: Path,
        source: Path,
        environment: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        python: Path = Path(sys.executable),
        caches: Path | None = None,
    ) -> None:
        self.hub = hub
        self.root = root
        self.runner = Runner(
            hub, root / "rehearsal", environment, secrets, python, caches
        )
        self._tokens: dict[str, str] = {}
        self.work = root / "work"
        ignored = shutil.ignore_patterns(
            ".git", ".venv", "__pycache__", "build", ".mlops"
        )
        shutil.copytree(source, self.work, symlinks=True, ignore=ignored)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("remote", "add", "origin", self.address())
        self.commit("First commit")
        self.git("push", "--quiet", "origin", "main")
        hub.events.take()  # nobody rehearses the first push

    def twin(self, hub: Hub, root: Path) -> World:
        """Return a world on a copy of this one's hub that is where this one is."""
        twin = copy.copy(self)
        twin.hub = hub
        twin.root = root
        twin.work = root / "work"
        twin._tokens = {}
        shutil.copytree(self.work, twin.work, symlinks=True)
        twin.runner = Runner(
            hub,
            root / "rehearsal",
            self.runner.environment,
            self.runner.secrets,
            # No world has to build what another has: matplotlib's fonts, mypy's types.
            caches=self.runner.machine.caches,
        )
        twin.runner.adopt(self.runner)
        twin.git("remote", "set-url", "origin", twin.address())
        return twin

    # ----- what people do; each returns when all that follows has come to rest

    def open_pull_request(
        self,
        branch: str,
        edit: Edit,
        title: str = "",
        body: str = "",
        actor: str = "alice",
        fork: bool = False,
    ) -> PullRequest:
        """Commit a change on a branch from main, push it and open a pull request."""
        self.git("fetch", "--quiet", "origin")
        self.git("checkout", "--quiet", "--force", "-B", branch, "origin/main")
        self.change(edit, title or branch, actor)
        if fork:
            self.hub.fork(actor)
        self._push(branch, actor, fork)
        fields = {
            "title": title or branch,
            "body": body,
            "head": f"{actor}:{branch}" if fork else branch,
            "base": "main",
        }
        number = self.api("POST", "/pulls", fields, actor)["number"]
        pull = PullRequest(number, branch, actor, fork)
        pull.runs += self.settle()
        return pull

    def push_to(
        self, pull: PullRequest, edit: Edit, message: str = "More"
    ) -> list[Run]:
        """Push another commit to a pull request."""
        self.git("checkout", "--quiet", "--force", pull.branch)
        self.change(edit, message, pull.actor)
        self._push(pull.branch, pull.actor, pull.fork)
        runs = self.settle()
        pull.runs += runs
        return runs

    def merge(
        self, pull: PullRequest, actor: str = "bob", method: str = "squash"
    ) -> list[Run]:
        """Merge a pull request."""
        self.api("PUT", f"/pulls/{pull.number}/merge", {"merge_method": method}, actor)
        return self.settle()

    def push(
        self, edit: Edit, message: str = "Change", actor: str = "alice"
    ) -> list[Run]:
        """Commit a change on main and push it."""
        self.git("fetch", "--quiet", "origin")
        self.git("checkout", "--quiet", "--force", "-B", "main", "origin/main")
        self.change(edit, message, actor)
        self._push("main", actor, fork=False)
        return self.settle()

    def dispatch(
        self, workflow: str, actor: str = "alice", **inputs: object
    ) -> list[Run]:
        """Start a workflow by hand, as its page or `gh workflow run` does."""
        given = {name: text(value) for name, value in inputs.items()}
        path = f"/actions/workflows/{workflow}.yml/dispatches"
        self.api("POST", path, {"ref": "main", "inputs": given}, actor)
        return self.settle()

    def message(self, kind: str, actor: str = "alice", **payload: object) -> list[Run]:
        """Send a repository_dispatch from outside."""
        body = {"event_type": kind, "client_payload": payload}
        self.api("POST", "/dispatches", body, actor)
        return self.settle()

    def schedule(self, workflow: str) -> list[Run]:
        """Let a workflow's first schedule come round."""
        crons = self.runner.router(Event("schedule")).schedules()
        if workflow not in crons:
            raise RehearsalError(f"{workflow} has no schedule; {', '.join(crons)} have")
        event = Event("schedule", {"schedule": crons[workflow][0]}, actor="alice")
        return self.settle(event)

    def rerun(self, run: Run, actor: str = "alice", every: bool = False) -> list[Run]:
        """Run the failed jobs of a run again, or all of them."""
        return self.runner.rerun(run, actor, every)

    def approves(self, environment: str, actor: str) -> None:
        """Let somebody approve an environment that wants it, from now on."""
        self.runner.approvals[environment] = actor

    def settle(self, *events: Event) -> list[Run]:
        """Play what has happened, and what follows, until it is quiet."""
        return self.runner.play(*events)

    # ----- what came of it

    def comments(self, pull: PullRequest | int) -> list[str]:
        """Return the texts of the comments of a pull request or issue."""
        number = pull if isinstance(pull, int) else pull.number
        return [comment["body"] for comment in self.hub.state.comments(number)]

    def issues(self, state: str = "open") -> list[dict[str, Any]]:
        """Return issues of a state."""
        return [one for one in self.hub.state.issues.values() if one["state"] == state]

    def tags(self) -> list[str]:
        """Return the names of all tags, oldest first."""
        options = ("--sort=creatordate", "--format=%(refname:strip=2)")
        listed = self.runner.trees.git("for-each-ref", *options, "refs/tags")
        return listed.splitlines()

    def releases(self) -> dict[str, list[str]]:
        """Return the names of the assets of each published release."""
        state = self.hub.state
        names = {}
        for release in state.releases.values():
            if not release["draft"]:
                assets = state.assets_of(release["id"])
                names[release["tag_name"]] = sorted(asset["name"] for asset in assets)
        return names

    def deployments(self) -> list[tuple[str, str]]:
        """Return (environment, last state) of each deployment, oldest first."""
        found = []
        for deployment in self.hub.state.deployments.values():
            statuses = deployment["statuses"]
            state = statuses[-1]["state"] if statuses else ""
            found.append((deployment["environment"], state))
        return found

    def journal(self, kind: str = "runs") -> list[dict[str, Any]]:
        """Return records on the branch `journal` (runs, or monitor), by their names."""
        git = self.runner.trees.git
        branch = "refs/heads/journal"
        if not git("for-each-ref", branch):
            return []
        listed = git("ls-tree", "-r", "--name-only", branch, f"{kind}/")
        return [
            json.loads(git("show", f"{branch}:{name}"))
            for name in listed.splitlines()
            if name.endswith(".json")
        ]

    def last(self, workflow: str) -> Run:
        """Return the newest run of a workflow in this world."""
        return newest(self.runner.runs, workflow)

    # ----- how it is done

    def token(self, actor: str) -> str:
        """Return a person's own token."""
        if actor not in self._tokens:
            self._tokens[actor] = self.hub.tokens.issue(
                "write-all", actor=actor, kind="user"
            )
        return self._tokens[actor]

    def api(
        self, method: str, path: str, body: object = None, actor: str = "alice"
    ) -> Any:
        """Ask the hub's API as a person.

        Raises
        ------
        RehearsalError
            With the answer, when it is no success.
        """
        return request(self.hub, self.token(actor), method, path, body)

    def change(self, edit: Edit, message: str, actor: str = "alice") -> str:
        """Change the work tree and commit; return the commit."""
        if isinstance(edit, Mapping):
            for name, content in edit.items():
                path = self.work / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
        else:
            edit(self.work)
        return self.commit(message, actor)

    def commit(self, message: str, actor: str = "alice") -> str:
        """Commit everything in the work tree."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message, actor=actor)
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str, actor: str = "alice") -> str:
        """Run git in the work tree, as a person."""
        credentials = base64.b64encode(f"{actor}:{self.token(actor)}".encode()).decode()
        header = f"http.extraHeader=Authorization: Basic {credentials}"
        email = f"{actor}@example.com"
        done = subprocess.run(
            ["git", "-c", header, *arguments],
            cwd=self.work,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.root),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_AUTHOR_NAME": actor,
                "GIT_AUTHOR_EMAIL": email,
                "GIT_COMMITTER_NAME": actor,
                "GIT_COMMITTER_EMAIL": email,
            },
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        if done.returncode:
            raise RehearsalError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def address(self, owner: str = "") -> str:
        """Return where the repository, or somebody's fork of it, is cloned from."""
        own, _, name = self.hub.repository.partition("/")
        return f"{self.hub.server_url}/{owner or own}/{name}.git"

    def _push(self, branch: str, actor: str, fork: bool) -> None:
        where = self.address(actor) if fork else "origin"
        self.git("push", "--quiet", where, f"HEAD:refs/heads/{branch}", actor=actor)


def text(value: object) -> str:
    """Return an input as a form sends it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def replaced(file: str, old: str, new: str) -> Callable[[Path], None]:
    """Return an edit that replaces a text, which must be there once."""

    def edit(root: Path) -> None:
        path = root / file
        content = path.read_text(encoding="utf-8")
        if content.count(old) != 1:
            raise RehearsalError(f"{file} holds {old!r} {content.count(old)} times")
        path.write_text(content.replace(old, new), encoding="utf-8")

    return edit


@contextmanager
def world(root: Path, source: Path, **about: Any) -> Iterator[World]:
    """Start a hub and put a repository on it.

    Parameters
    ----------
    root : Path
    source : Path
        See `World`.
    **about
        For `Hub` (repository, private, plan) and `World` (environment, secrets,
        python).
    """
    of_world = {}
    for name in ("environment", "secrets", "python"):
        if name in about:
            of_world[name] = about.pop(name)
    with Hub(root / "hub", **about) as hub:
        yield World(hub, root, source, **of_world)
