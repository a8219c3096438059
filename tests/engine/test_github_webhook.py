"""The message about a check: signed, without values, and never in the way."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from mlops.github.webhook import SIGNATURE, TIMESTAMP, message_of, notify
from mlops.results.evaluation import Metric
from mlops.results.monitoring import (
    CellChange,
    CellCount,
    ColumnDrift,
    DriftCheck,
    Performance,
)

AT = datetime(2026, 11, 30, 6, tzinfo=UTC)
ADDRESS = "https://pager.example/hooks/T0P-SECRET"
VALUE = "a value of a row"


def check(**update: Any) -> DriftCheck:
    column = ColumnDrift(
        name="plan",
        kind="category",
        chance=1e-4,
        p_value=1e-9,
        q_value=1e-9,
        effect=0.25,
        cell=CellChange(name=VALUE, share=0.2, reference=0.05, relative_risk=4.0),
        alarm=True,
        missing=0.1,
        reference_missing=0.0,
        unseen=3,
        cells=(CellCount(name=VALUE, reference=5, window=20),),
    )
    metric = Metric(name="roc_auc", value=0.7, low=0.6, high=0.8)
    worse = Performance(rows=300, window=metric, reference=metric, alarm=True)
    facts: dict[str, Any] = {
        "model": "churn",
        "version": "v1.0.0",
        "stage": "production",
        "since": "2026-11-23T06:00+00:00",
        "until": "2026-11-30T06:00+00:00",
        "began": "2026-11-29T06:00+00:00",
        "alarm": True,
        "enough": True,
        "rows": 500,
        "labelled": 300,
        "compared": (500, 500),
        "columns": (column,),
        "performance": (worse,),
        "reasons": (f"“{VALUE}” is 20% of the rows",),
    }
    return DriftCheck(**facts | update)


class Receiver:
    """Takes messages, and answers as it is told."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[str, bytes, dict[str, str]]] = []
        self.waited: list[float] = []

    def send(self, address: str, body: bytes, headers: dict[str, str]) -> int:
        self.seen.append((address, body, headers))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def notify(self, address: str = ADDRESS, secret: str = "key") -> tuple[str, ...]:
        message = message_of(check(), "https://github.example/runs/7")
        return notify(address, secret, message, AT, self.send, self.waited.append)


def test_a_message_names_what_happened_and_holds_no_value_of_a_row() -> None:
    message = message_of(check(), "https://github.example/runs/7")
    assert message == {
        "format": 1,
        "state": "alarm",
        "model": "churn",
        "version": "v1.0.0",
        "stage": "production",
        "since": "2026-11-23T06:00+00:00",
        "until": "2026-11-30T06:00+00:00",
        "began": "2026-11-29T06:00+00:00",
        "rows": 500,
        "labelled": 300,
        "drifted": ["plan"],
        "worse": ["roc_auc"],
        "run": "https://github.example/runs/7",
    }
    assert VALUE not in json.dumps(message)
    calm = check(alarm=False, columns=(), performance=())
    assert message_of(calm, None)["state"] == "ok"
    few = check(alarm=False, enough=False, columns=(), performance=())
    assert message_of(few, None)["state"] == "too few rows"


def test_a_receiver_can_check_who_sent_it_and_when() -> None:
    receiver = Receiver(204)
    assert receiver.notify() == ()
    ((address, body, headers),) = receiver.seen
    assert address == ADDRESS
    assert json.loads(body)["model"] == "churn"
    assert headers[TIMESTAMP] == str(int(AT.timestamp()))
    content = headers[TIMESTAMP].encode() + b"." + body
    expected = hmac.new(b"key", content, hashlib.sha256).hexdigest()
    assert headers[SIGNATURE] == f"sha256={expected}"


@pytest.mark.parametrize(
    ("answers", "warning", "calls"),
    [
        ((503, 200), "", 2),
        ((requests.ConnectTimeout("T0P-SECRET"), 200), "", 2),
        ((429, 429), "status 429", 2),
        ((500, requests.ConnectionError("T0P-SECRET")), "ConnectionError", 2),
        ((404,), "status 404", 1),
        ((302,), "status 302", 1),
    ],
)
def test_what_fails_is_tried_once_more_and_then_a_warning(
    answers: tuple[int | Exception, ...], warning: str, calls: int
) -> None:
    receiver = Receiver(*answers)
    found = receiver.notify()
    assert len(receiver.seen) == calls and len(receiver.waited) == calls - 1
    if not warning:
        assert found == ()
        return
    assert found == (f"no message was sent: pager.example answered with {warning}",)


@pytest.mark.parametrize(
    "address",
    [
        "http://pager.example/x",
        "ftp://x",
        "pager",
        "https://",
        "https://[x",
        "https://x\n",
    ],
)
def test_only_an_https_address_gets_a_message(address: str) -> None:
    receiver = Receiver()
    (warning,) = receiver.notify(address)
    assert warning == "no message was sent: MLOPS_WEBHOOK is not an https address"
    assert receiver.seen == []


def test_nothing_is_sent_without_an_address_or_unsigned() -> None:
    receiver = Receiver()
    assert receiver.notify("") == ()
    (warning,) = receiver.notify(secret="")
    assert "MLOPS_WEBHOOK_SECRET is empty" in warning and receiver.seen == []
