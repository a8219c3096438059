"""The service as a process: it follows the real registry and stops when told to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.errors import EnvironmentFailure, Refused, UsageError
from mlops.registry.decisions import rollback
from mlops.serving.batch import predict_file
from mlops.serving.prediction_log import PredictionLog
from mlops.serving.server import Address, follow, listen
from mlops.training.model import Model

from .conftest import Trained, git, rows_of, train_in
from .serving_world import NOW, release

CODE = """
from mlops.config.project import Project
from mlops.serving.app import Options
from mlops.serving.server import Address, serve
where = Address("127.0.0.1", 0)
serve(Project.find(), "churn", "production", where, Options(interval=0.2))
"""


def second_version(first: Trained) -> str:
    """Change a parameter, train, release."""
    path = first.project.root / "models" / "churn" / "model.yaml"
    path.write_text(
        path.read_text().replace("learner: logistic", "learner: logistic\n    C: 0.01")
    )
    git(first.project.root, "commit", "-qam", "Stronger regularisation")
    return release(train_in(first.project), 1)


def another_version(first: Trained) -> str:
    """Change the parameter of the second version again, train, release."""
    path = first.project.root / "models" / "churn" / "model.yaml"
    path.write_text(path.read_text().replace("C: 0.01", "C: 0.02"))
    git(first.project.root, "commit", "-qam", "Less regularisation")
    return release(train_in(first.project), 2)


@pytest.fixture
def server(trained: Trained) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    release(trained)
    process = subprocess.Popen(
        [sys.executable, "-c", CODE],
        cwd=trained.project.root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith("churn v1.0.0 (production) on http://127.0.0.1:"), line
    yield line.split()[-1], process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_live_server_follows_a_tag_and_drops_no_request(
    trained: Trained, server: tuple[str, subprocess.Popen[str]]
) -> None:
    address, process = server
    rows = trained.dataset.part("test").head(3)[list(trained.spec.features)]
    body = {"rows": json.loads(rows.to_json(orient="records"))}
    answers: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=address) as client:
            while not stop.is_set():
                response = client.post("/predict", json=body)
                answers.append((response.status_code, response.json().get("version")))

    def wait_for(version: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            model: dict[str, Any] = httpx.get(f"{address}/model").json()
            if model["version"] == version:
                return model
            time.sleep(0.05)
        raise AssertionError(httpx.get(f"{address}/health/ready").text)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        second = second_version(trained)
        shown = wait_for(second)
        rollback(
            trained.project,
            "churn",
            "production",
            actor="@ana",
            reason="bad",
            now=NOW + timedelta(hours=2),
        )
        wait_for("v1.0.0")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {"v1.0.0", second}
    assert (
        shown["assets"]["model.skops"]["sha256"]
        and shown["metrics"][0]["name"] == "roc_auc"
    )
    expected = trained.model.predict(rows)["score"].tolist()
    answer = httpx.post(f"{address}/predict", json=body).json()["predictions"]
    assert [p["score"] for p in answer] == pytest.approx(expected, abs=1e-12)
    log = PredictionLog(trained.project.state, "churn")
    today = pd.Timestamp.now("UTC").to_pydatetime()
    window = log.window(today - timedelta(days=1), today + timedelta(days=1))
    assert (window.damaged, len(window.log)) == (0, 3 * (len(answers) + 1))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) in (0, -signal.SIGTERM)


def test_a_changed_file_in_the_store_keeps_a_version_out(trained: Trained) -> None:
    release(trained)
    follower = follow(trained.project, "churn", "production")
    assert follower.start().version == "v1.0.0"
    second = second_version(trained)
    model = next(trained.project.store.glob(f"**/{second}/model.skops"))
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    assert not follower.refresh()
    assert follower.served and follower.served.version == "v1.0.0"
    assert "chain of digests is broken" in (follower.failure or "")
    with pytest.raises(Refused):
        follow(trained.project, "churn", "production").start()


def test_an_origin_that_cannot_be_reached_leaves_what_is_here(trained: Trained) -> None:
    release(trained)
    git(
        trained.project.root,
        "remote",
        "add",
        "origin",
        str(trained.project.root / "nowhere.git"),
    )
    follower = follow(trained.project, "churn", "production")
    assert follower.refresh(), follower.failure


def test_an_empty_stage_is_an_error_at_the_start(trained: Trained) -> None:
    with pytest.raises(UsageError):
        follow(trained.project, "churn", "production").start()


def test_a_busy_port_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(
            EnvironmentFailure, match="address already in use"
        ) as caught:
            listen(Address("127.0.0.1", port))
    assert caught.value.exit_code == 3
    assert f"127.0.0.1:{port}" in str(caught.value)
    with listen(Address("127.0.0.1", 0)) as server:
        assert server.getsockname()[1] > 0


def test_a_file_is_predicted_and_logged(trained: Trained, tmp_path: Path) -> None:
    release(trained)
    rows = trained.dataset.part("test").head(40)
    rows.drop(columns="churn").to_csv(tmp_path / "people.csv", index=False)
    answers, version = predict_file(
        trained.project, "churn@production", tmp_path / "people.csv", NOW
    )
    expected = trained.model.predict(rows)
    assert version == "v1.0.0"
    assert answers["score"].tolist() == pytest.approx(
        expected["score"].tolist(), abs=1e-12
    )
    assert answers["id"].tolist() == rows["customer"].tolist()
    log = PredictionLog(trained.project.state, "churn")
    known = {rows["customer"][0]: "yes"}
    window = log.window(NOW, NOW + timedelta(hours=1), known=known)
    assert window.log["row_id"].tolist() == rows["customer"].tolist()
    assert window.log["label"].tolist()[0] == "yes"
    assert set(window.features) == set(trained.spec.features)
    predict_file(
        trained.project, "churn@v1.0.0", tmp_path / "people.csv", NOW, log=False
    )
    assert len(log.window(NOW, NOW + timedelta(hours=1)).log) == 40


def test_a_row_without_an_id_gets_that_of_its_prediction(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(trained)
    rows_of(n=3).assign(customer=[7, None, 9]).to_csv(
        tmp_path / "people.csv", index=False
    )
    answers, _ = predict_file(
        trained.project, "churn@production", tmp_path / "people.csv", NOW
    )
    first, second, third = answers["id"]
    window = PredictionLog(trained.project.state, "churn").window(
        NOW, NOW + timedelta(hours=1)
    )
    assert (float(first), second, float(third)) == (7, window.log["id"][1], 9)
    assert window.log["row_id"].isna().tolist() == [False, True, False]
    monkeypatch.chdir(trained.project.root)
    predict = Model.predict
    wild = {"score": [0.5, float("nan"), float("inf")]}
    monkeypatch.setattr(
        Model, "predict", lambda self, raw: predict(self, raw).assign(**wild)
    )
    done = CliRunner().invoke(
        app, ["predict", "churn@production", "../people.csv", "--json"]
    )
    found = json.loads(done.stdout, parse_constant=pytest.fail)["predictions"]
    assert [len(row["id"]) for row in found] == [3, 36, 3]
    assert [row["score"] for row in found] == [0.5, None, None]


def test_a_time_is_no_number(trained: Trained, tmp_path: Path) -> None:
    release(trained)
    rows = rows_of(n=2)
    rows.assign(tenure="2024-01-01 10:00:00").to_csv(tmp_path / "time.csv", index=False)
    rows.assign(tenure=pd.to_timedelta([1, 2], unit="s")).to_parquet(
        tmp_path / "span.parquet"
    )
    for name in ("time.csv", "span.parquet"):
        with pytest.raises(UsageError, match=r"2 values are not a finite number"):
            predict_file(trained.project, "churn@production", tmp_path / name, NOW)


def test_a_file_without_a_feature_is_refused(trained: Trained, tmp_path: Path) -> None:
    release(trained)
    (tmp_path / "people.csv").write_text("tenure,spend\n1,2\n")
    with pytest.raises(UsageError, match="plan"):
        predict_file(trained.project, "churn@production", tmp_path / "people.csv", NOW)
    with pytest.raises(UsageError, match="no such file"):
        predict_file(trained.project, "churn@production", tmp_path / "nobody.csv", NOW)
    (tmp_path / "header.csv").write_text("customer,tenure,spend,plan\n")
    with pytest.raises(
        UsageError, match=r"header\.csv: this file has a header and no rows"
    ):
        predict_file(trained.project, "churn@production", tmp_path / "header.csv", NOW)
    assert not (trained.project.state / "predictions").exists()
