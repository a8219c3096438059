"""The service of one model: predictions, health, metrics, feedback."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse

from mlops.errors import MlopsError, UsageError
from mlops.serving.follower import Follower, Served
from mlops.serving.metrics import CONTENT_TYPE, ServiceMetrics
from mlops.serving.prediction_log import PredictionLog, new_id, records
from mlops.serving.requests import Feedback

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 32 << 20

_log = logging.getLogger("mlops.serving")


def create_app(
    follower: Follower,
    log: PredictionLog,
    now: Callable[[], datetime],
    interval: float = 0,
) -> FastAPI:
    """Return the service.

    Parameters
    ----------
    follower : Follower
        Holds the version that serves.
    log : PredictionLog
        Takes predictions and labels.
    now : callable
        Returns the time.
    interval : float
        Seconds between looks at the stage; 0 for none.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(follower.follow(interval)) if interval else None
        yield
        if task:
            task.cancel()

    service = _Service(follower, log, now)
    title = f"{follower.name} ({follower.stage})"
    app = FastAPI(title=title, lifespan=lifespan)
    app.middleware("http")(service.count)
    app.exception_handler(UsageError)(_refuse)
    app.get("/", include_in_schema=False)(service.start)
    app.post("/predict")(service.predict)
    body = {"content": {"application/json": {"schema": Feedback.model_json_schema()}}}
    extra = {"requestBody": body}
    app.post("/feedback", status_code=202, openapi_extra=extra)(service.feedback)
    app.get("/health/live")(service.live)
    app.get("/health/ready")(service.ready)
    app.get("/metrics", response_class=PlainTextResponse)(service.metrics)
    app.get("/model")(service.model)
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        """Describe the service as it is now: a new version may have a new signature."""
        return service.describe(plain())

    app.openapi = openapi  # type: ignore[method-assign]
    return app


class _Service:
    """The endpoints.

    They are coroutines on purpose: the thread pool costs more than a prediction.
    """

    def __init__(
        self, follower: Follower, log: PredictionLog, now: Callable[[], datetime]
    ) -> None:
        self._follower = follower
        self._log = log
        self._now = now
        self._metrics = ServiceMetrics()
        self._unlogged_rows = 0

    async def count(
        self, request: Request, respond: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Count a request by its route and the status of its response."""
        status = 500
        try:
            response = await respond(request)
            status = response.status_code
            return response
        finally:
            route = getattr(request.scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status)).inc()

    async def start(self) -> RedirectResponse:
        """Show the documentation of this service."""
        return RedirectResponse("/docs")

    async def predict(self, request: Request) -> JSONResponse:
        """Predict one row, or up to 10,000.

        Each prediction has an id, under which its label can be sent later.
        """
        body = await _body(request)
        # Taken once: a version is swapped between two requests, never within one.
        served = self._serving()
        rows = served.requests.rows(body)
        outputs = self._timed(served, rows)
        at = self._now()
        ids = [new_id(at) for _ in range(len(rows))]
        logged = self._logged(served, rows, outputs, ids, at)
        # JSON has only finite numbers.
        values = records(outputs.replace([inf, -inf], None))
        predictions = [{"id": key, **row} for key, row in zip(ids, values, strict=True)]
        return JSONResponse(
            {"version": served.version, "logged": logged, "predictions": predictions}
        )

    async def feedback(self, request: Request) -> dict[str, str]:
        """Store the label of an earlier prediction; the last one sent counts."""
        label = self._serving().requests.label(await _body(request))
        try:
            self._log.feedback([label], self._now())
        except MlopsError as error:
            _log.error("%s", error)
            problem = "the label could not be stored; send it again"
            raise HTTPException(503, problem) from error
        return {"accepted": label[0]}

    async def live(self) -> dict[str, str]:
        """Report that the process is alive."""
        return {"status": "alive"}

    async def ready(self) -> JSONResponse:
        """Report which version serves, and why if it is not the stage's.

        A registry that does not answer makes no service unready: what serves was
        verified. The response says when the registry last answered.
        """
        served = self._follower.served
        seen = self._follower.seen
        state = {
            "version": served.version if served else None,
            "failure": self._follower.failure,
            "registry_seen": seen.at.isoformat(timespec="seconds") if seen.at else None,
            "registry_age_seconds": seen.age(self._now()),
            "unlogged_rows": self._unlogged_rows,
        }
        return JSONResponse(state, 200 if served else 503)

    async def metrics(self) -> PlainTextResponse:
        """Return counts and latencies for Prometheus."""
        follower = self._follower
        version = follower.served.version if follower.served else ""
        info = self._metrics.model_info
        info.clear()
        info.labels(follower.name, follower.stage, version).set(bool(version))
        self._metrics.refresh_failed.set(follower.failure is not None)
        seen = follower.seen.at
        self._metrics.registry_seen.set(seen.timestamp() if seen else 0)
        return PlainTextResponse(self._metrics.text(), media_type=CONTENT_TYPE)

    async def model(self) -> dict[str, Any]:
        """Describe the version that serves."""
        return dict(self._serving().summary)

    def describe(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Add to an OpenAPI schema what the version that serves takes."""
        served = self._follower.served
        if served is None:
            return schema
        row = records(served.examples.head(1))[0]
        hidden = self._log.hidden
        example = {name: None if name in hidden else row[name] for name in row}
        body = served.requests.openapi(example)
        schema["paths"]["/predict"]["post"]["requestBody"] = body
        return schema

    def _serving(self) -> Served:
        """Return the version that serves; without one the response is a 503."""
        if self._follower.served is None:
            raise HTTPException(503, "no version serves yet; /health/ready says why")
        return self._follower.served

    def _timed(self, served: Served, rows: pd.DataFrame) -> pd.DataFrame:
        """Predict, and count rows and seconds."""
        started = time.perf_counter()
        try:
            outputs = served.predict(rows)
        except MlopsError as error:
            # The request is fine, so the model's own code failed.
            raise RuntimeError("the model failed") from error
        self._metrics.predict_seconds.observe(time.perf_counter() - started)
        self._metrics.rows.inc(len(rows))
        return outputs

    def _logged(
        self,
        served: Served,
        rows: pd.DataFrame,
        outputs: pd.DataFrame,
        ids: list[str],
        at: datetime,
    ) -> bool:
        """Return whether the log took the predictions: they are worth more than it."""
        try:
            self._log.write(rows, outputs, ids, served.version, at)
        except MlopsError as error:
            _log.error("%s", error)
            self._unlogged_rows += len(rows)
            self._metrics.unlogged_rows.inc(len(rows))
            return False
        return True


async def _refuse(_: Request, error: UsageError) -> JSONResponse:
    """Answer a request that cannot be read with everything that is wrong in it."""
    problems = [vars(problem) for problem in error.problems]
    return JSONResponse({"errors": problems}, 422)


async def _body(request: Request) -> bytes:
    """Return the body of a request, but never more than the limit."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MAX_BYTES:
            raise HTTPException(413, f"the body is larger than {MAX_BYTES >> 20} MiB")
    return bytes(content)
