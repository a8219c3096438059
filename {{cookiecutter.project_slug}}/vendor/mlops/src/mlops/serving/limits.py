"""What a service takes from its clients, and no more: bytes, rows, seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The bounds of one process that serves.

    Parameters
    ----------
    body_bytes, label_bytes : int
        The largest body of ``/predict`` and of ``/feedback``.
    row_bytes : int
        The largest body of ``/explain``.
    pending_bytes : int
        Of all bodies that are being received or wait for their predictions.
    pending_rows : int
        Rows that wait for their predictions.
    batch_rows : int
        Requests are predicted together up to so many rows; a larger one is alone.
    small_bytes : int
        A body up to this size is checked on the event loop, a larger one in a thread.
    receive_seconds : float
        For a client to send its whole request.
    wait_seconds : float
        From a request's last byte to its predictions.
    connections : int
        Open at the same time.
    """

    body_bytes: int = 32 << 20
    label_bytes: int = 64 << 10
    row_bytes: int = 1 << 20
    pending_bytes: int = 96 << 20
    pending_rows: int = 50_000
    batch_rows: int = 1024
    small_bytes: int = 16 << 10
    receive_seconds: float = 10.0
    wait_seconds: float = 60.0
    connections: int = 2000


class TooBusy(Exception):
    """The service has as much to do as it takes on; the client may try again."""


class TooSlow(Exception):
    """The model did not answer in time."""


class Room:
    """Counts what is in use of a bounded amount."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.used = 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Yield a share, which is given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self.used -= share.size

    def has(self, amount: int) -> bool:
        """Return whether so much is left; an amount that is alone always fits."""
        return self.used == 0 or self.used + amount <= self._most


class Share:
    """What one request uses of a room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.size = 0

    def grow(self, amount: int) -> None:
        """Use more.

        Raises
        ------
        TooBusy
            When there is no more.
        """
        if not self._room.has(amount):
            raise TooBusy
        self._room.used += amount
        self.size += amount
