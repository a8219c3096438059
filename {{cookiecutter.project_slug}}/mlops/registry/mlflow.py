"""A copy of each run record in MLflow, where MLFLOW_TRACKING_URI names a server.

By MLflow's REST API and in no more than a few seconds: the journal is the record, this a courtesy.
"""

from __future__ import annotations

import os
import re
import time
from datetime import datetime
from typing import Any

from mlops.results import Record

TAG = "mlops.run"  # by it a run is found again, so that no record is copied twice
_SECONDS = 5.0  # for all requests of one record together


def copy(record: Record) -> tuple[str, ...]:
    """Copy a record; return a warning where that is not possible, never an error."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return ()
    if not uri.startswith(("http://", "https://")):
        return ("no copy to MLflow: MLFLOW_TRACKING_URI is not the address of a server",)
    import requests

    try:
        _copy(_Server(uri), record)
    except (requests.RequestException, LookupError, TypeError, ValueError) as error:
        return (f"no copy to MLflow: {' '.join(str(error).split())[:200]}",)
    return ()


class _Server:
    """Asks a server, with the credentials that MLflow's own client takes."""

    def __init__(self, uri: str) -> None:
        import requests

        self.end = time.monotonic() + _SECONDS
        self.url = f"{uri.rstrip('/')}/api/2.0/mlflow"
        self.session, env = requests.Session(), os.environ
        if token := env.get("MLFLOW_TRACKING_TOKEN"):
            self.session.headers["Authorization"] = f"Bearer {token}"
        elif user := env.get("MLFLOW_TRACKING_USERNAME"):
            self.session.auth = (user, env.get("MLFLOW_TRACKING_PASSWORD", ""))

    def ask(self, path: str, **body: Any) -> Any:
        """Return the answer to a request; in time or not at all."""
        left = max(self.end - time.monotonic(), 0.001)
        answer = self.session.post(f"{self.url}/{path}", json=body, timeout=left)
        answer.raise_for_status()
        return answer.json()


def _copy(server: _Server, record: Record) -> None:
    """Write one run into the experiment of its model; one that died half way is completed."""
    ask, training, data = server.ask, record.training, record.data
    begun = int(datetime.fromisoformat(record.started).timestamp() * 1000)
    ended = begun + int(record.seconds * 1000)
    known = ask("experiments/search", filter=f"name = '{record.model}'", max_results=1)
    experiments = known.get("experiments") or [ask("experiments/create", name=record.model)]
    where, mine = experiments[0]["experiment_id"], f"tags.`{TAG}` = '{record.id}'"
    found = ask("runs/search", experiment_ids=[where], filter=mine, max_results=1).get("runs")
    if found and found[0]["info"]["status"] == "FINISHED":
        return
    start = {"experiment_id": where, "run_name": record.id, "start_time": begun}
    run = found[0] if found else ask("runs/create", **start, tags=_pairs({TAG: record.id}))["run"]
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
    params = {"estimator": training.estimator, **training.params} if training else {}
    ask(
        "runs/log-batch",
        run_id=run["info"]["run_id"],
        metrics=[
            {"key": name, "value": value, "timestamp": ended} for name, value in values.items()
        ],
        params=_pairs(params)[:100],  # no more in one request
        tags=_pairs(tags),
    )
    ask("runs/update", run_id=run["info"]["run_id"], status="FINISHED", end_time=ended)


def _pairs(facts: dict[str, Any]) -> list[dict[str, str]]:
    """Return names and values as MLflow allows them."""
    return [
        {"key": re.sub(r"[^\w. :/-]", "_", key)[:250], "value": str(value)[:5000]}
        for key, value in facts.items()
        if value is not None
    ]
