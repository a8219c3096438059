"""Requests that wait while others are being predicted are the next batch.

One call of a model takes about as long for a hundred rows as for one. Nothing waits for
a batch to fill: a request that finds the model idle is predicted at once, alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.serving.limits import Limits, Room, TooSlow

if TYPE_CHECKING:
    from mlops.serving.follower import Served

Rows = list[dict[str, Any]]
Answer = bytes | Exception


@dataclass(frozen=True, eq=False)
class _Waiting:
    """One request: its rows, and the version that checked them."""

    served: Served
    rows: Rows
    result: asyncio.Future[bytes]


class Batcher:
    """Hands requests to a model, in order, in one thread.

    Parameters
    ----------
    work : callable
        Predicts requests of one version: takes the version and the rows of each
        request, and returns an answer or an exception for each. Runs in the thread.
    """

    def __init__(
        self, work: Callable[[Served, Sequence[Rows]], list[Answer]], limits: Limits
    ) -> None:
        self._work = work
        self._limits = limits
        self._waiting: deque[_Waiting] = deque()
        self._room = Room(limits.pending_rows)
        self._busy = False
        self._thread = ThreadPoolExecutor(1, "mlops-predict")

    async def predict(self, served: Served, rows: Rows) -> bytes:
        """Return the answer to one request.

        Parameters
        ----------
        served : Served
            The version that checked the rows; no other one predicts them.
        rows : list of dict, length n_rows

        Raises
        ------
        TooBusy
            When more rows wait than the limits allow.
        TooSlow
            When the answer takes longer than the limits allow.
        """
        with self._room.share() as share:
            share.grow(len(rows))
            loop = asyncio.get_running_loop()
            waiting = _Waiting(served, rows, loop.create_future())
            self._waiting.append(waiting)
            if not self._busy:
                self._busy = True
                self._drain = loop.create_task(self._predict_all())
            try:
                async with asyncio.timeout(self._limits.wait_seconds):
                    return await waiting.result
            except TimeoutError as error:
                raise TooSlow from error

    def close(self) -> None:
        """End the thread once its work is done."""
        self._thread.shutdown()

    async def _predict_all(self) -> None:
        """Predict batch after batch until nobody waits."""
        loop = asyncio.get_running_loop()
        try:
            while batch := self._next_batch():
                served = batch[0].served
                rows = [waiting.rows for waiting in batch]
                try:
                    answers = await loop.run_in_executor(
                        self._thread, self._work, served, rows
                    )
                except Exception as error:  # nobody may wait for ever
                    answers = [error] * len(batch)
                for waiting, result in zip(batch, answers, strict=True):
                    _give(waiting.result, result)
        finally:
            self._busy = False

    def _next_batch(self) -> list[_Waiting]:
        """Take what waits for one version, first come first served, bounded in rows."""
        batch: list[_Waiting] = []
        rows = 0
        while self._waiting:
            first = self._waiting[0]
            if first.result.done():  # it has waited too long, or its client is gone
                self._waiting.popleft()
                continue
            if batch and first.served is not batch[0].served:
                break
            if batch and rows + len(first.rows) > self._limits.batch_rows:
                break
            batch.append(self._waiting.popleft())
            rows += len(first.rows)
        return batch


def _give(future: asyncio.Future[bytes], result: Answer) -> None:
    """Answer a request, unless it has been given up."""
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
