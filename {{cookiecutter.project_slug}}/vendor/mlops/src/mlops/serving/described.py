"""The service in OpenAPI: what each endpoint gives, and what can go wrong."""

from __future__ import annotations

import copy
from typing import Any

from pydantic import BaseModel

from mlops.results.training import Signature
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
    "responses": {202: {"model": Accepted}, **_WRONG},
    "openapi_extra": {"requestBody": {"required": True, **_BODY}},
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


def with_version(
    schema: dict[str, Any], version: str, body: dict[str, Any], signature: Signature
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
    """
    schema = copy.deepcopy(schema)
    schema["info"]["version"] = version
    schema["paths"]["/predict"]["post"]["requestBody"] = body
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
    content = {"application/json": {"schema": Detail.model_json_schema()}}
    refusal = {"description": "The token is missing or wrong.", "content": content}
    for path, methods in schema["paths"].items():
        for route in methods.values():
            if path.startswith("/health/"):
                continue
            route["security"] = [{"token": []}]
            route["responses"]["401"] = refusal
    return schema


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
