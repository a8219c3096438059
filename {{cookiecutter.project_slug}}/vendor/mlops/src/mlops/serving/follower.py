"""A service follows a stage: a version is proven before it serves."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from mlops.errors import MlopsError, Refused
from mlops.serving.check_seen import CheckSeen
from mlops.serving.requests import Requests
from mlops.serving.unseen import Known

if TYPE_CHECKING:
    import pandas as pd

    from mlops.serving.fast_path import FastPath, Outputs, Rows
    from mlops.training.model import Model

log = logging.getLogger("mlops.serving")

TOLERANCE = 1e-9

T = TypeVar("T")


@dataclass(frozen=True)
class Served:
    """A verified version.

    Parameters
    ----------
    version : str
        Such as ``v1.2.0``.
    summary : mapping
        What ``/model`` shows.
    examples, expected : DataFrame
        The examples that were registered with the version, and its predictions of
        them: one row each.
    hidden : frozenset of str
        Columns that are never written to a log.
    fast : FastPath, optional
        Predicts with the compiled pipeline; without it the pipeline does.
    tolerance : float
        By how much the two may differ.
    reason : str
        Why there is no fast path.
    background : DataFrame, optional
        What its predictions are explained against.
    """

    version: str
    model: Model
    summary: Mapping[str, Any]
    examples: pd.DataFrame
    expected: pd.DataFrame
    hidden: frozenset[str] = frozenset()
    fast: FastPath | None = None
    tolerance: float = TOLERANCE
    reason: str = ""
    background: pd.DataFrame | None = None

    @cached_property
    def requests(self) -> Requests:
        """Reads what clients send to this version."""
        return Requests(self.model.signature, self.hidden)

    @cached_property
    def known(self) -> Known:
        """The categories and ranges of training."""
        return Known(self.model.signature.features)

    @cached_property
    def _threads(self) -> Any:
        from threadpoolctl import ThreadpoolController

        return ThreadpoolController()

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Predict with one thread: OpenMP's spin, which is slow on a busy machine."""
        with self._threads.limit(limits=1):
            return self.model.predict(rows)

    def outputs(self, rows: Rows) -> tuple[Outputs, bool]:
        """Predict validated rows.

        Returns
        -------
        list of dict
            The outputs of each row, as JSON has them.
        bool
            Whether the pipeline was needed although there is a compiled one.
        """
        from mlops.serving.prediction_log import records
        from mlops.training.compiled import PipelineNeeded

        if self.fast is not None:
            try:
                return self.fast.outputs(rows), False
            except PipelineNeeded as needed:
                log.debug("%s: the pipeline is needed: %s", self.version, needed)
        predicted = self.predict(self.requests.frame(rows))
        return records(predicted), self.fast is not None

    def warm_up(self) -> Served:
        """Predict the examples, which also fills every cache before the first request.

        Returns
        -------
        Served
            Without the compiled pipeline where that gives different predictions.

        Raises
        ------
        Refused
            When a prediction differs from the registered one by more than 1e-9.
        """
        import pandas as pd

        from mlops.serving.prediction_log import records

        problem = self._difference(self.predict(self.examples), TOLERANCE)
        if problem:
            raise Refused(
                "gives different predictions for its examples than at registration",
                file=self.version,
                found=problem,
                do="serve with the libraries of its lock, or roll the stage back",
            )
        if self.fast is None:
            return self
        predicted, _ = self.outputs(records(self.examples))
        problem = self._difference(pd.DataFrame(predicted), self.tolerance)
        if not problem:
            return self
        log.warning("%s is served by the pipeline: %s", self.version, problem)
        reason = "the compiled pipeline gives different predictions for the examples"
        return replace(self, fast=None, reason=reason)

    def _difference(self, predicted: pd.DataFrame, tolerance: float) -> str:
        """Return how predictions of the examples differ from the registered ones."""
        from pandas.testing import assert_frame_equal

        try:
            assert_frame_equal(
                predicted[list(self.expected)],
                self.expected,
                check_dtype=False,
                rtol=tolerance,
                atol=tolerance,
            )
        except AssertionError as error:
            return " ".join(str(error).split())[:300]
        return ""


@dataclass
class RegistrySeen:
    """When the registry was last asked and answered; None where it never did.

    While it does not answer, a service goes by the tags that it has: it may serve a
    version that was taken out of its stage since.
    """

    at: datetime | None = None

    def age(self, now: datetime) -> float | None:
        """Return how many seconds ago that was."""
        return None if self.at is None else (now - self.at).total_seconds()


@dataclass
class Follower:
    """Holds the version that serves, and replaces it when the stage moves.

    Parameters
    ----------
    resolve : callable
        Returns the version that the stage has now; cheap, called at every look.
    load : callable
        Fetches and verifies a version; takes seconds.
    failure : str, optional
        Why the version of the stage does not serve.
    seen : RegistrySeen
        Kept up to date by `resolve`.
    check : CheckSeen
        Kept up to date by `resolve`.
    """

    name: str
    stage: str
    resolve: Callable[[], str]
    load: Callable[[str], Served]
    served: Served | None = None
    failure: str | None = None
    seen: RegistrySeen = field(default_factory=RegistrySeen)
    check: CheckSeen = field(default_factory=CheckSeen)

    def start(self) -> Served:
        """Take up the version of the stage, or raise what keeps it out."""
        version = self.resolve()
        if self.served is None or self.served.version != version:
            self.served = self.prepare(version)
            log.info("%s@%s is %s", self.name, self.stage, version)
        return self.served

    def prepare(self, version: str) -> Served:
        """Return a version that is loaded and has proven itself, before it serves."""
        return self.load(version).warm_up()

    def refresh(self) -> bool:
        """Take up the version of the stage; return whether that worked.

        Where it did not, the version that served before serves on.
        """
        failure = None
        try:
            self.start()
        except Exception as error:  # whatever a version brings must not stop the server
            failure = in_one_line(error)
        if failure and failure != self.failure:
            log.error("%s@%s stays out: %s", self.name, self.stage, failure)
        self.failure = failure
        return failure is None

    async def follow(self, interval: float, at_once: bool = False) -> None:
        """Refresh for ever, in a thread, so that requests are answered meanwhile.

        Parameters
        ----------
        interval : float
            Seconds between two looks.
        at_once : bool
            Whether to look before the first of them has passed.
        """
        if at_once:
            await in_thread(self.refresh)
        while True:
            await asyncio.sleep(interval)
            await in_thread(self.refresh)


def in_one_line(error: Exception) -> str:
    """Return why a version stays out, as one line."""
    kind = "" if isinstance(error, MlopsError) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())[:1000]


async def in_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns, done in a thread that no exit waits for.

    A registry that does not answer is waited for a minute; a service that is told to
    stop meanwhile stops.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def give(put: Callable[[Any], None], value: Any) -> None:
        if not result.done():
            put(value)

    def run() -> None:
        try:
            value = work()
        except Exception as error:
            hand_on = partial(give, result.set_exception, error)
        else:
            hand_on = partial(give, result.set_result, value)
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(hand_on)

    threading.Thread(target=run, name="mlops-look", daemon=True).start()
    return await result
