"""The data of a run that lie elsewhere, brought here before its steps.

This process has the credentials; the model's own code, in a process of its own, gets
copies and has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.config.project import Project
from mlops.data.sources import (
    MONITOR_LABELS,
    is_elsewhere,
    lock_folder,
    patterns_elsewhere,
    source_files,
)
from mlops.errors import MlopsError, error_facts, error_of
from mlops.io.files import read_json, write_json
from mlops.results.data import SourceLock

if TYPE_CHECKING:
    from mlops.data.fetch import Fetching

Say = Callable[[str], None]


@dataclass(frozen=True)
class RunSources:
    """How a run comes by data that lie elsewhere.

    Parameters
    ----------
    how : callable
        Returns how to fetch; called only where something lies elsewhere.
    locked : bool
        Whether to use what another job has fetched, and nothing newer.
    """

    how: Callable[[], Fetching]
    locked: bool = False

    def bring(self, project: Project, name: str, say: Say) -> None:
        """See to it that what a model's data are is here.

        Raises
        ------
        UsageError
            Where nothing matches; with `locked`, where nothing was fetched.
        EnvironmentFailure
            Where it cannot be fetched.
        MlopsError
            With `locked`, what the job that fetches was told.
        """
        spec = project.model(name)
        patterns = patterns_elsewhere(spec)
        if not patterns:
            return
        if self.locked:
            _require_fetched(project, name)
            for key, pattern in patterns.items():
                for file in source_files(pattern, project.folder(name), key):
                    file.require_intact()
            return
        bring(project, name, replace(self.how(), say=say))


def bring(project: Project, name: str, how: Fetching) -> SourceLock | None:
    """Fetch what a model's data are; None where all of it is in the repository."""
    from mlops.data.fetch import fetch

    patterns = patterns_elsewhere(project.model(name))
    if not patterns:
        return None
    lock = fetch(patterns, lock_folder(project.folder(name)), how)
    _failure_file(project, name).unlink(missing_ok=True)
    return lock


def note_failure(project: Project, name: str, error: MlopsError) -> None:
    """Note why the data of a model could not be fetched, for its run elsewhere."""
    write_json(_failure_file(project, name), error_facts(error))


def _require_fetched(project: Project, name: str) -> None:
    """Raise the error with which the data of a model could not be fetched, if any."""
    path = _failure_file(project, name)
    if path.is_file():
        facts = read_json(path)
        raise error_of(facts, "the data of this model could not be fetched")


def _failure_file(project: Project, name: str) -> Path:
    """Return where it is noted; jobs hand on whatever begins with `sources`."""
    return lock_folder(project.folder(name)) / "sources-failed.json"


def bring_labels(project: Project, name: str, how: Fetching) -> None:
    """Fetch the labels with which predictions are checked, if they lie elsewhere."""
    from mlops.data.fetch import fetch

    labels = project.model(name).data.labels
    if not labels or not is_elsewhere(labels):
        return
    target = lock_folder(project.folder(name), MONITOR_LABELS)
    fetch({MONITOR_LABELS: labels}, target, how)


def bring_batch(project: Project, name: str, pattern: str, how: Fetching) -> None:
    """Fetch the files of a batch that lie elsewhere, if they do.

    Parameters
    ----------
    pattern : str
        What `--input` names; empty: `batch.input` of model.yaml.
    """
    from mlops.config.fields import require_source
    from mlops.data.fetch import fetch

    batch = project.model(name).batch
    if not pattern and batch is not None:
        pattern = batch.input
    if not is_elsewhere(pattern):
        return
    require_source(pattern, "--input")
    key = "batch.input"
    fetch({key: pattern}, lock_folder(project.folder(name), key), how)
