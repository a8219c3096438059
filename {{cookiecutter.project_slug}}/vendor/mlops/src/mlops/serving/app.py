"""The service of one model: predictions, health, metrics, feedback."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from math import inf
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse

from mlops.errors import MlopsError, UsageError
from mlops.serving.follower import Follower, Served
from mlops.serving.metrics import BUCKETS, SUMS, exposition
from mlops.serving.prediction_log import PredictionLog, new_id, records
from mlops.serving.requests import Feedback

MAX_BYTES = 32 << 20

_log = logging.getLogger("mlops.serving")


def create_app(
    follower: Follower,
    log: PredictionLog,
    now: Callable[[], datetime],
    interval: float = 0,
) -> FastAPI:
    """Return the service, which looks at the stage every `interval` seconds (0: never).

    Endpoints are coroutines on purpose: the thread pool costs more than a prediction.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(follower.follow(interval)) if interval else None
        yield
        if task:
            task.cancel()

    app = FastAPI(title=f"{follower.name} ({follower.stage})", lifespan=lifespan)
    samples = defaultdict[str, float](int, dict.fromkeys([*SUMS, *BUCKETS.values()], 0))

    @app.middleware("http")
    async def count(
        request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        status = 500
        try:
            response = await answer(request)
            status = response.status_code
            return response
        finally:
            route = getattr(request.scope.get("route"), "path", "other")
            samples[f'requests_total{{path="{route}",status="{status}"}}'] += 1

    @app.exception_handler(UsageError)
    async def refuse(_: Request, error: UsageError) -> JSONResponse:
        return JSONResponse(
            {"errors": [vars(problem) for problem in error.problems]}, 422
        )

    def serving() -> Served:
        if follower.served is None:
            raise HTTPException(503, "no version serves yet; /health/ready says why")
        return follower.served

    @app.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        """Predict one row or up to 10,000; each prediction has an id, to which a label can come."""
        body = await _body(request)
        served = (
            serving()
        )  # taken once: a swap happens between two requests, never within one
        rows = served.requests.rows(body)
        started = time.perf_counter()
        try:
            outputs = served.predict(rows)
        except (
            MlopsError
        ) as error:  # the request is fine, so the model's own code failed
            raise RuntimeError("the model failed") from error
        seconds = time.perf_counter() - started
        samples["rows_total"] += len(rows)
        samples["predict_seconds_sum"] += seconds
        samples["predict_seconds_count"] += 1
        for limit, series in BUCKETS.items():
            samples[series] += seconds <= float(limit)
        at = now()
        ids = [new_id(at) for _ in range(len(rows))]
        logged = True
        try:
            log.write(rows, outputs, ids, served.version, at)
        except MlopsError as error:  # an answer is worth more than its line in the log
            _log.error("%s", error)
            samples["unlogged_rows_total"] += len(rows)
            logged = False
        known = records(
            outputs.replace([inf, -inf], None)
        )  # JSON has finite numbers alone
        answers = [{"id": i, **row} for i, row in zip(ids, known, strict=True)]
        return JSONResponse(
            {"version": served.version, "logged": logged, "predictions": answers}
        )

    @app.get("/", include_in_schema=False)
    async def start() -> RedirectResponse:
        """Show a browser what can be asked."""
        return RedirectResponse("/docs")

    feedback_body = {
        "content": {"application/json": {"schema": Feedback.model_json_schema()}}
    }

    @app.post(
        "/feedback", status_code=202, openapi_extra={"requestBody": feedback_body}
    )
    async def feedback(request: Request) -> dict[str, str]:
        """Take the label of an earlier prediction; the last one counts."""
        label = serving().requests.label(await _body(request))
        try:
            log.feedback([label], now())
        except MlopsError as error:
            _log.error("%s", error)
            raise HTTPException(
                503, "the label could not be stored; send it again"
            ) from error
        return {"accepted": label[0]}

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "alive"}

    @app.get("/health/ready")
    async def ready() -> JSONResponse:
        """Say which version serves, and why the stage's is another one, if so."""
        answer = {
            "version": follower.served.version if follower.served else None,
            "failure": follower.failure,
            "unlogged_rows": samples["unlogged_rows_total"],
        }
        return JSONResponse(answer, 200 if follower.served else 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        """Return counts and latencies for Prometheus."""
        version = follower.served.version if follower.served else ""
        who = f'model="{follower.name}",stage="{follower.stage}",version="{version}"'
        samples["refresh_failed"] = int(follower.failure is not None)
        text = exposition({**samples, f"model_info{{{who}}}": int(bool(version))})
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    @app.get("/model")
    async def model() -> dict[str, Any]:
        """Describe the version that serves."""
        return dict(serving().summary)

    plain = app.openapi

    def openapi() -> dict[str, Any]:
        """Describe the service as it is now: the signature may change with the version."""
        schema = plain()
        if served := follower.served:
            row = records(served.examples.head(1))[0]
            example = {name: None if name in log.hidden else row[name] for name in row}
            schema["paths"]["/predict"]["post"]["requestBody"] = (
                served.requests.openapi(example)
            )
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app


async def _body(request: Request) -> bytes:
    """Return the body of a request, but never more than the limit."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MAX_BYTES:
            raise HTTPException(413, f"the body is larger than {MAX_BYTES >> 20} MiB")
    return bytes(content)
