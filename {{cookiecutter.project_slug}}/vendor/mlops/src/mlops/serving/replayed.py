"""A logged row, predicted by another version, and what differs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.errors import Refused, listed
from mlops.serving.follower import TOLERANCE

if TYPE_CHECKING:
    from mlops.training.model import Model


@dataclass(frozen=True)
class Replayed:
    """What a version predicts for a logged row.

    Parameters
    ----------
    logged, replayed : dict
        Outputs by name: those in the log, and those of the version.
    difference : dict
        Of the numbers that both have: `replayed` minus `logged`.
    same : bool
        Whether all outputs agree, numbers up to the tolerance.
    """

    logged: dict[str, Any]
    replayed: dict[str, Any]
    difference: dict[str, float]
    same: bool


def replay(
    line: Mapping[str, Any],
    model: Model,
    hidden: Collection[str],
    tolerance: float = TOLERANCE,
) -> Replayed:
    """Predict a logged row.

    Parameters
    ----------
    line : mapping
        Of the log.
    model : Model
        Of the version.
    hidden : collection of str
        Columns that are never logged.
    tolerance : float
        By how much numbers may differ and are the same.

    Raises
    ------
    Refused
        When the log does not have all that the version needs.
    UsageError
        When a value is of another type than the version takes.
    """
    import pandas as pd

    from mlops.serving.prediction_log import records

    sent: Mapping[str, Any] = line["features"]
    names = [feature.name for feature in model.signature.features]
    _require(sent, names, hidden)
    row = {name: sent[name] for name in names}
    typed = model.typed(pd.DataFrame([row], columns=names))
    replayed = records(model.predict(typed))[0]
    logged = {name: line[name] for name in replayed if name in line}
    difference = {}
    same = set(logged) == set(replayed)
    for name, value in logged.items():
        other = replayed[name]
        if _is_number(value) and _is_number(other):
            difference[name] = other - value
            same = same and abs(other - value) <= tolerance
        else:
            same = same and value == other
    return Replayed(logged, replayed, difference, same)


def _require(
    sent: Mapping[str, Any], names: Collection[str], hidden: Collection[str]
) -> None:
    """Demand that a logged row has what a version needs."""
    lacking = [name for name in names if name not in sent or name in hidden]
    if not lacking:
        return
    sensitive = [name for name in lacking if name in hidden]
    reason = "the version that made the prediction did not take them"
    if sensitive:
        reason = f"sensitive columns are never logged: {listed(sensitive)}"
    raise Refused(
        "the logged row lacks columns that this version needs",
        found=listed(lacking),
        do=f"{reason}; predict the row from its source with `mlops predict`",
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
