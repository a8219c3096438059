"""A signed message about each check, to an address of the team: a pager, a chat.

It is a courtesy beside the issue: what fails is a warning, and ends nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from mlops.io.digests import canonical_json
from mlops.results.monitoring import DriftCheck

SECONDS = 10.0  # for each of two attempts

SIGNATURE = "X-Mlops-Signature-256"

TIMESTAMP = "X-Mlops-Timestamp"

_FORMAT = 1  # of the message

_MOST = 100  # names of columns

# Sends a body with headers to an address, and returns the status of the answer.
Send = Callable[[str, bytes, dict[str, str]], int]


def message_of(check: DriftCheck, run_url: str | None) -> dict[str, Any]:
    """Return what a message says of a check: names and counts, no value of a row.

    Parameters
    ----------
    run_url : str, optional
        The page of the run.
    """
    drifted = [column.name for column in check.columns if column.alarm]
    return {
        "format": _FORMAT,
        "state": _state(check),
        "model": check.model,
        "version": check.version,
        "stage": check.stage,
        "since": check.since,
        "until": check.until,
        "began": check.began,
        "rows": check.rows,
        "labelled": check.labelled,
        "drifted": drifted[:_MOST],
        "worse": _worse(check)[:_MOST],
        "run": run_url,
    }


def _worse(check: DriftCheck) -> list[str]:
    """Return what is worse: names of metrics and columns, no value of a column."""
    names = [p.window.name for p in check.performance if p.alarm]
    names += [f"{p.loss} by {p.column}" for p in check.slices if p.alarm]
    return list(dict.fromkeys(names))


def _state(check: DriftCheck) -> str:
    if check.alarm:
        return "alarm"
    return "ok" if check.enough else "too few rows"


def signed(body: bytes, secret: str, at: datetime) -> dict[str, str]:
    """Return the headers of a body: its time, and the signature of both.

    Parameters
    ----------
    secret : str
        Shared with the receiver, which computes HMAC-SHA256 of the time, a full stop
        and the body, and refuses an old time.
    """
    moment = str(int(at.timestamp()))
    content = moment.encode() + b"." + body
    digest = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        TIMESTAMP: moment,
        SIGNATURE: f"sha256={digest}",
    }


def notify(
    address: str,
    secret: str,
    message: dict[str, Any],
    at: datetime,
    send: Send | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[str, ...]:
    """Send a message, and once more where that fails; return a warning, never an error.

    Parameters
    ----------
    address : str
        https alone. It may hold a credential: no warning shows more than its host.
    send, sleep : callable, optional
        By default over the network, without following a redirect.
    """
    if not address:
        return ()
    host = _host(address)
    if not host:
        return ("no message was sent: MLOPS_WEBHOOK is not an https address",)
    if not secret:
        return ("no message was sent: MLOPS_WEBHOOK_SECRET is empty",)
    body = canonical_json(message)
    headers = signed(body, secret, at)
    problem = ""
    for attempt in range(2):
        if attempt:
            sleep(1.0)
        try:
            status = (send or _send)(address, body, headers)
        except OSError as error:  # what requests raises is one
            problem = type(error).__name__
            continue
        if status < 300:
            return ()
        problem = f"status {status}"
        if status < 500 and status != 429:
            break
    return (f"no message was sent: {host} answered with {problem}",)


def _host(address: str) -> str:
    """Return the host of an https address, empty for what is none."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return ""
    return host if parts.scheme == "https" and address.isprintable() else ""


def _send(address: str, body: bytes, headers: dict[str, str]) -> int:
    """Send a body by POST; return the status of the answer, whose text is not read."""
    import requests

    with requests.post(
        address,
        data=body,
        headers=headers,
        timeout=SECONDS,
        allow_redirects=False,
        stream=True,
    ) as response:
        return int(response.status_code)
