"""The endpoints of the Open Inference Protocol, version 2, beside those of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from mlops.serving import described
from mlops.serving.open_inference import PREFIX, Tensors
from mlops.serving.requests import parsed

if TYPE_CHECKING:
    from mlops.serving.app import Service
    from mlops.serving.follower import Served


class TensorRequest:
    """One inference request: read for the version that predicts it, and answered.

    Parameters
    ----------
    name : str
        Of the model.
    version : str
        The only one that may predict; empty for any. One may have been swapped in
        while the body was received.
    """

    def __init__(self, name: str, version: str) -> None:
        self._name = name
        self._version = version
        self._body: Any = None
        self._tensors: Tensors | None = None

    def read(self, served: Served, content: bytes) -> list[dict[str, Any]]:
        """Return the checked rows of a request."""
        _require_version(served, self._version)
        self._body = parsed(content)
        self._tensors = Tensors(served.model.signature, self._name, served.hidden)
        rows = self._tensors.rows(self._body)
        return served.requests.typed(rows, "rows.")

    def response(self, predicted: bytes) -> bytes:
        """Return the response, made of what ``/predict`` would answer."""
        assert self._tensors is not None
        body = self._tensors.response(self._body, orjson.loads(predicted))
        return orjson.dumps(body)


class OpenInference:
    """The endpoints, which check, predict, log and limit as ``/predict`` does."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, app: FastAPI) -> None:
        """Add the endpoints to a service."""
        app.get(PREFIX, **described.V2_SERVER)(self.server)
        app.get(f"{PREFIX}/health/live", **described.V2_LIVE)(self.live)
        app.get(f"{PREFIX}/health/ready", **described.V2_READY)(self.ready)
        path = f"{PREFIX}/models/{{name}}"
        app.get(path, **described.V2_MODEL)(self.model)
        app.get(f"{path}/ready", **described.V2_MODEL_READY)(self.model_ready)
        app.post(f"{path}/infer", **described.V2_INFER)(self.infer)
        path += "/versions/{version}"
        app.get(path, **described.V2_MODEL)(self.version)
        app.get(f"{path}/ready", **described.V2_MODEL_READY)(self.version_ready)
        app.post(f"{path}/infer", **described.V2_INFER)(self.version_infer)

    async def server(self) -> dict[str, Any]:
        """Describe the server."""
        from mlops import __version__

        return {"name": "mlops", "version": __version__, "extensions": []}

    async def live(self) -> dict[str, bool]:
        """Report that the process is alive."""
        return {"live": True}

    async def ready(self) -> JSONResponse:
        """Report whether a version serves."""
        is_ready = self._service.follower.served is not None
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)

    async def model(self, name: str) -> dict[str, Any]:
        """Describe the model: its tensors and their datatypes."""
        return self._metadata(name)

    async def version(self, name: str, version: str) -> dict[str, Any]:
        """Describe the model, if this version of it serves."""
        return self._metadata(name, version)

    async def model_ready(self, name: str) -> dict[str, Any]:
        """Report that the model serves."""
        self._served(name)
        return {"name": name, "ready": True}

    async def version_ready(self, name: str, version: str) -> dict[str, Any]:
        """Report that this version of the model serves."""
        self._served(name, version)
        return {"name": name, "ready": True}

    async def infer(self, request: Request, name: str) -> Response:
        """Predict the rows that tensors of shape [n] or [n, 1] make, one per feature.

        The output `id` has the ids under which labels can be sent to `/feedback`.
        """
        return await self._infer(request, name)

    async def version_infer(
        self, request: Request, name: str, version: str
    ) -> Response:
        """Predict as without a version, if this version serves."""
        return await self._infer(request, name, version)

    def _metadata(self, name: str, version: str = "") -> dict[str, Any]:
        served = self._served(name, version)
        tensors = Tensors(served.model.signature, name)
        return tensors.metadata(served.version)

    async def _infer(self, request: Request, name: str, version: str = "") -> Response:
        self._served(name, version)
        if "inference-header-content-length" in request.headers:
            raise HTTPException(400, "the extension for binary data is not supported")
        tensors = TensorRequest(name, version)
        any_version = not version
        predicted = await self._service.answered(request, tensors.read, any_version)
        content = await self._service.apart(tensors.response, predicted)
        return Response(content, media_type="application/json")

    def _served(self, name: str, version: str = "") -> Served:
        """Return the version that serves, where it is the one that was asked for."""
        served = self._service.serving()
        if name != self._service.follower.name:
            raise HTTPException(404, "there is no model of this name")
        _require_version(served, version)
        return served


def _require_version(served: Served, version: str) -> None:
    """Answer with a 404 where another version serves than was asked for."""
    if version and version != served.version:
        raise HTTPException(404, f"{served.version} serves, and no other version")
