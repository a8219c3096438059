"""Starting act, and stopping it with all that it started."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from rehearsal.runner.joblog import Log
from rehearsal.workflow import RehearsalError


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


def execute(
    command: list[str],
    environment: Mapping[str, str],
    errors: Path,
    log: Log,
    timeout: float,
    kill_at: str = "",
) -> int | None:
    """Run act and read its log; return its exit code, None when it was killed on purpose.

    Parameters
    ----------
    errors : Path
        A file for what it writes beside its log.
    timeout : float
        Seconds.
    kill_at : str
        Kill it at the first line that holds this; never when empty.

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
        late = threading.Timer(timeout, kill, [process.pid])
        late.start()
        killed = False
        assert process.stdout is not None
        try:
            for line in process.stdout:
                message = log.take(line, time.monotonic())
                if kill_at and not killed and kill_at in message:
                    killed = True
                    kill(process.pid)
            code = process.wait()
        except (
            BaseException
        ):  # such as Ctrl-C, which act in its own session does not get
            kill(process.pid)
            raise
        finally:
            expired = not late.is_alive()
            late.cancel()
    if expired:
        raise RehearsalError(f"no end after {timeout} s:", *log.text[-20:])
    return None if killed else code


def kill(pid: int) -> None:
    """Kill act and then all that it started, so that nothing is left that could begin anew."""
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
