"""Where a command runs: the project, the actor, the release store, the clock."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.cli.actions_env import event, in_actions
from mlops.cli.app import ORIGIN_SECONDS
from mlops.cli.output import progress
from mlops.errors import EnvironmentFailure, UsageError
from mlops.github import client
from mlops.io.git import GitError, git, require_repository

if TYPE_CHECKING:
    from mlops.config.project import Project
    from mlops.storage.protocol import ReleaseStore


@dataclass(frozen=True)
class Context:
    """Where a command runs, and who runs it.

    Parameters
    ----------
    project : Project
    """

    project: Project

    @property
    def actor(self) -> str:
        """GitHub handle (`@name`) in a workflow, git's user elsewhere.

        A calendar is nobody's act, though GitHub names whoever wrote it: they may approve what it
        trains.
        """
        if _by_calendar():
            return "@github-actions[bot]"
        name = os.environ.get("GITHUB_ACTOR")
        return f"@{name}" if name else git_user(self.project.root)

    @property
    def decider(self) -> str:
        """Who decides: the actor, but of a run that is run again whoever started that."""
        again = os.environ.get("GITHUB_TRIGGERING_ACTOR")
        return f"@{again}" if again and not _by_calendar() else self.actor

    @property
    def pull_request(self) -> int | None:
        """The number of the pull request that a workflow runs for."""
        found = re.fullmatch(r"refs/pull/(\d+)/\w+", os.environ.get("GITHUB_REF", ""))
        return int(found[1]) if found else None

    @property
    def run_url(self) -> str | None:
        """The page of a workflow's run."""
        parts = [
            os.environ.get(f"GITHUB_{key}")
            for key in ("SERVER_URL", "REPOSITORY", "RUN_ID")
        ]
        return "{}/{}/actions/runs/{}".format(*parts) if all(parts) else None

    @property
    def store(self) -> ReleaseStore:
        """Where releases lie."""
        return release_store(self.project)

    def now(self) -> datetime:
        """Return the present time, or that of SOURCE_DATE_EPOCH (for reproducible output)."""
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)

    def catch_up(self) -> None:
        """Fetch origin's tags: what was delivered there is in no branch. A job has its checkout's.

        Where origin cannot be reached, say so and go on with what is here.
        """
        from mlops.registry.tag_writes import sync

        require_repository(self.project.root)
        try:
            if not in_actions():
                sync(self.project.root, seconds=ORIGIN_SECONDS)
        except EnvironmentFailure:
            progress()("note: origin cannot be reached; this is what is known here")


def current_context(fetch: bool = False) -> Context:
    """Return where this is: in a project; with `fetch`, one that has caught up with its origin."""
    from mlops.config.project import Project

    at = Context(Project.find())
    if fetch:
        at.catch_up()
    return at


def _by_calendar() -> bool:
    return os.environ.get("GITHUB_EVENT_NAME") == "schedule"


def git_user(root: Path) -> str:
    """Return git's user name, or the system's."""
    try:
        return git(root, "config", "user.name")
    except GitError:
        return os.environ.get("USER") or os.environ.get("USERNAME") or "unknown"


def attests() -> bool:
    """Return whether GitHub signs what is released; the variable ATTESTATIONS (on, off) knows best.

    It does in public repositories; in private ones on Enterprise Cloud alone, on no server of
    one's own (whose API is below /api/v3).
    """
    private = event().get("repository", {}).get("private", False)
    server = os.environ.get("GITHUB_API_URL", "").endswith("/api/v3")
    said = os.environ.get("ATTESTATIONS")
    return said == "on" or (said != "off" and not private and not server)


def require_pushed(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Return the warnings of the journal; WorldError where what was written goes with this job."""
    from mlops.runlog.journal import NOT_PUSHED

    if in_actions() and NOT_PUSHED in warnings:
        do = "run this job again: what is done is not done twice"
        raise EnvironmentFailure("origin did not take the journal", do=do)
    return warnings


def release_store(project: Project) -> ReleaseStore:
    """Return where releases lie: on GitHub in a job and where origin is there, else in a folder."""
    from mlops.storage.folder import FolderStore
    from mlops.storage.github_releases import GitHubStore

    name = client.here(project.root)
    return (
        GitHubStore(client.repository(name=name))
        if name
        else FolderStore(project.store)
    )


def registry_of(source: str | None, model: str) -> tuple[Path, ReleaseStore, Path]:
    """Return where a registry's tags and releases are, and the folder for what is pulled from it.

    Parameters
    ----------
    source : str, optional
        Another repository: its folder, ``OWNER/REPO`` on GitHub, or the address of that.
    """
    from mlops.config.project import Project
    from mlops.registry.mirror import mirror
    from mlops.storage.folder import FolderStore
    from mlops.storage.github_releases import GitHubStore

    if source is None:
        at = current_context(fetch=True)
        return at.project.root, at.store, at.project.root / "build" / "pulled"
    if Path(source).is_dir():
        project = Project.find(Path(source))
        return project.root, FolderStore(project.store), Path()
    name = source.removeprefix(f"{client.server()}/").removesuffix(".git")
    if not client.NAME.fullmatch(name):
        allowed = "a folder that is there, OWNER/REPO on GitHub, or the address of that"
        raise UsageError(
            "not a repository", key="--from", found=source, allowed=allowed
        )
    root = mirror(client.address(name), name, model)
    return root, GitHubStore(client.repository(name=name)), Path()
