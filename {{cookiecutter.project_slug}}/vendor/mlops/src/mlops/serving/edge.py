"""What every request passes first and every response last: token, counts, headers."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops.serving.metrics import ServiceMetrics

CLIENT_GONE = 499  # as nginx counts it: no status that a client ever sees

# What is answered is data, or a page without scripts.
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    ),
]

_OPEN = "/health/"
_LOGIN = JSONResponse(
    {"detail": "send a token of this service: Authorization: Bearer TOKEN"},
    401,
    {"WWW-Authenticate": "Bearer"},
)


class Edge:
    """Counts each response by route and status, and adds security headers.

    An ASGI class: Starlette's function middleware costs more than a small prediction.

    Parameters
    ----------
    tokens : collection of str
        SHA-256 of each bearer token; where there is none, nobody is asked for one.
        Digests are compared, so that the time it takes tells nothing about a token.
    """

    def __init__(
        self, app: ASGIApp, metrics: ServiceMetrics, tokens: Collection[str] = ()
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._tokens = frozenset(tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        app = self._app if self._may_ask(scope) else _LOGIN
        try:
            await app(scope, receive, send_with_headers)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status)).inc()

    def _may_ask(self, scope: Scope) -> bool:
        """Return whether a request has a token, or needs none: health is for probes."""
        if not self._tokens or scope["path"].startswith(_OPEN):
            return True
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(sent) != 1:
            return False
        scheme, _, token = sent[0].partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        return sha256(token.strip()).hexdigest() in self._tokens
