"""The service as a process: it listens, and follows a stage of the registry."""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, UsageError
from mlops.registry.chain import Bundle, fetch
from mlops.registry.manifest import Manifest
from mlops.registry.queries import sensitive_columns
from mlops.registry.tag_writes import sync
from mlops.registry.tags import read_registry, resolve
from mlops.serving.check_seen import CheckSeen
from mlops.serving.deliverer import delivering
from mlops.serving.follower import TOLERANCE, Follower, RegistrySeen, Served, log
from mlops.serving.log_backlog import Backlog
from mlops.serving.prediction_log import PredictionLog
from mlops.storage.protocol import ReleaseStore

if TYPE_CHECKING:
    import pandas as pd

    from mlops.serving.app import Options
    from mlops.serving.connections import Server
    from mlops.serving.fast_path import FastPath
    from mlops.serving.trial import Trial
    from mlops.training.model import Model

STOP_SECONDS = 10  # for the requests that are being answered

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


@dataclass(frozen=True)
class Address:
    """Where a service listens; port 0 is any that is free."""

    host: str
    port: int


def serve(
    project: Project,
    name: str,
    stage: str,
    address: Address,
    options: Options,
    store: ReleaseStore | None = None,
) -> None:
    """Serve a stage until the process is told to stop.

    Parameters
    ----------
    options : Options
        How often to look at the stage, and what is taken from clients.
    store : ReleaseStore, optional
        Where versions lie, if not where the repository says.

    Raises
    ------
    EnvironmentFailure
        When the port is taken.
    Refused
        When the version of the stage cannot be served.
    """
    log_to_terminal()
    with listen(address) as server:
        follower = follow(project, name, stage, store, explains=options.explain)
        served = follower.start()
        print(f"{name} {served.version} ({stage}) on {url_of(address, server)}")
        sys.stdout.flush()
        predictions = log_of(project, name, options)
        trial = _trial(project, name, options, store)
        running = server_of(follower, predictions, options, trial)
        with suppress(KeyboardInterrupt), delivered(name, options):
            running.run(sockets=[server])


def log_of(
    project: Project, name: str, options: Options, writer: str = ""
) -> PredictionLog:
    """Return the log that a process of a service appends to.

    Parameters
    ----------
    writer : str
        Names the files of this process, where several write one log.
    """
    backlog = None
    if options.backlog:
        backlog = Backlog(project.state, name, options.backlog)
    rules = project.spec.predictions
    return PredictionLog(
        project.state,
        name,
        writer=writer,
        backlog=backlog,
        share=rules.share,
        days=rules.days,
    )


@contextmanager
def delivered(name: str, options: Options) -> Iterator[None]:
    """Deliver the log while the block runs, where that is wanted; then what is left.

    SIGTERM ends the process after that: uvicorn raises it again once it has ended.
    """
    if not options.backlog:
        yield
        return
    ends: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: ends.append(number))
    try:
        with delivering(name):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if ends:
            signal.raise_signal(signal.SIGTERM)


def _trial(
    project: Project, name: str, options: Options, store: ReleaseStore | None
) -> Trial | None:
    """Return what is tried beside the version that serves, None where nothing is.

    The candidate goes by the tags that are here: those that are followed are fetched.
    """
    if not options.candidate:
        return None
    from mlops.serving.trial import Trial

    ref = f"{name}@{options.candidate}"
    candidate = Follower(
        name,
        options.candidate,
        resolve=lambda: resolve(read_registry(project.root), ref).number,
        load=lambda version: _served(project, f"{name}@{version}", store, False),
    )
    return Trial(candidate, options.shadow, options.share)


def server_of(
    follower: Follower,
    predictions: PredictionLog,
    options: Options,
    trial: Trial | None = None,
) -> Server:
    """Return the server of a follower that has a version."""
    import uvicorn
    from threadpoolctl import threadpool_limits

    from mlops.serving.app import create_app
    from mlops.serving.connections import Server

    # For good: threads that predict at the same time would reset each other's limit.
    threadpool_limits(1)
    app = create_app(follower, predictions, lambda: datetime.now(UTC), options, trial)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return Server(config, options.limits)


def log_to_terminal(who: str = "") -> None:
    """Write what the service logs to standard error, with the name of the process."""
    logging.basicConfig(format=f"%(asctime)s %(levelname)s {who}%(message)s")
    log.setLevel(logging.INFO)


def url_of(address: Address, listening: socket.socket) -> str:
    """Return where a service answers."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"http://{host}:{listening.getsockname()[1]}"


def listen(address: Address) -> socket.socket:
    """Return a listening socket.

    Raises
    ------
    EnvironmentFailure
        When the port is taken, or the host is not this machine's.
    """
    bound = (address.host, address.port)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server(bound, family=family, backlog=2048)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EnvironmentFailure(
            f"cannot listen here: {reason}",
            found=f"{address.host}:{address.port}",
            do="stop what listens there, or choose another --port (0: any that is "
            "free)",
        ) from error


def follow(
    project: Project,
    name: str,
    stage: str,
    store: ReleaseStore | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    explains: bool = False,
) -> Follower:
    """Return a follower, not yet started, of a stage in this repository's registry.

    Parameters
    ----------
    explains : bool
        Whether each version is loaded with what explanations need.
    """
    seen = RegistrySeen()
    check = CheckSeen()

    def version_of_stage() -> str:
        try:
            sync(project.root)
        except EnvironmentFailure as error:  # what is known here still holds
            log.warning("working on the tags that are here: %s", error)
        else:
            seen.at = now()
            check.look(project, name, seen.at)
        return resolve(read_registry(project.root), f"{name}@{stage}").number

    def load(version: str) -> Served:
        return _served(project, f"{name}@{version}", store, explains)

    return Follower(name, stage, version_of_stage, load, seen=seen, check=check)


def _served(
    project: Project, ref: str, store: ReleaseStore | None, explains: bool
) -> Served:
    """Return a version, verified, with the examples that were registered with it."""
    import pandas as pd

    bundle = fetch(project, ref, store)
    model = bundle.model()
    fast, reason = _fast_path(bundle, model)
    facts = bundle.manifest.compiled
    hidden = frozenset(sensitive_columns(project, bundle.manifest))
    examples = json.loads(bundle.read("examples.json"))
    background = _background(bundle) if explains else None
    return Served(
        version=bundle.version.number,
        model=model,
        summary=_summary(bundle.manifest, hidden),
        examples=pd.DataFrame([example["features"] for example in examples]),
        expected=pd.DataFrame([example["expected"] for example in examples]),
        hidden=hidden,
        fast=fast,
        tolerance=facts.tolerance if facts else TOLERANCE,
        reason=reason,
        background=background,
    )


def _background(bundle: Bundle) -> pd.DataFrame | None:
    """Return what explanations need; without it a version serves all the same."""
    from mlops.serving.explain import background_of

    try:
        return background_of(bundle)
    except UsageError as error:
        log.warning("no explanations: %s", error)
        return None


def _fast_path(bundle: Bundle, model: Model) -> tuple[FastPath | None, str]:
    """Return what predicts with the compiled pipeline, or None and the reason.

    Whatever keeps a compiled pipeline from being loaded, the pipeline serves.
    """
    facts = bundle.manifest.compiled
    if facts is None:
        return None, "the version is from before pipelines were compiled"
    if not facts.ok:
        return None, facts.reason
    try:
        from mlops.serving.fast_path import FastPath
        from mlops.training.compiled import CompiledModel

        pipeline = bundle.compiled()
    except Exception as error:  # whatever onnxruntime raises, or that it is missing
        reason = f"it cannot be loaded: {type(error).__name__}"
        log.warning("%s is served by the pipeline: %s", bundle.version.ref, error)
        return None, reason
    if pipeline is None:
        return None, facts.reason
    return FastPath(model, CompiledModel(model, pipeline, facts.tolerance)), ""


def _summary(manifest: Manifest, hidden: frozenset[str]) -> dict[str, Any]:
    """Return what ``/model`` shows: no values of the columns that are hidden."""
    summary = manifest.model_dump(mode="json", include=_SHOWN)
    for feature in summary["signature"]["features"]:
        if feature["name"] in hidden:
            feature.update(low=None, high=None, categories=None)
    return summary
