"""git as a subprocess."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from mlops import settings
from mlops.errors import EnvironmentFailure, Problem, UsageError

# -- git ---------------------------------------------------------------------------------------


class GitError(EnvironmentFailure):
    """A git command failed; `stderr` holds what it said."""

    def __init__(self, arguments: tuple[str, ...], stderr: str) -> None:
        self.stderr = stderr.strip()
        last = self.stderr.splitlines()[-1] if self.stderr else "no message"
        super().__init__(Problem(f"`git {' '.join(arguments[:3])}` failed: {last}"))


def git_bytes(
    root: Path,
    *arguments: str,
    stdin: bytes | None = None,
    env: dict[str, str] | None = None,
    seconds: float | None = None,
) -> bytes:
    """Run a git command in `root` and return exactly what it wrote.

    Raises
    ------
    GitError
        When the command fails, or takes more than so many seconds.
    WorldError
        When git is not installed.
    """
    environment = {
        **settings.current().environment,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        **(env or {}),
    }
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env=environment,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise GitError(arguments, f"no answer within {seconds:.0f} seconds") from error
    except FileNotFoundError as error:
        raise EnvironmentFailure(
            "git is not installed", do="install git and try again"
        ) from error
    if done.returncode:
        raise GitError(arguments, done.stderr.decode("utf-8", "replace"))
    return done.stdout


def git(root: Path, *arguments: str, stdin: str | None = None, **how: Any) -> str:
    """Run a git command as `git_bytes` does; return text, without the last newline."""
    content = stdin.encode() if stdin is not None else None
    out = git_bytes(root, *arguments, stdin=content, **how)
    return out.decode("utf-8", "replace").removesuffix("\n")


def is_repository(root: Path) -> bool:
    """Return whether `root` lies in a git work tree."""
    try:
        return git(root, "rev-parse", "--is-inside-work-tree") == "true"
    except GitError:
        return False


def require_repository(root: Path) -> None:
    """Raise UsageError unless `root` is in a git repository with at least one commit."""
    if not is_repository(root):
        what = "this folder is not a git repository; the registry lives in git"
        do = "`git init -b main && git add -A && git commit -m 'First commit'`"
        raise UsageError(what, file=str(root), do=do)
    if head(root) is None:
        what, do = "this git repository has no commit yet", "commit your files"
        raise UsageError(what, file=str(root), do=do)


def head(root: Path) -> str | None:
    """Return the commit that is checked out, or None where there is none."""
    try:
        return git(root, "rev-parse", "--verify", "-q", "HEAD")
    except GitError:
        return None


def changed_files(root: Path) -> list[str]:
    """Return the paths that differ from HEAD or are untracked, sorted; not the ignored ones."""
    out = git(
        root, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames"
    )
    return sorted(entry[3:] for entry in out.split("\0") if entry)


def has_remote(root: Path) -> bool:
    """Return whether the repository has an origin."""
    return "origin" in git(root, "remote").split()
