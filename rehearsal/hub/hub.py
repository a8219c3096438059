"""GitHub on this machine: one repository and its forks, by the API and git."""

from __future__ import annotations

import shutil
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from rehearsal.event import Event
from rehearsal.hub import commits, rules
from rehearsal.hub.exchange import Exchange, Faults, Requests
from rehearsal.hub.git import Bare, Update
from rehearsal.hub.identity import Caller, Tokens, calling_environment
from rehearsal.hub.identity import caller as identified
from rehearsal.hub.pulls import changed_files, follow_push
from rehearsal.hub.runs import Runs
from rehearsal.hub.server import Server
from rehearsal.hub.state import Events, Record, State
from rehearsal.hub.storage import Storage, artifacts, folders_of
from rehearsal.hub.view import View

# The requests of an hour: per repository for the tokens of jobs, per person for others.
_LIMITS = {"GITHUB_TOKEN": 1000, "app": 5000, "user": 5000}
_ANONYMOUS = 60
# What a token may make in a minute and in an hour, as GitHub says in "Rate limits for
# the REST API".
_CREATIONS = 80
_CREATIONS_AN_HOUR = 500


class HubError(AssertionError):
    """Something was asked of the hub, or answered by it, that GitHub would not know."""


class Hub:
    """A GitHub with one repository and its forks. Use it in a ``with`` statement.

    Parameters
    ----------
    root : Path
        Everything that is kept lies below it; `origin` is the bare repository.
    repository : str
        ``OWNER/NAME``.
    private : bool
    plan : {"free", "pro", "team", "enterprise"}
        What a private repository has depends on it.
    clock : callable, optional
        Gives the time of what is recorded.

    Attributes
    ----------
    state : State
        ``issues``, ``pulls``, ``releases``, ``comments(n)``, ``deployments`` ...
    events : Events
        What happened; ``take()`` empties it.
    tokens, runs, faults
        ``tokens.issue(...)``, ``runs.register(...)``, ``faults.add(...)``.
    exchanges : list of Exchange
        Everything that was asked and answered.
    violations : list of str
        What differs from GitHub's description. Leaving the ``with`` statement raises
        HubError for them; a test that means to do wrong clears the list.
    artifacts_folder : Path
        ``RUN/NAME/...``, where the stand-in of upload-artifact leaves files.
    """

    def __init__(
        self,
        root: Path,
        repository: str = "acme/demo",
        private: bool = False,
        plan: str = "free",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.root, self.repository = root, repository
        self.owner = repository.split("/")[0]
        self.origin = root / "origin.git"
        self.artifacts_folder = root / "artifacts"
        self.git = Bare(self.origin)
        self.bares = {self.owner: self.git}
        self.state = State(private=private, plan=plan, clock=clock)
        self.events, self.tokens, self.faults = Events(), Tokens(), Faults()
        self.runs = Runs(self.state)
        self.exchanges: list[Exchange] = []
        self.violations: list[str] = []
        self.limits = dict(_LIMITS)
        self.lock, self.closing = threading.RLock(), threading.Event()
        self.monotonic = time.monotonic  # what creations are counted by
        self.creations_a_minute = _CREATIONS
        self.creations_an_hour = _CREATIONS_AN_HOUR
        self._used: dict[tuple[str, int], int] = {}  # by purse and end of the hour
        self._made: dict[str, deque[float]] = {}
        self.server = Server(self)
        self.server_url = f"http://127.0.0.1:{self.server.server_port}"
        self.api_url = self.server_url
        # Bytes lie on another host, where tokens must not be shown.
        elsewhere = f"http://localhost:{self.server.server_port}/storage"
        self.storage = Storage(root / "storage", elsewhere)
        self.former_names: set[str] = set()
        self.view = self._view()

    @property
    def private(self) -> bool:
        """Say whether the repository is private."""
        return self.state.private

    def __enter__(self) -> Hub:
        threading.Thread(
            target=self.server.serve_forever, args=(0.05,), daemon=True
        ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        if self.violations and error is None:
            raise HubError("\n".join(self.violations))

    def _view(self) -> View:
        return View(
            self.state,
            self.repository,
            self.api_url,
            self.server_url,
            self.server_url,
            self._distance,
        )

    # ----- repositories

    def rename(self, repository: str) -> None:
        """Rename or transfer the repository; its former names lead to it.

        What is known of it stays: issues, releases, variables, rulesets.
        """
        self.former_names.add(self.repository)
        self.former_names.discard(repository)
        bare = self.bares.pop(self.owner)
        self.repository = repository
        self.owner = repository.split("/")[0]
        self.bares[self.owner] = bare
        self.view = self._view()

    def moved(self, path: str) -> str:
        """Return where a path of a former name leads to; empty for all others.

        References
        ----------
        https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
        """
        for name in self.former_names:
            if path.startswith(f"/{name}.git/"):
                return path.replace(f"/{name}.git", f"/{self.repository}.git", 1)
            start = f"/repos/{name}"
            if path == start or path.startswith(f"{start}/"):
                number = zlib.crc32(self.repository.encode())
                return path.replace(start, f"/repositories/{number}", 1)
        return ""

    def present(self, path: str) -> str:
        """Return a path with the repository's name in place of its number."""
        number = zlib.crc32(self.repository.encode())
        start = f"/repositories/{number}"
        if path == start or path.startswith(f"{start}/"):
            return path.replace(start, f"/repos/{self.repository}", 1)
        return path

    def fork(self, owner: str) -> Bare:
        """Return someone's fork, made now if there is none yet."""
        if owner not in self.bares:
            path = self.root / f"{owner}.git"
            self.git.run("clone", "--quiet", "--bare", str(self.origin), str(path))
            self.bares[owner] = Bare(path)
        return self.bares[owner]

    def bare(self, owner: str) -> Bare:
        """Return the repository of an owner."""
        return self.bares[owner]

    def commit(self, sha: str) -> Record:
        """Return a commit as the API shows it."""
        return commits.commit(self.git, self.view, sha)

    def files(self, old: str, new: str) -> list[Record]:
        """Return the files that differ between two commits, as the API shows them."""
        return commits.files(self.git, self.view, old, new)

    def protected(self, branch: str) -> bool:
        """Say whether rules hold for a branch."""
        return bool(rules.rules_of(self.state, f"refs/heads/{branch}"))

    def lacking_checks(self, branch: str, sha: str) -> str:
        """Return a required check that a commit lacks."""
        return rules.lacking_check(self.state, branch, sha)

    def role(self, login: str) -> str:
        """Return what a person is here; strangers may read what is public."""
        stranger = "none" if self.state.private else "read"
        return (
            "admin"
            if login == self.owner
            else self.state.collaborators.get(login, stranger)
        )

    def lacking_review(self, branch: str, login: str) -> bool:
        """Say whether a code owner has to approve before somebody may merge."""
        return rules.lacking_review(self.state, branch, self.role(login))

    def refusal(self, updates: list[Update], caller: Caller) -> str:
        """Return why refs may not be moved so; empty when they may."""
        if self.state.repository.get("archived"):
            return "This repository was archived so it is read-only."
        return rules.refusal(self.state, updates, caller)

    def _distance(self, base: str, head: str) -> tuple[int, int]:
        changed = self.git.run("diff", "--name-only", f"{base}...{head}").splitlines()
        return len(changed), int(self.git.run("rev-list", "--count", f"{base}..{head}"))

    def expire_artifacts(self, run: int) -> None:
        """Let the artifacts of a run expire: they are listed, and cannot be had.

        A job of the run itself finds none any more; downloading by a pattern then
        succeeds and brings nothing.
        """
        for artifact in artifacts(self.state, self.artifacts_folder):
            if artifact["run"] == run:
                artifact["expired"] = True
        for folder in folders_of(self.artifacts_folder, run):
            shutil.rmtree(folder, ignore_errors=True)

    # ----- what happens

    def event(
        self, name: str, payload: Mapping[str, Any], caller: Caller, **about: Any
    ) -> Event:
        """Return an event of this repository that someone caused."""
        whole = {
            **payload,
            "repository": self.view.repository(),
            "sender": self.view.user(caller.login),
        }
        event = Event(name, whole, actor=caller.login, token_kind=caller.kind)
        event = replace(event, **about)
        default = f"refs/heads/{self.state.default_branch}"
        return (
            event if event.sha else replace(event, sha=self.git.resolve(default) or "")
        )

    def happened(
        self, name: str, payload: Mapping[str, Any], caller: Caller, **about: Any
    ) -> None:
        """Raise an event."""
        self.events.append(self.event(name, payload, caller, **about))

    def pull_happened(
        self, action: str, pull: Record, caller: Caller, **more: Any
    ) -> None:
        """Raise a pull request's event; a conflict with its base starts nothing."""
        if pull["merge"] is None and action != "closed":
            return
        payload = {"action": action, "number": pull["number"], **more}
        payload["pull_request"] = self.view.pull(pull)
        changed = tuple(changed_files(self.git, pull))
        ref = f"refs/pull/{pull['number']}/merge"
        about = {
            "ref": ref,
            "sha": pull["merge"] or pull["head"]["sha"],
            "changed_files": changed,
        }
        self.happened("pull_request", payload, caller, **about)

    def pushed(self, owner: str, updates: list[Update], caller: Caller) -> None:
        """Raise what follows from refs that moved."""
        mine = owner == self.owner
        # GitHub says nothing when more than three tags come at once.
        silent = sum(u.ref.startswith("refs/tags/") for u in updates) > 3
        for update in updates if mine else []:
            tag = update.ref.startswith("refs/tags/")
            if not (tag and silent) and update.ref.startswith(
                ("refs/heads/", "refs/tags/")
            ):
                payload, about = commits.push(self, update, caller.login)
                self.happened("push", payload, caller, **about)
        follow_push(self, owner, updates, caller)

    # ----- callers

    def caller(self, token_text: str, client_port: int) -> Caller | None:
        """Return who calls; None for a token that the hub does not know."""
        token = self.tokens.find(token_text)
        if token_text and token is None:
            return None
        port = self.server.server_port
        variables = calling_environment(client_port, port, self.api_url)
        run, job = variables.get("GITHUB_RUN_ID", ""), variables.get("GITHUB_JOB", "")
        known = self.runs.knows(run)
        return identified(
            token, run if known else "", job, self.runs.permissions(run, job)
        )

    def quota(self, caller: Caller) -> tuple[int, int, int]:
        """Return a caller's requests an hour: how many, how many used, until when."""
        limit = self.limits[caller.kind] if caller.token else _ANONYMOUS
        reset = self._end_of_hour()
        return limit, self._used.get((self._purse(caller), reset), 0), reset

    def spend(self, caller: Caller) -> None:
        """Count a request."""
        key = self._purse(caller), self._end_of_hour()
        self._used[key] = self._used.get(key, 0) + 1

    def may_create(self, caller: Caller) -> bool:
        """Count something that is to be made.

        Say no beyond those of a minute, and beyond those of an hour.
        """
        now = self.monotonic()
        made = self._made.setdefault(self._purse(caller), deque())
        while made and made[0] <= now - 3600:
            made.popleft()
        lately = sum(moment > now - 60 for moment in made)
        if lately >= self.creations_a_minute or len(made) >= self.creations_an_hour:
            return False
        made.append(now)
        return True

    @contextmanager
    def counting(self) -> Iterator[Requests]:
        """Count the requests of the API that are made in the block.

        Those of git, and of the host that the bytes of files lie on, are none.
        """
        requests = Requests()
        first = len(self.exchanges)
        yield requests
        for exchange in self.exchanges[first:]:
            if exchange.template:
                requests.update([f"{exchange.method} {exchange.template}"])

    def _end_of_hour(self) -> int:
        return int(self.state.clock().timestamp()) // 3600 * 3600 + 3600

    def _purse(self, caller: Caller) -> str:
        return "repository" if caller.kind == "GITHUB_TOKEN" else caller.login

    def account(self, number: int) -> Record:
        """Return the account of an id, among those that the hub has heard of."""
        logins = {self.owner, *self.state.collaborators, *self.tokens.actors()}
        known = {zlib.crc32(login.encode()): login for login in logins}
        return self.view.user(known.get(number, f"user-{number}"))
