"""The service of one model: predictions, health, metrics, feedback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
)
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect

from mlops.errors import MlopsError, UsageError
from mlops.serving import described, docs_page
from mlops.serving.answers import Answers, ModelFailed
from mlops.serving.batcher import Batcher, Rows
from mlops.serving.edge import CLIENT_GONE, Clients, Edge, refusal
from mlops.serving.explain_app import Explanations
from mlops.serving.follower import Follower, Served
from mlops.serving.ids import PredictionIds
from mlops.serving.limits import Limits, Room, Share, TooBusy, TooSlow
from mlops.serving.log_delivery import read_status
from mlops.serving.metrics import CONTENT_TYPE, ServiceMetrics, ServiceState
from mlops.serving.open_inference import is_open_inference
from mlops.serving.open_inference_app import OpenInference
from mlops.serving.prediction_log import PredictionLog, find_prediction, records
from mlops.serving.rates import RATES, Rates
from mlops.serving.trial import KEY, Canary, Shadow, Trial

_log = logging.getLogger("mlops.serving")

_RETRY = {"Retry-After": "1"}

T = TypeVar("T")
Read = Callable[[Served, bytes], Rows]


@dataclass(frozen=True)
class Options:
    """How a service is run.

    Parameters
    ----------
    interval : float
        Seconds between looks at the stage; 0 for none.
    limits : Limits
        What is taken from clients.
    tokens : mapping of str to str
        SHA-256 of each bearer token, and the name of its client; where there is none,
        nobody is asked for one.
    rate : float
        Requests a second that each client may send; 0: any number.
    counts : Path, optional
        The folder in which the workers of a service count together.
    explain : bool
        Whether predictions are explained; each explanation predicts about 200 rows for
        each feature.
    candidate : str
        The stage whose version is tried; empty for none.
    shadow : bool
        Whether it predicts in the shadow.
    share : float
        Of the requests that it answers.
    backlog : int
        Bytes of the log that may wait to be delivered; 0 where it stays here.
    """

    interval: float = 0
    limits: Limits = field(default_factory=Limits)
    tokens: Mapping[str, str] = field(default_factory=dict)
    rate: float = 0
    counts: Path | None = None
    explain: bool = False
    candidate: str = ""
    shadow: bool = False
    share: float = 0.0
    backlog: int = 0

    def clients(self) -> Clients:
        """Return who may ask, and how often."""
        if not self.rate:
            return Clients(self.tokens)
        table = self.counts / RATES if self.counts else None
        return Clients(self.tokens, Rates(self.rate, self.tokens.values(), table))


def create_app(
    follower: Follower,
    log: PredictionLog,
    now: Callable[[], datetime],
    options: Options | None = None,
    trial: Trial | None = None,
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
    options : Options, optional
    trial : Trial, optional
        What is tried beside the version that serves.
    """
    options = options or Options()
    service = Service(follower, log, now, options, trial)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = []
        if options.interval:
            tasks.append(asyncio.create_task(follower.follow(options.interval)))
            if trial:
                # Loaded beside: a candidate keeps no service from starting.
                looking = trial.candidate.follow(options.interval, at_once=True)
                tasks.append(asyncio.create_task(looking))
        yield
        for task in tasks:
            task.cancel()
        service.close()
        explanations.close()

    title = f"{follower.name} ({follower.stage})"
    app = FastAPI(title=title, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Edge, metrics=service.counts, clients=options.clients())
    for error, handler in _HANDLERS.items():
        app.exception_handler(error)(handler)
    app.get("/", include_in_schema=False)(service.start)
    app.post("/predict", **described.PREDICT)(service.predict)
    app.post("/feedback", **described.FEEDBACK)(service.feedback)
    app.get("/health/live", **described.LIVE)(service.live)
    app.get("/health/ready", **described.READY)(service.ready)
    app.get("/metrics", response_class=PlainTextResponse)(service.metrics)
    app.get("/model", **described.MODEL)(service.model)
    OpenInference(service).add_to(app)
    explanations = Explanations(service)
    if options.explain:
        app.post("/explain", **described.EXPLAIN)(explanations.explain)
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        """Describe the service as it is now: a new version may have a new signature."""
        schema = service.describe(plain())
        if options.tokens:
            schema = described.with_login(schema)
        return described.with_rate(schema) if options.rate else schema

    async def docs() -> HTMLResponse:
        """Show what the service takes and gives, in a page without scripts."""
        return HTMLResponse(docs_page.page(openapi()))

    app.openapi = openapi  # type: ignore[method-assign]
    app.get("/docs", include_in_schema=False)(docs)
    return app


class Service:
    """The endpoints: what they do on the event loop is bounded by the limits."""

    def __init__(
        self,
        follower: Follower,
        log: PredictionLog,
        now: Callable[[], datetime],
        options: Options,
        trial: Trial | None = None,
    ) -> None:
        limits = options.limits
        self.counts = ServiceMetrics(options.counts)
        self.follower = follower
        self._log = log
        self._now = now
        self.limits = limits
        self._ids = PredictionIds.of(log.state, now())
        self._trial = trial
        self._shadow: Shadow | None = None
        self._canary: Canary | None = None
        if trial and trial.shadow:
            self._shadow = Shadow(trial.candidate, log, self.counts)
        answers = Answers(log, self._ids, self.counts, now, self._shadow)
        if trial and trial.share:
            self._canary = Canary(trial, log, self._ids, answers, limits)
        self._bodies = Room(limits.pending_bytes)
        self.batcher = Batcher(answers.of, limits)

    def close(self) -> None:
        """End the threads once their work is done; the shadow's at once."""
        self.batcher.close()
        if self._canary:
            self._canary.batcher.close()
        if self._shadow:
            self._shadow.close()

    async def start(self) -> RedirectResponse:
        """Show the documentation of this service."""
        return RedirectResponse("/docs")

    async def predict(self, request: Request) -> Response:
        """Predict one row, or up to 10,000.

        Each prediction has an id, under which its label can be sent later.
        """
        content = await self.answered(request, _rows)
        return Response(content, media_type="application/json")

    async def answered(
        self, request: Request, read: Read, any_version: bool = True
    ) -> bytes:
        """Return what ``/predict`` answers to the rows that `read` finds in a body.

        Parameters
        ----------
        any_version : bool
            Whether a canary may answer.
        """
        with self._bodies.share() as share:
            body = await self._body(request, share, self.limits.body_bytes)
            # Taken once: a version is swapped between two requests, never within one.
            served = self.serving()
            rows = await self.apart(partial(read, served), body)
            if self._canary and any_version:
                key = request.headers.get(KEY, "")
                content = await self._canary.answer(key, served, rows)
                if content is not None:
                    return content
            return await self._predicted(served, rows)

    async def apart(self, work: Callable[[bytes], T], content: bytes) -> T:
        """Do something with bytes; what takes long must not stop other requests."""
        if len(content) <= self.limits.small_bytes:
            return work(content)
        return await asyncio.to_thread(work, content)

    async def body(self, request: Request, most: int) -> bytes:
        """Return the body of a request, which is not larger than `most`."""
        with self._bodies.share() as share:
            return await self._body(request, share, most)

    async def feedback(self, request: Request) -> dict[str, str]:
        """Store the label of an earlier prediction; the last one sent counts."""
        body = await self.body(request, self.limits.label_bytes)
        label = self.serving().requests.label(body)
        try:
            is_stored = await asyncio.to_thread(self._store, label)
        except MlopsError as error:
            _log.error("%s", error)
            problem = "the label could not be stored; send it again"
            raise HTTPException(503, problem, _RETRY) from error
        if not is_stored:
            problem = "no prediction of this service has this id; send the one that "
            problem += "/predict answered with"
            raise HTTPException(404, problem)
        return {"accepted": label[0]}

    async def live(self) -> dict[str, str]:
        """Report that the process is alive."""
        return {"status": "alive"}

    async def ready(self) -> JSONResponse:
        """Report which version serves, and why if it is not the stage's.

        A registry that does not answer makes no service unready: what serves was
        verified. The response says when the registry last answered.
        """
        served = self.follower.served
        seen = self.follower.seen
        state = {
            "version": served.version if served else None,
            "failure": self.follower.failure,
            "registry_seen": seen.at.isoformat(timespec="seconds") if seen.at else None,
            "registry_age_seconds": seen.age(self._now()),
            "unlogged_rows": self.counts.unlogged(),
        }
        return JSONResponse(state, 200 if served else 503)

    async def metrics(self) -> PlainTextResponse:
        """Return counts and latencies for Prometheus."""
        follower = self.follower
        seen = follower.seen.at
        check = follower.check
        state = ServiceState(
            model=follower.name,
            stage=follower.stage,
            version=follower.served.version if follower.served else "",
            refresh_failed=follower.failure is not None,
            registry_seen=seen.timestamp() if seen else 0,
            candidate=self._tried(),
            checked=check.until.timestamp() if check.until else 0,
            alarm=check.alarm,
            waiting=self._log.waiting(),
            delivery=read_status(self._log.state, self._log.model),
        )
        text = self.counts.text(state)
        return PlainTextResponse(text, media_type=CONTENT_TYPE)

    def _tried(self) -> tuple[str, str]:
        """Return stage and version of the candidate, where one is tried."""
        if self._trial is None:
            return "", ""
        candidate = self._trial.candidate
        return candidate.stage, candidate.served.version if candidate.served else ""

    async def model(self) -> dict[str, Any]:
        """Describe the version that serves, and what predicts: compiled or not."""
        served = self.serving()
        serving = {"compiled": served.fast is not None, "reason": served.reason}
        return {**served.summary, "serving": serving}

    def describe(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return an OpenAPI schema with what the version that serves takes and gives.

        The version of the API is that of the model.
        """
        served = self.follower.served
        if served is None:
            return schema
        row = records(served.examples.head(1))[0]
        hidden = {*self._log.hidden, *served.hidden}
        example = {name: None if name in hidden else row[name] for name in row}
        body = served.requests.openapi(example)
        row = served.requests.openapi_of_row(example)
        label = served.requests.label_schema()
        return described.with_version(
            schema, served.version, body, row, label, served.model.signature
        )

    def serving(self) -> Served:
        """Return the version that serves; without one the response is a 503."""
        if self.follower.served is None:
            problem = "no version serves yet; /health/ready says why"
            raise HTTPException(503, problem, _RETRY)
        return self.follower.served

    async def _body(self, request: Request, share: Share, most: int) -> bytes:
        """Return the body of a request, but never more than the limit.

        Raises
        ------
        HTTPException
            With status 413 for a larger body, 408 for one that takes too long.
        TooBusy
            When the bodies of all requests together are too large.
        """
        too_large = HTTPException(413, f"the body is larger than {most:,} bytes")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > most:
            raise too_large
        content = bytearray()
        try:
            async with asyncio.timeout(self.limits.receive_seconds):
                async for piece in request.stream():
                    if len(content) + len(piece) > most:
                        raise too_large
                    share.grow(len(piece))
                    content += piece
        except TimeoutError as error:
            problem = "the body took too long to arrive"
            raise HTTPException(408, problem, {"Connection": "close"}) from error
        return bytes(content)

    async def _predicted(self, served: Served, rows: Rows) -> bytes:
        """Return the response to checked rows, which are counted while they wait."""
        self.counts.pending_rows.inc(len(rows))
        try:
            return await self.batcher.predict(served, rows)
        finally:
            self.counts.pending_rows.dec(len(rows))

    def _store(self, label: tuple[str, str | float]) -> bool:
        """Append a label to the log; return whether its prediction was made here."""
        key = label[0]
        if not self._ids.made(key) and not self._was_logged(key):
            return False
        self._log.feedback([label], self._now())
        return True

    def _was_logged(self, key: str) -> bool:
        """Return whether an id from before ids had a proof is in the log."""
        if not self._ids.older(key):
            return False
        return find_prediction(self._log.state, key) is not None


def _rows(served: Served, content: bytes) -> Rows:
    """Return the checked rows of a body of ``/predict``."""
    return served.requests.rows(content)


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that cannot be read with what is wrong in it."""
    assert isinstance(error, UsageError)
    path = request.url.path
    if is_open_inference(path):
        lines = ["; ".join(str(one).split("\n")) for one in error.problems]
        return refusal(path, 400, " | ".join(lines))
    problems = [vars(problem) for problem in error.problems]
    return JSONResponse({"errors": problems}, 422)


async def _busy(request: Request, _: Exception) -> JSONResponse:
    """Answer a request for which there is no room."""
    problem = "the service is busy; try again"
    return refusal(request.url.path, 429, problem, _RETRY)


async def _slow(request: Request, _: Exception) -> JSONResponse:
    """Answer a request whose predictions take too long."""
    problem = "the model did not answer in time"
    return refusal(request.url.path, 503, problem, _RETRY)


async def _failed(request: Request, _: Exception) -> JSONResponse:
    """Answer a request that the model failed at; the log of the service says where."""
    return refusal(request.url.path, 500, "the model failed")


async def _denied(request: Request, error: Exception) -> JSONResponse:
    """Answer a request with a status and a problem."""
    assert isinstance(error, AnyHTTPException)
    problem = str(error.detail)
    return refusal(request.url.path, error.status_code, problem, error.headers)


async def _gone(_: Request, __: Exception) -> Response:
    """Count a client that hung up; nobody sees this answer."""
    return Response(status_code=CLIENT_GONE)


_HANDLERS: dict[type[Exception], Any] = {
    UsageError: _refuse,
    TooBusy: _busy,
    TooSlow: _slow,
    ModelFailed: _failed,
    AnyHTTPException: _denied,
    ClientDisconnect: _gone,
}
