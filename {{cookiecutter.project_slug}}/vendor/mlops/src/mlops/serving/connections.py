"""Connections that clients leave half-used are closed.

uvicorn waits for ever for the rest of a request that a client has begun, so a few
hundred slow clients would hold a service's sockets, and its stop.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

from mlops.serving.limits import Limits

_LOOK_SECONDS = 0.5
_LAST_SECONDS = 1.0  # for the rest of a request, once the service ends


class Server(uvicorn.Server):
    """A server that looks after its connections."""

    def __init__(self, config: uvicorn.Config, limits: Limits) -> None:
        super().__init__(config)
        self._watch = Watch(limits)

    async def _serve(self, sockets: list[socket.socket] | None = None) -> None:
        watching = asyncio.create_task(self._look_after())
        try:
            await super()._serve(sockets)
        finally:
            watching.cancel()

    async def _look_after(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            connections = self.server_state.connections
            for gone in self._watch.overdue(connections, loop.time(), self.should_exit):
                gone.transport.abort()


class Watch:
    """Knows since when each connection has waited for the rest of a request.

    A connection is between requests while it has no cycle or a complete one: that is
    what uvicorn calls a request and its response.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._since: dict[Any, tuple[Any, float]] = {}

    def overdue(self, connections: set[Any], now: float, stopping: bool) -> list[Any]:
        """Return the connections to close.

        Parameters
        ----------
        connections : set
            uvicorn's protocols.
        now : float
            Seconds of a clock that never goes back.
        stopping : bool
            Whether the service ends: nobody waits for a request that is incomplete.
        """
        since = {}
        overdue = []
        for connection in connections:
            state = _state(connection)
            known = self._since.get(connection)
            begun = known[1] if known and known[0] == state else now
            since[connection] = (state, begun)
            if now - begun >= self._allowed(state[1], stopping):
                overdue.append(connection)
        self._since = since
        excess = len(connections) - len(overdue) - self._limits.connections
        if excess > 0:
            idle = [c for c in since if since[c][0][1] == "idle" and c not in overdue]
            idle.sort(key=lambda connection: since[connection][1])
            overdue += idle[:excess]
        return overdue

    def _allowed(self, waits_for: str, stopping: bool) -> float:
        """Return the seconds that a connection may stay as it is."""
        if waits_for != "answering":
            return _LAST_SECONDS if stopping else self._limits.receive_seconds + 1
        return self._limits.wait_seconds + self._limits.receive_seconds


def _state(connection: Any) -> tuple[Any, str]:
    """Return which request a connection is at, and what it waits for."""
    cycle = connection.cycle
    if cycle is None or cycle.response_complete:
        return cycle, "idle"
    if cycle.more_body:
        return cycle, "receiving"
    return cycle, "answering"
