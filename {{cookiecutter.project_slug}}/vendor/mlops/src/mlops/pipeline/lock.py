"""One run of a model at a time in a folder, and no litter of one that was killed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mlops.io.files import reaching

# What `io.files.replacing` writes to before it takes the place of a file.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")


@contextmanager
def only_run(folder: Path, say: Callable[[str], object]) -> Iterator[None]:
    """Wait until no other run of a model uses its build folder, and keep others out.

    Temporary files of a run that was killed are removed: whoever wrote them is gone,
    or would hold the lock.

    Parameters
    ----------
    folder : Path
        The build folder of the model.
    say : callable
        Takes one line: told that another run is waited for.
    """
    path = folder.with_name(f".{folder.name}.lock")
    lock = FileLock(path)
    with reaching("lock", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"waiting: another run of {folder.name} uses this folder")
            lock.acquire()
            say(f"the other run of {folder.name} has ended")
    try:
        remove_leftovers(folder)
        yield
    finally:
        lock.release()


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed run left in a folder."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
