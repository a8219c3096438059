"""A stranger's request costs no more than its size, and tells nothing it should not."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mlops.data.known import unseen_values
from mlops.errors import Problem, UsageError
from mlops.results.training import Feature, Signature
from mlops.serving.app import Options, create_app
from mlops.serving.batch import without_formulas
from mlops.serving.connections import Watch
from mlops.serving.ids import KEY_FILE, PredictionIds
from mlops.serving.limits import Limits, Room, TooBusy
from mlops.serving.prediction_log import new_id
from mlops.serving.requests import Requests
from mlops.serving.unseen import Known
from mlops.settings import from_environment

from .test_serving_app import NOW, ROW, SIGNATURE, FakeModel, World

MIB = 1 << 20


def started(folder: Path, limits: Limits | None = None) -> World:
    world = World(folder, limits)
    assert world.follower.refresh()
    return world


def hostile_body(kind: str) -> bytes:
    """Return a body of 8 MiB that is no request, or not a cheap one."""
    size = 8 * MIB
    if kind == "one long unknown key":
        return json.dumps({"rows": {**ROW, "x" * size: 1}}).encode()
    if kind == "one long value":
        return json.dumps({"rows": {**ROW, "tenure": "x" * size}}).encode()
    if kind == "one long key of a bare row":
        return json.dumps({"x" * size: [1]}).encode()
    if kind == "many unknown keys in one row":
        return json.dumps({"rows": {f"k{n}": 1 for n in range(size // 12)}}).encode()
    if kind == "many keys beside rows":
        keys = {f"k{n}": 1 for n in range(size // 12)}
        return json.dumps({"rows": [ROW], **keys}).encode()
    if kind == "many rows with unknown keys":
        row = {f"k{n}": [] for n in range(80)}
        return json.dumps({"rows": [row] * 10_000}).encode()
    if kind == "many wrong values":
        row: dict[str, Any] = {name: [] for name in ROW}
        return json.dumps({"rows": [row] * 10_000}).encode()
    if kind == "many empty rows":
        return b'{"rows": [' + b"{}," * (size // 3) + b"{}]}"
    raise KeyError(kind)


KINDS = [
    "one long unknown key",
    "one long value",
    "one long key of a bare row",
    "many unknown keys in one row",
    "many keys beside rows",
    "many rows with unknown keys",
    "many wrong values",
    "many empty rows",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_body_gets_a_short_answer_soon(world: World, kind: str) -> None:
    body = hostile_body(kind)
    begun = time.process_time()
    response = world.client.post("/predict", content=body)
    assert response.status_code == 422
    assert response.json()["errors"]
    assert len(response.content) < 20_000
    assert time.process_time() - begun < 5, "it took 10 to 24 s for a body of 30 MB"


MEMORY = """
import resource, sys
sys.path[:0] = {path!r}
from engine.test_serving_limits import SIGNATURE, Requests, UsageError, hostile_body
body = hostile_body({kind!r})
requests = Requests(SIGNATURE)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    requests.rows(body)
except UsageError:
    pass
print(len(body), 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


@pytest.mark.parametrize("kind", ["many rows with unknown keys", "many wrong values"])
def test_the_memory_for_a_request_is_bounded_by_its_size(kind: str) -> None:
    code = MEMORY.format(path=sys.path, kind=kind)
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    size, grown = map(int, done.stdout.split())
    assert size > MIB // 2
    assert grown < 40 * size, "errors were made before they were counted"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return started(tmp_path)


def test_a_bare_row_and_rows_are_both_accepted(world: World) -> None:
    bare = world.client.post("/predict", json=ROW).json()["predictions"]
    wrapped = world.post(ROW).json()["predictions"]
    assert bare[0]["score"] == wrapped[0]["score"]


def test_a_bare_row_with_mistakes_is_told_of_its_own_keys(world: World) -> None:
    response = world.client.post("/predict", json={"tenure": 40})
    assert response.status_code == 422
    errors = response.json()["errors"]
    assert sorted(error["key"] for error in errors) == sorted(set(ROW) - {"tenure"})
    assert {error["do"] for error in errors} == {"send null where it is not known"}


@pytest.mark.parametrize("body", [[ROW], {"row": ROW}, 3, {"rows": 3}, {"rows": []}])
def test_rows_in_the_wrong_place_are_answered_with_an_example(
    world: World, body: Any
) -> None:
    response = world.client.post("/predict", json=body)
    assert response.status_code == 422
    advice = " ".join(error["do"] for error in response.json()["errors"])
    assert '{"rows": [{...}, {...}]}' in advice


def test_a_feature_called_rows_can_be_sent_in_a_bare_row() -> None:
    feature = Feature(name="rows", kind="number", missing=False)
    requests = Requests(SIGNATURE.model_copy(update={"features": (feature,)}))
    assert requests.rows(b'{"rows": 3}') == [{"rows": 3.0}]
    assert requests.rows(b'{"rows": [{"rows": 3}]}') == [{"rows": 3.0}]


@pytest.mark.parametrize(
    "value", ['"Zx9-secret"', "9" * 400, '["Zx9-secret"]'], ids=range(3)
)
def test_no_error_shows_a_value_of_a_sensitive_column(value: str) -> None:
    date = Feature(name="born", kind="date", missing=False)
    number = Feature(name="income", kind="number", missing=False)
    signature = SIGNATURE.model_copy(update={"features": (date, number)})
    requests = Requests(signature, hidden={"born", "income"})
    body = f'{{"born": {value}, "income": {value}}}'.encode()
    with pytest.raises(UsageError) as caught:
        requests.rows(body)
    assert {p.key for p in caught.value.problems} == {"born", "income"}
    assert "Zx9" not in str(caught.value) and "999" not in str(caught.value)


RANGED = Signature(
    task="binary",
    target="churn",
    features=(
        Feature(name="tenure", kind="number", missing=False, low=0, high=70),
        Feature(name="plan", kind="category", missing=True, categories=("1.0", "2.0")),
        Feature(name="city", kind="category", missing=True, categories=("Bonn",)),
        Feature(name="free", kind="category", missing=True),
    ),
    classes=("no", "yes"),
    positive="yes",
)

_rows = st.fixed_dictionaries(
    {
        "tenure": st.none() | st.floats(-100, 200),
        "plan": st.none() | st.sampled_from(["1", "2.0", "3", "x", "1.5"]),
        "city": st.none() | st.sampled_from(["Bonn", "Rome", "1"]),
        "free": st.none() | st.just("anything"),
    }
)


@given(st.lists(_rows, min_size=1, max_size=8))
def test_a_service_warns_of_what_a_file_would_be_warned_of(
    rows: list[dict[str, Any]],
) -> None:
    warned = Known(RANGED.features).warnings(rows)
    frame = pd.DataFrame(rows)
    for name in ("plan", "city", "free"):
        frame[name] = frame[name].astype("str")
    expected = unseen_values(frame, RANGED.features)
    categories = {w.field: w.rows for w in warned if w.problem == "unseen category"}
    numbers = {w.field: w.rows for w in warned if w.problem == "out of range"}
    assert categories == expected.categories
    assert numbers == expected.numbers


def test_the_answer_and_the_metrics_say_what_training_never_saw(world: World) -> None:
    answer = world.post([ROW, {**ROW, "pl an": "gold"}, {**ROW, "pl an": None}]).json()
    warning = {"field": "pl an", "problem": "unseen category", "rows": 1}
    assert answer["warnings"] == [warning]
    assert world.post(ROW).json()["warnings"] == []
    counted = 'mlops_unseen_values_total{field="pl an",problem="unseen category"} 1.0\n'
    assert counted in world.client.get("/metrics").text


def test_a_label_for_an_id_that_was_never_given_out_is_refused(world: World) -> None:
    for key in (new_id(NOW), "p0", "", "\u0662" * 36):
        label = {"id": key, "label": "yes"}
        response = world.client.post("/feedback", json=label)
        if key:
            assert response.status_code == 404, key
            assert "has this id" in response.json()["detail"]
        else:
            assert response.status_code == 422
            assert response.json()["errors"][0]["key"] == "id"
    assert not list((world.log.state / "feedback").glob("**/*.jsonl"))


def test_an_id_is_recognised_only_as_it_was_given_out(world: World) -> None:
    given = world.post(ROW).json()["predictions"][0]["id"]
    old = new_id(NOW.replace(hour=1))
    for key in (given, old):
        hexadecimal = key.replace("-", "")
        others = (key.upper(), f"urn:uuid:{key}", f"{{{key}}}", hexadecimal)
        for other in others:
            label = {"id": other, "label": "yes"}
            response = world.client.post("/feedback", json=label)
            assert response.status_code == 404, other
    label = {"id": given, "label": "yes"}
    assert world.client.post("/feedback", json=label).status_code == 202


def test_ids_are_known_by_every_service_of_one_log(tmp_path: Path) -> None:
    ids = PredictionIds.of(tmp_path, NOW)
    keys = ids.make(NOW, 1000)
    assert keys == sorted(set(keys))
    again = PredictionIds.of(tmp_path, NOW)
    assert all(again.made(key) for key in keys)
    changed = keys[0][:20] + ("0" if keys[0][20] != "0" else "1") + keys[0][21:]
    assert not again.made(changed)
    assert not PredictionIds.of(tmp_path / "other", NOW).made(keys[0])
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o077 == 0


def test_a_prediction_from_before_ids_had_a_proof_can_still_be_labelled(
    tmp_path: Path,
) -> None:
    old = new_id(NOW.replace(hour=1))
    world = started(tmp_path)
    features = pd.DataFrame([ROW])
    outputs = FakeModel().predict(features)
    at = NOW.replace(hour=1)
    world.log.write(features, outputs, [old], "v1.0.0", at)
    label = {"id": old, "label": "yes"}
    assert world.client.post("/feedback", json=label).status_code == 202
    assert world.window().log["label"].tolist() == ["yes"]


def test_a_model_that_fails_logs_where_and_no_value(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(raw: pd.DataFrame) -> pd.DataFrame:
        raise UsageError(Problem("cannot read Zx9-secret", file="features.py", key="7"))

    world.follower.served.model.predict = fail  # type: ignore[union-attr,method-assign]
    with caplog.at_level(logging.ERROR):
        assert world.post(ROW).status_code == 500
    assert "features.py 7" in caplog.text
    assert "Zx9" not in caplog.text


def test_every_response_has_security_headers_and_none_allows_other_origins(
    world: World,
) -> None:
    for path in ("/docs", "/metrics", "/nothing", "/openapi.json"):
        headers = world.client.get(path, headers={"Origin": "http://x.example"}).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "access-control-allow-origin" not in headers


def test_the_documentation_loads_nothing_from_anywhere(world: World) -> None:
    page = world.client.get("/docs").text
    assert "POST /predict" in page and "churn (production)" in page
    assert "v1.0.0" in page and "&quot;pl an&quot;: &quot;plus&quot;" in page
    for loading in ("<script", "src=", "@import", "url(", "http://", "https://"):
        assert loading not in page
    assert world.client.get("/redoc").status_code == 404


def test_openapi_documents_every_answer_and_the_version_of_the_model(
    world: World,
) -> None:
    schema = world.client.get("/openapi.json").json()
    assert schema["info"]["version"] == "v1.0.0"
    answers = schema["paths"]["/predict"]["post"]["responses"]
    assert set(answers) == {"200", "408", "413", "422", "429", "500", "503"}
    for path in ("/predict", "/feedback", "/health/ready", "/model"):
        for route in schema["paths"][path].values():
            for status, answer in route["responses"].items():
                content = answer["content"]["application/json"]["schema"]
                assert content, (path, status)
    prediction = schema["components"]["schemas"]["Prediction"]
    assert prediction["properties"]["prediction"]["enum"] == ["no", "yes"]
    body = schema["paths"]["/predict"]["post"]["requestBody"]
    wrapped = body["content"]["application/json"]["schema"]["anyOf"][0]
    assert wrapped["properties"]["rows"]["anyOf"][1]["minItems"] == 1


BOOLEANS = [True, False, 0, 1, 1.0, 2, -1, "yes", "No", "TRUE", "t", "2", "", "maybe"]


@pytest.mark.parametrize("value", [*BOOLEANS, None, [], {}], ids=range(17))
def test_the_schema_takes_for_a_boolean_what_the_service_takes(value: Any) -> None:
    requests = Requests(SIGNATURE)
    content = requests.openapi({})["content"]["application/json"]["schema"]
    schema = content["anyOf"][1]["properties"]["vip"]
    try:
        requests.rows(json.dumps({**ROW, "vip": value}).encode())
    except UsageError:
        taken = False
    else:
        taken = True
    assert Draft202012Validator(schema).is_valid(value) is taken


@pytest.mark.parametrize("classes", [("no", "Yes"), ("0", "1"), ("False", "True")])
def test_the_schema_takes_for_a_label_what_the_service_takes(
    classes: tuple[str, ...],
) -> None:
    requests = Requests(SIGNATURE.model_copy(update={"classes": classes}))
    validator = Draft202012Validator(requests.label_schema())
    texts = [*classes, "yes", "YES", "true", "TRUE", "01", "", "maybe"]
    for label in [*texts, 0, 1, 1.0, 2, True, False, [], {}]:
        try:
            requests.label(json.dumps({"id": "p", "label": label}).encode())
        except UsageError:
            taken = False
        else:
            taken = True
        assert validator.is_valid(label) is taken, label


def test_a_client_that_hangs_up_is_counted_apart_and_logs_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": [],
        "query_string": b"",
    }
    asyncio.run(world.app(scope, receive, send))
    counted = 'mlops_requests_total{path="/predict",status="499"} 1.0\n'
    assert counted in world.client.get("/metrics").text
    assert not caplog.records


def test_a_body_that_does_not_arrive_is_given_up(tmp_path: Path) -> None:
    world = started(tmp_path, Limits(receive_seconds=0.05))

    async def body() -> Any:
        yield b'{"rows"'
        await asyncio.sleep(30)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(world.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as c:
            return await c.post("/predict", content=body())

    begun = time.monotonic()
    assert asyncio.run(ask()).status_code == 408
    assert time.monotonic() - begun < 10


def test_more_than_there_is_room_for_is_refused_and_told_when_to_try_again(
    tmp_path: Path,
) -> None:
    world = started(tmp_path, Limits(pending_rows=10))
    release = threading.Event()
    model = world.follower.served.model  # type: ignore[union-attr]
    predict = model.predict

    def slow(raw: pd.DataFrame) -> pd.DataFrame:
        assert release.wait(20)
        return predict(raw)

    model.predict = slow  # type: ignore[method-assign]

    async def play() -> tuple[list[httpx.Response], httpx.Response]:
        transport = httpx.ASGITransport(world.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as c:
            asked = [
                asyncio.create_task(c.post("/predict", json={"rows": [ROW] * 5}))
                for _ in range(2)
            ]
            await asyncio.sleep(0.1)
            refused = await c.post("/predict", json=ROW)
            release.set()
            return await asyncio.gather(*asked), refused

    good, refused = asyncio.run(play())
    assert [response.status_code for response in good] == [200, 200]
    assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
    assert world.post(ROW).status_code == 200, "the room is given back"


def test_what_a_room_has_given_out_comes_back_even_after_an_error() -> None:
    room = Room(10)
    with pytest.raises(TooBusy), room.share() as first, room.share() as second:
        first.grow(8)
        second.grow(3)
    assert room.used == 0
    with room.share() as alone:
        alone.grow(11)  # what is alone always fits


class Cycle:
    """A request and its response, as uvicorn has them."""

    def __init__(self, more_body: bool, response_complete: bool = False) -> None:
        self.more_body = more_body
        self.response_complete = response_complete


class Connection:
    """A connection, as uvicorn has it."""

    def __init__(self, cycle: Cycle | None = None) -> None:
        self.cycle = cycle


def test_a_connection_may_not_wait_for_ever_in_any_state() -> None:
    limits = Limits(receive_seconds=10, wait_seconds=60)
    half_sent = Connection()
    half_body = Connection(Cycle(more_body=True))
    answering = Connection(Cycle(more_body=False))
    busy = Connection(Cycle(more_body=False, response_complete=True))
    connections = {half_sent, half_body, answering, busy}
    watch = Watch(limits)
    assert watch.overdue(connections, 0, stopping=False) == []
    busy.cycle = Cycle(more_body=False, response_complete=True)  # another request
    assert watch.overdue(connections, 10, stopping=False) == []
    overdue = watch.overdue(connections, 12, stopping=False)
    assert set(overdue) == {half_sent, half_body}
    assert set(watch.overdue({answering}, 69, stopping=False)) == set()
    assert set(watch.overdue({answering}, 70, stopping=False)) == {answering}


def test_a_service_that_stops_waits_for_answers_and_not_for_requests() -> None:
    half_sent = Connection(Cycle(more_body=True))
    answering = Connection(Cycle(more_body=False))
    watch = Watch(Limits())
    watch.overdue({half_sent, answering}, 0, stopping=False)
    overdue = watch.overdue({half_sent, answering}, 1.5, stopping=True)
    assert overdue == [half_sent]


def test_too_many_idle_connections_lose_the_oldest() -> None:
    old = Connection()
    new = Connection()
    answering = Connection(Cycle(more_body=False))
    watch = Watch(Limits(connections=2))
    watch.overdue({old, answering}, 0, stopping=False)
    assert watch.overdue({old, new, answering}, 1, stopping=False) == [old]


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@sum", "\t=1", " =1", "\r=1"])
def test_a_text_that_a_spreadsheet_would_run_is_written_as_text(text: str) -> None:
    predictions = pd.DataFrame({"id": ["1", "-2"], "prediction": [text, "no"]})
    safe, changed = without_formulas(predictions)
    assert safe["prediction"].tolist() == ["'" + text, "no"]
    assert changed == 1
    assert safe["id"].tolist() == ["1", "-2"], "a negative number is no formula"
    assert predictions["prediction"].tolist() == [text, "no"]


def test_numbers_and_harmless_texts_are_written_as_they_are() -> None:
    predictions = pd.DataFrame({"prediction": ["a=b", None], "score": [-1.5, 2.0]})
    safe, changed = without_formulas(predictions)
    pd.testing.assert_frame_equal(safe, predictions)
    assert changed == 0


TOKEN = "correct horse"
DIGEST = sha256(TOKEN.encode()).hexdigest()


@pytest.fixture
def closed(tmp_path: Path) -> TestClient:
    world = started(tmp_path)
    options = Options(tokens={DIGEST: "shop"})
    app = create_app(world.follower, world.log, lambda: NOW, options)
    return TestClient(app)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN}",
        f"Bearer {DIGEST}",
    ],
)
def test_without_its_token_a_service_answers_nothing_but_its_health(
    closed: TestClient, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    for path in ("/model", "/metrics", "/docs", "/openapi.json", "/nothing", "/"):
        response = closed.get(path, headers=headers, follow_redirects=False)
        assert response.status_code == 401, path
        assert response.headers["www-authenticate"] == "Bearer"
    for path in ("/predict", "/feedback", "/health"):
        assert closed.post(path, json=ROW, headers=headers).status_code == 401, path
    assert closed.get("/health/ready").status_code == 200


def test_with_its_token_a_service_answers(closed: TestClient) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert closed.post("/predict", json=ROW, headers=headers).status_code == 200
    schema = closed.get("/openapi.json", headers=headers).json()
    assert schema["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert "401" in schema["paths"]["/predict"]["post"]["responses"]
    assert "security" not in schema["paths"]["/health/live"]["get"]
    assert closed.get("/docs", headers=headers).status_code == 200


@pytest.mark.parametrize("text", ["", ",", "secret-token", f"{DIGEST},x", DIGEST[:-1]])
def test_a_list_of_tokens_that_is_none_never_means_that_no_token_is_needed(
    text: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="MLOPS_SERVE_TOKENS") as caught:
        from_environment({"MLOPS_SERVE_TOKENS": text}, tmp_path)
    assert "secret-token" not in str(caught.value)
    read = from_environment({"MLOPS_SERVE_TOKENS": f"{DIGEST}, {DIGEST}"}, tmp_path)
    assert read.serve_tokens == {DIGEST: "client-1"}
