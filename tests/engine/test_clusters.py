"""A sweep on a local cluster of Dask and of Ray, as docs/how-to/clusters.md says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops.config.project import Project
from mlops.io.digests import sha256_file

from .conftest import ENGINE, ESTIMATOR

pytestmark = pytest.mark.slow

LOCK = Path(__file__).with_name("clusters.txt")
SOURCES = ENGINE / "vendor" / "mlops" / "src"

GRID = ("-p", "C=0.001,0.01,0.1,1", "-p", "learner=logistic,boosting")

# Kills its worker, and with it whatever else runs there, the first time.
KILLS = """

chosen = build


def build(params):
    import os
    import signal
    from pathlib import Path

    mark = Path({mark!r})
    if params.get("C") == 0.01 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return chosen(params)
"""


@pytest.fixture(scope="module")
def python(request: pytest.FixtureRequest) -> str:
    """Return the interpreter of a cached environment of the clusters' lock."""
    home = request.config.cache.mkdir(f"clusters-{sha256_file(LOCK)[:12]}")
    interpreter = home / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    if not (home / "ready").is_file():
        make = [*uv, "venv", "--quiet", "--allow-existing", str(home)]
        subprocess.run([*make, "--python", sys.executable], check=True)
        install = [*uv, "pip", "install", "--quiet", "--python", str(interpreter)]
        subprocess.run([*install, "--require-hashes", "-r", str(LOCK)], check=True)
        (home / "ready").touch()
    return str(interpreter)


def sweep(python: str, project: Project, *options: str, **variables: str) -> Any:
    """Return what a sweep of the other environment found, without the ids of runs."""
    done = subprocess.run(
        [python, "-m", "mlops", "sweep", "churn", *GRID, *options, "--json"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(SOURCES), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["tried"]
    assert len(rows) == 8 and all(row.pop("run") for row in rows), done.stdout
    return rows


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_local_cluster_finds_the_same_and_a_killed_worker_loses_nothing(
    python: str,
    make_project: Callable[..., Project],
    tmp_path: Path,
    backend: str,
) -> None:
    options = ("--backend", backend, "--jobs", "2")
    first = make_project(n=200, root=tmp_path / "first")
    one_after_the_other = sweep(python, first)
    second = make_project(n=200, root=tmp_path / "second")
    assert sweep(python, second, *options) == one_after_the_other
    third = make_project(n=200, root=tmp_path / "third")
    mark = tmp_path / "mark"
    path = third.folder("churn") / "estimator.py"
    path.write_text(ESTIMATOR + KILLS.format(mark=str(mark)))
    assert sweep(python, third, *options) == one_after_the_other
    assert mark.exists(), "a worker was killed"


def test_workers_elsewhere_need_no_repository(
    python: str, make_project: Callable[..., Project], tmp_path: Path
) -> None:
    """A scheduler and a worker of another folder, found by their address."""
    project = make_project(n=200)
    plain = sweep(python, project, "--force")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    file = tmp_path / "scheduler.json"
    told = ("--scheduler-file", str(file))
    programs = {
        "scheduler": (
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--dashboard-address",
            "127.0.0.1:0",
            *told,
        ),
        "worker": ("--nthreads", "2", "--no-nanny", "--no-dashboard", *told),
    }
    processes = []
    try:
        for program, options in programs.items():
            command = [python, "-m", "distributed.cli.dask_" + program, *options]
            processes.append(
                subprocess.Popen(
                    command,
                    cwd=elsewhere,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            while program == "scheduler" and not file.is_file():
                assert processes[0].poll() is None
                time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        cluster = {"DASK_SCHEDULER_ADDRESS": address}
        options = ("--backend", "dask", "--force")
        assert sweep(python, project, *options, **cluster) == plain
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def test_a_cluster_that_cannot_be_reached_is_one_clear_error(
    python: str, make_project: Callable[..., Project]
) -> None:
    project = make_project(n=200)
    done = subprocess.run(
        [python, "-m", "mlops", "sweep", "churn", "-p", "C=1", "--backend", "dask"],
        cwd=project.root,
        env={
            **os.environ,
            "PYTHONPATH": str(SOURCES),
            "DASK_SCHEDULER_ADDRESS": "tcp://127.0.0.1:9",
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "the cluster cannot be reached" in done.stderr
    assert "DASK_SCHEDULER_ADDRESS" in done.stderr
