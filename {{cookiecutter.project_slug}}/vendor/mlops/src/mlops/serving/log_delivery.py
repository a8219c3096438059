"""Delivering the local prediction log to the place where the monitor reads it.

A service appends lines to files of this machine first. What is complete of them is
written to the place in parts, below the day of the file and named by hour and content:
`predictions/MODEL/DAY/HOUR-DIGEST.WRITER.parquet`. Labels, what a shadow predicted, and
rows that no table holds go as they are: `feedback/MODEL/DAY.HOUR-DIGEST.jsonl`. A part
that is delivered twice is the same file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mlops.errors import MlopsError
from mlops.io.digests import sha256
from mlops.io.files import reaching, write_json
from mlops.io.places import FolderPlace, Place
from mlops.serving.log_backlog import (
    Position,
    folder_of_delivery,
    load_positions,
    local_files,
    save_positions,
    waiting_bytes,
)
from mlops.serving.log_parts import part_of_lines
from mlops.serving.log_reader import PREDICTIONS, stamp
from mlops.serving.log_retention import first_day, forget
from mlops.serving.log_rows import is_prediction, is_stamp, loaded

# A part is at most so many bytes of lines; more of them are several parts.
PART_BYTES = 8 << 20

_MARK_BYTES = 256
_FILE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.([\w-]{1,60}))?\.jsonl")

Lines = list[bytes]


@dataclass(frozen=True)
class Delivered:
    """What became of one attempt to deliver.

    Parameters
    ----------
    rows, parts : int
        That were written to the place.
    waiting : int
        Bytes that were not delivered.
    problem : str
        What stopped it; empty where nothing did.
    """

    rows: int = 0
    parts: int = 0
    waiting: int = 0
    problem: str = ""


class Delivery:
    """Delivers the log of a model.

    Parameters
    ----------
    state : Path
        The state folder, with the local log.
    model : str
    target : Place
        Where the log is to be.
    most : int
        Bytes of the local log beyond which what is delivered is removed, whole files,
        oldest day first. The files of this day and of the one before stay.
    days : int
        What is older is removed, here and in the place; 0: nothing is.
    """

    def __init__(
        self, state: Path, model: str, target: Place, most: int, days: int = 0
    ) -> None:
        self._state = state
        self._model = model
        self._target = target
        self._most = most
        self._days = days
        self._rows = 0
        self._parts = 0

    def deliver(
        self, now: datetime, go_on: Callable[[], bool] = lambda: True
    ) -> Delivered | None:
        """Deliver what is complete; None where another process is at it.

        A place that cannot be written stops it, and nothing is lost: the next attempt
        goes on where this one stopped.

        Parameters
        ----------
        go_on : callable
            Is asked before each part whether there is time for it.
        """
        self._rows = 0
        self._parts = 0
        self._first = ""
        problem = ""
        with only_one(self._state, self._model) as is_ours:
            if not is_ours:
                return None
            try:
                self._all(now, go_on)
                self._make_room(now)
                self._forget(now)
            except MlopsError as error:
                problem = str(error)
            files = local_files(self._state, self._model)
            positions = load_positions(self._state, self._model)
            waiting = waiting_bytes(files.items(), positions)
            done = Delivered(self._rows, self._parts, waiting, problem)
            self._note(done, now)
        return done

    def _all(self, now: datetime, go_on: Callable[[], bool]) -> None:
        """Deliver what is complete of every file."""
        # Nobody appends to files of earlier days: what is unfinished there stays so.
        yesterday = stamp(now - timedelta(days=1))[:10]
        for name, path in local_files(self._state, self._model).items():
            if not _FILE.fullmatch(path.name):
                continue
            is_over = path.name[: len(yesterday)] < yesterday
            for position in self._parts_of(name, path, is_over, go_on):
                positions = load_positions(self._state, self._model)
                positions[name] = position
                self._save(positions)

    def _save(self, positions: dict[str, Position]) -> None:
        """Remember how far files were delivered, those that are still here."""
        files = local_files(self._state, self._model)
        current = {name: one for name, one in positions.items() if name in files}
        save_positions(self._state, self._model, current)

    def _parts_of(
        self, name: str, path: Path, is_over: bool, go_on: Callable[[], bool]
    ) -> Iterator[Position]:
        """Deliver a file part by part; yield what to remember before and after each."""
        position = load_positions(self._state, self._model).get(name, Position())
        with reaching("read", path), path.open("rb") as file:
            if position.mark != _mark(file, position.done):
                position = Position()
            while go_on():
                file.seek(position.done)
                lines = _next_part(file, position, is_over)
                if not lines:
                    return
                end = position.done + sum(map(len, lines))
                yield replace(position, until=end)
                self._write(name, lines)
                position = Position(end, end, _mark(file, end))
                yield position

    def _write(self, name: str, lines: Lines) -> None:
        """Write lines to the place as a part."""
        filled = [line for line in lines if line.strip()]
        sound = [line for line in map(loaded, filled) if isinstance(line, dict)]
        hour = next((h for line in lines if (h := _hour_of(line))), "00")
        digest = sha256(b"".join(lines))[:16]
        folder, _, file = name.rpartition("/")
        match = _FILE.fullmatch(file)
        assert match
        day, writer = match[1], match[2]
        content = None
        if folder.startswith(f"{PREDICTIONS}/"):
            rows = [line for line in sound if is_prediction(line)]
            # Odd lines go as they are: the monitor counts what it leaves out.
            content = part_of_lines(rows) if len(rows) == len(filled) else None
        if content is not None:
            part = f"{day}/{hour}-{digest}.{writer or 'service'}.parquet"
        else:
            ending = f"-{writer}" if writer else ""
            part = f"{day}.{hour}-{digest}{ending}.jsonl"
            content = b"".join(lines)
        self._target.write(f"{folder}/{part}", content)
        self._rows += len(sound)
        self._parts += 1

    def _make_room(self, now: datetime) -> None:
        """Remove files that are delivered, while the local log is too large."""
        yesterday = stamp(now - timedelta(days=1))[:10]
        files = local_files(self._state, self._model)
        positions = load_positions(self._state, self._model)
        sizes = {name: path.stat().st_size for name, path in files.items()}
        for name, path in files.items():
            if sum(sizes.values()) <= self._most:
                return
            is_old = path.name[: len(yesterday)] < yesterday
            if is_old and positions.get(name, Position()).done >= sizes[name]:
                with reaching("remove", path):
                    path.unlink()
                del sizes[name]
                self._save(positions)

    def _forget(self, now: datetime) -> None:
        """Remove what is too old, here and in the place, once a day."""
        first = first_day(now, self._days)
        if not self._days or read_status(self._state, self._model)["first"] == first:
            return
        for where in (FolderPlace(self._state), self._target):
            forget(where, self._model, first)
        self._first = first

    def _note(self, done: Delivered, now: datetime) -> None:
        """Write what the metrics of a service say of its delivery."""
        path = folder_of_delivery(self._state, self._model) / "status.json"
        known = read_status(self._state, self._model)
        facts: dict[str, Any] = {
            "rows": known["rows"] + done.rows,
            "failures": known["failures"] + bool(done.problem),
            "delivered": known["delivered"] if done.problem else now.timestamp(),
            "problem": done.problem,
            "first": self._first or known["first"],
        }
        write_json(path, facts)


def read_status(state: Path, model: str) -> dict[str, Any]:
    """Return what deliveries have done so far, zeros where there was none.

    Returns
    -------
    dict
        ``rows`` that were delivered, ``failures`` to deliver, ``delivered``: when all
        was, in seconds since 1970, ``problem``: of the last attempt, and ``first``: the
        oldest day that was not removed.
    """
    path = folder_of_delivery(state, model) / "status.json"
    known: dict[str, Any] = dict.fromkeys(("rows", "failures", "delivered"), 0)
    known.update(problem="", first="")
    if path.is_file():
        found = loaded(path.read_bytes())
        if isinstance(found, dict):
            known.update((key, found[key]) for key in known if key in found)
    return known


@contextmanager
def only_one(state: Path, model: str) -> Iterator[bool]:
    """Yield whether no other process of this machine delivers the log meanwhile."""
    folder = folder_of_delivery(state, model)
    with reaching("lock", folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
    try:
        yield True
    finally:
        lock.release()


def _next_part(file: Any, position: Position, is_over: bool) -> Lines:
    """Return the lines of the next part: of one hour and version, complete ones.

    Where a part was begun and its end is not known to be in the place, the same lines.
    """
    if position.until > position.done:
        content: bytes = file.read(position.until - position.done)
        return content.splitlines(keepends=True)
    lines: Lines = []
    size = 0
    group = ""
    while size < PART_BYTES:
        line: bytes = file.readline()
        if not line or (not line.endswith(b"\n") and not is_over):
            break
        of_line = _group_of(line)
        if group and of_line and of_line != group:
            break
        group = group or of_line
        lines.append(line)
        size += len(line)
    return lines


def _group_of(line: bytes) -> str:
    """Return hour and version of a line: what a version does not take, no part has."""
    hour = _hour_of(line)
    found = re.search(rb'"version": "([^"]{1,40})"', line)
    version = found[1].decode("ascii", "replace") if found else ""
    return f"{hour} {version}" if hour else ""


def _hour_of(line: bytes) -> str:
    """Return the hour of a line, empty where it has no time."""
    found = re.search(rb'"at": "([^"]{32})"', line)
    moment = found[1].decode("ascii", "replace") if found else ""
    return moment[11:13] if is_stamp(moment) else ""


def _mark(file: Any, end: int) -> str:
    """Return the digest of what stands before a position; empty for the beginning."""
    if not end:
        return ""
    first = max(end - _MARK_BYTES, 0)
    file.seek(first)
    return blake2b(file.read(end - first), digest_size=8).hexdigest()
