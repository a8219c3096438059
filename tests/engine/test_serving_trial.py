"""A candidate in the shadow or as a canary never touches an answer."""

from __future__ import annotations

import json
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
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from mlops.cli.main import app as cli
from mlops.io.places import FolderPlace
from mlops.registry.decisions import rollback
from mlops.serving.app import create_app
from mlops.serving.follower import Follower
from mlops.serving.limits import Limits
from mlops.serving.log_reader import SHADOW, Window, is_of_canary, read_log
from mlops.serving.prediction_log import PredictionLog
from mlops.serving.trial import Trial

from .conftest import Trained
from .service_process import serving, wait_for
from .serving_world import release
from .test_serving_app import NOW, ROW, FakeModel, served
from .test_serving_run import second_version

LOG = "mlops.serving"


class Tried:
    """A service of v1.0.0 beside which v1.1.0 is tried."""

    def __init__(
        self,
        folder: Path,
        shadow: bool = False,
        share: float = 0.0,
        candidate: str = "v1.1.0",
    ) -> None:
        self.follower = Follower("churn", "production", lambda: "v1.0.0", served)
        self.candidate = Follower("churn", "staging", lambda: candidate, self.load)
        self.log = PredictionLog(folder, "churn", {"sex"})
        trial = Trial(self.candidate, shadow, share)
        self.app = create_app(self.follower, self.log, lambda: NOW, trial=trial)
        self.client = TestClient(self.app, raise_server_exceptions=False)
        assert self.follower.refresh() and self.candidate.refresh()

    @staticmethod
    def load(version: str) -> Any:
        return served(version, offset=1 if version == "v1.1.0" else 0)

    @property
    def model(self) -> Any:
        assert self.candidate.served
        return self.candidate.served.model

    def post(self, rows: Any = ROW, **headers: str) -> dict[str, Any]:
        answer = self.client.post("/predict", json={"rows": rows}, headers=headers)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def logged(self, kind: str = "predictions") -> Window:
        period = (NOW - timedelta(days=1), NOW + timedelta(days=1))
        return read_log(FolderPlace(self.log.state), "churn", period, kind=kind)

    def count(self, metric: str) -> float:
        for line in self.client.get("/metrics").text.splitlines():
            if line.startswith(f"{metric} "):
                return float(line.split()[-1])
        return 0.0

    def wait(self, metric: str, value: float) -> None:
        """Wait until the thread of the shadow has counted so far."""
        deadline = time.monotonic() + 20
        while self.count(metric) < value:
            assert time.monotonic() < deadline, self.client.get("/metrics").text
            time.sleep(0.01)


@pytest.fixture
def tried(tmp_path: Path) -> Iterator[Callable[..., Tried]]:
    made: list[Tried] = []

    def make(**options: Any) -> Tried:
        made.append(Tried(tmp_path / str(len(made)), **options))
        return made[-1]

    yield make


PREDICTED = 'mlops_shadow_rows_total{result="predicted"}'
FAILED = 'mlops_shadow_rows_total{result="failed"}'
DROPPED = 'mlops_shadow_rows_total{result="dropped"}'
ANSWERED = 'mlops_canary_requests_total{result="answered"}'
UNANSWERED = 'mlops_canary_requests_total{result="failed"}'


# -- the shadow ------------------------------------------------------------------------


def test_the_shadow_predicts_the_same_rows_and_one_answer_is_given(
    tried: Callable[..., Tried],
) -> None:
    world = tried(shadow=True)
    rows = [ROW, {**ROW, "tenure": None}, {**ROW, "tenure": 40}]
    answer = world.post(rows)
    expected = FakeModel().predict(pd.DataFrame(rows))["score"].tolist()
    assert answer["version"] == "v1.0.0"
    assert [one["score"] for one in answer["predictions"]] == expected
    world.wait(PREDICTED, 3)
    shadow = world.logged(SHADOW).log
    assert shadow["id"].tolist() == [one["id"] for one in answer["predictions"]]
    assert set(shadow["version"]) == {"v1.1.0"}
    candidate = FakeModel(offset=1).predict(pd.DataFrame(rows))["score"].tolist()
    assert shadow["score"].tolist() == candidate
    assert set(world.logged().log["version"]) == {"v1.0.0"}
    assert (
        "plus"
        not in Path(next(world.log.state.glob("shadow/churn/*.jsonl"))).read_text()
    )  # the rows are logged once


def test_a_candidate_that_fails_touches_no_answer(
    tried: Callable[..., Tried], caplog: pytest.LogCaptureFixture
) -> None:
    world = tried(shadow=True)

    def broken(raw: pd.DataFrame) -> pd.DataFrame:
        raise SystemExit(f"tenure {raw['tenure'][0]}")

    original = world.model.predict
    world.model.predict = broken
    for count in (1, 2):
        assert world.post()["version"] == "v1.0.0"
        world.wait(FAILED, count)
    assert caplog.text.count("the candidate failed in the shadow: SystemExit") == 1
    assert "tenure 12" not in caplog.text
    world.model.predict = original
    world.post()
    world.wait(PREDICTED, 1)


def test_a_candidate_that_hangs_holds_no_answer_up(
    tried: Callable[..., Tried], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.serving.trial._MOST_WAITING", 3)
    world = tried(shadow=True)
    go_on = threading.Event()
    original = world.model.predict

    def slow(raw: pd.DataFrame) -> pd.DataFrame:
        assert go_on.wait(20)
        return original(raw)

    world.model.predict = slow
    for _ in range(5):
        assert world.post()["version"] == "v1.0.0"
    assert world.count(DROPPED) == 2  # what waits is bounded
    go_on.set()
    world.wait(PREDICTED, 3)


def test_a_candidate_that_cannot_be_loaded_keeps_no_service_from_working(
    tmp_path: Path,
) -> None:
    def broken(_: str) -> Any:
        raise ZeroDivisionError("broken")

    follower = Follower("churn", "production", lambda: "v1.0.0", served)
    candidate = Follower("churn", "staging", lambda: "v1.1.0", broken)
    assert follower.refresh() and not candidate.refresh()
    log = PredictionLog(tmp_path, "churn")
    trial = Trial(candidate, shadow=True, share=0.5)
    client = TestClient(create_app(follower, log, lambda: NOW, trial=trial))
    for tenure in range(20):
        answer = client.post("/predict", json={**ROW, "tenure": tenure})
        assert answer.json()["version"] == "v1.0.0"
    text = client.get("/metrics").text
    assert 'mlops_candidate_info{model="churn",stage="staging",version=""} 0.0' in text
    assert "mlops_shadow_rows_total{" not in text


def test_the_version_that_serves_is_no_candidate(tried: Callable[..., Tried]) -> None:
    world = tried(shadow=True, share=0.5, candidate="v1.0.0")
    for tenure in range(20):
        world.post({**ROW, "tenure": tenure})
    text = world.client.get("/metrics").text
    assert "mlops_shadow_rows_total{" not in text
    assert "mlops_canary_requests_total{" not in text
    assert not list(world.log.state.glob("shadow/*"))


# -- the canary ------------------------------------------------------------------------


def test_a_canary_answers_its_share_and_always_the_same_customers(
    tried: Callable[..., Tried],
) -> None:
    world = tried(share=0.2)
    names = [f"customer {number}" for number in range(400)]
    first = [world.post(**{"Canary-Key": name})["version"] for name in names]
    again = [world.post(**{"Canary-Key": name})["version"] for name in names]
    assert first == again
    count = Counter(first)["v1.1.0"]
    assert 45 <= count <= 120  # 80 ± 5 standard errors of 8
    assert world.count(ANSWERED) == 2 * count
    log = world.logged().log
    of_canary = log["source"].map(is_of_canary).astype(bool)
    assert (log["version"] == "v1.1.0").tolist() == of_canary.tolist()
    assert int(of_canary.sum()) == 2 * count


def test_who_has_the_candidate_keeps_it_when_the_share_grows(
    tried: Callable[..., Tried],
) -> None:
    few, many = tried(share=0.1), tried(share=0.3)
    key = few.log.state / "prediction-ids.json"
    many = Tried(few.log.state, share=0.3)  # the key of one log
    assert key.is_file()
    names = [f"customer {number}" for number in range(200)]

    def taken(world: Tried) -> set[str]:
        return {
            name
            for name in names
            if world.post(**{"Canary-Key": name})["version"] == "v1.1.0"
        }

    assert taken(few) < taken(many)


def test_without_a_key_the_row_decides_whatever_the_order_of_its_fields(
    tried: Callable[..., Tried],
) -> None:
    world = tried(share=0.5)
    versions = set()
    for tenure in range(30):
        row = {**ROW, "tenure": tenure}
        version = world.post(row)["version"]
        assert world.post(dict(reversed(row.items())))["version"] == version
        versions.add(version)
    assert versions == {"v1.0.0", "v1.1.0"}


def of_canary(world: Tried) -> str:
    """Return a key that the candidate answers."""
    for number in range(200):
        if world.post(**{"Canary-Key": str(number)})["version"] == "v1.1.0":
            return str(number)
    raise AssertionError("the candidate answers nobody")


def test_what_a_canary_cannot_answer_the_other_version_answers(
    tried: Callable[..., Tried],
) -> None:
    world = tried(share=0.5)
    key = of_canary(world)

    def broken(_: pd.DataFrame) -> pd.DataFrame:
        raise ZeroDivisionError

    world.model.predict = broken
    before = len(world.logged().log)
    assert world.post(**{"Canary-Key": key})["version"] == "v1.0.0"
    assert world.count(UNANSWERED) == 1
    log = world.logged().log
    assert len(log) == before + 1 and log["id"].is_unique


def test_a_canary_that_hangs_is_not_waited_for_long(
    tried: Callable[..., Tried], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.serving.trial._CANARY_SECONDS", 0.05)
    world = tried(share=0.5)
    key = of_canary(world)
    go_on = threading.Event()
    original = world.model.predict

    def slow(raw: pd.DataFrame) -> pd.DataFrame:
        assert go_on.wait(20)
        return original(raw)

    world.model.predict = slow
    assert world.post(**{"Canary-Key": key})["version"] == "v1.0.0"
    go_on.set()


def test_who_asks_for_a_version_gets_it(tried: Callable[..., Tried]) -> None:
    world = tried(share=0.5)
    key = of_canary(world)
    tensors = [
        {
            "name": name,
            "shape": [1],
            "datatype": {"tenure": "INT64", "vip": "BOOL"}.get(name, "BYTES"),
            "data": [value],
        }
        for name, value in ROW.items()
    ]
    path = "/v2/models/churn/versions/v1.0.0/infer"
    for url, version in ((path, "v1.0.0"), ("/v2/models/churn/infer", "v1.1.0")):
        answer = world.client.post(
            url, json={"inputs": tensors}, headers={"Canary-Key": key}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["model_version"] == version


def test_a_canary_needs_no_more_than_the_limits(tmp_path: Path) -> None:
    assert Limits().wait_seconds > 10  # of a request; a canary has seconds
    world = Tried(tmp_path, share=0.5)
    rows = [{**ROW, "tenure": tenure} for tenure in range(200)]
    versions = set()
    for name in range(12):
        answer = world.post(rows, **{"Canary-Key": str(name)})
        assert len(answer["predictions"]) == 200
        versions.add(answer["version"])
    assert versions == {"v1.0.0", "v1.1.0"}


# -- the command -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--shadow", "nowhere"), "there is no stage of this name"),
        (("--shadow", "production"), "the candidate is of another stage"),
        (("--shadow", "staging", "--workers", "2"), "a service of one process"),
        (("--canary", "0.9"), "canary"),
    ],
)
def test_what_cannot_be_tried_is_refused(
    make_project: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    problem: str,
) -> None:
    monkeypatch.chdir(make_project(n=20).root)
    done = CliRunner().invoke(cli, ["serve", "churn@production", *options])
    assert done.exit_code == 2 and problem in done.output, done.output


def test_the_first_stage_has_no_canary(
    make_project: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_project(n=20).root)
    done = CliRunner().invoke(cli, ["serve", "churn@staging", "--canary", "0.05"])
    assert done.exit_code == 2 and "no stage comes before" in done.output


def test_a_trial_from_the_command_to_its_report(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(trained)
    candidate = second_version(trained)
    rollback(
        trained.project,
        "churn",
        "production",
        actor="@ana",
        reason="it is only tried",
        now=NOW + timedelta(hours=2),
    )
    options = ("--shadow", "staging", "--canary", "0.3", "--explain")
    with serving(trained.project.root, *options) as service:
        wait_for(lambda: f'version="{candidate}"' in service.get("/metrics").text)
        versions = []
        for tenure in range(20):
            row = {"tenure": tenure, "spend": 50.5, "plan": "plus"}
            answer = httpx.post(service.url + "/predict", json=row, timeout=30)
            versions.append(answer.json()["version"])
        answered = Counter(versions)
        assert set(answered) == {"v1.0.0", candidate}
        predicted = 'mlops_shadow_rows_total{result="predicted"}'
        wait_for(lambda: service.metric(predicted) == answered["v1.0.0"])
        row = {"tenure": 3, "spend": None, "plan": "plus"}
        explained = httpx.post(service.url + "/explain", json=row, timeout=30).json()
        assert explained["version"] == "v1.0.0"
    monkeypatch.chdir(trained.project.root)
    done = CliRunner().invoke(cli, ["canary", "report", "churn", "--json"])
    assert done.exit_code == 0, done.output
    shadow, canary = json.loads(done.stdout)["parts"]
    assert shadow["rows"] == answered["v1.0.0"]
    assert canary["candidate_rows"] == answered[candidate]
    assert canary["problem"] == "no labels yet"
