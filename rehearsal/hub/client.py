"""One request to the hub's API, by whoever has a token."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from rehearsal.errors import RehearsalError
from rehearsal.hub.hub import Hub


def request(hub: Hub, token: str, method: str, path: str, body: object = None) -> Any:
    """Return the answer of the hub about its repository.

    Parameters
    ----------
    hub : Hub
    token : str
    method : str
    path : str
        Below ``/repos/OWNER/NAME``.
    body : object, optional
        Sent as JSON.

    Raises
    ------
    RehearsalError
        With the answer, when it is no success.
    """
    content = None if body is None else json.dumps(body).encode()
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "Content-Type": "application/json",
    }
    address = f"{hub.api_url}/repos/{hub.repository}{path}"
    sent = urllib.request.Request(address, content, headers, method=method)
    try:
        with urllib.request.urlopen(sent, timeout=60) as response:
            answer = response.read()
    except urllib.error.HTTPError as error:
        message = error.read().decode("utf-8", "replace")
        raise RehearsalError(f"{method} {path}: {error.code} {message}") from error
    return json.loads(answer) if answer else None
