"""Several processes answer on one port: one version, one swap, one log, one count."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from mlops.errors import EnvironmentFailure, Refused, UsageError, error_facts, error_of
from mlops.serving.prediction_log import PredictionLog, find_prediction

from .conftest import Trained
from .service_process import ROW, Load, Service, serving, shown, wait_for
from .serving_world import NOW, release
from .test_serving_run import another_version, second_version

pytestmark = pytest.mark.usefixtures("cold_python")

SWAP_SECONDS = 2.0  # to the last answer of the old version, on a busy machine


@contextmanager
def two_workers(trained: Trained) -> Iterator[Service]:
    """Serve from two processes."""
    release(trained)
    often = ("--interval", "0.2", "--rate", "1000")
    with serving(trained.project.root, "--workers", "2", *often) as made:
        assert len(made.children()) == 2
        yield made


def ask_until_both_have_answered(service: Service) -> list[str]:
    """Ask over new connections until both workers have logged; return the ids."""
    ids = []
    for _ in range(500):
        answer = httpx.post(f"{service.url}/predict", json=ROW).json()
        ids += [one["id"] for one in answer["predictions"]]
        if len(list(service.root.glob(".mlops/predictions/churn/*.jsonl"))) == 2:
            return ids
    raise AssertionError("one worker answered everything")


def require_logged_once(service: Service, ids: Iterable[str]) -> None:
    """Demand that each id is in the log, and none twice."""
    logged = service.logged_ids()
    assert logged.keys() >= set(ids)
    assert set(logged.values()) == {1}


def test_workers_share_a_port_a_count_and_a_log_and_one_that_dies_is_replaced(
    trained: Trained,
) -> None:
    with two_workers(trained) as service:
        with Load(service, clients=8) as load:
            load.wait(50)
        assert {reply.status for reply in load.replies} == {200}, shown(load)
        ids = load.ids + ask_until_both_have_answered(service)
        for _ in range(8):  # whichever worker answers, it has the sum
            assert service.metric("mlops_rows_total") == len(ids)
            assert service.metric("mlops_workers") == 2
            assert service.metric("mlops_pending_rows") == 0
        assert service.logged_ids().keys() == set(ids)
        names = {path.name for path in service.root.glob(".mlops/predictions/churn/*")}
        writers = {name.partition(".")[2] for name in names}
        assert writers == {"worker-1.jsonl", "worker-2.jsonl"}
        state = service.root / ".mlops"
        assert all(find_prediction(state, key) for key in ids)
        for key in ids[:20]:  # every worker knows the ids of the others
            label = {"id": key, "label": "yes"}
            assert httpx.post(f"{service.url}/feedback", json=label).status_code == 202

        with Load(service, clients=8) as load:
            load.wait(50)
            victim = service.children()[0]
            os.kill(victim, signal.SIGKILL)
            load.wait(50)
            wait_for(lambda: len(service.children()) == 2)
            assert victim not in service.children()
            wait_for(lambda: service.metric("mlops_workers") == 2)
        ids += load.ids
        assert {reply.status for reply in load.replies} <= {0, 200}, shown(load)
        lost = sum(reply.status == 0 for reply in load.replies)
        assert lost <= 8, "only what was under way at the worker that was killed"
        require_logged_once(service, ids)
        assert service.metric("mlops_rows_total") >= len(ids)
        assert "ended (signal 9) and is started again" in service.errors.read_text()

        with Load(service, clients=8) as load:
            load.wait(100)
            assert service.stop() == 0
        require_logged_once(service, ids + load.ids)
        assert "Traceback" not in service.errors.read_text()


def test_all_workers_swap_at_once_or_none_does(trained: Trained) -> None:
    with two_workers(trained) as service:
        with Load(service, clients=32) as load:
            load.wait(50)
            second = second_version(trained)
            wait_for(lambda: load.count(second) >= 300)
        assert {reply.status for reply in load.replies} == {200}, shown(load)
        first_of_new = min(r.begun for r in load.replies if r.version == second)
        last_of_old = max(r.begun for r in load.replies if r.version == "v1.0.0")
        assert last_of_old - first_of_new < SWAP_SECONDS
        assert service.get("/model").json()["version"] == second

        service.process.send_signal(signal.SIGSTOP)  # it must not look too early
        third = another_version(trained)
        stored = next(trained.project.store.glob(f"**/{third}/model.skops"))
        stored.write_bytes(stored.read_bytes()[:-1] + b"!")
        service.process.send_signal(signal.SIGCONT)

        def failures() -> list[str | None]:
            ready = (service.get("/health/ready").json() for _ in range(8))
            return [one["failure"] for one in ready]

        wait_for(lambda: None not in failures())
        assert all("chain of digests is broken" in str(one) for one in failures())
        with Load(service, clients=8) as load:
            load.wait(50)
        assert {(r.status, r.version) for r in load.replies} == {(200, second)}
        assert service.metric("mlops_refresh_failed") == 1
        assert service.errors.read_text().count("chain of digests is broken") == 1

        workers = service.children()
        assert len(workers) == 2
        service.stop(signal.SIGKILL)

        def gone() -> bool:
            return not any(Path(f"/proc/{number}").exists() for number in workers)

        wait_for(gone)


def test_a_version_that_cannot_be_served_is_an_error_at_the_start(
    trained: Trained,
) -> None:
    release(trained)
    path = next(trained.project.store.glob("**/v1.0.0/model.skops"))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    command = ["-m", "mlops", "serve", "churn@production", "--workers", "2"]
    done = subprocess.run(
        [sys.executable, *command, "--port", "0"],
        cwd=trained.project.root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    assert "chain of digests is broken" in done.stderr
    assert "Traceback" not in done.stderr


# -- what workers share ----------------------------------------------------------------


def test_of_the_labels_in_several_files_the_latest_counts(tmp_path: Path) -> None:
    first = PredictionLog(tmp_path, "churn", writer="worker-1")
    second = PredictionLog(tmp_path, "churn", writer="worker-2")
    row = {"tenure": 1.0}
    output = {"prediction": "no", "score": 0.1}
    first.write_rows([row] * 2, [output] * 2, ["a", "b"], "v1.0.0", NOW)
    second.write_rows([row], [output], ["c"], "v1.0.0", NOW)
    second.feedback([("a", "no"), ("c", "no")], NOW + timedelta(minutes=1))
    first.feedback([("a", "yes")], NOW + timedelta(minutes=2))
    first.feedback([("b", "no")], NOW + timedelta(minutes=3))
    second.feedback([("b", "yes")], NOW + timedelta(minutes=2))
    window = first.window(NOW, NOW + timedelta(hours=1))
    labels = dict(zip(window.log["id"], window.log["label"], strict=True))
    assert labels == {"a": "yes", "b": "no", "c": "no"}


@pytest.mark.parametrize("kind", [UsageError, Refused, EnvironmentFailure])
def test_an_error_crosses_processes_whole(kind: type[UsageError]) -> None:
    error = kind("it failed", file="model.skops", found="x", do="fetch it again")
    sent = json.loads(json.dumps(error_facts(error)))
    back = error_of(sent, "unknown")
    assert type(back) is kind
    assert back.problems == error.problems
    assert str(error_of({"ok": False}, "unknown")) == "unknown"
