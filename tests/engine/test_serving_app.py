"""The service predicts as in training, refuses clearly, drops no request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from mlops.errors import EnvironmentFailure, Problem, Refused
from mlops.results.training import Feature, Signature
from mlops.serving.app import Options, create_app
from mlops.serving.follower import Follower, Served
from mlops.serving.limits import Limits
from mlops.serving.prediction_log import PredictionLog

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SIGNATURE = Signature(
    task="binary",
    target="churn",
    features=(
        Feature(name="tenure", kind="number", missing=False),
        Feature(
            name="pl an", kind="category", missing=True, categories=("basic", "plus")
        ),
        Feature(name="vip", kind="boolean", missing=True),
        Feature(name="joined", kind="date", missing=True),
        Feature(name="sex", kind="category", missing=False, categories=("f", "m")),
    ),
    classes=("no", "yes"),
    positive="yes",
)
ROW = {"tenure": 12, "pl an": "plus", "vip": True, "joined": "2026-01-31", "sex": "f"}


@dataclass
class FakeModel:
    """Scores tenure by a logistic curve; `offset` tells versions apart."""

    offset: float = 0
    name: str = "churn"
    signature: Signature = SIGNATURE

    def predict(self, raw: pd.DataFrame) -> pd.DataFrame:
        score = 1 / (
            1 + np.exp(raw["tenure"].astype(float).fillna(0) / 10 - self.offset)
        )
        label = np.where(score >= 0.5, "yes", "no")
        return pd.DataFrame({"prediction": label, "score": score}, index=raw.index)


def served(version: str, offset: float = 0, wrong: float = 0) -> Served:
    model = FakeModel(offset)
    examples = pd.DataFrame([ROW, {**ROW, "tenure": 60}])
    expected = model.predict(examples)
    expected["score"] += wrong
    return Served(version, model, {"version": version}, examples, expected)  # type: ignore[arg-type]


class World:
    """A registry with two good versions and two bad ones, a follower, and a client."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.stage = "v1.0.0"
        self.loads: list[str] = []
        self.follower = Follower("churn", "production", lambda: self.stage, self.load)
        self.log = PredictionLog(folder, "churn", {"sex"})
        options = Options(limits=limits or Limits())
        self.app = create_app(self.follower, self.log, lambda: NOW, options)
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def load(self, version: str) -> Served:
        self.loads.append(version)
        if version == "v6.6.6":
            raise Refused(Problem("the digest does not match", key="model.skops"))
        if version == "v7.7.7":
            raise ZeroDivisionError("broken")
        return {
            "v1.0.0": served("v1.0.0"),
            "v1.1.0": served("v1.1.0", offset=1),
            "v1.2.0": served("v1.2.0", wrong=1e-6),
        }[version]

    def window(self) -> Any:
        return self.log.window(NOW - timedelta(days=1), NOW + timedelta(days=1))

    def post(self, rows: Any) -> httpx.Response:
        return self.client.post("/predict", json={"rows": rows})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    assert made.follower.refresh()
    yield made


def test_it_answers_as_the_model_does_and_logs_it(world: World) -> None:
    many = [ROW, {**ROW, "tenure": None}, {**ROW, "tenure": 7.5, "pl an": "unseen"}]
    answer = world.post(many).json()
    expected = FakeModel().predict(pd.DataFrame(many))
    assert answer["version"] == "v1.0.0" and answer["logged"] is True
    assert [p["score"] for p in answer["predictions"]] == expected["score"].tolist()
    assert [p["prediction"] for p in answer["predictions"]] == expected[
        "prediction"
    ].tolist()
    window = world.window()
    assert window.log["id"].tolist() == [p["id"] for p in answer["predictions"]]
    assert window.log["score"].tolist() == expected["score"].tolist()
    assert set(window.features) == {
        "tenure",
        "pl an",
        "vip",
        "joined",
    }  # sex is sensitive
    assert world.post(ROW).json()["predictions"][0]["score"] == expected["score"][0]


def test_the_columns_reach_the_model_in_its_order(world: World) -> None:
    seen: list[list[str]] = []
    model = world.follower.served.model  # type: ignore[union-attr]
    original = model.predict

    def spy(raw: pd.DataFrame) -> pd.DataFrame:
        seen.append(list(raw.columns))
        return original(raw)

    model.predict = spy  # type: ignore[method-assign]
    assert world.post(dict(reversed(ROW.items()))).status_code == 200
    assert seen == [list(ROW)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tenure": "12"}, ["a valid number", "rows.0.tenure", "'12'"]),
        ({"tenure": True}, ["a valid number"]),
        ({"tenure": 10**400}, ["rows.0.tenure", "number"]),
        ({"pl an": 1.5}, ["a valid string", "rows.0.pl an"]),
        ({"pl an": True}, ["a valid string"]),
        ({"pl an": ["x"]}, ["a valid string"]),
        ({"vip": "perhaps"}, ["a valid boolean"]),
        ({"joined": "yesterday"}, ["isoformat", "'yesterday'"]),
        ({"joined": 5}, ["a valid string"]),
        ({"tenuer": 5}, ["not permitted", "rows.0.tenuer", "did you mean `tenure`?"]),
    ],
)
def test_a_wrong_value_is_named(
    world: World, change: dict[str, Any], words: list[str]
) -> None:
    response = world.post({**ROW, **change})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert [w for w in words if w not in " ".join(error.values())] == []
    assert len(world.window().log) == 0


def test_a_missing_column_is_named_with_its_row(world: World) -> None:
    short = {k: v for k, v in ROW.items() if k != "vip"}
    response = world.post([ROW, short])
    (error,) = response.json()["errors"]
    assert response.status_code == 422
    assert (error["key"], error["what"]) == ("rows.1.vip", "Field required")


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"{",
            b"\xff",
            b"[1]",
            b"null",
            b'{"rows": 3}',
            b'{"rows": []}',
            b'{"rows": [1]}',
        ),
        b'{"row": {}}',
        b"[" * 100_000,
        b'{"rows": {"tenure": NaN}}',
        json.dumps({"rows": [ROW] * 10_001}).encode(),
    ],
    ids=range(12),
)
def test_what_is_no_request_is_refused(world: World, body: bytes) -> None:
    response = world.client.post("/predict", content=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["what"]
    assert len(response.content) < 5000


def test_many_wrong_rows_make_a_short_answer(world: World) -> None:
    response = world.post([{"tenure": "x"}] * 10_000)
    assert response.status_code == 422
    errors = response.json()["errors"]
    assert len(errors) == 21
    assert errors[-1]["what"] == "only the first 20 problems are listed"


def test_ten_thousand_rows_are_one_request(world: World) -> None:
    answer = world.post([ROW] * 10_000).json()
    assert len(answer["predictions"]) == 10_000
    assert len(world.window().log) == 10_000


def test_a_huge_body_is_not_read_to_its_end(tmp_path: Path) -> None:
    world = World(tmp_path, Limits(body_bytes=1000))
    world.follower.refresh()
    response = world.client.post("/predict", content=iter([b" " * 600] * 3))
    assert response.status_code == 413


def test_a_label_comes_back_by_id(world: World) -> None:
    key = world.post(ROW).json()["predictions"][0]["id"]
    assert (
        world.client.post("/feedback", json={"id": key, "label": "yes"}).status_code
        == 202
    )
    assert world.window().log["label"].tolist() == ["yes"]


@pytest.mark.parametrize("label", ["maybe", 1, None, True, ["yes"]])
def test_a_label_that_is_no_class_is_refused(world: World, label: Any) -> None:
    response = world.client.post("/feedback", json={"id": "p0", "label": label})
    assert response.status_code == 422
    assert not list((world.log.state / "feedback").glob("**/*.jsonl"))


@pytest.mark.parametrize(
    ("classes", "label", "stored"),
    [(("False", "True"), True, "True"), (("0", "1"), 1, "1"), (("0", "1"), 1.0, "1")],
)
def test_labels_are_matched_as_the_data_writes_them(
    classes: tuple[str, str], label: Any, stored: str
) -> None:
    from mlops.serving.requests import Requests

    requests = Requests(SIGNATURE.model_copy(update={"classes": classes}))
    assert requests.label(json.dumps({"id": "p", "label": label}).encode()) == (
        "p",
        stored,
    )


def test_a_regression_label_is_a_number() -> None:
    from mlops.errors import UsageError
    from mlops.serving.requests import Requests

    requests = Requests(
        SIGNATURE.model_copy(update={"task": "regression", "classes": ()})
    )
    assert requests.label(b'{"id": "p", "label": 3}') == ("p", 3.0)
    for bad in (
        b'{"id": "p", "label": "3"}',
        b'{"id": "p", "label": true}',
        b'{"id": "p"}',
    ):
        with pytest.raises(UsageError):
            requests.label(bad)


def test_a_full_disk_does_not_stop_answers_and_is_seen(world: World) -> None:
    (world.log.state / "predictions").write_text("in the way")
    answer = world.post(ROW)
    assert answer.status_code == 200 and answer.json()["logged"] is False
    assert world.client.get("/health/ready").json()["unlogged_rows"] == 1
    assert "mlops_unlogged_rows_total 1.0\n" in world.client.get("/metrics").text
    (world.log.state / "feedback").write_text("in the way")
    label = {"id": answer.json()["predictions"][0]["id"], "label": "no"}
    assert world.client.post("/feedback", json=label).status_code == 503


def test_a_failing_model_is_a_server_error_that_tells_nothing(world: World) -> None:
    from mlops.errors import UsageError

    def fail(raw: pd.DataFrame) -> pd.DataFrame:
        raise UsageError(Problem("secret detail", file="features.py"))

    world.follower.served.model.predict = fail  # type: ignore[union-attr,method-assign]
    response = world.post(ROW)
    assert response.status_code == 500
    assert "secret" not in response.text
    counted = 'mlops_requests_total{path="/predict",status="500"} 1.0\n'
    assert counted in world.client.get("/metrics").text


def test_a_number_that_is_not_finite_is_missing_and_the_other_rows_are_answered(
    world: World,
) -> None:
    def wild(raw: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"prediction": ["yes"] * 3, "score": [0.5, np.nan, np.inf]})

    world.follower.served.model.predict = wild  # type: ignore[union-attr,method-assign]
    answer = world.post([ROW] * 3)
    assert answer.status_code == 200
    assert [row["score"] for row in answer.json()["predictions"]] == [0.5, None, None]


def test_metrics_are_prometheus_text(world: World) -> None:
    world.post([ROW, ROW])
    world.post({})
    assert world.client.get("/", follow_redirects=False).headers["location"] == "/docs"
    world.client.get("/nothing/here")
    lines = world.client.get("/metrics").text.splitlines()
    assert "# TYPE mlops_predict_seconds histogram" in lines
    samples = {}
    for line in lines:
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            samples[name] = float(value)
    assert samples['mlops_requests_total{path="/predict",status="200"}'] == 1
    assert samples['mlops_requests_total{path="/predict",status="422"}'] == 1
    assert samples['mlops_requests_total{path="other",status="404"}'] == 1
    assert samples["mlops_rows_total"] == 2
    assert samples["mlops_predict_seconds_count"] == 1
    assert samples['mlops_predict_seconds_bucket{le="+Inf"}'] == 1
    assert samples['mlops_predict_seconds_bucket{le="10.0"}'] == 1
    info = 'mlops_model_info{model="churn",stage="production",version="v1.0.0"}'
    assert samples[info] == 1


def test_openapi_has_the_signature_and_an_example_that_works(world: World) -> None:
    schema = world.client.get("/openapi.json").json()
    content = schema["paths"]["/predict"]["post"]["requestBody"]["content"][
        "application/json"
    ]
    wrapped, row = content["schema"]["anyOf"]
    assert wrapped["properties"]["rows"]["anyOf"][0] == row
    assert sorted(row["required"]) == sorted(ROW)
    assert "$ref" not in json.dumps(content)
    assert content["example"]["rows"]["sex"] is None  # sensitive
    assert world.client.post("/predict", json=content["example"]).status_code == 200


def test_nothing_serves_before_the_first_version(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.stage = "v6.6.6"
    assert not world.follower.refresh()
    assert world.post(ROW).status_code == 503
    assert world.client.get("/model").status_code == 503
    assert world.client.get("/health/live").status_code == 200
    ready = world.client.get("/health/ready")
    assert ready.status_code == 503
    assert "the digest does not match" in ready.json()["failure"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("v6.6.6", "the digest does not match"),
        ("v7.7.7", "ZeroDivisionError: broken"),
        ("v1.2.0", "gives different predictions for its examples"),
    ],
)
def test_a_bad_version_stays_out_and_the_old_one_serves_on(
    world: World, bad: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.stage = bad
    assert not world.follower.refresh()
    assert not world.follower.refresh()
    assert world.post(ROW).json()["version"] == "v1.0.0"
    ready = world.client.get("/health/ready")
    assert ready.status_code == 200 and why in ready.json()["failure"]
    assert "mlops_refresh_failed 1.0\n" in world.client.get("/metrics").text
    assert len([r for r in caplog.records if why in r.message]) == 1  # said once
    world.stage = "v1.1.0"
    assert world.follower.refresh()
    assert world.client.get("/health/ready").json()["failure"] is None
    assert world.client.get("/model").json()["version"] == "v1.1.0"


def test_an_unreachable_registry_changes_nothing(world: World) -> None:
    def unreachable() -> str:
        raise EnvironmentFailure(Problem("origin cannot be reached"))

    world.follower.resolve = unreachable
    assert not world.follower.refresh()
    assert world.post(ROW).status_code == 200
    assert world.loads == ["v1.0.0"]


def test_it_goes_back_to_an_older_version(world: World) -> None:
    for stage in ("v1.1.0", "v1.0.0"):
        world.stage = stage
        assert world.follower.refresh()
        assert world.post(ROW).json()["version"] == stage
    world.follower.refresh()
    assert world.loads == [
        "v1.0.0",
        "v1.1.0",
        "v1.0.0",
    ]  # a stage that stays costs no load


def test_no_request_fails_while_versions_are_swapped(world: World) -> None:
    scores = {
        version: FakeModel(offset).predict(pd.DataFrame([ROW]))["score"][0]
        for version, offset in (("v1.0.0", 0), ("v1.1.0", 1))
    }

    async def play() -> list[httpx.Response]:
        done = asyncio.Event()

        async def move() -> None:
            for swap in range(30):
                world.stage = ["v1.1.0", "v6.6.6", "v1.0.0"][swap % 3]
                # However slow the machine is, each version is looked at once.
                while world.loads[-1] != world.stage:
                    await asyncio.sleep(0.002)
                await asyncio.sleep(0.01)
            done.set()

        async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
            out = []
            while not done.is_set():
                out.append(await client.post("/predict", json={"rows": ROW}))
                await asyncio.sleep(0)  # this transport never waits, a socket would
            return out

        transport = httpx.ASGITransport(world.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test"
        ) as client:
            follow = asyncio.create_task(world.follower.follow(0.002))
            _, *answers = await asyncio.gather(move(), *(ask(client) for _ in range(4)))
            follow.cancel()
        return [response for some in answers for response in some]

    responses = asyncio.run(play())
    assert {r.status_code for r in responses} == {200}
    seen = {r.json()["version"] for r in responses}
    assert seen == {"v1.0.0", "v1.1.0"} and len(world.loads) > 30
    for response in responses:
        answer = response.json()
        assert answer["predictions"][0]["score"] == scores[answer["version"]]
    assert len(world.window().log) == len(responses)


def test_the_background_task_follows_and_stops_with_the_app(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.follower.refresh()
    options = Options(interval=0.01)
    app = create_app(world.follower, world.log, lambda: NOW, options)
    with TestClient(app) as client:
        world.stage = "v1.1.0"
        for _ in range(500):
            if client.get("/health/ready").json()["version"] == "v1.1.0":
                break
        else:
            pytest.fail("the stage moved and the service did not")
    loads = len(world.loads)
    world.stage = "v1.0.0"
    assert len(world.loads) == loads


def test_the_trained_model_answers_as_it_does_in_training(
    trained: Any, tmp_path: Path
) -> None:
    model, dataset = trained.model, trained.dataset
    rows = dataset.part("test").head(20)
    names = [f.name for f in model.signature.features]
    bundle = Served("v1.0.0", model, {}, rows[names], model.predict(rows[names]))
    follower = Follower("churn", "production", lambda: "v1.0.0", lambda _: bundle)
    assert follower.refresh(), follower.failure
    log = PredictionLog(tmp_path, "churn", trained.spec.sensitive)
    client = TestClient(create_app(follower, log, lambda: NOW))
    sent = json.loads(rows[names].to_json(orient="records"))
    answers = client.post("/predict", json={"rows": sent}).json()["predictions"]
    expected = model.predict(rows)
    assert [a["score"] for a in answers] == pytest.approx(
        expected["score"].tolist(), abs=1e-12
    )
    one = [
        client.post("/predict", json={"rows": row}).json()["predictions"][0]
        for row in sent
    ]
    assert [a["score"] for a in one] == pytest.approx(
        expected["score"].tolist(), abs=1e-12
    )


def test_a_loader_is_asked_for_the_version_of_the_stage(world: World) -> None:
    world.follower.load = lambda version: replace(served("v1.1.0"), version=version)
    world.stage = "v3.0.0"
    assert world.follower.refresh()
    assert world.post(ROW).json()["version"] == "v3.0.0"


def test_what_a_new_version_declares_sensitive_is_hidden_from_then_on(
    world: World,
) -> None:
    world.follower.load = lambda version: replace(
        served("v1.1.0"), hidden=frozenset({"tenure"})
    )
    assert world.post(ROW).status_code == 200
    world.stage = "v1.1.0"
    assert world.follower.refresh()
    assert world.post(ROW).status_code == 200
    (path,) = world.log.state.glob("predictions/churn/*.jsonl")
    before, after = (json.loads(line) for line in path.read_text().splitlines())
    assert set(before["features"]) == set(ROW) - {"sex"}
    assert set(after["features"]) == set(ROW) - {"sex", "tenure"}
    schema = world.client.get("/openapi.json").json()
    body = schema["paths"]["/predict"]["post"]["requestBody"]
    assert body["content"]["application/json"]["example"]["rows"]["tenure"] is None
