"""Forgetting what is older than a prediction log may be."""

from __future__ import annotations

from datetime import datetime, timedelta

from mlops.io.places import Place
from mlops.serving.log_reader import FEEDBACK, PREDICTIONS, SHADOW, day_of, stamp


def first_day(now: datetime, days: int) -> str:
    """Return the oldest day that a log may have, such as ``2026-11-23``."""
    return stamp(now - timedelta(days=days))[:10]


def forget(log_place: Place, model: str, first: str) -> int:
    """Remove the files of the days before one; return how many there were.

    Parameters
    ----------
    log_place : Place
        The place of the log, or the state folder.
    first : str
        Of `first_day`.
    """
    removed = 0
    for kind in (PREDICTIONS, FEEDBACK, SHADOW):
        folder = f"{kind}/{model}"
        for entry in log_place.entries(folder):
            day = day_of(entry.name.removeprefix(f"{folder}/"))
            if day and day < first:
                log_place.remove(entry.name)
                removed += 1
    return removed
