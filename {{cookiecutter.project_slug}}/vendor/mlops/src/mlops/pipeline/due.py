"""What a schedule trains: models that nothing was made of yet, as they are now.

What is committed trains when it is pushed. A schedule is for data that change without
a commit, and for what a push began and did not end. To look is cheap: files are hashed,
none is read as a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from mlops.config.project import Project
from mlops.data.sources import files_of, hash_files
from mlops.errors import MlopsError
from mlops.registry.manifest import Manifest, manifest_of
from mlops.registry.tags import ModelState, State, Version
from mlops.results.data import Snapshot
from mlops.results.runs import Record
from mlops.runlog.query import records

# Newest records that are looked at: those of pull requests stand among them.
_RECORDS = 50

# With these a run on the default branch ended without a version, and would again.
_NO_VERSION = ("reject", "inconclusive")


class Inputs(NamedTuple):
    """What decides which model comes out of a run.

    Parameters
    ----------
    files : tuple of (str, str)
        Path and SHA-256 of each file with data, sorted.
    code : str
        Digest of the model's code and specification.
    lock : str
        Digest of the lock that models are trained with.
    seed : int
    params : dict
    """

    files: tuple[tuple[str, str], ...]
    code: str
    lock: str
    seed: int
    params: dict[str, Any]


def due(project: Project, names: Iterable[str], state: State) -> list[str]:
    """Return which of these models a schedule has to train.

    Parameters
    ----------
    project : Project
    names : iterable of str
    state : State
        Of the registry.

    Returns
    -------
    list of str
        In the order of `names`. A model whose data cannot be found, or whose newest
        version no stage has seen, is among them: its run says what is wrong, or
        delivers it.
    """
    return [name for name in names if _is_due(project, name, state.model(name))]


def _is_due(project: Project, name: str, model: ModelState) -> bool:
    """Return whether nothing was made of a model's inputs yet."""
    try:
        now = inputs_now(project, name)
        newest = _delivered(project, model)
    except (MlopsError, OSError):
        return True
    if newest is not None and inputs_of_version(newest) == now:
        return False
    return not any(
        inputs_of_run(record) == now and _led_to_nothing(record, newest)
        for record in records(project, name, limit=_RECORDS)
    )


def _delivered(project: Project, model: ModelState) -> Manifest | None:
    """Return the manifest of the newest version; None where no stage has seen it."""
    newest = model.latest
    if newest is None or not was_staged(model, newest):
        return None
    manifest, _ = manifest_of(project.root, newest)
    return manifest


def was_staged(model: ModelState, version: Version) -> bool:
    """Return whether a version has been in a stage, or was kept out of one."""
    return any(
        event.version == version.number and event.stage is not None
        for event in model.events
    )


def _led_to_nothing(record: Record, newest: Manifest | None) -> bool:
    """Return whether a run on the default branch ended, and made no version.

    The gate refused its model, or that was the model of the newest version again.
    """
    if record.pull_request is not None or record.dirty:
        return False
    if record.outcome in _NO_VERSION:
        return True
    return bool(newest and record.training and newest.same_model(record.training))


def inputs_now(project: Project, name: str) -> Inputs:
    """Return the inputs that a run would have now.

    Raises
    ------
    UsageError
        Where model.yaml is wrong, or no file matches its source.
    OSError
        Where a file cannot be read.
    """
    spec = project.model(name)
    files = hash_files(files_of(spec, project.folder(name)))
    return Inputs(
        files=tuple(sorted(files.items())),
        code=project.code_digest(name, spec),
        lock=project.lock_digest,
        seed=spec.train.seed,
        params=dict(spec.train.params),
    )


def inputs_of_version(manifest: Manifest) -> Inputs:
    """Return the inputs that a version was made of."""
    return Inputs(
        files=_files(manifest.data),
        code=manifest.code.digest,
        lock=manifest.environment.lock_sha256,
        seed=manifest.seed,
        params=dict(manifest.params),
    )


def inputs_of_run(record: Record) -> Inputs | None:
    """Return the inputs of a run; None of one that did not train."""
    if record.data is None or record.training is None:
        return None
    return Inputs(
        files=_files(record.data),
        code=record.training.code,
        lock=record.training.lock,
        seed=record.training.seed,
        params=dict(record.training.params),
    )


def _files(snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((file.path, file.sha256) for file in snapshot.files))
