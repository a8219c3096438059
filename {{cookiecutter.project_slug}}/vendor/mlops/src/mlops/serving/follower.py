"""A service follows a stage: a version is proven before it serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops.errors import MlopsError, Refused
from mlops.serving.requests import Requests

log = logging.getLogger("mlops.serving")


if TYPE_CHECKING:
    import pandas as pd

    from mlops.training.model import Model


TOLERANCE = 1e-9


@dataclass(frozen=True)
class Served:
    """A verified version: `summary` is what ``/model`` shows, `expected` what it must answer.

    `examples` and `expected` have one row for each example that was registered with the
    version; `hidden` columns are never written to a log.
    """

    version: str
    model: Model
    summary: Mapping[str, Any]
    examples: pd.DataFrame
    expected: pd.DataFrame
    hidden: frozenset[str] = frozenset()

    @cached_property
    def requests(self) -> Requests:
        """Reads what clients send to this version."""
        return Requests(self.model.signature)

    @cached_property
    def _threads(self) -> Any:
        from threadpoolctl import ThreadpoolController

        return ThreadpoolController()

    def predict(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Predict with one thread: those of OpenMP spin, and on a busy machine that is slow."""
        with self._threads.limit(limits=1):
            return self.model.predict(rows)

    def warm_up(self) -> None:
        """Predict the examples, which also fills every cache before the first request.

        Raises `Refused` when an answer differs from the registered one by more than 1e-9.
        """
        from pandas.testing import assert_frame_equal

        got = self.predict(self.examples)[list(self.expected)]
        near = {"check_dtype": False, "rtol": TOLERANCE, "atol": TOLERANCE}
        try:
            assert_frame_equal(got, self.expected, **near)
        except AssertionError as error:
            what = "predicts its own examples otherwise than when it was registered"
            found = " ".join(str(error).split())[:300]
            advice = "serve with the libraries of its lock, or roll the stage back"
            raise Refused(what, file=self.version, found=found, do=advice) from error


@dataclass
class Follower:
    """Holds the version that serves, and replaces it when the stage moves.

    `resolve` says which version the stage has now (cheap, asked at every look), `load` fetches and
    verifies one (seconds); `failure` is why the version of the stage does not serve.
    """

    name: str
    stage: str
    resolve: Callable[[], str]
    load: Callable[[str], Served]
    served: Served | None = None
    failure: str | None = None

    def start(self) -> Served:
        """Take up the version of the stage, or raise what keeps it out."""
        version = self.resolve()
        if self.served is None or self.served.version != version:
            served = self.load(version)
            served.warm_up()
            self.served = served
            log.info("%s@%s is %s", self.name, self.stage, version)
        return self.served

    def refresh(self) -> bool:
        """Take up the version of the stage; where it stays out, what served before serves on."""
        failure = None
        try:
            self.start()
        except Exception as error:  # whatever a version brings must not stop the server
            kind = "" if isinstance(error, MlopsError) else f"{type(error).__name__}: "
            failure = kind + " ".join(str(error).split())[:1000]
        if failure and failure != self.failure:
            log.error("%s@%s stays out: %s", self.name, self.stage, failure)
        self.failure = failure
        return failure is None

    async def follow(self, interval: float) -> None:
        """Refresh for ever, every `interval` seconds, in a thread, so that requests go on."""
        while True:
            await asyncio.sleep(interval)
            await asyncio.to_thread(self.refresh)
