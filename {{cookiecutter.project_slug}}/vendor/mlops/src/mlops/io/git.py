"""git as a subprocess, the same whatever the user's configuration says."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from mlops import settings
from mlops.errors import EnvironmentFailure, Problem, UsageError

log = logging.getLogger("mlops.git")

LOCAL_SECONDS = 600.0  # for a command that works on this disk alone

NETWORK_SECONDS = (
    60.0  # for a remote that says nothing; while it speaks, it may take longer
)

PATIENCE_SECONDS = 2.0  # then we say what is being waited for

# What these settings change would change what we read or write. Left to the user: who
# they are and how they sign, where a remote is (`url.*.insteadOf`), how it is reached
# and with which credentials, and `safe.directory`.
_OVERRIDES = {
    "advice.defaultBranchName": "false",
    "color.transport": "false",
    "color.ui": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.quotePath": "true",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
    "diff.orderFile": os.devnull,
    "diff.relative": "false",
    "fetch.output": "full",
    "fetch.prune": "false",
    "fetch.pruneTags": "false",
    "fetch.recurseSubmodules": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": f"{NETWORK_SECONDS / 2:.0f}",
    "i18n.commitEncoding": "utf-8",
    "i18n.logOutputEncoding": "utf-8",
    "log.showSignature": "false",
    "push.followTags": "false",
    "push.gpgSign": "false",
    "push.recurseSubmodules": "no",
    "submodule.recurse": "false",
}

# git sets these for its hooks. A command that is run in one is about the folder that it
# names.
_OF_HOOKS = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
)


class GitError(EnvironmentFailure):
    """A git command failed; `stderr` holds its message."""

    def __init__(self, arguments: tuple[str, ...], stderr: str) -> None:
        self.stderr = stderr.strip()
        lines = self.stderr.splitlines()
        command = f"`git {' '.join(arguments[:3])}` failed"
        if _DUBIOUS in self.stderr:
            message = f"{command}: {lines[0]}"
            advice = " ".join(line.strip() for line in lines[1:] if line.strip())
            super().__init__(Problem(message, do=advice))
            return
        if archived(self.stderr):
            message = f"{command}: origin is archived, and only reads"
            super().__init__(Problem(message, do=UNARCHIVE))
            return
        last = lines[-1] if lines else "no message"
        super().__init__(Problem(f"{command}: {last}"))


_DUBIOUS = "dubious ownership"

UNARCHIVE = "unarchive it (Settings, General, Danger Zone)"


def archived(refusal: str) -> bool:
    """Return whether GitHub refused something because a repository is archived.

    To git it says this as a line of the server, to a request of the API as a message.
    """
    return "was archived so" in refusal


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
    EnvironmentFailure
        When git is not installed.
    """
    limit = LOCAL_SECONDS if seconds is None else seconds
    with _started(root, arguments, stdin is not None, env) as process:
        try:
            out, err = process.communicate(stdin, timeout=limit)
        except subprocess.TimeoutExpired as error:
            _stop(process)
            raise GitError(arguments, _no_answer(limit)) from error
        except BaseException:
            _stop(process)
            raise
    if process.returncode:
        raise GitError(arguments, err.decode("utf-8", "replace"))
    return out


def git(root: Path, *arguments: str, stdin: str | None = None, **how: Any) -> str:
    """Run a git command as `git_bytes` does; return text, without the last newline."""
    content = stdin.encode() if stdin is not None else None
    out = git_bytes(root, *arguments, stdin=content, **how)
    return out.decode("utf-8", "replace").removesuffix("\n")


def git_remote(
    root: Path,
    *arguments: str,
    env: dict[str, str] | None = None,
    seconds: float | None = None,
) -> str:
    """Run a git command that asks a remote; return its output as text.

    The limit is on silence: a large transfer that reports its progress may take its
    time. A command that is stopped cleans up after itself, and can be run again.

    Parameters
    ----------
    seconds : float, optional
        So long the remote may say nothing; `NETWORK_SECONDS` unless given.

    Raises
    ------
    GitError
        When the command fails, or the remote says nothing for so long.
    """
    limit = NETWORK_SECONDS if seconds is None else seconds
    if arguments[0] in ("fetch", "push"):
        arguments = (arguments[0], "--progress", *arguments[1:])
    with _started(root, arguments, False, env) as process:
        try:
            out, err = _listen(process, arguments, limit)
        except BaseException:
            _stop(process)
            raise
    text = err.decode("utf-8", "replace")
    if process.returncode:
        raise GitError(arguments, _without_progress(text))
    return out.decode("utf-8", "replace").removesuffix("\n")


def _started(
    root: Path, arguments: tuple[str, ...], fed: bool, env: dict[str, str] | None
) -> subprocess.Popen[bytes]:
    """Start git, independent of the user's configuration and environment."""
    environment = dict(settings.current().environment)
    for name in _OF_HOOKS:
        environment.pop(name, None)
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    environment |= env or {}
    options = []
    for key, value in _OVERRIDES.items():
        options += ["-c", f"{key}={value}"]
    try:
        return subprocess.Popen(
            ["git", *options, *arguments],
            cwd=root,
            stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
    except FileNotFoundError as error:
        if not root.is_dir():
            raise
        raise EnvironmentFailure(
            "git is not installed", do="install git and try again"
        ) from error


def _listen(
    process: subprocess.Popen[bytes], arguments: tuple[str, ...], limit: float
) -> tuple[bytes, bytes]:
    """Return what a process writes.

    GitError when it falls silent for longer than the limit.
    """
    begun = time.monotonic()
    last_heard = begun
    heard = 0
    announced = False
    while True:
        try:
            return process.communicate(timeout=min(0.5, limit))
        except subprocess.TimeoutExpired as error:
            now = time.monotonic()
            size = len(error.output or b"") + len(error.stderr or b"")
            if size > heard:
                heard = size
                last_heard = now
            if not announced and now - begun >= PATIENCE_SECONDS:
                log.warning("waiting for the remote (`git %s`) …", arguments[0])
                announced = True
            if now - last_heard >= limit:
                raise GitError(arguments, _no_answer(limit)) from error


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End git: asked kindly it removes its locks and ends its helpers.

    Else it is killed.
    """
    process.terminate()
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None and not pipe.closed:
            pipe.close()


def _no_answer(limit: float) -> str:
    return f"no answer within {limit:g} seconds"


def _without_progress(text: str) -> str:
    """Return the lines of a message that are not progress.

    Those end in a carriage return.
    """
    lines = (line.rpartition("\r")[2] for line in text.split("\n"))
    return "\n".join(line for line in lines if not line.startswith("remote: Counting"))


def is_repository(root: Path) -> bool:
    """Return whether `root` lies in a git work tree.

    Raises
    ------
    GitError
        Where git cannot tell: it does not trust the folder's owner, for instance.
    """
    try:
        return git(root, "rev-parse", "--is-inside-work-tree") == "true"
    except GitError as error:
        if "not a git repository" in error.stderr:
            return False
        raise


def hooks_folder(root: Path) -> Path:
    """Return the folder in which git looks for the user's hooks.

    Our own commands run none, so that the setting is asked of the files it is in.
    """
    arguments = ("--show-scope", "--get-all", "--type=path", "core.hooksPath")
    try:
        lines = git(root, "config", *arguments).splitlines()
    except GitError:  # it is set nowhere
        lines = []
    values = [line.split("\t", 1) for line in lines]
    set_by_user = [value for scope, value in values if scope != "command"]
    if set_by_user:
        top = Path(git(root, "rev-parse", "--show-toplevel"))
        return top / set_by_user[-1]
    common = git(root, "rev-parse", "--git-common-dir")
    return root / common / "hooks"


def _is_bare(root: Path) -> bool:
    """Return whether `root` is a repository without a work tree."""
    try:
        return git(root, "rev-parse", "--is-bare-repository") == "true"
    except GitError:
        return False


def require_repository(root: Path) -> None:
    """Raise UsageError unless `root` is in a work tree with at least one commit."""
    if not is_repository(root):
        if _is_bare(root):
            raise UsageError(
                "this is a bare git repository: it has no files to work with",
                file=str(root),
                do=f"clone it, and work in the clone: `git clone {root}`",
            )
        raise UsageError(
            "this folder is not a git repository; the registry lives in git",
            file=str(root),
            do="`git init -b main && git add -A && git commit -m 'First commit'`",
        )
    if head(root) is None:
        raise UsageError(
            "this git repository has no commit yet",
            file=str(root),
            do="commit your files",
        )


def head(root: Path) -> str | None:
    """Return the commit that is checked out, or None where there is none."""
    try:
        return git(root, "rev-parse", "--verify", "-q", "HEAD")
    except GitError:
        return None


def is_ancestor(root: Path, older: str, newer: str) -> bool:
    """Return whether a commit is in the history of another one, or is that one."""
    try:
        git(root, "merge-base", "--is-ancestor", older, newer)
    except GitError:
        return False
    return True


def changed_files(root: Path) -> list[str]:
    """Return the paths that differ from HEAD or are untracked, sorted.

    Not the ignored ones.

    Paths are relative to the top of the work tree.
    """
    options = ("--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
    out = git(root, "status", *options, "--ignore-submodules=none")
    return sorted(entry[3:] for entry in out.split("\0") if entry)


def has_remote(root: Path) -> bool:
    """Return whether the repository has an origin."""
    return "origin" in git(root, "remote").split()
