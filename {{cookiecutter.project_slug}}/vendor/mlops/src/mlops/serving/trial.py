"""A candidate is tried beside the version that serves: in its shadow, or as a canary.

In the shadow the candidate predicts what has been answered already, and only its log
knows. As a canary it answers a small share of the requests; what it cannot answer the
version that serves answers, as if there were no trial.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import orjson

from mlops.serving.answers import Answers, raised_at
from mlops.serving.batcher import Batcher, Rows
from mlops.serving.ids import PredictionIds
from mlops.serving.limits import Limits
from mlops.serving.log_reader import CANARY
from mlops.serving.metrics import ServiceMetrics
from mlops.serving.prediction_log import PredictionLog

if TYPE_CHECKING:
    from mlops.serving.follower import Follower, Served

KEY = "canary-key"  # the header by which a client names whom a request is about

_MOST_WAITING = 20_000  # rows that wait for the candidate in the shadow
_MOST_AT_ONCE = 64  # rows that are checked on the event loop
_CANARY_SECONDS = 2.0  # until the version that serves answers instead
_DIGESTS = 1 << 64  # of a key

_log = logging.getLogger("mlops.serving")


@dataclass(frozen=True)
class Trial:
    """What is tried, and how.

    Parameters
    ----------
    candidate : Follower
        Holds the candidate. While it holds none, or the version that serves, nothing is
        tried.
    shadow : bool
        Whether the candidate predicts what the other version has answered.
    share : float
        Of the requests that the candidate answers.
    """

    candidate: Follower
    shadow: bool = False
    share: float = 0.0


def candidate_beside(candidate: Follower, served: Served) -> Served | None:
    """Return the candidate, None where there is none but the version that serves."""
    found = candidate.served
    if found is None or found.version == served.version:
        return None
    return found


@dataclass(frozen=True)
class _Answered:
    """Rows that were answered, and the ids under which they are logged."""

    served: Served
    rows: Rows
    ids: Sequence[str]
    at: datetime


class Shadow:
    """Has the candidate predict what was answered, in a thread that nothing waits for.

    Where it falls behind, rows are dropped; where it fails, its error is counted.
    """

    def __init__(
        self, candidate: Follower, log: PredictionLog, counts: ServiceMetrics
    ) -> None:
        self._candidate = candidate
        self._predictions = log
        self._counts = counts.shadow_rows
        self._waiting: SimpleQueue[_Answered | None] = SimpleQueue()
        self._rows = 0
        self._changing = threading.Lock()
        self._problem = ""
        self._thread = threading.Thread(
            target=self._predict_all, name="mlops-shadow", daemon=True
        )
        self._thread.start()

    def offer(
        self, served: Served, rows: Rows, ids: Sequence[str], at: datetime
    ) -> None:
        """Take rows that have been answered; returns at once.

        Parameters
        ----------
        served : Served
            The version that answered.
        ids : sequence of str, length n_rows
            Under which the rows are logged.
        """
        if not rows or candidate_beside(self._candidate, served) is None:
            return
        with self._changing:
            if self._rows and self._rows + len(rows) > _MOST_WAITING:
                self._counts.labels("dropped").inc(len(rows))
                return
            self._rows += len(rows)
        self._waiting.put(_Answered(served, rows, ids, at))

    def close(self, seconds: float = 0) -> None:
        """End the thread; what still waits after some seconds is not predicted."""
        self._waiting.put(None)
        self._thread.join(seconds)

    def _predict_all(self) -> None:
        while (answered := self._waiting.get()) is not None:
            try:
                self._predict(answered)
            except BaseException as error:  # whatever a candidate does ends here
                self._counts.labels("failed").inc(len(answered.rows))
                self._report(raised_at(error))
            with self._changing:
                self._rows -= len(answered.rows)

    def _predict(self, answered: _Answered) -> None:
        """Predict rows by the candidate, checked as its own signature demands."""
        candidate = candidate_beside(self._candidate, answered.served)
        if candidate is None:
            return
        rows = candidate.requests.typed(answered.rows, "")
        outputs, _ = candidate.outputs(rows)
        version = candidate.version
        self._predictions.write_shadow(outputs, answered.ids, version, answered.at)
        self._counts.labels("predicted").inc(len(rows))

    def _report(self, problem: str) -> None:
        """Log a problem, once in a row."""
        if problem != self._problem:
            _log.error("the candidate failed in the shadow: %s", problem)
        self._problem = problem


class Canary:
    """Has the candidate answer a share of the requests.

    Which ones is decided by a keyed hash of what the client names in the header
    `Canary-Key`, such as a customer, or else of the first row. So the same customer
    always gets the same version, from every process, and where the share grows those
    who had the candidate keep it.

    Parameters
    ----------
    log : PredictionLog
        Its predictions are logged as those of a canary.
    """

    def __init__(
        self,
        trial: Trial,
        log: PredictionLog,
        ids: PredictionIds,
        answers: Answers,
        limits: Limits,
    ) -> None:
        self._candidate = trial.candidate
        self._share = trial.share
        self._ids = ids
        self._counts = answers.metrics.canary_requests
        of_canary = answers.into(replace(log, writer=CANARY))
        short = replace(limits, wait_seconds=_CANARY_SECONDS)
        self.batcher = Batcher(of_canary.of, short)

    async def answer(self, key: str, served: Served, rows: Rows) -> bytes | None:
        """Return the candidate's answer to a request, None where it has none.

        Parameters
        ----------
        key : str
            Whom the request is about; empty where the client does not say.
        served : Served
            The version that serves, which has checked the rows.
        """
        candidate = candidate_beside(self._candidate, served)
        if candidate is None or not self.takes(key or _key_of(rows[0])):
            return None
        try:
            check = candidate.requests.typed
            if len(rows) <= _MOST_AT_ONCE:
                sent = check(rows, "")
            else:
                sent = await asyncio.to_thread(check, rows, "")
            body = await self.batcher.predict(candidate, sent)
        except Exception as error:  # whatever it is, the version that serves answers
            self._counts.labels("failed").inc()
            _log.warning("the canary did not answer: %s", type(error).__name__)
            return None
        self._counts.labels("answered").inc()
        return body

    def takes(self, key: str) -> bool:
        """Return whether the candidate answers for a key."""
        return int(self._ids.unit(f"canary {key}"), 16) < self._share * _DIGESTS


def _key_of(row: dict[str, Any]) -> str:
    """Return what stands for a row, whatever the order of its fields."""
    return orjson.dumps(row, option=orjson.OPT_SORT_KEYS).decode()
