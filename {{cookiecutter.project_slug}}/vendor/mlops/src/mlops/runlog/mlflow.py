"""A copy of the run log in MLflow."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from mlops import settings
from mlops.results.runs import Record

# -- the copy in MLflow --------------------------------------------------------------------------

# By this tag a run is found again, so that no record is copied twice.
MLFLOW_TAG = "mlops.run"

_SECONDS = 5.0  # for all requests of one record together


def copy_to_mlflow(record: Record) -> tuple[str, ...]:
    """Copy a record; return a warning where that is not possible, never an error."""
    uri = settings.current().mlflow_uri
    if not uri:
        return ()
    if not uri.startswith(("http://", "https://")):
        return (
            "no copy to MLflow: MLFLOW_TRACKING_URI is not the address of a server",
        )
    import requests

    try:
        _copy(_asker(uri), record)
    except (requests.RequestException, LookupError, TypeError, ValueError) as error:
        return (f"no copy to MLflow: {' '.join(str(error).split())[:200]}",)
    return ()


def _asker(uri: str) -> Callable[..., Any]:
    """Return what asks a server, with the credentials that MLflow's own client takes."""
    import requests

    end = time.monotonic() + _SECONDS
    session = requests.Session()
    secret = settings.current().secret
    token = secret("MLFLOW_TRACKING_TOKEN")
    user = secret("MLFLOW_TRACKING_USERNAME")
    if token:
        session.headers["Authorization"] = f"Bearer {token}"
    elif user:
        session.auth = (user, secret("MLFLOW_TRACKING_PASSWORD"))

    def ask(path: str, **body: Any) -> Any:
        """Return the answer to a request; in time or not at all."""
        url, left = (
            f"{uri.rstrip('/')}/api/2.0/mlflow",
            max(end - time.monotonic(), 0.001),
        )
        answer = session.post(f"{url}/{path}", json=body, timeout=left)
        answer.raise_for_status()
        return answer.json()

    return ask


def _copy(ask: Callable[..., Any], record: Record) -> None:
    """Write one run into the experiment of its model; one that died half way is completed."""
    training, data = record.training, record.data
    begun = int(datetime.fromisoformat(record.started).timestamp() * 1000)
    ended = begun + int(record.seconds * 1000)
    known = ask("experiments/search", filter=f"name = '{record.model}'", max_results=1)
    experiments = known.get("experiments") or [
        ask("experiments/create", name=record.model)
    ]
    where, mine = (
        experiments[0]["experiment_id"],
        f"tags.`{MLFLOW_TAG}` = '{record.id}'",
    )
    found = ask("runs/search", experiment_ids=[where], filter=mine, max_results=1).get(
        "runs"
    )
    if found and found[0]["info"]["status"] == "FINISHED":
        return
    if not found:
        start = {"experiment_id": where, "run_name": record.id, "start_time": begun}
        found = [
            ask("runs/create", **start, tags=_pairs({MLFLOW_TAG: record.id}))["run"]
        ]
    run = found[0]["info"]["run_id"]
    values = {"seconds": record.seconds}
    for m in record.metrics:
        values |= {m.name: m.value, f"{m.name}_low": m.low, f"{m.name}_high": m.high}
    tags = {
        "mlflow.user": record.actor,
        "mlflow.source.git.commit": record.commit,
        "mlops.outcome": record.outcome,
        "mlops.group": record.group,
        "mlops.url": record.run_url,
        "mlops.data": data and data.digest,
        "mlops.model": training and training.model_sha256,
    }
    metrics = [
        {"key": key, "value": value, "timestamp": ended}
        for key, value in values.items()
    ]
    facts = {"estimator": training.estimator, **training.params} if training else {}
    params = _pairs(facts)[:100]  # no more in one request
    ask("runs/log-batch", run_id=run, metrics=metrics, params=params, tags=_pairs(tags))
    ask("runs/update", run_id=run, status="FINISHED", end_time=ended)


def _pairs(facts: dict[str, Any]) -> list[dict[str, str]]:
    """Return names and values as MLflow allows them."""
    return [
        {"key": re.sub(r"[^\w. :/-]", "_", key)[:250], "value": str(value)[:5000]}
        for key, value in facts.items()
        if value is not None
    ]
