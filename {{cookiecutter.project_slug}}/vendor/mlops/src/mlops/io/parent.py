"""A process that ends with the process that started it, however that one ended."""

from __future__ import annotations

import os
import signal
import threading
import time

_LOOK_EVERY = 0.5  # seconds


def end_with_parent(group: bool = False) -> None:
    """End this process soon after the process that started it is gone.

    A killed process cannot end what it started, and user code may run for ever. POSIX
    only: elsewhere nothing happens.

    Parameters
    ----------
    group : bool
        Whether to kill this process's whole group, of which it must be the first.
    """
    if os.name != "posix":
        return
    parent = os.getppid()
    watch = threading.Thread(target=_watch, args=(parent, group), daemon=True)
    watch.start()


def _watch(parent: int, group: bool) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    if group:
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
