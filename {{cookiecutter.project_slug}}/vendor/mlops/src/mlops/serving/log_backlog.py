"""How far the local prediction log was delivered to its place, and what is left.

`delivery/MODEL/positions.json` in the state folder has, for each file of the log, how
many bytes were delivered. Whoever delivers writes it; who serves reads it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlops.errors import EnvironmentFailure, megabytes
from mlops.io.files import read_json, write_json
from mlops.serving.log_reader import FEEDBACK, PREDICTIONS, SHADOW

KINDS = (PREDICTIONS, FEEDBACK, SHADOW)

_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Position:
    """How far a file was delivered.

    Parameters
    ----------
    done : int
        Bytes that the place has.
    until : int
        Where the part ends that is being delivered: whoever was killed delivers the
        same part again.
    mark : str
        Digest of what stands before `done`: another file of this name begins anew.
    """

    done: int = 0
    until: int = 0
    mark: str = ""


def folder_of_delivery(state: Path, model: str) -> Path:
    """Return the folder in which a delivery remembers what it did."""
    return state / "delivery" / model


def local_files(state: Path, model: str) -> dict[str, Path]:
    """Return the files of the local log by their names in a place, oldest day first."""
    found = {}
    for kind in KINDS:
        for path in (state / kind / model).glob("*.jsonl"):
            found[f"{kind}/{model}/{path.name}"] = path
    return dict(sorted(found.items(), key=lambda item: item[1].name))


def load_positions(state: Path, model: str) -> dict[str, Position]:
    """Return how far each file was delivered.

    A file that is not readable says nothing: what it knew is delivered again, and rows
    that are logged twice count once.
    """
    path = folder_of_delivery(state, model) / "positions.json"
    if not path.is_file():
        return {}
    try:
        stored: dict[str, dict[str, Any]] = read_json(path)
        return {name: Position(**facts) for name, facts in stored.items()}
    except (EnvironmentFailure, AttributeError, TypeError):
        return {}


def save_positions(state: Path, model: str, positions: Mapping[str, Position]) -> None:
    """Write how far each file was delivered."""
    facts = {name: asdict(position) for name, position in positions.items()}
    write_json(folder_of_delivery(state, model) / "positions.json", facts)


def waiting_bytes(
    files: Iterable[tuple[str, Path]], positions: Mapping[str, Position]
) -> int:
    """Return how many bytes of files were not delivered."""
    waiting = 0
    for name, path in files:
        try:
            size = path.stat().st_size
        except FileNotFoundError:  # removed meanwhile, as all of it was delivered
            continue
        known = positions.get(name, Position())
        waiting += max(size - known.done, 0)
    return waiting


class Backlog:
    """What waits to be delivered, as a process sees it that writes the log.

    Parameters
    ----------
    most : int
        Bytes; beyond it nothing more is logged.
    """

    def __init__(self, state: Path, model: str, most: int) -> None:
        self._state = state
        self._model = model
        self._most = most
        self._looked = -_LOOK_SECONDS
        self._waiting = 0

    def waiting(self) -> int:
        """Return how many bytes wait, as of a second ago at most."""
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            files = local_files(self._state, self._model)
            positions = load_positions(self._state, self._model)
            self._waiting = waiting_bytes(files.items(), positions)
            self._looked = time.monotonic()
        return self._waiting

    def add(self, size: int) -> None:
        """Count bytes that are about to be logged.

        Raises
        ------
        EnvironmentFailure
            Where too many wait: nothing is logged until some were delivered.
        """
        if self.waiting() + size > self._most:
            raise EnvironmentFailure(
                "the prediction log has too much that was not delivered",
                key="predictions.backlog_mb",
                found=megabytes(self._waiting),
                allowed=megabytes(self._most),
                do="make the place of the log reachable, or raise the limit",
            )
        self._waiting += size
