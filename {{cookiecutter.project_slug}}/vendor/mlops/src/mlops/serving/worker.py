"""One of several processes that serve together: it does what the leading one says.

Its standard input is a socket to the leading process, over which it is given the
listening socket. An order and its reply are one line of JSON each: `prepare` loads a
version and has it prove itself, `serve` has it answer from now on, `status` says what
the leading process knows of the registry.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops.config.project import Project
from mlops.errors import MlopsError, Refused, error_facts
from mlops.serving.follower import Follower, Served, in_one_line, log
from mlops.serving.server import follow, log_of, log_to_terminal, server_of
from mlops.storage.protocol import ReleaseStore

if TYPE_CHECKING:
    from mlops.serving.app import Options
    from mlops.serving.connections import Server


def work(
    project: Project,
    ref: str,
    number: int,
    options: Options,
    store: ReleaseStore | None = None,
) -> None:
    """Serve until the leading process says otherwise, or is gone.

    Parameters
    ----------
    ref : str
        ``NAME@STAGE``.
    number : int
        Of this worker.
    options : Options
        What is taken from clients, and the folder in which the workers count together.
    store : ReleaseStore, optional
        Where versions lie, if not where the repository says.
    """
    from mlops.serving.metrics import share_between_workers

    log_to_terminal(f"worker {number}: ")
    link, listening = _connections()
    name, _, stage = ref.partition("@")
    follower = follow(project, name, stage, store, explains=options.explain)
    orders = Orders(link, follower)
    while orders.follower.served is None:
        if not orders.obey():
            return
    share_between_workers(number)
    predictions = log_of(project, name, options, f"worker-{number}")
    server = server_of(orders.follower, predictions, options)
    threading.Thread(target=orders.obey_all, args=(server,), daemon=True).start()
    server.run(sockets=[listening])


def _connections() -> tuple[socket.socket, socket.socket]:
    """Return the socket to the leading process, and the one to listen on."""
    link = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    _, numbers, _, _ = socket.recv_fds(link, 1, 1)
    return link, socket.socket(fileno=numbers[0])


class Orders:
    """Reads orders, does them and replies, one after the other.

    Parameters
    ----------
    link : socket
        To the leading process.
    follower : Follower
        Holds the version that serves here; it does not look at the stage itself.
    """

    def __init__(self, link: socket.socket, follower: Follower) -> None:
        self.follower = follower
        self._lines = link.makefile("rw", encoding="utf-8", newline="\n")
        self._prepared: Served | None = None

    def obey(self) -> bool:
        """Do the next order; return False where the leading process is gone."""
        try:
            line = self._lines.readline()
            if not line:
                return False
            reply = self._reply(json.loads(line))
            self._lines.write(json.dumps(reply) + "\n")
            self._lines.flush()
        except OSError:
            return False
        return True

    def obey_all(self, server: Server) -> None:
        """Do orders while the server runs; without a leading process it stops."""
        while self.obey():
            pass
        server.should_exit = True

    def _reply(self, order: dict[str, Any]) -> dict[str, Any]:
        """Return what became of an order."""
        try:
            if "prepare" in order:
                self._prepare(order["prepare"])
            elif "serve" in order:
                self._serve(order["serve"])
            else:
                self._know(order["status"])
        except MlopsError as error:
            return error_facts(error)
        except Exception as error:  # whatever a version brings must not stop the server
            return error_facts(Refused(in_one_line(error)))
        return {"ok": True}

    def _prepare(self, version: str) -> None:
        """Load a version and have it predict its examples; it does not serve yet."""
        self._prepared = None
        serving = self.follower.served
        if serving is None or serving.version != version:
            serving = self.follower.prepare(version)
        self._prepared = serving

    def _serve(self, version: str) -> None:
        """Answer with a version that was prepared, from the next request on."""
        if self._prepared is None or self._prepared.version != version:
            raise Refused("this version was not prepared", found=version)
        self.follower.served = self._prepared
        self.follower.failure = None
        log.info("%s serves", version)

    def _know(self, status: dict[str, Any]) -> None:
        """Take over what the leading process knows of the registry."""
        seen = status["seen"]
        self.follower.seen.at = datetime.fromisoformat(seen) if seen else None
        self.follower.failure = status["failure"]
        check = status["check"]
        until = check["until"]
        self.follower.check.until = datetime.fromisoformat(until) if until else None
        self.follower.check.alarm = check["alarm"]
