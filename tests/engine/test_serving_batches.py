"""Requests that wait are predicted together, and none can tell."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from mlops.serving.limits import Limits
from mlops.serving.prediction_log import PredictionLog

from .conftest import Trained
from .serving_world import release
from .test_serving_app import NOW, ROW, FakeModel, World
from .test_serving_run import CODE


class Gate:
    """A model that waits until it may predict, and remembers its batches."""

    def __init__(self, world: World) -> None:
        self.open = threading.Event()
        self.batches: list[list[float]] = []
        served = world.follower.served
        assert served
        self._predict = served.model.predict
        served.model.predict = self.predict  # type: ignore[method-assign]

    def predict(self, raw: pd.DataFrame) -> pd.DataFrame:
        assert self.open.wait(20)
        self.batches.append(raw["tenure"].tolist())
        if (raw["tenure"] == 666).any():
            raise ZeroDivisionError
        return self._predict(raw)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, Limits(batch_rows=8))
    assert made.follower.refresh()
    return made


def together(
    world: World, bodies: list[Any], meanwhile: Callable[[], None]
) -> list[httpx.Response]:
    """Send the first body, then the others while it is being predicted."""

    async def play() -> list[httpx.Response]:
        transport = httpx.ASGITransport(world.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as c:
            tasks = []
            for body in bodies:
                tasks.append(asyncio.create_task(c.post("/predict", json=body)))
                await asyncio.sleep(0.05 if len(tasks) == 1 else 0.005)
            await asyncio.sleep(0.05)
            meanwhile()
            return await asyncio.gather(*tasks)

    return asyncio.run(play())


def row(tenure: float) -> dict[str, Any]:
    return {**ROW, "tenure": tenure}


def scores(response: httpx.Response) -> list[float]:
    return [p["score"] for p in response.json()["predictions"]]


def test_what_arrives_while_a_batch_is_predicted_is_the_next_batch(
    world: World,
) -> None:
    gate = Gate(world)
    bodies = [row(1), {"rows": [row(2), row(3)]}, row(4), {"rows": [row(5)] * 6}]
    responses = together(world, bodies, gate.open.set)
    assert gate.batches == [[1], [2, 3, 4], [5] * 6], "8 rows are a batch here"
    for body, response in zip(bodies, responses, strict=True):
        rows = body.get("rows", [body])
        expected = FakeModel().predict(pd.DataFrame(rows))
        assert scores(response) == expected["score"].tolist()
    given = [p["id"] for r in responses for p in r.json()["predictions"]]
    window = world.window()
    assert window.log["id"].tolist() == given and len(set(given)) == 10
    assert window.features["tenure"].tolist() == [1, 2, 3, 4, *[5] * 6]


def test_a_request_larger_than_a_batch_is_predicted_alone(world: World) -> None:
    gate = Gate(world)
    bodies = [row(1), row(2), {"rows": [row(3)] * 20}, row(4)]
    responses = together(world, bodies, gate.open.set)
    assert [len(batch) for batch in gate.batches] == [1, 1, 20, 1]
    assert [len(scores(r)) for r in responses] == [1, 1, 20, 1]


def test_the_error_of_one_request_touches_no_other(world: World) -> None:
    gate = Gate(world)
    bodies = [row(1), row(2), row(666), {"rows": [row(3), row(4)]}]
    responses = together(world, bodies, gate.open.set)
    assert [r.status_code for r in responses] == [200, 200, 500, 200]
    expected = FakeModel().predict(pd.DataFrame([row(3), row(4)]))["score"].tolist()
    assert scores(responses[3]) == expected
    assert world.window().features["tenure"].tolist() == [1, 2, 3, 4]


def test_a_request_is_predicted_by_the_version_that_checked_it(world: World) -> None:
    gate = Gate(world)

    def swap() -> None:
        world.stage = "v1.1.0"
        assert world.follower.refresh()
        gate.open.set()

    responses = together(world, [row(1), row(2)], swap)
    assert [r.json()["version"] for r in responses] == ["v1.0.0", "v1.0.0"]
    assert world.post(row(1)).json()["version"] == "v1.1.0"


def test_a_model_that_hangs_is_a_503_and_who_gave_up_is_not_predicted(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, Limits(wait_seconds=0.2))
    assert world.follower.refresh()
    gate = Gate(world)

    async def play() -> list[httpx.Response]:
        transport = httpx.ASGITransport(world.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as c:
            asked = [
                asyncio.create_task(c.post("/predict", json=row(n))) for n in (1, 2)
            ]
            responses = await asyncio.gather(*asked)
            gate.open.set()
            responses.append(await c.post("/predict", json=row(3)))
            return responses

    responses = asyncio.run(play())
    assert [r.status_code for r in responses] == [503, 503, 200]
    assert responses[0].headers["retry-after"] == "1"
    assert gate.batches == [[1], [3]] or gate.batches == [[1, 2], [3]]


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
    yield line.split()[-1], process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_answered_is_logged_once_however_the_service_ends(
    trained: Trained, server: tuple[str, subprocess.Popen[str]], number: signal.Signals
) -> None:
    address, process = server
    rows = trained.dataset.part("test").head(2)[list(trained.spec.features)]
    body = {"rows": json.loads(rows.to_json(orient="records"))}
    answered: list[str] = []
    enough = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=address, timeout=30) as client:
            while True:
                try:
                    response = client.post("/predict", json=body)
                except httpx.HTTPError:
                    return  # the service has ended
                for prediction in response.json()["predictions"]:
                    answered.append(prediction["id"])
                if len(answered) > 100:
                    enough.set()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    process.send_signal(number)
    process.wait(timeout=20)
    for thread in threads:
        thread.join(60)
    path = trained.project.state / "predictions" / "churn"
    logged: Counter[str] = Counter()
    for file in path.glob("*.jsonl"):
        for line in file.read_text().splitlines():
            logged[json.loads(line)["id"]] += 1
    assert set(answered) <= set(logged)
    assert set(logged.values()) == {1}
    if number == signal.SIGTERM:
        assert set(answered) == set(logged), "each request that was taken is answered"
    log = PredictionLog(trained.project.state, "churn")
    window = log.window(NOW - timedelta(days=1), NOW + timedelta(days=36_500))
    assert window.damaged == 0


def test_a_client_that_sends_half_a_request_does_not_delay_the_end(
    server: tuple[str, subprocess.Popen[str]],
) -> None:
    address, process = server
    host, port = address.removeprefix("http://").split(":")
    halves = []
    for sent in (b"POST /pre", b"POST /predict HTTP/1.1\r\nHost: x\r\n"):
        for rest in (b"", b"Content-Length: 10\r\n\r\n{"):
            client = socket.create_connection((host, int(port)))
            client.sendall(sent + rest)
            halves.append(client)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    process.wait(timeout=20)
    assert time.monotonic() - begun < 6, "it took 10 s"
    for client in halves:
        client.close()
