"""A service as a process of its own, and clients that load it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from mlops.errors import counted

ROW = {"tenure": 12, "spend": 50.5, "plan": "plus"}


@dataclass
class Service:
    """A running `mlops serve`."""

    process: subprocess.Popen[str]
    root: Path
    url: str
    errors: Path

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)

    def metric(self, name: str) -> float:
        text = self.get("/metrics").text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
        assert found, name
        return float(found[1])

    def children(self) -> list[int]:
        """Return the processes that it has started and that still run."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
        )
        lines = [line for line in listed.stdout.splitlines() if "serve-worker" in line]
        return [int(line.split()[0]) for line in lines]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=40)

    def logged_ids(self) -> Counter[str]:
        """Return how often each id is in the prediction log."""
        ids: Counter[str] = Counter()
        for path in self.root.glob(".mlops/predictions/churn/*.jsonl"):
            for line in path.read_text().splitlines():
                ids[json.loads(line)["id"]] += 1
        return ids


@contextmanager
def serving(
    root: Path, *options: str, before: Callable[[], None] | None = None
) -> Iterator[Service]:
    """Run `mlops serve churn@production` on a free port while the block does.

    `before` is called in its process before it starts.
    """
    errors = root.parent / "service.txt"
    command = ["-m", "mlops", "serve", "churn@production", "--port", "0", *options]
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            preexec_fn=before,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line.startswith("churn v1.0.0 (production) on http://"), (
            line + errors.read_text()
        )
        yield Service(process, root, line.split()[-1], errors)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_for(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.05)


class Reply(NamedTuple):
    """What came of one request; status 0 where there was no response."""

    begun: float
    status: int
    version: str
    ids: tuple[str, ...]
    logged: bool = False


@dataclass
class Load:
    """Clients that ask one after the other, each over a connection of its own."""

    service: Service
    clients: int = 8
    most: int = 100_000
    replies: list[Reply] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, daemon=True) for _ in range(self.clients)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait(self, count: int) -> None:
        """Wait for so many further replies."""
        least = len(self.replies) + count
        wait_for(lambda: len(self.replies) >= least)

    def count(self, version: str) -> int:
        return sum(reply.version == version for reply in self.replies)

    @property
    def ids(self) -> list[str]:
        """The ids of all predictions that clients have received."""
        return [key for reply in self.replies for key in reply.ids]

    @property
    def logged_ids(self) -> list[str]:
        """Those of them that were said to be in the log."""
        return [key for reply in self.replies if reply.logged for key in reply.ids]

    def _ask(self) -> None:
        with httpx.Client(base_url=self.service.url, timeout=60) as client:
            while not self._stop.is_set() and len(self.replies) < self.most:
                if not self._once(client):
                    time.sleep(0.05)

    def _once(self, client: httpx.Client) -> bool:
        begun = time.monotonic()
        try:
            response = client.post("/predict", json=ROW)
        except httpx.HTTPError:
            self.replies.append(Reply(begun, 0, "", ()))
            return False
        body: dict[str, Any] = response.json()
        ids = tuple(one["id"] for one in body.get("predictions", ()))
        version = body.get("version", "")
        logged = body.get("logged", False)
        reply = Reply(begun, response.status_code, version, ids, logged)
        self.replies.append(reply)
        return True


def shown(load: Load) -> str:
    """Return what clients saw, for the message of an assertion."""
    statuses = Counter(reply.status for reply in load.replies)
    return f"{counted(len(load.replies), 'reply')}: {dict(statuses)}"
