"""The process that delivers the prediction log of a service while it answers.

It is a process of its own: a store that hangs, or a library that fails, takes no time
and no memory of those that answer, and can be ended at any time. It runs while its
standard input is open; then it delivers what is left and ends. So it also outlives a
service that was killed, for as long as that takes.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from mlops import settings
from mlops.serving.log_delivery import Delivery

log = logging.getLogger("mlops.serving")

# For what is left when the service ends; the rest is delivered by the next start.
LAST_SECONDS = 10.0

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


@contextmanager
def delivering(model: str) -> Iterator[None]:
    """Deliver the log of a model while the block runs, and then what is left."""
    worker = _Process(model)
    watching = threading.Thread(target=worker.run, daemon=True)
    watching.start()
    try:
        yield
    finally:
        worker.end(LAST_SECONDS)
        watching.join(1)


class _Process:
    """The process that delivers, started again whenever it ends."""

    def __init__(self, model: str) -> None:
        self._command = [sys.executable, "-m", "mlops", "deliver-worker", model]
        self._ending = threading.Event()
        self._changing = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Keep it running until the service ends."""
        pause = _FIRST_PAUSE
        while not self._ending.is_set():
            process = self._started()
            if process is None:
                return
            code = process.wait()
            if self._ending.is_set():
                return
            log.error("the log is not delivered: exit code %d; trying again", code)
            self._ending.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def end(self, seconds: float) -> None:
        """Have it deliver what is left, and end it when that takes too long."""
        self._ending.set()
        with self._changing:
            process = self._process
        if process is None:
            return
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            log.warning("some of the log was not delivered: the next start does it")
            process.kill()
            process.wait()

    def _started(self) -> subprocess.Popen[bytes] | None:
        """Start the process; None where the service ends meanwhile."""
        current = settings.current()
        paths = [path or str(current.folder) for path in sys.path]
        environment = current.child_environment(PYTHONPATH=os.pathsep.join(paths))
        with self._changing:
            if self._ending.is_set():
                return None
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=environment,
                cwd=current.folder,
                start_new_session=True,  # Ctrl-C is for the service
            )
            return self._process


def deliver_until_end(delivery: Delivery, interval: float) -> None:
    """Deliver again and again until standard input ends, and a last time then.

    Parameters
    ----------
    interval : float
        Seconds between two attempts.
    """
    ending = threading.Event()

    def wait_for_end() -> None:
        while os.read(0, 1024):
            pass
        ending.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    problem = ""
    while True:
        is_last = ending.is_set()
        deadline = time.monotonic() + LAST_SECONDS

        def go_on(is_last: bool = is_last, deadline: float = deadline) -> bool:
            return time.monotonic() < deadline if is_last else not ending.is_set()

        done = delivery.deliver(datetime.now(UTC), go_on)
        if done is not None and done.problem != problem:
            problem = done.problem
            log.warning("%s", problem or "the log is delivered again")
        if is_last:
            return
        ending.wait(interval)
