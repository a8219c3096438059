"""What earlier checks have left on the run log, and what people have accepted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from mlops.errors import EnvironmentFailure
from mlops.results.monitoring import DetectorState


def last_state(checks: Sequence[dict[str, Any]], version: str) -> DetectorState | None:
    """Return the newest state of a version; None where no check has left one.

    Parameters
    ----------
    checks : sequence of dict
        Checks of one model, oldest first. Older engines left no state.
    """
    for check in reversed(checks):
        if check.get("version") != version or not check.get("state"):
            continue
        try:
            return DetectorState.model_validate(check["state"])
        except ValidationError as error:
            raise EnvironmentFailure(
                "the state of the last check is corrupt",
                file="branch journal, monitor/",
                found=f"{check.get('until')}: {error.errors()[0]['msg']}",
                do="fix the file on that branch, or remove it: the one before counts",
            ) from error
    return None


def references_watched(
    checks: Sequence[dict[str, Any]], version: str, accepted: int
) -> int:
    """Return how many references share one alpha.

    They are the versions of these checks, one more version, and what people accepted.
    """
    others = {check.get("version") for check in checks} - {version}
    return len(others) + 1 + accepted
