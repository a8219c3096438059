"""From validated rows to the bytes of an answer, for a batch of requests."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from mlops.errors import MlopsError
from mlops.serving.batcher import Answer, Rows
from mlops.serving.ids import PredictionIds
from mlops.serving.metrics import ServiceMetrics
from mlops.serving.prediction_log import PredictionLog

if TYPE_CHECKING:
    from mlops.serving.follower import Served
    from mlops.serving.trial import Shadow

_log = logging.getLogger("mlops.serving")

Outputs = list[dict[str, Any]]


class ModelFailed(Exception):
    """The request is fine, and the model's own code failed."""


class Answers:
    """Predicts batches, logs them, and writes the answers. Runs in one thread.

    A prediction is logged before its answer is sent: what a client has seen is in the
    log, however the process ends.

    Parameters
    ----------
    now : callable
        Returns the time.
    shadow : Shadow, optional
        Is given what was answered and logged.
    """

    def __init__(
        self,
        log: PredictionLog,
        ids: PredictionIds,
        metrics: ServiceMetrics,
        now: Callable[[], datetime],
        shadow: Shadow | None = None,
    ) -> None:
        self._log = log
        self._ids = ids
        self.metrics = metrics
        self._now = now
        self._shadow = shadow
        self._is_logging = True

    def into(self, log: PredictionLog) -> Answers:
        """Return what predicts for another log, without a shadow."""
        return Answers(log, self._ids, self.metrics, self._now)

    def of(self, served: Served, requests: Sequence[Rows]) -> list[Answer]:
        """Return the answer to each request, or the error of this one alone."""
        self.metrics.batch_requests.observe(len(requests))
        outputs = self._outputs(served, requests)
        good = [n for n, found in enumerate(outputs) if isinstance(found, list)]
        rows: Rows = []
        predicted: Outputs = []
        for number in good:
            rows += requests[number]
            found = outputs[number]
            assert isinstance(found, list)
            predicted += found
        at = self._now()
        ids = self._ids.make(at, len(rows))
        logged = self._logged(served, rows, predicted, ids, at)
        if logged and self._shadow is not None:
            self._shadow.offer(served, rows, ids, at)
        answers: list[Answer] = []
        first = 0
        for found, sent in zip(outputs, requests, strict=True):
            if isinstance(found, Exception):
                answers.append(found)
                continue
            last = first + len(sent)
            answers.append(self._body(served, sent, found, ids[first:last], logged))
            first = last
        return answers

    def _outputs(
        self, served: Served, requests: Sequence[Rows]
    ) -> list[Outputs | Exception]:
        """Return the predictions of each request.

        Where the model fails for all of them together, each is predicted alone.
        """
        rows = [row for request in requests for row in request]
        try:
            predicted = self._predicted(served, rows)
        except ModelFailed as error:
            if len(requests) == 1:
                return [error]
            one_by_one: list[Outputs | Exception] = []
            for request in requests:
                one_by_one += self._outputs(served, [request])
            return one_by_one
        outputs: list[Outputs | Exception] = []
        first = 0
        for request in requests:
            last = first + len(request)
            outputs.append(predicted[first:last])
            first = last
        return outputs

    def _predicted(self, served: Served, rows: Rows) -> Outputs:
        """Predict, and count rows and seconds; JSON has only finite numbers."""
        started = time.perf_counter()
        try:
            outputs, by_pipeline = served.outputs(rows)
            if len(outputs) != len(rows):
                raise ValueError("another number of predictions than of rows")
        except Exception as error:  # whatever the model's own code raises
            _log.error("%s failed: %s", served.version, raised_at(error))
            raise ModelFailed from error
        self.metrics.predict_seconds.observe(time.perf_counter() - started)
        self.metrics.rows.inc(len(rows))
        if by_pipeline:
            self.metrics.pipeline_rows.inc(len(rows))
        return outputs

    def _logged(
        self,
        served: Served,
        rows: Rows,
        outputs: Outputs,
        ids: list[str],
        at: datetime,
    ) -> bool:
        """Return whether the log took the predictions: they are worth more than it."""
        if not rows:
            return True
        try:
            log = self._log.hiding(served.hidden)
            log.write_rows(rows, outputs, ids, served.version, at)
        except MlopsError as error:
            if self._is_logging:  # once in a row, or a full disk fills another
                _log.error("%s", error)
            self._is_logging = False
            self.metrics.unlogged_rows.inc(len(rows))
            return False
        self._is_logging = True
        return True

    def _body(
        self,
        served: Served,
        rows: Rows,
        outputs: Outputs,
        ids: list[str],
        logged: bool,
    ) -> bytes:
        """Return the body of one answer."""
        warnings = served.known.warnings(rows)
        for warned in warnings:
            unseen = self.metrics.unseen.labels(warned.field, warned.problem)
            unseen.inc(warned.rows)
        pairs = zip(ids, outputs, strict=True)
        body = {
            "version": served.version,
            "logged": logged,
            "predictions": [{"id": key, **output} for key, output in pairs],
            "warnings": [asdict(warned) for warned in warnings],
        }
        return orjson.dumps(body)


def raised_at(error: BaseException) -> str:
    """Return what kind of error it was and where: its words may quote a value."""
    kind = type(error.__cause__ or error).__name__
    if isinstance(error, MlopsError):
        problem = error.problems[0]
        return f"{kind} at {problem.file} {problem.key}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{kind} at {frame.filename}:{frame.lineno}"
