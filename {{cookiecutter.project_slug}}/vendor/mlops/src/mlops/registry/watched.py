"""When models in the last stage were checked last: silence is an alarm.

A schedule that never starts, or fails each day, raises no alarm and tells nobody.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime
from typing import NamedTuple

from mlops.config.model_spec import Monitor
from mlops.config.project import Project
from mlops.errors import MlopsError, counted
from mlops.registry.tags import State
from mlops.runlog.query import latest_checks

_DAY = 24 * 3600


class LastChecked(NamedTuple):
    """A model in the last stage, and how long ago it was checked.

    Parameters
    ----------
    until : datetime, optional
        Of the last check that can be read; None where there is none.
    days : float, optional
        Since then.
    allowed : int
        After so many days silence is an alarm.
    """

    model: str
    until: datetime | None
    days: float | None
    allowed: int

    @property
    def silent(self) -> bool:
        """Whether it was watched, and is no longer."""
        return self.days is not None and self.days > self.allowed

    def text(self) -> str:
        """Return when it was checked last, in a sentence."""
        if self.until is None or self.days is None:
            return f"{self.model}: the monitor has never checked it"
        ago = counted(int(self.days), "day")
        return (
            f"{self.model}: the monitor's last check was {ago} ago "
            f"({self.until:%Y-%m-%d %H:%M} UTC); more than {self.allowed} is silence"
        )


def watched(
    project: Project,
    state: State,
    now: datetime,
    names: Container[str] | None = None,
) -> tuple[LastChecked, ...]:
    """Return the models that are in the last stage, with their last checks.

    Parameters
    ----------
    now : datetime
        With a time zone.
    names : container of str, optional
        Only these models; default: all.
    """
    last = project.spec.stages[-1].name
    checks = latest_checks(project)
    found = []
    for name, model in sorted(state.models.items()):
        if last not in model.stages or (names is not None and name not in names):
            continue
        until = _until(checks.get(name, {}))
        days = None
        if until is not None:
            days = (now - until).total_seconds() / _DAY
        found.append(LastChecked(name, until, days, _allowed(project, name)))
    return tuple(found)


def _until(check: dict[str, object]) -> datetime | None:
    """Return the time of a check; None for one that is corrupt."""
    try:
        until = datetime.fromisoformat(str(check.get("until")))
    except ValueError:
        return None
    return until if until.tzinfo else None


def _allowed(project: Project, name: str) -> int:
    """Return after how many days silence is an alarm."""
    try:
        return project.model(name).monitor.silent_after
    except MlopsError:
        return Monitor().silent_after
