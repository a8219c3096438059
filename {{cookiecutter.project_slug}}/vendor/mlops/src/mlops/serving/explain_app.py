"""The endpoint that explains a prediction, beside those that predict."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException, Request, Response

from mlops.serving.answers import ModelFailed, raised_at
from mlops.serving.limits import TooBusy, TooSlow

if TYPE_CHECKING:
    from mlops.serving.app import Service
    from mlops.serving.follower import Served

_log = logging.getLogger("mlops.serving")


class Explanations:
    """Explains one row at a time, in a thread of its own.

    While one is being explained any other request for an explanation is refused, so
    that explanations never wait for each other and predictions for none.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._thread = ThreadPoolExecutor(1, "mlops-explain")
        self._running: asyncio.Future[bytes] | None = None

    async def explain(self, request: Request) -> Response:
        """Explain the prediction for one row: features, outputs, contributions.

        The contributions of the columns add up to the prediction minus its mean for
        rows of the reference sample. The row is not logged.
        """
        service = self._service
        body = await service.body(request, service.limits.row_bytes)
        served = service.serving()
        if served.background is None:
            raise HTTPException(
                503, "this version cannot be explained; the log says why"
            )
        row = await service.apart(served.requests.one_row, body)
        if self._running is not None and not self._running.done():
            raise TooBusy
        loop = asyncio.get_running_loop()
        self._running = loop.run_in_executor(self._thread, _explained, served, row)
        try:
            async with asyncio.timeout(service.limits.wait_seconds):
                # The thread goes on where its client is gone, and is waited for.
                content = await asyncio.shield(self._running)
        except TimeoutError as error:
            raise TooSlow from error
        return Response(content, media_type="application/json")

    def close(self) -> None:
        """End the thread once its work is done."""
        self._thread.shutdown(wait=False)


def _explained(served: Served, row: dict[str, Any]) -> bytes:
    """Return the body of a response; what the model's own code says stays inside."""
    from mlops.serving.explain import Explainer

    assert served.background is not None
    explainer = Explainer(
        served.version, served.model, served.background, served.hidden
    )
    try:
        explanation = explainer.explain(row, served.predict)
    except Exception as error:  # whatever the model's own code raises
        _log.error("%s cannot explain: %s", served.version, raised_at(error))
        raise ModelFailed from error
    return explanation.model_dump_json().encode()
