"""`mlops serve` beside a route that does nothing, the bare pipeline, and MLflow.

Usage: python benchmarks/serving.py [REQUESTS] [--mlflow]

One row per request over loopback, from 1, 8, 32 and 256 clients in a process of their
own, each service alone on the machine. The product validates, logs and batches; the
others do not. REQUESTS (default 2,000) are sent per service and number of clients.
With --mlflow, `mlflow models serve` is a peer, in an environment of its own that is
made from tests/engine/mlflow.txt.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from example import git, make_project, make_rows
from measure import ROOT, environment, mlops

CLIENTS = (1, 8, 32, 256)
CLIENT = ROOT / "benchmarks" / "serving_client.py"
ROUTES = ROOT / "benchmarks" / "serving_routes.py"
MLFLOW = ROOT / "benchmarks" / "serving_mlflow.py"
MLFLOW_LOCK = ROOT / "tests" / "engine" / "mlflow.txt"
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
class Contender:
    """A service to measure: what starts it, but for the port, and what it is sent."""

    name: str
    command: list[str]
    path: str = "/predict"
    body: str = json.dumps({"rows": ROW})


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
        command,
        cwd=root,
        env=environment(),
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # ended as a whole: MLflow's server is a child of it
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
        with suppress(ProcessLookupError):  # it has ended, and said why
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def load(port: int, contender: Contender, clients: int, requests: int) -> Load:
    """Send requests from a number of clients, and return what came of them."""
    numbers = [str(port), str(clients), str(requests)]
    done = subprocess.run(
        [sys.executable, str(CLIENT), *numbers, contender.body, contender.path],
        check=True,
        capture_output=True,
        text=True,
    )
    return Load(**json.loads(done.stdout))


def mlflow_peer(folder: Path, rows: Path) -> Contender:
    """Return MLflow's server with a model of the example's kind."""
    venv = folder / "mlflow"
    python = venv / "bin" / "python"
    model = folder / "mlflow-model"
    for command in (
        ["uv", "venv", "-q", "-p", sys.executable, str(venv)],
        ["uv", "pip", "sync", "-q", "--python", str(python), str(MLFLOW_LOCK)],
        [str(python), str(MLFLOW), str(rows), str(model)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    path = f"PATH={python.parent}{os.pathsep}{os.environ['PATH']}"  # it runs uvicorn
    start = ["env", path, "mlflow", "models", "serve", "-m", str(model)]
    return Contender(
        name="mlflow models serve",
        command=[*start, "--env-manager", "local", "--workers", "1"],
        path="/invocations",
        body=json.dumps({"dataframe_records": [ROW]}),
    )


def contenders(folder: Path, root: Path, with_mlflow: bool) -> list[Contender]:
    """Return the services to compare, the product first."""
    product = mlops("serve", "employment@production")
    routes = [sys.executable, str(ROUTES)]
    model = ["--model", str(root / "build" / "employment")]
    services = [
        Contender("mlops serve", product),
        Contender("mlops serve --workers 2", [*product, "--workers", "2"]),
        Contender("route that does nothing", [*routes, "nothing"]),
        Contender("route with the pipeline", [*routes, "pipeline", *model]),
    ]
    if with_mlflow:
        rows = root / "models" / "employment" / "data" / "rows.csv"
        services.append(mlflow_peer(folder, rows))
    return services


def main() -> None:
    """Print a table with the rates, and their ratios to the product's."""
    numbers = [text for text in sys.argv[1:] if text.isdigit()]
    requests = int(numbers[0]) if numbers else 2_000
    results: dict[str, list[Load]] = {}
    before = os.getloadavg()[0]
    print(f"{requests:,} requests of one row; {os.cpu_count()} cores, shared with")
    print(f"the client; load {before:.1f} before. Compare ratios, not rates.\n")
    print("| service | clients | requests/s | p50 | p99 | errors | mlops serve / it |")
    print("| --- | --: | --: | --: | --: | --: | --: |", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = released(folder / "repository")
        for contender in contenders(folder, root, "--mlflow" in sys.argv):
            port = free_port()
            command = [*contender.command, "--port", str(port)]
            with running(command, root, port):
                load(port, contender, 8, 50)  # the first requests fill caches
                loads = [load(port, contender, n, requests) for n in CLIENTS]
            results[contender.name] = loads
            for n, one in enumerate(loads):
                ratio = results["mlops serve"][n].rate / one.rate
                print(
                    f"| {contender.name} | {CLIENTS[n]} | {one.rate:,.0f} "
                    f"| {one.p50:.1f} ms | {one.p99:.1f} ms | {one.errors} "
                    f"| {ratio:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
