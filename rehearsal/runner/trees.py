"""Commits of the hub's repository, as GitHub looks up the workflows of an event."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.event import Event

# Read at the commit that the event is about; all others, at the default branch.
OF_THEIR_COMMIT = ("push", "pull_request", "merge_group", "workflow_dispatch")
# The machine's own settings of git have no say.
ENVIRONMENT = {"HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}


@dataclass(frozen=True)
class Trees:
    """Work trees of a bare repository.

    Parameters
    ----------
    origin : Path
        The repository.
    root : Path
        Where the trees are kept, one for each commit.
    """

    origin: Path
    root: Path

    def placed(self, event: Event) -> Event:
        """Return an event with what GITHUB_REF and GITHUB_SHA will be."""
        if event.name in OF_THEIR_COMMIT:
            sha = event.sha or self.git("rev-parse", f"{event.ref}^{{commit}}")
            return replace(event, sha=sha)
        ref = f"refs/heads/{self.default_branch}"
        return replace(event, ref=ref, sha=self.git("rev-parse", f"{ref}^{{commit}}"))

    @property
    def default_branch(self) -> str:
        """As HEAD of the repository says."""
        return self.git("symbolic-ref", "--short", "HEAD")

    def git(self, *arguments: str) -> str:
        """Return what a git command says of the repository.

        Raises
        ------
        RehearsalError
            When it fails.
        """
        command = ["git", "--git-dir", str(self.origin), *arguments]
        environment = ENVIRONMENT | {"PATH": os.environ["PATH"]}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise RehearsalError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def tree(self, sha: str) -> Path:
        """Return a work tree of a commit that holds its .github and no more."""
        folder = self.root / sha
        if folder.exists():
            return folder
        making = folder.with_name(f"{sha}.new")
        self.git(
            "clone",
            "--quiet",
            "--shared",
            "--no-checkout",
            str(self.origin),
            str(making),
        )
        inside = [f"--git-dir={making}/.git", f"--work-tree={making}"]
        self.git(*inside, "update-ref", "--no-deref", "HEAD", sha)
        if self.git(*inside, "ls-tree", sha, ".github"):
            self.git(*inside, "checkout", "--quiet", sha, "--", ".github")
        making.rename(folder)
        return folder
