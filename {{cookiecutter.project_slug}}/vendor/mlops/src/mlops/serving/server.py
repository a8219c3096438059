"""The service as a process."""

from __future__ import annotations

import json
import logging
import socket
from contextlib import suppress
from datetime import UTC, datetime

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure
from mlops.registry.chain import fetch
from mlops.registry.queries import sensitive_columns
from mlops.registry.tag_writes import sync
from mlops.registry.tags import read, resolve
from mlops.serving.follower import Follower, Served, log
from mlops.serving.prediction_log import PredictionLog
from mlops.storage.protocol import ReleaseStore

_SHOWN = {
    "model",
    "version",
    "created",
    "signature",
    "metrics",
    "data",
    "code",
    "assets",
}


def follow(
    project: Project, name: str, stage: str, store: ReleaseStore | None = None
) -> Follower:
    """Return a follower of a stage in the registry of this repository, not yet started."""

    def where() -> str:
        try:
            sync(project.root)
        except EnvironmentFailure as error:  # what is known here still holds
            log.warning("working on the tags that are here: %s", error)
        return resolve(read(project.root), f"{name}@{stage}").number

    def load(version: str) -> Served:
        import pandas as pd

        bundle = fetch(project, f"{name}@{version}", store)
        hidden = sensitive_columns(project, bundle.manifest)
        summary = bundle.manifest.model_dump(mode="json", include=_SHOWN)
        for feature in summary["signature"]["features"]:
            if feature["name"] in hidden:
                feature.update(low=None, high=None, categories=None)
        examples = json.loads(bundle.read("examples.json"))
        rows = pd.DataFrame([example["features"] for example in examples])
        expected = pd.DataFrame([example["expected"] for example in examples])
        model = bundle.model()
        return Served(version, model, summary, rows, expected, frozenset(hidden))

    return Follower(name, stage, where, load)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, or raise `WorldError`; port 0 takes any that is free."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        what = f"cannot listen here: {(error.strerror or str(error)).lower()}"
        advice = (
            "stop what listens there, or choose another --port (0: any that is free)"
        )
        raise EnvironmentFailure(what, found=f"{host}:{port}", do=advice) from error


def serve(
    project: Project,
    name: str,
    stage: str,
    host: str,
    port: int,
    interval: float,
    store: ReleaseStore | None = None,
) -> None:
    """Serve a stage until the process is told to stop, looking at it every `interval` seconds.

    Nothing answers where the port is taken or the version of the stage cannot be served.
    """
    import uvicorn

    from mlops.serving.app import create_app

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    log.setLevel(logging.INFO)
    with listen(host, port) as server:
        follower = follow(project, name, stage, store)
        served = follower.start()
        predictions = PredictionLog(project.state, name, served.hidden)
        app = create_app(follower, predictions, lambda: datetime.now(UTC), interval)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{server.getsockname()[1]}"
        print(f"{name} {served.version} ({stage}) on {address}", flush=True)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=10
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[server])
