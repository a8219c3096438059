"""The edge of the process: who runs this, where, what time it is, and where releases lie."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlops import git

if TYPE_CHECKING:
    from mlops.project import Project
    from mlops.registry.store import ReleaseStore


def utc_now() -> datetime:
    """Return the present time, or that of SOURCE_DATE_EPOCH (for reproducible output)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)


@dataclass(frozen=True)
class Context:
    """Where a command runs.

    Parameters
    ----------
    actor : str
        GitHub handle (`@name`) in a workflow, git's user elsewhere.
    now : callable
        Returns the present time with zone.
    pull_request : int, optional
    run_url : str, optional
    """

    actor: str
    now: Callable[[], datetime] = utc_now
    pull_request: int | None = None
    run_url: str | None = None

    @classmethod
    def here(cls, root: Path) -> Context:
        """Read the environment that GitHub Actions sets, or git's configuration."""
        env = os.environ
        pull = re.fullmatch(r"refs/pull/(\d+)/\w+", env.get("GITHUB_REF", ""))
        parts = [env.get(f"GITHUB_{key}", "") for key in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
        return cls(
            actor=f"@{env['GITHUB_ACTOR']}" if env.get("GITHUB_ACTOR") else git_user(root),
            pull_request=int(pull[1]) if pull else None,
            run_url=f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else None,
        )


def git_user(root: Path) -> str:
    """Return git's user name, or the system's."""
    try:
        return git.git(root, "config", "user.name")
    except git.GitError:
        return os.environ.get("USER") or os.environ.get("USERNAME") or "unknown"


def in_actions() -> bool:
    """Return whether this is a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def release_store(project: Project) -> ReleaseStore:
    """Return where releases lie: on GitHub where GITHUB_REPOSITORY is set, else in a folder."""
    if os.environ.get("GITHUB_REPOSITORY"):
        from mlops.github.client import repository
        from mlops.github.store import GitHubStore

        return GitHubStore(repository())
    from mlops.registry.store import FolderStore

    return FolderStore(project.store)
