"""`mlops serve` and `mlops predict`: the registry, the log and the clock put together."""

from __future__ import annotations

import json
import logging
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.data.read import read_table
from mlops.errors import Problem, UsageError, WorldError
from mlops.project import Project
from mlops.registry.objects import sync
from mlops.registry.store import ReleaseStore
from mlops.registry.tags import read, resolve
from mlops.registry.verify import fetch
from mlops.serving.follower import Follower, Served
from mlops.serving.log import PredictionLog, new_id

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = {"model", "version", "created", "signature", "metrics", "data", "code", "assets"}
_log = logging.getLogger("mlops.serving")


def predict_file(
    project: Project,
    ref: str,
    path: Path,
    now: datetime,
    log: bool = True,
    store: ReleaseStore | None = None,
) -> tuple[pd.DataFrame, str]:
    """Predict a CSV or Parquet file with ``NAME@v1.2.0`` or ``NAME@STAGE``, and log it.

    The file has every feature; other columns do not matter. Where it has the model's id column,
    labels that arrive in label files can be joined to the logged predictions.

    Returns
    -------
    answers : DataFrame, shape (n_rows, 1 + n_outputs)
        ``id`` (that of the row where it has one, else the prediction's) and the model's outputs.
    version : str

    Raises
    ------
    UsageError
        When the file is not readable, or a column is missing or of the wrong type.
    Refused
        When the version does not verify.
    """
    bundle = fetch(project, ref, store)
    name, version = bundle.version.model, bundle.version.number
    spec, model = project.model(name), bundle.model()
    kinds = {f.name: f.kind for f in model.signature.features}
    key = spec.data.id
    own = (key,) if key else ()
    text = {*(c for c, kind in kinds.items() if kind == "category"), *own}
    if not path.is_file():
        raise UsageError(Problem("there is no such file", file=str(path)))
    data = spec.data
    frame, _ = read_table(path, str(path), (*kinds, *own), text, data.delimiter, data.encoding)
    answers = model.predict(frame)
    ids = [new_id(now) for _ in range(len(frame))]
    if log:
        outputs = answers.assign(row_id=frame[key]) if key in frame else answers
        out = PredictionLog(project.state, name, spec.sensitive)
        out.write(frame[list(kinds)], outputs, ids, version, now)
    answers.insert(0, "id", frame.get(key, ids))
    return answers, version


def follow(project: Project, name: str, stage: str, store: ReleaseStore | None = None) -> Follower:
    """Return a follower of a stage in the registry of this repository, not yet started."""
    hidden = project.model(name).sensitive

    def where() -> str:
        try:
            sync(project.root)
        except WorldError as error:  # what is known here still holds
            _log.warning("working on the tags that are here: %s", error)
        return resolve(read(project.root), f"{name}@{stage}").number

    def load(version: str) -> Served:
        import pandas as pd

        bundle = fetch(project, f"{name}@{version}", store)
        summary = bundle.manifest.model_dump(mode="json", include=_SHOWN)
        for feature in summary["signature"]["features"]:
            if feature["name"] in hidden:
                feature.update(low=None, high=None, categories=None)
        examples = json.loads(bundle.read("examples.json"))
        rows = pd.DataFrame([example["features"] for example in examples])
        expected = pd.DataFrame([example["expected"] for example in examples])
        return Served(version, bundle.model(), summary, rows, expected)

    return Follower(name, stage, where, load)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, or raise `WorldError`; port 0 takes any that is free."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        what = f"cannot listen here: {(error.strerror or str(error)).lower()}"
        advice = "stop what listens there, or choose another --port (0: any that is free)"
        raise WorldError(Problem(what, found=f"{host}:{port}", do=advice)) from error


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
    _log.setLevel(logging.INFO)
    with listen(host, port) as server:
        follower = follow(project, name, stage, store)
        served = follower.start()
        log = PredictionLog(project.state, name, project.model(name).sensitive)
        app = create_app(follower, log, lambda: datetime.now(UTC), interval)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{server.getsockname()[1]}"
        print(f"{name} {served.version} ({stage}) on {address}", flush=True)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=10
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[server])
