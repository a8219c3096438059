"""The checks of the run log that can be read, of this engine and of older ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from mlops.results.monitoring import DriftCheck, PastCheck


def past_check(raw: Mapping[str, Any]) -> PastCheck | None:
    """Return what is shown of a check of the run log; None where it cannot be read."""
    try:
        check = PastCheck.model_validate(raw)
        datetime.fromisoformat(check.until)
    except (ValidationError, ValueError):
        return None
    return check


def history_of(
    raws: Iterable[Mapping[str, Any]], last: DriftCheck | None = None
) -> tuple[PastCheck, ...]:
    """Return the checks that can be read, oldest first, each time once.

    Parameters
    ----------
    last : DriftCheck, optional
        The newest check, where it is not on the run log yet.
    """
    found = [past_check(raw) for raw in raws]
    if last is not None:
        found.append(past_check(last.model_dump(mode="json")))
    by_time = {moment(check.until): check for check in found if check is not None}
    return tuple(check for _, check in sorted(by_time.items()))


def moment(until: str) -> datetime:
    """Return the time of a check."""
    return datetime.fromisoformat(until)
