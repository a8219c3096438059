"""The metrics of a service, its dashboard, and what it knows of the monitor."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure
from mlops.runlog.journal import append_check
from mlops.serving.app import create_app
from mlops.serving.check_seen import CheckSeen
from mlops.serving.follower import Follower
from mlops.serving.metrics import ServiceMetrics, ServiceState
from mlops.serving.prediction_log import PredictionLog

from .registry_world import MODEL, World, git, world_fixture  # noqa: F401
from .test_serving_app import served

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def names() -> set[str]:
    """Return the metrics of a service, as Prometheus names them."""
    delivery = {"delivered": 0, "rows": 0, "failures": 0}
    state = ServiceState(
        "churn", "production", "v1.0.0", False, 0, waiting=0, delivery=delivery
    )
    text = ServiceMetrics().text(state)
    return set(re.findall(r"^# TYPE (\S+) ", text, re.M))


def test_the_dashboard_asks_for_each_metric_and_for_no_other() -> None:
    dashboard = json.loads((HOW_TO / "service-dashboard.json").read_text("utf-8"))
    queries = [
        target["expr"] for panel in dashboard["panels"] for target in panel["targets"]
    ]
    assert len(queries) > 15
    asked = set()
    for query in queries:
        for name in re.findall(r"\bmlops_\w+", query):
            asked.add(re.sub(r"_(bucket|sum|count)$", "", name))
        assert query.count("(") == query.count(")"), query
        assert query.count("{") == query.count("}"), query
    assert asked == names()
    positions = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    assert len(set(positions)) == len(positions)
    assert all(panel["description"] for panel in dashboard["panels"])


def test_the_table_of_the_metrics_is_whole() -> None:
    text = (HOW_TO / "watch-the-service.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(mlops_\w+)", text, re.M)) == names()


# -- the monitor -----------------------------------------------------------------------


def check(until: datetime, alarm: bool = False) -> dict[str, Any]:
    facts = {"model": MODEL, "version": "v1.0.0", "alarm": alarm}
    return {**facts, "until": until.isoformat()}


def test_the_age_of_the_last_check_is_a_metric(world: World, tmp_path: Path) -> None:
    seen = CheckSeen()
    follower = Follower(MODEL, "production", lambda: "v1.0.0", served, check=seen)
    log = PredictionLog(tmp_path, MODEL)
    client = TestClient(create_app(follower, log, lambda: NOW))

    def values() -> tuple[float, float]:
        text = client.get("/metrics").text
        checked = re.search(r"^mlops_monitor_checked_\w+ (\S+)$", text, re.M)
        alarm = re.search(r"^mlops_monitor_alarm (\S+)$", text, re.M)
        assert checked and alarm
        return float(checked[1]), float(alarm[1])

    append_check(world.project, check(NOW - timedelta(days=2)), "ana")
    seen.look(world.project, MODEL, NOW)
    assert values() == (0, 0), "a service does not wait for it at its start"
    seen.look(world.project, MODEL, NOW)
    assert values() == ((NOW - timedelta(days=2)).timestamp(), 0)

    append_check(world.project, check(NOW, alarm=True), "ana")
    seen.look(world.project, MODEL, NOW + timedelta(minutes=5))
    assert values()[1] == 0, "it does not look that often"
    seen.look(world.project, MODEL, NOW + timedelta(minutes=10))
    assert values() == (NOW.timestamp(), 1)


@pytest.mark.parametrize("wrong", [{}, {"until": 3}, {"until": "soon"}])
def test_what_is_wrong_in_the_run_log_stops_no_service(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    wrong: dict[str, Any],
) -> None:
    seen = CheckSeen()
    monkeypatch.setattr(
        "mlops.serving.check_seen.latest_checks",
        lambda *_: {MODEL: {**wrong, "alarm": True}},
    )
    for minutes in (0, 0, 20):
        seen.look(world.project, MODEL, NOW + timedelta(minutes=minutes))
    assert seen.until is None and "the last check is not known" in caplog.text


def test_an_origin_that_is_gone_stops_no_service(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Path) -> None:
        raise EnvironmentFailure("origin cannot be reached")

    seen = CheckSeen(until=NOW)
    monkeypatch.setattr("mlops.runlog.journal.fetch", gone)
    for _ in range(2):
        seen.look(world.project, MODEL, NOW)
    assert seen.until == NOW, "what was known holds"


def test_a_service_looks_at_the_run_log_of_origin(world: World, tmp_path: Path) -> None:
    origin = tmp_path / "origin.git"
    append_check(world.project, check(NOW), "ana")
    git(tmp_path, "clone", "-q", "--mirror", str(world.root), str(origin))
    there = tmp_path / "there"
    git(tmp_path, "clone", "-q", str(origin), str(there))
    seen = CheckSeen()
    for _ in range(2):
        seen.look(Project(there), MODEL, NOW)
    assert seen.until == NOW
