"""One request to the hub's API, by whoever has a token."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from rehearsal.hub import Hub
from rehearsal.workflow import RehearsalError


def ask(hub: Hub, token: str, method: str, path: str, body: object = None) -> Any:
    """Ask about the hub's repository.

    Parameters
    ----------
    path : str
        Below ``/repos/OWNER/NAME``.

    Raises
    ------
    RehearsalError
        With the answer, when it is no success.
    """
    request = urllib.request.Request(
        f"{hub.api_url}/repos/{hub.repository}{path}",
        None if body is None else json.dumps(body).encode(),
        {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
        },
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
    except urllib.error.HTTPError as error:
        said = error.read().decode("utf-8", "replace")
        raise RehearsalError(f"{method} {path}: {error.code} {said}") from error
    return json.loads(content) if content else None
