"""Newer locks as a patch, and what one pull request says of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from mlops.errors import EnvironmentFailure, listed
from mlops.io.digests import sha256
from mlops.io.git import GitError, git, git_bytes

BRANCH = "lock-update"
_FOLDER = "requirements"
_ALL = f"{_FOLDER}/all.txt"  # every other file takes its versions

_FILE = re.compile(rf"{_FOLDER}/[a-z]+\.txt")
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)", re.MULTILINE)


class LockUpdate(NamedTuple):
    """What is newer in the locks.

    Parameters
    ----------
    digest : str
        SHA-256 of the lock of everything, as it becomes.
    files : list of str
    changes : list of str
        Such as ``pandas 3.0.5 → 3.0.6``.
    before, after : dict
        The versions of each package; several where platforms differ.
    """

    digest: str
    files: list[str]
    changes: list[str]
    before: dict[str, list[str]]
    after: dict[str, list[str]]

    @property
    def branch(self) -> str:
        """The branch of its pull request."""
        return BRANCH

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return f"Newer versions of {len(self.changes)} libraries"

    @property
    def marker(self) -> str:
        """What a text about it begins with."""
        return f"<!-- mlops: lock {self.digest} -->"


def apply_locks(root: Path, patch: bytes) -> LockUpdate:
    """Bring newer locks into the work tree, staged.

    Parameters
    ----------
    patch : bytes
        What ``git diff`` printed after ``make lock``. It is data of a job that may have
        run anybody's code: nothing but locks may change.

    Raises
    ------
    EnvironmentFailure
        Where the patch does not fit, or changes something else.
    """
    try:
        git_bytes(root, "apply", "--index", "--whitespace=nowarn", "-", stdin=patch)
    except GitError as error:
        raise EnvironmentFailure(
            "the patch does not fit", do="run the workflow again"
        ) from error
    listing = git(root, "diff", "--cached", "--name-only", "--no-renames", "-z", "HEAD")
    files = sorted(filter(None, listing.split("\0")))
    others = [path for path in files if not _FILE.fullmatch(path)]
    if others:
        raise EnvironmentFailure(
            "the patch changes more than locks",
            found=listed(others),
            allowed=f"files of {_FOLDER}/",
            do="look at what the job `compile` ran",
        )
    before = _pins(git(root, "show", f"HEAD:./{_ALL}"))
    content = git(root, "show", f":./{_ALL}")
    after = _pins(content)
    digest = sha256(content.encode())
    return LockUpdate(digest, files, _changes(before, after), before, after)


def _pins(lock: str) -> dict[str, list[str]]:
    """Return the versions of each package; several where platforms differ."""
    pins: dict[str, list[str]] = {}
    for name, version in _PIN.findall(lock):
        pins.setdefault(name, []).append(version)
    return pins


def _changes(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    changes = []
    for name in sorted(before.keys() | after.keys()):
        old = " and ".join(before.get(name, []))
        new = " and ".join(after.get(name, []))
        if old == new:
            continue
        if not old:
            changes.append(f"{name} {new} is new")
        elif not new:
            changes.append(f"{name} {old} is gone")
        else:
            changes.append(f"{name} {old} → {new}")
    return changes
