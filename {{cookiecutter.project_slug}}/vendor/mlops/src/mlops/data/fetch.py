"""Data from elsewhere: looked at, read once, and named in a lock for all jobs of a run.

A lock names every object with its size, version and digest; the copies lie beside it,
named by their content. What did not change is not read again. An object that changes
while it is read is noticed by its version, and half an object by its size.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TypeVar

from mlops import settings
from mlops.config.fields import without_secrets
from mlops.data.elsewhere import Found, Opener, OutOfReach, Store, opener
from mlops.data.sources import COMPRESSED, copies
from mlops.errors import EnvironmentFailure, UsageError, counted, megabytes
from mlops.io.digests import sha256, sha256_file
from mlops.io.files import reaching
from mlops.results.data import LockedObject, SourceLock

Say = Callable[[str], None]

Outcome = TypeVar("Outcome")

ATTEMPTS = 2  # a bucket's SDK makes two of each

_SILENT_SECONDS = 2.0  # what takes longer says how far it is


class ChangedMeanwhile(EnvironmentFailure):
    """An object is not the one any more that was listed."""


@dataclass(frozen=True)
class Fetching:
    """How data are fetched.

    Parameters
    ----------
    now : datetime
        What the lock says when it was read.
    say : callable
        Takes one line of progress.
    open_store : callable
        Returns the store of an address.
    sleep, clock : callable
        Wait for some seconds; return the seconds of a clock.
    """

    now: datetime
    say: Say = lambda line: None
    open_store: Opener = opener
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


def look(patterns: Mapping[str, str], how: Fetching) -> SourceLock:
    """Return what there is, without reading any of it: a lock without digests.

    Parameters
    ----------
    patterns : mapping of str to str
        Addresses by key of model.yaml.
    how : Fetching

    Raises
    ------
    OutOfReach
        Where a store does not answer, twice.
    UsageError
        Where no object matches.
    EnvironmentFailure
        Where a store refuses.
    """
    objects = []
    for key, pattern in patterns.items():
        store = how.open_store(pattern)
        found = _again(how, store.look)
        if not found:
            raise UsageError(
                "no object matches",
                key=key,
                found=without_secrets(pattern),
                do="put the data there, check that the bucket exists, or fix "
                f"{key} in model.yaml",
            )
        for one in found:
            if one.size == 0:
                raise UsageError("this object is empty", file=one.address, key=key)
            objects.append(
                LockedObject(
                    key=key, address=one.address, size=one.size, version=one.version
                )
            )
    return SourceLock(
        patterns={key: sha256(text.encode()) for key, text in patterns.items()},
        read_at=how.now.isoformat(timespec="seconds"),
        objects=tuple(objects),
    )


def fetch(patterns: Mapping[str, str], build: Path, how: Fetching) -> SourceLock:
    """Read what there is, and write lock and copies.

    Where a store is out of reach, what was last read still serves: the lock that is
    returned says so in its note.

    Parameters
    ----------
    patterns : mapping of str to str
        Addresses by key of model.yaml.
    build : Path
        Folder for the lock, and for the folder of copies.
    how : Fetching

    Raises
    ------
    OutOfReach
        Where a store does not answer and nothing of these patterns was read before.
    UsageError, EnvironmentFailure
        As `look`, and where an object changes while it is read.
    """
    earlier = _earlier(build)
    try:
        try:
            return _read_all(look(patterns, how), patterns, build, earlier, how)
        except ChangedMeanwhile:
            return _read_all(look(patterns, how), patterns, build, earlier, how)
    except OutOfReach as error:
        if earlier is None or not _serves(earlier, patterns, build):
            raise
        note = (
            f"{error.problems[0].file} could not be reached: these are the rows that "
            f"were read at {earlier.read_at}"
        )
        how.say(f"note: {note}")
        lock = earlier.model_copy(update={"note": note})
        lock.save(build)
        return lock


def _earlier(build: Path) -> SourceLock | None:
    """Return the lock that an earlier run left; None where there is none to be read."""
    if not (build / SourceLock.FILE).is_file():
        return None
    try:
        return SourceLock.load(build)
    except EnvironmentFailure:
        return None


def _serves(lock: SourceLock, patterns: Mapping[str, str], build: Path) -> bool:
    """Return whether a lock is of these patterns, and its copies are intact."""
    now = {key: sha256(text.encode()) for key, text in patterns.items()}
    if lock.patterns != now:
        return False
    return all(_is_intact(one, build) for one in lock.objects)


def _is_intact(one: LockedObject, build: Path) -> bool:
    """Return whether the copy of an object is there, byte for byte."""
    path = copies(build) / one.file
    return bool(one.file) and path.is_file() and sha256_file(path) == one.sha256


def _read_all(
    seen: SourceLock,
    patterns: Mapping[str, str],
    build: Path,
    earlier: SourceLock | None,
    how: Fetching,
) -> SourceLock:
    """Read what is not here yet, write the lock, and remove what it does not name."""
    known = {one.state: one for one in earlier.objects} if earlier else {}
    stores = {key: how.open_store(text) for key, text in patterns.items()}
    progress = _Progress(how, sum(max(one.size, 0) for one in seen.objects))
    objects = []
    for one in seen.objects:
        same = known.get(one.state)
        if one.version and same is not None and _is_intact(same, build):
            objects.append(same.model_copy(update={"key": one.key}))
            progress.add(one.size)
        else:
            objects.append(_read(one, stores[one.key], build, how, progress))
    progress.close(len(objects))
    lock = seen.model_copy(update={"objects": tuple(objects)})
    lock.save(build)
    named = {one.file for one in objects}
    for path in copies(build).iterdir():
        if path.name not in named:
            with reaching("remove", path):
                path.unlink()
    return lock


def _read(
    one: LockedObject, store: Store, build: Path, how: Fetching, progress: _Progress
) -> LockedObject:
    """Read an object, and return it with digest, size and the name of its copy."""
    found = Found(one.address, one.size, one.version)

    def attempt() -> LockedObject:
        part = copies(build) / f".{sha256(one.address.encode())[:16]}.part"
        try:
            with reaching("write", part):
                part.parent.mkdir(parents=True, exist_ok=True)
                digest, size = _copy(store, found, part, progress)
            _require_whole(one, size)
            _require_unchanged(store, found)
            name = f"{digest}{_ending(one.address)}"
            with reaching("write", part):
                os.replace(part, part.with_name(name))
        finally:
            part.unlink(missing_ok=True)
        return one.model_copy(update={"sha256": digest, "size": size, "file": name})

    return _again(how, attempt)


def _copy(
    store: Store, found: Found, path: Path, progress: _Progress
) -> tuple[str, int]:
    """Write an object to a file; return its SHA-256 and its size."""
    digest = hashlib.sha256()
    size = 0
    with path.open("wb") as out:
        for piece in store.read(found):
            out.write(piece)
            digest.update(piece)
            size += len(piece)
            progress.add(len(piece))
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest(), size


def _require_whole(one: LockedObject, size: int) -> None:
    """Raise OutOfReach where fewer or more bytes came than the store said."""
    if one.size in (-1, size):
        return
    raise OutOfReach(
        "this object broke off while it was read",
        file=one.address,
        found=f"{size:,} bytes",
        allowed=f"{one.size:,}",
        do="run it again",
    )


def _require_unchanged(store: Store, found: Found) -> None:
    """Raise ChangedMeanwhile where an object is another than the one that was listed.

    A store without versions leaves that to its size.
    """
    if not found.version or store.version(found) == found.version:
        return
    raise ChangedMeanwhile(
        "this object changed while it was read",
        file=found.address,
        do="write an object once, under a new name, or run this when nothing writes",
    )


def _ending(address: str) -> str:
    """Return the end of an object's name, which says how it is written."""
    ends = PurePosixPath(address).suffixes[-2:]
    if ends and ends[-1] not in COMPRESSED:
        ends = ends[-1:]
    return "".join(ends)


def _again(how: Fetching, action: Callable[[], Outcome]) -> Outcome:
    """Do an action, and again where a store is out of reach."""
    for attempt in range(1, ATTEMPTS):
        try:
            return action()
        except OutOfReach:
            how.sleep(settings.current().retry_seconds * 2.0 ** (attempt - 1))
    return action()


class _Progress:
    """Says how far reading is, where it takes long."""

    def __init__(self, how: Fetching, total: int) -> None:
        self._how = how
        self._total = total
        self._done = 0
        self._begun = how.clock()
        self._last = self._begun

    def add(self, size: int) -> None:
        """Count bytes that were read, and show them from time to time."""
        self._done += size
        now = self._how.clock()
        if now - self._last >= _SILENT_SECONDS:
            self._last = now
            self._how.say(f"{megabytes(self._done)} of {megabytes(self._total)} …")

    def close(self, objects: int) -> None:
        """Say what was read, where it took long."""
        seconds = self._how.clock() - self._begun
        if seconds >= _SILENT_SECONDS:
            self._how.say(
                f"read {counted(objects, 'object')}, {megabytes(self._done)}, "
                f"in {seconds:.0f} s"
            )
