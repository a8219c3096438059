"""The Open Inference Protocol: the same model, checks, log and limits in tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops.serving.limits import Limits
from mlops.serving.prediction_log import find_prediction

from .test_serving_app import ROW, World

INFER = "/v2/models/churn/infer"
DATATYPES = {
    "tenure": "FP64",
    "pl an": "BYTES",
    "vip": "BOOL",
    "joined": "BYTES",
    "sex": "BYTES",
}
ROWS = [ROW, {**ROW, "tenure": 60, "pl an": None}, {**ROW, "tenure": None}]


def tensors(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Return an inference request; `changes` replace parts of the first tensor."""
    inputs = [
        {
            "name": name,
            "shape": [len(rows)],
            "datatype": datatype,
            "data": [row[name] for row in rows],
        }
        for name, datatype in DATATYPES.items()
    ]
    inputs[0].update(changes)
    return {"inputs": inputs}


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    assert made.follower.refresh()
    return made


def infer(world: World, body: Any, path: str = INFER) -> httpx.Response:
    return world.client.post(path, json=body)


def columns(response: httpx.Response) -> dict[str, list[Any]]:
    assert response.status_code == 200, response.text
    return {output["name"]: output["data"] for output in response.json()["outputs"]}


def test_tensors_and_rows_get_the_same_predictions_and_log(world: World) -> None:
    response = infer(world, {"id": "r-7", **tensors(ROWS)})
    got = columns(response)
    expected = world.post(ROWS).json()["predictions"]
    assert got["prediction"] == [one["prediction"] for one in expected]
    assert got["score"] == [one["score"] for one in expected]
    body = response.json()
    assert (body["id"], body["model_name"]) == ("r-7", "churn")
    assert body["model_version"] == "v1.0.0"
    assert body["parameters"] == {"logged": True}
    shapes = {(one["datatype"], *one["shape"]) for one in body["outputs"]}
    assert shapes == {("BYTES", 3), ("FP64", 3)}
    logged = [find_prediction(world.log.state, key) for key in got["id"]]
    assert [one and one["features"]["tenure"] for one in logged] == [12, 60, None]
    assert "sex" not in str(logged)
    label = {"id": got["id"][0], "label": "yes"}
    assert world.client.post("/feedback", json=label).status_code == 202
    counted = 'mlops_requests_total{path="/v2/models/{name}/infer",status="200"} 1.0'
    assert counted in world.client.get("/metrics").text


@pytest.mark.parametrize("datatype", ["INT64", "INT32", "UINT8", "FP32"])
def test_a_number_may_have_any_numeric_datatype(world: World, datatype: str) -> None:
    body = tensors([ROW], datatype=datatype, shape=[1, 1], data=[[12]])
    assert (
        columns(infer(world, body))["score"]
        == columns(infer(world, tensors([ROW])))["score"]
    )


def test_only_the_outputs_that_were_asked_for_are_sent(world: World) -> None:
    body = {**tensors(ROWS), "outputs": [{"name": "score"}]}
    assert list(columns(infer(world, body))) == ["score"]
    refused = infer(world, {**tensors(ROWS), "outputs": [{"name": "logits"}]})
    assert refused.status_code == 400
    assert "id, prediction, score" in refused.json()["error"]


def test_what_training_never_saw_is_named(world: World) -> None:
    body = tensors([{**ROW, "pl an": "gold"}] * 2)
    parameters = infer(world, body).json()["parameters"]
    assert parameters["warnings"] == "pl an: unseen category in 2"


WRONG = {
    "no JSON object": ([], "inputs"),
    "no inputs": ({}, "inputs"),
    "inputs of no list": ({"inputs": {}}, "inputs"),
    "no tensor": ({"inputs": [3]}, "inputs.0"),
    "unknown feature": (tensors([ROW], name="tenuer"), "did you mean `tenure`?"),
    "wrong datatype": (tensors([ROW], datatype="BYTES"), "inputs.0.datatype"),
    "datatype of no text": (tensors([ROW], datatype=[1]), "inputs.0.datatype"),
    "value of another datatype": (
        tensors([ROW], datatype="INT64", data=[1.5]),
        "inputs.0.data.0",
    ),
    "boolean for a number": (tensors([ROW], data=[True]), "inputs.0.data.0"),
    "text for a number": (tensors([ROW], data=["12"]), "inputs.0.data.0"),
    "no data": (tensors([ROW], data=None), "inputs.0.data"),
    "shape of another count": (tensors([ROW], shape=[2]), "1 values for 2 rows"),
    "shape of two columns": (tensors([ROW], shape=[1, 2]), "[n], [n, 1]"),
    "negative shape": (tensors([ROW], shape=[-1]), "inputs.0.shape"),
    "shape of a boolean": (tensors([ROW], shape=[True]), "inputs.0.shape"),
    "different counts": (
        tensors([ROW], shape=[2], data=[1, 2]),
        "different numbers of rows",
    ),
    "no rows": (
        {
            "inputs": [
                {**one, "shape": [0], "data": []} for one in tensors([ROW])["inputs"]
            ]
        },
        "1 to 10,000",
    ),
    "too many rows": (tensors([ROW] * 10_001), "1 to 10,000"),
    "a tensor twice": (
        {"inputs": [tensors([ROW])["inputs"][0]] * 2},
        "sent twice",
    ),
    "a feature missing": ({"inputs": tensors([ROW])["inputs"][1:]}, "tenure"),
    "a date that is none": (tensors([{**ROW, "joined": "soon"}]), "rows.0.joined"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_named_in_the_words_of_the_protocol(
    world: World, name: str
) -> None:
    body, words = WRONG[name]
    response = infer(world, body)
    assert response.status_code == 400
    assert list(response.json()) == ["error"]
    assert words in response.json()["error"]
    assert len(response.content) < 20_000
    assert len(world.window().log) == 0


def test_no_error_shows_a_value_of_a_sensitive_column(tmp_path: Path) -> None:
    from dataclasses import replace

    from .test_serving_app import served

    world = World(tmp_path)
    hidden = frozenset({"tenure", "joined"})
    world.follower.load = lambda _: replace(served("v1.0.0"), hidden=hidden)
    assert world.follower.refresh()
    for body in (
        tensors([ROW], data=["Zx9-secret"]),
        tensors([{**ROW, "joined": "Zx9-secret"}]),
    ):
        response = infer(world, body)
        assert response.status_code == 400
        assert "Zx9" not in response.text


def test_errors_of_every_kind_have_the_form_of_the_protocol(tmp_path: Path) -> None:
    world = World(tmp_path, Limits(body_bytes=2000))
    nothing = infer(world, tensors([ROW]))
    assert nothing.status_code == 503 and "no version serves" in nothing.json()["error"]
    assert world.client.get("/v2/health/ready").status_code == 503
    assert world.client.get("/v2/health/ready").json() == {"ready": False}
    assert world.follower.refresh()
    answers = {
        404: [
            world.client.get("/v2/models/other"),
            world.client.get("/v2/models/churn/versions/v9.9.9"),
            world.client.get("/v2/models/churn/versions/v9.9.9/ready"),
            infer(world, tensors([ROW]), "/v2/models/churn/versions/v9.9.9/infer"),
            world.client.get("/v2/nothing"),
        ],
        405: [world.client.get(INFER)],
        413: [infer(world, tensors([ROW] * 200))],
        400: [
            world.client.post(
                INFER, content=b"x", headers={"Inference-Header-Content-Length": "1"}
            ),
            world.client.post(INFER, content=b"{"),
        ],
    }
    for status, responses in answers.items():
        for response in responses:
            assert response.status_code == status, response.url
            assert list(response.json()) == ["error"], response.url
    assert list(world.client.get("/nothing").json()) == ["detail"]


def test_a_model_that_fails_is_an_error_of_the_protocol(world: World) -> None:
    def fail(raw: Any) -> Any:
        raise ValueError("secret detail")

    world.follower.served.model.predict = fail  # type: ignore[union-attr,method-assign]
    response = infer(world, tensors([ROW]))
    assert response.status_code == 500
    assert response.json() == {"error": "the model failed"}


def test_metadata_and_health_are_those_of_the_protocol(world: World) -> None:
    get = world.client.get
    assert get("/v2").json().keys() == {"name", "version", "extensions"}
    assert get("/v2/health/live").json() == {"live": True}
    assert get("/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/churn", "/v2/models/churn/versions/v1.0.0"):
        facts = get(path).json()
        assert (facts["name"], facts["versions"]) == ("churn", ["v1.0.0"])
        named = {one["name"]: one["datatype"] for one in facts["inputs"]}
        assert named == DATATYPES
        assert {tuple(one["shape"]) for one in facts["inputs"]} == {(-1,)}
        names = [one["name"] for one in facts["outputs"]]
        assert names == list(columns(infer(world, tensors([ROW]), f"{path}/infer")))
        assert get(f"{path}/ready").json() == {"name": "churn", "ready": True}
