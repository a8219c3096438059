"""The service in OpenAPI: what each endpoint gives, and what can go wrong."""

from __future__ import annotations

import copy
from typing import Annotated, Any

from pydantic import BaseModel, Field

from mlops.results.explanation import Explanation
from mlops.results.training import Signature
from mlops.serving.open_inference import OPEN, is_open_inference
from mlops.serving.requests import Feedback


class Mistake(BaseModel):
    """One thing that is wrong in a request."""

    what: str
    file: str
    key: str
    found: str
    allowed: str
    do: str


class Mistakes(BaseModel):
    """Why a request was refused."""

    errors: list[Mistake]


class Detail(BaseModel):
    """Why there is no other answer."""

    detail: str


class Warning(BaseModel):
    """Values of a field that training never saw: the predictions are guesses."""

    field: str
    problem: str
    rows: int


class Prediction(BaseModel):
    """A prediction; which outputs there are depends on the model's task."""

    id: str


class Predictions(BaseModel):
    """The answer of ``/predict``, its predictions in the order of the rows."""

    version: str
    logged: bool
    predictions: list[Prediction]
    warnings: list[Warning]


class Accepted(BaseModel):
    """The answer of ``/feedback``: the id whose label was stored."""

    accepted: str


class Alive(BaseModel):
    """The answer of ``/health/live``."""

    status: str


class Ready(BaseModel):
    """The answer of ``/health/ready``."""

    version: str | None
    failure: str | None
    registry_seen: str | None
    registry_age_seconds: float | None
    unlogged_rows: int


class HowServed(BaseModel):
    """Whether the compiled pipeline predicts, and why not."""

    compiled: bool
    reason: str


class ModelSummary(BaseModel):
    """The answer of ``/model``: from the manifest of the version."""

    model: str
    version: str
    serving: HowServed


class InferenceError(BaseModel):
    """Why there is no other answer, as the Open Inference Protocol has it."""

    error: str


class TensorMetadata(BaseModel):
    """Name, datatype and shape of a tensor; -1 is any number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ServerMetadata(BaseModel):
    """The answer of ``/v2``."""

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(BaseModel):
    """The answer of ``/v2/models/NAME``."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerLive(BaseModel):
    """The answer of ``/v2/health/live``."""

    live: bool


class ServerReady(BaseModel):
    """The answer of ``/v2/health/ready``."""

    ready: bool


class ModelReady(BaseModel):
    """The answer of ``/v2/models/NAME/ready``."""

    name: str
    ready: bool


class InputTensor(BaseModel):
    """The values of one feature; null is missing."""

    name: str
    shape: Annotated[list[int], Field(min_length=1, max_length=2)]
    datatype: str
    data: list[Any]


class OutputTensor(BaseModel):
    """One output of the model, in the order of the rows."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class RequestedOutput(BaseModel):
    """An output that the answer should have; without any it has all."""

    name: str


class InferenceResponse(BaseModel):
    """The answer of ``infer``."""

    id: str | None = None
    model_name: str
    model_version: str
    parameters: dict[str, Any]
    outputs: list[OutputTensor]


_NO_VERSION = {"model": Detail, "description": "No version serves yet, or no time."}
_WRONG: dict[int | str, dict[str, Any]] = {
    408: {"model": Detail, "description": "The body took too long to arrive."},
    413: {"model": Detail, "description": "The body is too large."},
    422: {"model": Mistakes, "description": "The request is wrong."},
    429: {"model": Detail, "description": "The service is busy: see Retry-After."},
    503: _NO_VERSION,
}
_BODY = {"content": {"application/json": {"schema": Feedback.model_json_schema()}}}

# The schemas are for readers: answers are made elsewhere, and not validated again.
PREDICT: dict[str, Any] = {
    "responses": {
        200: {"model": Predictions},
        **_WRONG,
        500: {"model": Detail, "description": "The model failed."},
    },
    "response_model": None,
}
FEEDBACK: dict[str, Any] = {
    "status_code": 202,
    "responses": {
        202: {"model": Accepted},
        404: {"model": Detail, "description": "No prediction has this id."},
        **_WRONG,
    },
    "openapi_extra": {"requestBody": {"required": True, **_BODY}},
    "response_model": None,
}
EXPLAIN: dict[str, Any] = {
    "responses": {
        200: {"model": Explanation},
        **_WRONG,
        500: {"model": Detail, "description": "The model failed."},
    },
    "response_model": None,
}
LIVE: dict[str, Any] = {"responses": {200: {"model": Alive}}, "response_model": None}
READY: dict[str, Any] = {
    "responses": {
        200: {"model": Ready},
        503: {"model": Ready, "description": "No version serves yet."},
    },
    "response_model": None,
}
MODEL: dict[str, Any] = {
    "responses": {200: {"model": ModelSummary}, 503: _NO_VERSION},
    "response_model": None,
}


_V2_MEANINGS = {
    400: "The request is wrong.",
    404: "There is no such model or version.",
    408: "The body took too long to arrive.",
    413: "The body is too large.",
    429: "The service is busy: see Retry-After.",
    500: "The model failed.",
    503: "No version serves yet, or no time.",
}


def _v2(model: type[BaseModel], *errors: int, **extra: Any) -> dict[str, Any]:
    """Return the description of an endpoint of the Open Inference Protocol."""
    responses: dict[int | str, dict[str, Any]] = {200: {"model": model}}
    for status in errors:
        meaning = _V2_MEANINGS[status]
        responses[status] = {"model": InferenceError, "description": meaning}
    return {"responses": responses, "response_model": None, **extra}


V2_SERVER = _v2(ServerMetadata)
V2_LIVE = _v2(ServerLive)
V2_READY: dict[str, Any] = {
    "responses": {
        200: {"model": ServerReady},
        503: {"model": ServerReady, "description": "No version serves yet."},
    },
    "response_model": None,
}
V2_MODEL = _v2(ModelMetadata, 404, 503)
V2_MODEL_READY = _v2(ModelReady, 404, 503)
_V2_BODY = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "items": InputTensor.model_json_schema()},
        "outputs": {"type": "array", "items": RequestedOutput.model_json_schema()},
    },
    "required": ["inputs"],
}
V2_INFER = _v2(
    InferenceResponse,
    *_V2_MEANINGS,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _V2_BODY}},
        }
    },
)


def with_version(
    schema: dict[str, Any],
    version: str,
    body: dict[str, Any],
    row: dict[str, Any],
    label: dict[str, Any],
    signature: Signature,
) -> dict[str, Any]:
    """Return the description of the service while a version serves.

    Parameters
    ----------
    schema : dict
        The description without a version; it stays as it is.
    version : str
        Becomes the version of the API.
    body : dict
        What ``/predict`` takes.
    row : dict
        What ``/explain`` takes.
    label : dict
        What ``/feedback`` takes as a label.
    """
    schema = copy.deepcopy(schema)
    schema["info"]["version"] = version
    schema["paths"]["/predict"]["post"]["requestBody"] = body
    if "/explain" in schema["paths"]:
        schema["paths"]["/explain"]["post"]["requestBody"] = row
    sent = schema["paths"]["/feedback"]["post"]["requestBody"]
    sent["content"]["application/json"]["schema"]["properties"]["label"] = label
    outputs = _outputs(signature)
    prediction = schema["components"]["schemas"]["Prediction"]
    prediction["properties"].update(outputs)
    prediction["required"] = ["id", *outputs]
    return schema


def with_login(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a service that asks for a token."""
    schema = copy.deepcopy(schema)
    kinds = schema.setdefault("components", {}).setdefault("securitySchemes", {})
    kinds["token"] = {"type": "http", "scheme": "bearer"}
    for path, methods in schema["paths"].items():
        if path.startswith(OPEN):
            continue
        for route in methods.values():
            route["security"] = [{"token": []}]
            text = "The token is missing or wrong."
            route["responses"]["401"] = _refusal_of(path, text)
    return schema


def with_rate(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a service that limits the requests of a client."""
    schema = copy.deepcopy(schema)
    for path, methods in schema["paths"].items():
        if path.startswith(OPEN):
            continue
        for route in methods.values():
            text = "The client or the service is busy: see Retry-After."
            route["responses"]["429"] = _refusal_of(path, text)
    return schema


def _refusal_of(path: str, text: str) -> dict[str, Any]:
    """Return the description of a refusal, in the words of the path's protocol."""
    body = InferenceError if is_open_inference(path) else Detail
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {"description": text, "content": content}


def _outputs(signature: Signature) -> dict[str, Any]:
    """Return the schemas of a model's outputs; what is not finite becomes null."""
    number = {"anyOf": [{"type": "number"}, {"type": "null"}]}
    if signature.task == "regression":
        return {"prediction": number}
    label = {"type": "string", "enum": list(signature.classes)}
    if signature.task == "multiclass":
        chances = {f"p_{name}": number for name in signature.classes}
        return {"prediction": label, **chances}
    return {"prediction": label, "score": number}
