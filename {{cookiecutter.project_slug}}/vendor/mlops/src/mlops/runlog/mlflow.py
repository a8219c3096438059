"""A copy of the run log in MLflow.

Where MLFLOW_TRACKING_URI names a server, each run is copied there by MLflow's REST API,
in no more than a few seconds: the run log is the record, this a courtesy.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from mlops import settings
from mlops.results.runs import Record

# By this tag a run is found again, so that no record is copied twice.
MLFLOW_TAG = "mlops.run"

_SECONDS = 5.0  # for all requests of one record together

_MOST_PARAMS = 100  # in one request

Ask = Callable[..., Any]


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


def _asker(uri: str) -> Ask:
    """Return what asks a server, with the credentials of MLflow's own client."""
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
    api = f"{uri.rstrip('/')}/api/2.0/mlflow"

    def ask(path: str, **body: Any) -> Any:
        """Return the answer to a request; in time or not at all."""
        left = max(end - time.monotonic(), 0.001)
        response = session.post(f"{api}/{path}", json=body, timeout=left)
        response.raise_for_status()
        return response.json()

    return ask


def _copy(ask: Ask, record: Record) -> None:
    """Write one run into the experiment of its model.

    One that died half way is completed.
    """
    begun = int(datetime.fromisoformat(record.started).timestamp() * 1000)
    ended = begun + int(record.seconds * 1000)
    experiment = _experiment(ask, record.model)
    run = _run(ask, experiment, record)
    if run and run["info"]["status"] == "FINISHED":
        return
    if not run:
        run = ask(
            "runs/create",
            experiment_id=experiment,
            run_name=record.id,
            start_time=begun,
            tags=_pairs({MLFLOW_TAG: record.id}),
        )["run"]
    number = run["info"]["run_id"]
    metrics = [
        {"key": key, "value": value, "timestamp": ended}
        for key, value in _metrics(record).items()
    ]
    params = _pairs(_params(record))[:_MOST_PARAMS]
    tags = _pairs(_tags(record))
    ask("runs/log-batch", run_id=number, metrics=metrics, params=params, tags=tags)
    ask("runs/update", run_id=number, status="FINISHED", end_time=ended)


def _experiment(ask: Ask, model: str) -> Any:
    """Return the id of the model's experiment, created where there is none."""
    found = ask("experiments/search", filter=f"name = '{model}'", max_results=1)
    experiments = found.get("experiments")
    if experiments:
        return experiments[0]["experiment_id"]
    return ask("experiments/create", name=model)["experiment_id"]


def _run(ask: Ask, experiment: Any, record: Record) -> Any:
    """Return the run that an earlier copy made, None where there is none."""
    mine = f"tags.`{MLFLOW_TAG}` = '{record.id}'"
    found = ask("runs/search", experiment_ids=[experiment], filter=mine, max_results=1)
    runs = found.get("runs")
    return runs[0] if runs else None


def _metrics(record: Record) -> dict[str, float]:
    """Return the figures of a run, each metric with the ends of its interval."""
    values = {"seconds": record.seconds}
    for metric in record.metrics:
        values[metric.name] = metric.value
        values[f"{metric.name}_low"] = metric.low
        values[f"{metric.name}_high"] = metric.high
    return values


def _params(record: Record) -> dict[str, Any]:
    """Return what was trained with."""
    if record.training is None:
        return {}
    return {"estimator": record.training.estimator, **record.training.params}


def _tags(record: Record) -> dict[str, Any]:
    """Return what else is known of a run."""
    return {
        "mlflow.user": record.actor,
        "mlflow.source.git.commit": record.commit,
        "mlops.outcome": record.outcome,
        "mlops.group": record.group,
        "mlops.url": record.run_url,
        "mlops.data": record.data and record.data.digest,
        "mlops.model": _model(record),
    }


def _model(record: Record) -> str | None:
    """Return the digest of the model; None where a sweep only cross-validated it."""
    training = record.training
    return training.model_sha256 or None if training else None


def _pairs(facts: dict[str, Any]) -> list[dict[str, str]]:
    """Return names and values as MLflow allows them."""
    return [
        {"key": re.sub(r"[^\w. :/-]", "_", key)[:250], "value": str(value)[:5000]}
        for key, value in facts.items()
        if value is not None
    ]
