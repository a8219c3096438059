"""Connections on which a read by a former name of a repository keeps its query.

GitHub answers such a read with 301. PyGithub follows it to the new path alone: filters
and the size of a page would be lost, and another list would come back than the one that
was requested.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from github import Github
from github.Requester import (
    HTTPRequestsConnectionClass,
    HTTPSRequestsConnectionClass,
    Requester,
    RequestsResponse,
)

_MOST = 5  # redirects of one request


class _PlainConnection(HTTPRequestsConnectionClass):
    def getresponse(self) -> RequestsResponse:
        response = super().getresponse()
        for _ in range(_MOST):
            url = _onward(self, response)
            if not url:
                break
            self.url = url
            response = super().getresponse()
        return response


class _SecureConnection(HTTPSRequestsConnectionClass):
    def getresponse(self) -> RequestsResponse:
        response = super().getresponse()
        for _ in range(_MOST):
            url = _onward(self, response)
            if not url:
                break
            self.url = url
            response = super().getresponse()
        return response


def _onward(
    connection: _PlainConnection | _SecureConnection, response: RequestsResponse
) -> str:
    """Return path and query that a read is sent on to; empty where it is not.

    To another host nothing is sent, for the request has a token.
    """
    if response.status != 301 or connection.verb != "GET":
        return ""
    location = urlsplit(response.headers.get("location", ""))
    same = (location.scheme, location.hostname) == (
        connection.protocol,
        connection.host,
    )
    if not same or not location.path:
        return ""
    query = location.query or urlsplit(connection.url).query
    return f"{location.path}?{query}" if query else location.path


def client(**options: object) -> Github:
    """Return a client of GitHub's API that has such connections.

    Parameters
    ----------
    **options
        As for `github.Github`.
    """
    Requester.injectConnectionClasses(_PlainConnection, _SecureConnection)
    try:
        return Github(**options)  # type: ignore[arg-type]
    finally:
        Requester.resetConnectionClasses()
