"""How many requests a second each client may send.

The generic cell rate algorithm: of each client one number is remembered, the time at
which its next request would be due if it kept to the rate. Numbers lie in a table of
fixed size, which the workers of a service share, so that neither clients nor workers
add up.
"""

from __future__ import annotations

import math
import mmap
import secrets
import time
from collections.abc import Callable, Iterable
from hashlib import blake2b
from ipaddress import ip_address
from pathlib import Path

RATES = "rates"  # the table's name beside the counts of the workers

_SLOTS = 1 << 16  # of addresses; two that share one share its rate
_NUMBER = 8  # bytes
_KEY = 16  # bytes at the start: nobody can choose an address that shares a slot
_NETWORK = 8  # bytes of an IPv6 address: whoever has one has all of its network


def new_table(path: Path, names: Iterable[str]) -> None:
    """Write the table of a service that several workers share.

    Parameters
    ----------
    names : iterable of str
        Clients that have a token.
    """
    numbers = _SLOTS + len(set(names))
    empty = secrets.token_bytes(_KEY) + bytes(_NUMBER * numbers)
    path.write_bytes(empty)


class Rates:
    """Decides whether a client may send one more request.

    Parameters
    ----------
    per_second : float
        Requests of each client. So many may come at once, at least one.
    names : iterable of str
        Clients that have a token; each has a number of its own in the table.
    table : Path, optional
        Written by `new_table`; without it the table is this process's own.
    now : callable
        Seconds of a clock that never goes back and is the same for all workers.
    """

    def __init__(
        self,
        per_second: float,
        names: Iterable[str] = (),
        table: Path | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = 1 / per_second
        at_once = max(1, math.floor(per_second))
        self._ahead = (at_once - 1) * self._interval
        self._now = now
        order = sorted(set(names))
        self._slots = {name: _SLOTS + number for number, name in enumerate(order)}
        self._bytes = _table(table, len(order))
        self._key = bytes(self._bytes[:_KEY])
        self._due = memoryview(self._bytes)[_KEY:].cast("d")

    def wait(self, client: str) -> float:
        """Take one request of a client; return the seconds to wait where it may not.

        Parameters
        ----------
        client : str
            The name of a token, or an address.
        """
        slot = self._slots.get(client)
        if slot is None:
            slot = self._slot_of_address(client)
        now = self._now()
        due = max(self._due[slot], now)
        excess = due - now - self._ahead
        if excess > 1e-9:
            return excess
        self._due[slot] = due + self._interval
        return 0.0

    def _slot_of_address(self, address: str) -> int:
        network = _network(address)
        return int.from_bytes(blake2b(network, key=self._key, digest_size=2).digest())


def _network(address: str) -> bytes:
    """Return what one client has: an IPv4 address, or the network of an IPv6 one."""
    try:
        ip = ip_address(address)
    except ValueError:  # no address, such as that of a socket in a folder
        return address.encode()
    if ip.version == 4:
        return ip.packed
    return ip.ipv4_mapped.packed if ip.ipv4_mapped else ip.packed[:_NETWORK]


def _table(path: Path | None, clients: int) -> bytearray | mmap.mmap:
    """Return the bytes of a table."""
    size = _KEY + _NUMBER * (_SLOTS + clients)
    if path is None:
        return bytearray(secrets.token_bytes(_KEY) + bytes(size - _KEY))
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), size)
