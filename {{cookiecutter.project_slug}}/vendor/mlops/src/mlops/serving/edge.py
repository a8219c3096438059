"""What every request passes first and every response last: token, counts, headers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import sha256

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops.serving.metrics import ServiceMetrics
from mlops.serving.open_inference import OPEN, is_open_inference
from mlops.serving.rates import Rates

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

_LOGIN = "send a token of this service: Authorization: Bearer TOKEN"


def refusal(
    path: str, status: int, problem: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the response to a request that is not granted, as its path words it."""
    key = "error" if is_open_inference(path) else "detail"
    return JSONResponse({key: problem}, status, dict(headers or {}))


class Edge:
    """Counts each response by route and status, and adds security headers.

    An ASGI class: Starlette's function middleware costs more than a small prediction.

    Parameters
    ----------
    clients : Clients
        Who may ask, and how often.
    """

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics, clients: Clients) -> None:
        self._app = app
        self._metrics = metrics
        self._clients = clients

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

        client = ""
        app = self._app
        if not scope["path"].startswith(OPEN):
            client, refused = self._clients.admit(scope)
            app = refused or app
        try:
            await app(scope, receive, send_with_headers)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status)).inc()
            if client:
                self._metrics.client_requests.labels(client, str(status)).inc()


class Clients:
    """Who may ask, and how often.

    Parameters
    ----------
    tokens : mapping of str to str
        SHA-256 of each bearer token, and the name of its client; where there is none,
        nobody is asked for one, and a client is an address. Digests are compared, so
        that the time it takes tells nothing about a token.
    rates : Rates, optional
        Without it a client may send as much as it can.
    """

    def __init__(self, tokens: Mapping[str, str], rates: Rates | None = None) -> None:
        self._tokens = dict(tokens)
        self._rates = rates

    def admit(self, scope: Scope) -> tuple[str, ASGIApp | None]:
        """Take one request.

        Returns
        -------
        str
            The name of the client, empty where clients have no token.
        ASGIApp or None
            The response, where the request is refused.
        """
        name = ""
        if self._tokens:
            name = self._name(scope)
            if not name:
                headers = {"WWW-Authenticate": "Bearer"}
                return "", refusal(scope["path"], 401, _LOGIN, headers)
        if self._rates is None:
            return name, None
        client = name or (scope.get("client") or ("",))[0]
        wait = self._rates.wait(client)
        if not wait:
            return name, None
        problem = "this client has sent too many requests; see Retry-After"
        headers = {"Retry-After": str(math.ceil(wait))}
        return name, refusal(scope["path"], 429, problem, headers)

    def _name(self, scope: Scope) -> str:
        """Return whose token a request has; empty where it has none."""
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(sent) != 1:
            return ""
        scheme, _, token = sent[0].partition(b" ")
        if scheme.lower() != b"bearer":
            return ""
        return self._tokens.get(sha256(token.strip()).hexdigest(), "")
