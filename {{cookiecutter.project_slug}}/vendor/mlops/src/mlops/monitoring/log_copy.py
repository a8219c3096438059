"""The prediction log of a period, copied for a check in a job without credentials.

One job reads the bucket and runs no code of a model; the job that checks, which does,
gets a folder that is laid out as the place is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlops.config.project import Project
from mlops.io.places import FolderPlace, Place
from mlops.monitoring.history import last_state
from mlops.monitoring.window import YEAR, Period, first_day, first_moment
from mlops.registry.tags import read_registry, resolve
from mlops.runlog.query import checks


@dataclass(frozen=True)
class CopiedLog:
    """What was copied of the log of a model.

    Parameters
    ----------
    first : str
        The first day, such as ``2026-11-23``.
    files : int
    size : int
        Bytes.
    """

    first: str
    files: int
    size: int


def copy_log(
    source: Place, project: Project, name: str, stage: str, period: Period, out: Path
) -> CopiedLog:
    """Copy what a check of a period will read: predictions and feedback, whole files.

    Where checks were late or skipped, that begins before the period, with the day of
    the first row that no check has counted.

    Parameters
    ----------
    source : Place
        Of the prediction log.
    stage : str
        Whose version will be checked.
    out : Path
        The folder to write to; what is there of another model stays.

    Raises
    ------
    UsageError
        When the stage has no version.
    EnvironmentFailure
        When the place cannot be reached.
    """
    version = resolve(read_registry(project.root), f"{name}@{stage}")
    history = checks(project, name, since=period.until - YEAR)
    state = last_state(history, version.number)
    begin = first_moment(period, state.watermark if state else None)
    first = first_day(begin).strftime("%Y-%m-%d")
    target = FolderPlace(out)
    files = 0
    size = 0
    for folder in (f"predictions/{name}", f"feedback/{name}"):
        for entry in source.entries(folder, first):
            day = entry.name.removeprefix(f"{folder}/")[: len(first)]
            if day < first:
                continue
            target.write(entry.name, source.local(entry.name).read_bytes())
            files += 1
            size += entry.size
    return CopiedLog(first, files, size)
