"""A copy of each run record in MLflow, where MLFLOW_TRACKING_URI names a server.

By MLflow's REST API and no more than a few seconds: the journal is the record, this is a courtesy.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from mlops.results import Record

TAG = "mlops.run"  # by it a run is found again, so that no record is copied twice
_SECONDS = 5.0  # for all requests of one record together
Ask = Callable[..., dict[str, Any]]


def copy(record: Record) -> tuple[str, ...]:
    """Copy a record; return a warning where that is not possible, never an error."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return ()
    if not uri.startswith(("http://", "https://")):
        return ("no copy to MLflow: MLFLOW_TRACKING_URI is not the address of a server",)
    import requests

    try:
        _copy(_asking(uri), record)
    except (requests.RequestException, KeyError, ValueError) as error:
        return (f"no copy to MLflow: {' '.join(str(error).split())[:200]}",)
    return ()


def _asking(uri: str) -> Ask:
    """Return a function that asks the server, with the credentials that MLflow's client takes."""
    import requests

    env, end = os.environ, time.monotonic() + _SECONDS
    session = requests.Session()
    if token := env.get("MLFLOW_TRACKING_TOKEN"):
        session.headers["Authorization"] = f"Bearer {token}"
    elif user := env.get("MLFLOW_TRACKING_USERNAME"):
        session.auth = (user, env.get("MLFLOW_TRACKING_PASSWORD", ""))

    def ask(path: str, **body: Any) -> dict[str, Any]:
        left = end - time.monotonic()
        if left <= 0:
            raise requests.Timeout(f"it took more than {_SECONDS:g} seconds")
        url = f"{uri.rstrip('/')}/api/2.0/mlflow/{path}"
        answer = session.post(url, json=body, timeout=left)
        answer.raise_for_status()
        return dict(answer.json())

    return ask


def _copy(ask: Ask, record: Record) -> None:
    """Write one run into the experiment of its model; one that died half way is completed."""
    begun = int(datetime.fromisoformat(record.started).timestamp() * 1000)
    ended = begun + int(record.seconds * 1000)
    named = f"name = '{record.model}'"
    known = ask("experiments/search", filter=named, max_results=1).get("experiments")
    made = known[0] if known else ask("experiments/create", name=record.model)
    experiment = made["experiment_id"]
    mine = f"tags.`{TAG}` = '{record.id}'"
    found = ask("runs/search", experiment_ids=[experiment], filter=mine, max_results=1).get("runs")
    if found and found[0]["info"]["status"] == "FINISHED":
        return
    facts = {"experiment_id": experiment, "run_name": record.id, "start_time": begun}
    new = found[0] if found else ask("runs/create", **facts, tags=_pairs({TAG: record.id}))["run"]
    run = new["info"]["run_id"]
    values = {"seconds": record.seconds}
    for m in record.metrics:
        values |= {m.name: m.value, f"{m.name}_low": m.low, f"{m.name}_high": m.high}
    metrics = [
        {"key": _key(name), "value": value, "timestamp": ended}
        for name, value in values.items()
        if math.isfinite(value)
    ]
    params = _pairs(
        {**record.training.params, "seed": record.training.seed} if record.training else {}
    )
    ask("runs/log-batch", run_id=run, metrics=metrics, params=params[:100], tags=_tags(record))
    ask("runs/update", run_id=run, status="FINISHED", end_time=ended)


def _tags(record: Record) -> list[dict[str, str]]:
    training, data = record.training, record.data
    return _pairs(
        {
            "mlflow.user": record.actor,
            "mlflow.source.git.commit": record.commit,
            "mlops.outcome": record.outcome,
            "mlops.group": record.group,
            "mlops.url": record.run_url,
            "mlops.data": data.digest if data else None,
            "mlops.model": training.model_sha256 if training else None,
            "mlops.estimator": training.estimator if training else None,
        }
    )


def _pairs(facts: dict[str, Any]) -> list[dict[str, str]]:
    return [{"key": _key(k), "value": str(v)[:5000]} for k, v in facts.items() if v is not None]


def _key(name: str) -> str:
    """Return a name as MLflow allows it."""
    return re.sub(r"[^\w. :/-]", "_", name)[:250]
