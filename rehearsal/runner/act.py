"""Starting act, and stopping it with all that it started."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.runner.joblog import LAST_LINE, Log

_LAST_LINE = re.compile(re.escape(LAST_LINE) + "[0-9]+")
# How much of the log an error shows.
_LAST_LINES = 20


def find_act() -> str:
    """Return where act is: on PATH, or beside this Python.

    Raises
    ------
    RehearsalError
        When it is in neither place.
    """
    beside = Path(sys.executable).with_name("act")
    found = shutil.which("act") or (str(beside) if beside.is_file() else None)
    if found is None:
        raise RehearsalError(
            f"act is neither on PATH nor at {beside}; `make setup` installs it"
        )
    return found


def write_pairs(path: Path, pairs: Mapping[str, str]) -> None:
    """Write what act reads as a dotenv file; nothing in a value is expanded."""
    escaped = {"\\": "\\\\", '"': '\\"', "$": "\\$", "\n": "\\n", "\r": "\\r"}
    table = str.maketrans(escaped)
    lines = [f'{name}="{value.translate(table)}"\n' for name, value in pairs.items()]
    path.write_text("".join(lines), encoding="utf-8")


@dataclass(frozen=True)
class Stop:
    """What ends act before its own end.

    Parameters
    ----------
    seconds : float
        The longest that it may take.
    line : str
        Kill it, as a lost runner would be, at the first line of its log that holds
        this; never when empty.
    """

    seconds: float
    line: str = ""


def execute(
    command: list[str],
    environment: Mapping[str, str],
    errors: Path,
    read: Path,
    log: Log,
    stop: Stop,
) -> int | None:
    """Run act and read its log.

    Parameters
    ----------
    command : list of str
    environment : mapping
    errors : Path
        A file for what it writes beside its log.
    read : Path
        A folder where the shell of a failed step is told that its output was read.
    log : Log
    stop : Stop

    Returns
    -------
    int or None
        The exit code; None when it was killed on purpose.

    Raises
    ------
    RehearsalError
        When the time is up.
    """
    with errors.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        expired = threading.Event()

        def end() -> None:
            # Noted first: act may be gone before the last of its processes is.
            expired.set()
            kill(process.pid)

        late = threading.Timer(stop.seconds, end)
        late.start()
        try:
            killed = _follow(process, read, log, stop.line)
            code = process.wait()
        except BaseException:
            # Such as Ctrl-C, which act in its own session does not get.
            kill(process.pid)
            raise
        finally:
            late.cancel()
    if expired.is_set():
        raise RehearsalError(
            f"no end after {stop.seconds} s:", *log.text[-_LAST_LINES:]
        )
    return None if killed else code


def _follow(process: subprocess.Popen[str], read: Path, log: Log, kill_at: str) -> bool:
    """Read act's log to its end; say whether it was killed at a line."""
    killed = False
    assert process.stdout is not None
    for line in process.stdout:
        message = log.take(line, time.monotonic())
        last = _LAST_LINE.search(message)
        if last:
            (read / last[0]).touch()
        if kill_at and not killed and kill_at in message:
            killed = True
            kill(process.pid)
    return killed


def kill(pid: int) -> None:
    """Kill act, then all that it started, so that nothing is left to begin anew."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True
    )
    pairs = [line.split() for line in listed.stdout.splitlines()]
    doomed = [pid]
    for one in doomed:
        doomed += [int(child) for child, parent in pairs if int(parent) == one]
    for one in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
