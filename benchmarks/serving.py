"""`mlops serve` beside a route that does nothing and a route with the bare pipeline.

Usage: python benchmarks/serving.py [REQUESTS]

One row per request over loopback, from 1, 8, 32 and 256 clients in a process of their
own, each service alone on the machine. The product validates, logs and batches; the
routes do not. REQUESTS (default 2,000) are sent per service and number of clients.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from example import git, make_project, make_rows
from measure import ROOT, environment, mlops

CLIENTS = (1, 8, 32, 256)
CLIENT = ROOT / "benchmarks" / "serving_client.py"
ROUTES = ROOT / "benchmarks" / "serving_routes.py"
ROW = {
    "age": 40,
    "schooling": "no diploma",
    "marital_status": "single",
    "relationship": "householder",
    "parents_employment": None,
    "citizenship": "US-born",
    "mobility": "moved",
    "military": "never",
    "ancestry": "one",
}


@dataclass(frozen=True)
class Load:
    """What came of a number of requests: rates a second, times in milliseconds."""

    rate: float
    p50: float
    p99: float
    errors: int


def released(where: Path) -> Path:
    """Return a repository with the example's model in production."""
    root = make_project(where, make_rows(10_000))
    identity = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Bench"), ("EMAIL", "bench@example.com"))
    }
    git(root, "config", "user.name", "Bench")
    git(root, "config", "user.email", "bench@example.com")
    promote = ("promote", "employment@v1.0.0")
    for command in (
        ("run", "employment"),
        ("register", "employment", "--decided", "-m", "a benchmark"),
        (*promote, "staging", "-m", "a benchmark", "--yes"),
        (*promote, "production", "-m", "a benchmark", "--yes"),
    ):
        done = subprocess.run(
            mlops(*command),
            cwd=root,
            env={**environment(), **identity},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"mlops {' '.join(command)}:\n{done.stdout}{done.stderr}")
    return root


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def running(command: list[str], root: Path, port: int) -> Iterator[None]:
    """Run a service while the block does."""
    process = subprocess.Popen(
        command, cwd=root, env=environment(), stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{' '.join(command)} does not serve")
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


def load(port: int, clients: int, requests: int) -> Load:
    """Send requests from a number of clients, and return what came of them."""
    body = json.dumps({"rows": ROW})
    done = subprocess.run(
        [sys.executable, str(CLIENT), str(port), str(clients), str(requests), body],
        check=True,
        capture_output=True,
        text=True,
    )
    return Load(**json.loads(done.stdout))


def main() -> None:
    """Print a table with the rates, and their ratios to the product's."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    results: dict[str, list[Load]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = released(Path(folder, "repository"))
        model = str(root / "build" / "employment")
        for name, command in (
            ("mlops serve", mlops("serve", "employment@production")),
            ("route that does nothing", [sys.executable, str(ROUTES), "nothing"]),
            (
                "route with the pipeline",
                [sys.executable, str(ROUTES), "pipeline", "--model", model],
            ),
        ):
            port = free_port()
            with running([*command, "--port", str(port)], root, port):
                load(port, 1, 50)  # the first requests fill caches
                results[name] = [load(port, n, requests) for n in CLIENTS]
    print(f"{requests:,} requests of one row; {os.cpu_count()} cores, shared with")
    print("the client; compare ratios, not rates.\n")
    print("| service | clients | requests/s | p50 | p99 | errors | mlops serve / it |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for name, loads in results.items():
        for n, one in enumerate(loads):
            ratio = results["mlops serve"][n].rate / one.rate
            print(
                f"| {name} | {CLIENTS[n]} | {one.rate:,.0f} | {one.p50:.1f} ms "
                f"| {one.p99:.1f} ms | {one.errors} | {ratio:.2f} |"
            )


if __name__ == "__main__":
    main()
