"""When the monitor last checked a model, as its run log has it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops.config.project import Project
from mlops.errors import MlopsError
from mlops.runlog import journal
from mlops.runlog.query import latest_checks

# A check comes once a day: no need to ask as often as for the version of the stage.
_PAUSE = timedelta(minutes=10)

_log = logging.getLogger("mlops.serving")


@dataclass
class CheckSeen:
    """The last check of a model that is known here; None where none is.

    Parameters
    ----------
    until : datetime, optional
        The end of the period that it looked at.
    alarm : bool
        Whether it raised one.
    """

    until: datetime | None = None
    alarm: bool = False
    _looked: datetime | None = None

    def look(self, project: Project, model: str, now: datetime) -> None:
        """Fetch the run log and read the last check, unless that was done just now.

        The first call only notes the time: a service starts without a check.
        """
        if self._looked is None:
            self._looked = now - _PAUSE
            return
        if now - self._looked < _PAUSE:
            return
        self._looked = now
        try:
            journal.fetch(project.root)
            found = latest_checks(project, model).get(model)
            if found:
                self.until = datetime.fromisoformat(found["until"])
                self.alarm = bool(found["alarm"])
        except (MlopsError, KeyError, TypeError, ValueError) as error:
            _log.warning("the last check is not known: %s", type(error).__name__)
