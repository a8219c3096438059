"""What lies on the disk: files, written atomically, their digests, and git as a subprocess."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlops import Problem, UsageError, WorldError

_ADVICE = {
    errno.ENOSPC: "free some disk space and run the command again; nothing was half written",
    errno.EACCES: "make the folder writable for you, or run in a copy that you own",
    errno.EPERM: "make the folder writable for you, or run in a copy that you own",
    errno.EROFS: "the file system is mounted read-only: run in a writable copy",
}

# What is no number in JSON is a mistake of whoever writes it, not a file that others cannot read.
_JSON: dict[str, Any] = {"sort_keys": True, "ensure_ascii": False, "allow_nan": False}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that takes its place only when the block succeeds.

    Raises
    ------
    WorldError
        When the disk is full, the folder is read-only or not ours; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with reaching("write", path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def reaching(verb: str, path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into an error that says which file and what to do."""
    try:
        yield
    except OSError as error:
        raise cannot(verb, path, error) from error


def cannot(verb: str, path: Path, error: OSError) -> WorldError:
    """Return the error for an operation that the operating system refused."""
    return WorldError(
        f"cannot {verb} this file: {(error.strerror or str(error)).lower()}",
        file=str(path),
        do=_ADVICE.get(error.errno or 0, "look at the path and its permissions"),
    )


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_folder(files: Mapping[str, bytes], out: Path, mark: tuple[str, str]) -> None:
    """Write a folder, as a whole, where nothing or an older one is.

    The older one is known by its `mark`: a file, and words that this begins with.

    Raises
    ------
    UsageError
        Where something else is, which would be lost.
    """
    known, out = out / mark[0], out.resolve()
    ours = known.is_file() and mark[1] in known.read_text("utf-8", "replace")[:2000]
    if out.exists() and not ours and not (out.is_dir() and not any(out.iterdir())):
        do = "name a folder that is not there yet"
        raise UsageError("something else is here", file=str(out), do=do)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        new, old = Path(temporary, "new"), Path(temporary, "old")
        for name, content in files.items():
            write_bytes(new / name, content)
        if out.exists():
            out.rename(old)
        new.rename(out)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically, with the line ends of Unix on every system."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, sorted and indented so that it can be read and compared."""
    write_text(path, json.dumps(value, indent=2, **_JSON) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    WorldError
        When it is missing or is not JSON (cut short by another program, say).
    """
    try:
        with reaching("read", path):
            return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        what, do = f"this file is not JSON: {error}", "delete it and run again"
        raise WorldError(what, file=str(path), do=do) from error


def canonical_json(value: Any) -> bytes:
    """Return the one byte string that stands for a JSON value, for digests."""
    return json.dumps(value, separators=(",", ":"), **_JSON).encode("utf-8")


def sha256(content: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, never all of it in memory."""
    with reaching("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pieces(path: Path, start: int = 0) -> Iterator[bytes]:
    """Yield the content of a file from a byte on, in pieces of 1 MiB."""
    with path.open("rb") as file:
        file.seek(start)
        while piece := file.read(1 << 20):
            yield piece


def digest_of(paths: Iterable[Path], root: Path) -> str:
    """Return one digest over the names (relative to `root`) and contents of some files."""
    names = sorted((path.relative_to(root).as_posix(), sha256_file(path)) for path in paths)
    return sha256(canonical_json(names))


# -- git ---------------------------------------------------------------------------------------


class GitError(WorldError):
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
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(env or {})}
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
        raise WorldError("git is not installed", do="install git and try again") from error
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
    out = git(root, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
    return sorted(entry[3:] for entry in out.split("\0") if entry)


def has_remote(root: Path) -> bool:
    """Return whether the repository has an origin."""
    return "origin" in git(root, "remote").split()
