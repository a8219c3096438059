"""A service says when the registry last answered, and serves on while it does not."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mlops.io import git as io_git
from mlops.serving.app import create_app
from mlops.serving.follower import Follower
from mlops.serving.prediction_log import PredictionLog
from mlops.serving.server import follow

from .registry_world import MODEL, NOW, World, git, world_fixture  # noqa: F401
from .test_git_settings import silent_server
from .test_serving_app import ROW, served


class Service:
    """A service of a stage whose registry is at an origin."""

    def __init__(self, world: World, folder: Path) -> None:
        self.root = world.root
        self.time = NOW

        def clock() -> datetime:
            return self.time

        self.follower: Follower = follow(world.project, MODEL, "production", now=clock)
        self.follower.load = served
        log = PredictionLog(folder, MODEL, frozenset())
        self.client = TestClient(create_app(self.follower, log, clock))

    def origin(self, address: object) -> None:
        git(self.root, "remote", "set-url", "origin", str(address))

    def ready(self) -> dict[str, Any]:
        response = self.client.get("/health/ready")
        assert response.status_code == 200
        return dict(response.json())

    def seen(self) -> float:
        (line,) = [
            line
            for line in self.client.get("/metrics").text.splitlines()
            if line.startswith("mlops_registry_seen_timestamp_seconds ")
        ]
        return float(line.split()[1])


@pytest.fixture
def service(world: World, tmp_path: Path) -> Service:
    world.release("one")
    for stage in ("staging", "production"):
        world.promote("v1.0.0", stage)
    origin = tmp_path / "origin.git"
    git(tmp_path, "clone", "-q", "--bare", str(world.root), str(origin))
    git(world.root, "remote", "add", "origin", str(origin))
    return Service(world, tmp_path / "log")


def test_readiness_and_metrics_say_when_the_registry_last_answered(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.seen() == 0, "it was never asked"
    service.follower.start()
    first = {"registry_seen": NOW.isoformat(), "registry_age_seconds": 0.0}
    assert service.ready().items() >= first.items()
    assert service.seen() == NOW.timestamp()

    monkeypatch.setattr(io_git, "NETWORK_SECONDS", 1.0)
    service.time += timedelta(hours=1)
    with silent_server() as port:
        service.origin(f"git://127.0.0.1:{port}/x.git")
        begun = time.monotonic()
        assert service.follower.refresh(), service.follower.failure
        assert time.monotonic() - begun < 20
        state = service.ready()
    assert state["version"] == "v1.0.0" and state["failure"] is None
    assert state["registry_seen"] == NOW.isoformat()
    assert state["registry_age_seconds"] == 3600
    assert service.seen() == NOW.timestamp()
    assert service.client.post("/predict", json={"rows": ROW}).status_code == 200

    service.origin(tmp_path / "origin.git")
    assert service.follower.refresh()
    assert service.ready()["registry_age_seconds"] == 0
    assert service.seen() == service.time.timestamp()


def test_a_service_that_starts_without_its_registry_says_so(
    service: Service, tmp_path: Path
) -> None:
    service.origin(tmp_path / "nowhere.git")
    service.follower.start()
    state = service.ready()
    assert state["version"] == "v1.0.0"
    assert (state["registry_seen"], state["registry_age_seconds"]) == (None, None)


def test_a_stage_that_cannot_be_resolved_is_no_silence_of_the_registry(
    service: Service,
) -> None:
    service.follower.start()
    git(service.root, "tag", "-d", "churn@v1.0.0")
    git(service.root, "push", "-q", "origin", ":refs/tags/churn@v1.0.0")
    service.time += timedelta(hours=1)
    assert not service.follower.refresh()
    state = service.ready()
    assert "cannot be resolved" in state["failure"]
    assert state["registry_age_seconds"] == 0
