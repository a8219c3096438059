"""What goes wrong around a service under load: signals, disks, registries, clients."""

from __future__ import annotations

import json
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from mlops.serving.connections import Server
from mlops.serving.limits import Limits

from .conftest import Trained, git
from .service_process import Load, serving, shown, wait_for
from .serving_world import release
from .test_git_settings import silent_server
from .test_serving_app import ROW, World

# -- the whole process -----------------------------------------------------------------


@pytest.mark.usefixtures("cold_python")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_answered_before_a_signal_is_in_the_log_once(
    trained: Trained, number: signal.Signals
) -> None:
    release(trained)
    with serving(trained.project.root) as service:
        with Load(service, clients=16) as load:
            load.wait(100)
            code = service.stop(number)
        logged = service.logged_ids()
    assert code == -number
    assert {reply.status for reply in load.replies} <= {0, 200}, shown(load)
    assert logged.keys() >= set(load.ids)
    assert set(logged.values()) == {1}
    if number == signal.SIGTERM:  # and nothing was predicted that nobody received
        assert logged.keys() == set(load.ids)
        assert "Traceback" not in service.errors.read_text()


@pytest.mark.usefixtures("cold_python")
def test_a_disk_that_is_full_costs_no_answer_and_no_logged_line(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(trained)
    most = 20_000  # bytes of a file: some eighty lines

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    with serving(trained.project.root, before=limit) as service:
        with Load(service, clients=8, most=200) as load:
            load.wait(200)
        assert service.get("/health/ready").json()["unlogged_rows"] > 0
        unlogged = service.metric("mlops_unlogged_rows_total")
    assert {reply.status for reply in load.replies} == {200}, shown(load)
    logged = service.logged_ids()  # each line of it is whole
    assert set(logged.values()) == {1}
    assert logged.keys() == set(load.logged_ids)
    assert len(logged) + unlogged == len(load.ids)
    assert 0 < len(logged) < len(load.ids)


@pytest.mark.usefixtures("cold_python")
def test_a_registry_that_hangs_delays_neither_answers_nor_the_stop(
    trained: Trained,
) -> None:
    release(trained)
    root = trained.project.root
    with serving(root, "--interval", "0.2") as service, silent_server() as port:
        git(root, "remote", "add", "origin", f"git://127.0.0.1:{port}/x.git")
        time.sleep(1)  # a look has begun, and waits
        with Load(service, clients=8) as load:
            load.wait(100)
        begun = time.monotonic()
        assert service.stop() == -signal.SIGTERM
        assert time.monotonic() - begun < 20, "it waited for the registry"
    assert {reply.status for reply in load.replies} == {200}, shown(load)


# -- clients ---------------------------------------------------------------------------


@contextmanager
def listening(folder: Path, limits: Limits) -> Iterator[tuple[World, int]]:
    """Serve a model that is quick over a real socket, and yield the port."""
    world = World(folder, limits)
    assert world.follower.refresh()
    config = uvicorn.Config(world.app, log_level="warning", ws="none")
    server = Server(config, limits)
    with socket.create_server(("127.0.0.1", 0)) as open_socket:
        thread = threading.Thread(target=server.run, args=([open_socket],))
        thread.start()
        try:
            wait_for(lambda: server.started)
            yield world, open_socket.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def ask(port: int) -> int:
    """Send a request as it should be, and return the status."""
    url = f"http://127.0.0.1:{port}/predict"
    return httpx.post(url, json=ROW, timeout=20).status_code


def message(body: bytes, length: int | None = None) -> bytes:
    """Return a request; `length` is what it says of its body."""
    size = len(body) if length is None else length
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


def statuses(port: int) -> dict[str, float]:
    """Return how many responses of each status ``/predict`` has given."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    found = {}
    for line in text.splitlines():
        head, _, value = line.rpartition(" ")
        if head.startswith('mlops_requests_total{path="/predict"'):
            found[head.split('"')[3]] = float(value)
    return found


def test_clients_that_send_slowly_are_closed_and_the_others_are_answered(
    tmp_path: Path,
) -> None:
    limits = Limits(receive_seconds=0.5)
    pieces = [b"POST /pred", message(b'{"ten', 100), message(b"")[:-4]]
    with listening(tmp_path, limits) as (_, port):
        slow = []
        for number in range(60):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(pieces[number % len(pieces)])
            slow.append(connection)
        assert ask(port) == 200
        for connection in slow:
            connection.settimeout(20)
            received = connection.recv(4096)
            assert received == b"" or b" 408 " in received.split(b"\r\n", 1)[0]
            connection.close()
        assert ask(port) == 200


GARBAGE = [
    b"\x00\xff\x16\x03\x01 not http\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"A" * 200_000,
    message(b"\xff\xfe\x00" * 1000),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_refused_and_the_others_are_answered(
    tmp_path: Path, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(tmp_path, Limits(receive_seconds=1)) as (_, port):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.settimeout(20)
            connection.sendall(garbage)
            try:
                received = connection.recv(65536)
            except ConnectionResetError:
                received = b""
        assert received == b"" or received.split(b" ")[1][:1] == b"4"
        assert ask(port) == 200
    assert "Traceback" not in caplog.text


def test_clients_that_hang_up_cost_the_others_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(ROW).encode()
    with listening(tmp_path, Limits()) as (world, port):
        for number in range(60):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                whole = number % 2
                connection.sendall(message(body) if whole else message(b"{", 50))
        assert ask(port) == 200
        wait_for(lambda: sum(statuses(port).values()) == 61)
        counted = statuses(port)
        assert counted.keys() <= {"200", "499"}
        assert counted["499"] >= 30
        wait_for(lambda: world.window().log["id"].is_unique)
    assert "Traceback" not in caplog.text
    assert not [r for r in caplog.records if r.levelname == "ERROR"]
