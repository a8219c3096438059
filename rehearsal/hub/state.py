"""What the hub knows: plain records, as tests look at them."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Container
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rehearsal.event import Event

Record = dict[str, Any]


class Events(deque[Event]):
    """What happened and was not taken yet, oldest first."""

    def take(self) -> list[Event]:
        """Return all of it, once."""
        taken = []
        while self:
            taken.append(self.popleft())
        return taken


@dataclass
class State:
    """Everything but the git repository.

    The records have the keys that GitHub's API gives them (``title``, ``body``,
    ``state``), but labels are names and users are logins.

    Parameters
    ----------
    private : bool
    plan : {"free", "pro", "team", "enterprise"}
    clock : callable
        Gives the time of what is recorded.
    """

    private: bool = False
    plan: str = "free"
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    repository: Record = field(default_factory=dict)
    collaborators: dict[str, str] = field(default_factory=dict)
    # Whether an organisation owns the repository, and what its teams may do here.
    of_organization: bool = False
    teams: dict[str, str] = field(default_factory=dict)
    issues: dict[int, Record] = field(default_factory=dict)
    pulls: dict[int, Record] = field(default_factory=dict)
    thread_comments: dict[int, Record] = field(default_factory=dict)
    labels: dict[str, Record] = field(default_factory=dict)
    releases: dict[int, Record] = field(default_factory=dict)
    assets: dict[int, Record] = field(default_factory=dict)
    deployments: dict[int, Record] = field(default_factory=dict)
    environments: dict[str, Record] = field(default_factory=dict)
    dispatches: list[Record] = field(default_factory=list)
    runs: dict[int, Record] = field(default_factory=dict)
    artifacts: dict[int, Record] = field(default_factory=dict)
    check_runs: dict[int, Record] = field(default_factory=dict)
    statuses: list[Record] = field(default_factory=list)
    rulesets: dict[int, Record] = field(default_factory=dict)
    variables: dict[str, Record] = field(default_factory=dict)
    # Those that an organisation lets the repository use.
    organization_variables: dict[str, Record] = field(default_factory=dict)
    pages: Record | None = None
    page_deployments: list[Record] = field(default_factory=list)
    attestations: list[Record] = field(default_factory=list)
    advisories: list[Record] = field(default_factory=list)
    # What GitHub knows of a workflow besides its file: created_at, state.
    workflows: dict[str, Record] = field(default_factory=dict)
    actions: Record = field(
        default_factory=lambda: {"enabled": True, "allowed_actions": "all"}
    )
    selected_actions: Record = field(
        default_factory=lambda: {
            "github_owned_allowed": True,
            "verified_allowed": False,
            "patterns_allowed": [],
        }
    )
    workflow_permissions: Record = field(
        default_factory=lambda: {
            "default_workflow_permissions": "read",
            "can_approve_pull_request_reviews": False,
        }
    )
    immutable_releases: bool = False
    # A tag of an immutable release stays taken, whatever becomes of the release.
    burnt_tags: set[str] = field(default_factory=set)
    _ids: Any = field(default_factory=lambda: itertools.count(1001))
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def default_branch(self) -> str:
        """The name of the default branch."""
        return str(self.repository.get("default_branch", "main"))

    def adopt(self, other: State, besides: Container[str] = ()) -> None:
        """Take over what another state holds, as copies; ids and numbers go on.

        Parameters
        ----------
        other : State
        besides : container of str
            The fields that stay as they are.
        """
        kept = ("clock", "_ids", "_numbers")
        for name, value in vars(other).items():
            if name not in kept and name not in besides:
                setattr(self, name, deepcopy(value))
        self._ids = itertools.count(other.new_id())
        threads = len(other.issues) + len(other.pulls)
        self._numbers = itertools.count(threads + 1)

    def now(self) -> str:
        """Return the time as the API writes it."""
        return self.clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def new_id(self) -> int:
        """Return an id that nothing has."""
        return int(next(self._ids))

    def new_number(self) -> int:
        """Return the next number; issues and pull requests share them."""
        return int(next(self._numbers))

    def stamped(self, record: Record) -> Record:
        """Return a record with an id and the time."""
        now = self.now()
        return {"id": self.new_id(), "created_at": now, "updated_at": now, **record}

    def touch(self, record: Record, **changes: Any) -> bool:
        """Change a record; say whether that made a difference."""
        changed = any(record.get(key) != value for key, value in changes.items())
        if changed:
            record.update(changes, updated_at=self.now())
        return changed

    def comments(self, number: int) -> list[Record]:
        """Return the comments of an issue or pull request, in order."""
        return [c for c in self.thread_comments.values() if c["number"] == number]

    def thread(self, number: int) -> Record | None:
        """Return the issue or pull request of a number."""
        return self.issues.get(number) or self.pulls.get(number)

    def assets_of(self, release: int) -> list[Record]:
        """Return the assets of a release, in order of upload."""
        return [a for a in self.assets.values() if a["release"] == release]
