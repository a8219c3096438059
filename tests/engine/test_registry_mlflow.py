"""The copy of a record in MLflow: with its real server here, and without one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests

from mlops.io.digests import sha256_file
from mlops.results.runs import Record
from mlops.runlog.journal import append
from mlops.runlog.mlflow import MLFLOW_TAG, _pairs, _tags, copy_to_mlflow
from mlops.runlog.query import records

from .registry_world import MODEL, World, training, world_fixture  # noqa: F401
from .test_registry_journal import record

LOCK = Path(__file__).with_name("mlflow.txt")
Found = list[dict[str, Any]]


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return the address of MLflow's server, from a cached environment of its lock."""
    home = request.config.cache.mkdir(f"mlflow-{sha256_file(LOCK)[:12]}")
    python, uv = home / "bin" / "python", [sys.executable, "-m", "uv"]
    if not (home / "ready").is_file():
        subprocess.run(
            [*uv, "venv", "--quiet", "--allow-existing", str(home)], check=True
        )
        install = [
            *uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            str(python),
        ]
        subprocess.run([*install, "--require-hashes", "-r", str(LOCK)], check=True)
        (home / "ready").touch()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    folder, url = tmp_path_factory.mktemp("mlflow"), f"http://127.0.0.1:{port}"
    command = [
        str(python),
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    command += [
        "--workers",
        "1",
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
    ]
    command += ["--default-artifact-root", str(folder)]
    env = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONPATH": "",
    }
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield _ready(url, process, folder / "log.txt")
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # the group that was started here
            process.wait()


def _ready(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + 240
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            if requests.get(f"{url}/health", timeout=5).ok:
                return url
        except requests.ConnectionError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def ask(server: str, path: str, **body: Any) -> dict[str, Any]:
    answer = requests.post(f"{server}/api/2.0/mlflow/{path}", json=body, timeout=30)
    assert answer.ok, answer.text
    return dict(answer.json())


def runs(server: str, model: str = MODEL) -> Found:
    known = ask(server, "experiments/search", filter=f"name = '{model}'", max_results=5)
    ids = [one["experiment_id"] for one in known.get("experiments", [])]
    assert len(ids) <= 1
    found = (
        ask(server, "runs/search", experiment_ids=ids, max_results=100) if ids else {}
    )
    return list(found.get("runs", []))


def values(run: dict[str, Any], part: str) -> dict[str, Any]:
    return {one["key"]: one["value"] for one in run["data"].get(part, [])}


@pytest.mark.slow
def test_a_real_server_gets_every_record_once(
    server: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{server}/")
    hostile = training(params={"C": 0.5, "a<b>'": "x" * 9000, "none": None})
    one = record("r1", group="pr-7", commit="c" * 40, training=hostile)
    assert append(world.project, one) == ()
    assert append(world.project, record("r2", 5, metrics=(), training=None)) == ()
    assert append(world.project, record("r3", model="other")) == ()
    assert copy_to_mlflow(one) == (), "a job that is run again"
    second, first = runs(server)
    assert [run["info"]["run_name"] for run in (first, second)] == ["r1", "r2"]
    assert len(runs(server, "other")) == 1
    assert first["info"]["status"] == "FINISHED"
    assert first["info"]["end_time"] - first["info"]["start_time"] == 1500
    assert values(first, "metrics") == {
        "seconds": 1.5,
        "roc_auc": 0.9,
        "roc_auc_low": 0.0,
        "roc_auc_high": 1.0,
    }
    params = values(first, "params")
    assert (params["C"], params["estimator"]) == ("0.5", "LogisticRegression")
    assert len(params["a_b__"]) == 5000
    tags = values(first, "tags")
    assert (tags[MLFLOW_TAG], tags["mlops.group"], tags["mlflow.user"]) == (
        "r1",
        "pr-7",
        "@ana",
    )
    assert tags["mlflow.source.git.commit"] == "c" * 40
    assert "mlops.group" not in values(second, "tags")


@pytest.mark.slow
def test_a_copy_that_died_half_way_is_completed(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    made = ask(server, "experiments/create", name="half")["experiment_id"]
    tags = [{"key": MLFLOW_TAG, "value": "r1"}]
    ask(server, "runs/create", experiment_id=made, run_name="r1", tags=tags)
    assert copy_to_mlflow(record(model="half")) == ()
    (run,) = runs(server, "half")
    assert (
        run["info"]["status"] == "FINISHED" and values(run, "metrics")["roc_auc"] == 0.9
    )


@contextmanager
def answering(
    status: int, seconds: float = 0
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Serve the same answer to everything, and collect what was asked."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(
                {"path": self.path, **{k.lower(): v for k, v in self.headers.items()}}
            )
            time.sleep(seconds)
            with suppress(BrokenPipeError):  # whoever asked has gone
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b"no JSON")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()


def test_a_run_that_was_only_cross_validated_names_no_model() -> None:
    fitted = record("one").model_copy(update={"training": training(model_sha256="ab")})
    tried = fitted.model_copy(update={"training": training(model_sha256="")})
    assert {"key": "mlops.model", "value": "ab"} in _pairs(_tags(fitted))
    assert "mlops.model" not in {pair["key"] for pair in _pairs(_tags(tried))}


def test_without_mlflow_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert copy_to_mlflow(record()) == ()
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", ""
    )  # as a variable that is not set in a workflow
    assert copy_to_mlflow(record()) == ()


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_a_server_that_answers_otherwise_is_a_warning(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with answering(status) as (url, seen):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ana")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
        (warning,) = append(world.project, record())
        assert warning.startswith("no copy to MLflow: ") and "s3cret" not in warning
        assert [one["authorization"] for one in seen] == ["Basic YW5hOnMzY3JldA=="]
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
        copy_to_mlflow(record())
        assert seen[1]["authorization"] == "Bearer t0ken"
    assert [r.id for r in records(world.project)] == ["r1"]


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "http://[", "sqlite:///x.db", "./mlruns"]
)
def test_no_server_is_a_warning(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (warning,) = copy_to_mlflow(record())
    assert warning.startswith("no copy to MLflow: ")


def test_a_slow_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.runlog.mlflow._SECONDS", 0.2)
    with answering(200, seconds=2) as (url, _):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        (warning,) = copy_to_mlflow(Record(**record().model_dump()))
        assert "timed out" in warning.lower() or "seconds" in warning
