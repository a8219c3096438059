"""What runs cost: by month, owner and model, and what a budget leaves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mlops.config.project_spec import Cost


class MonthlyCost(NamedTuple):
    """What the runs of one model took in one month.

    Parameters
    ----------
    month : str
        Such as ``2026-11``, in UTC as the run log has it.
    owner, model : str
    runs : int
    seconds, cost : float
    currency : str
        What the runs were reckoned in; a model may have lines in two.
    """

    month: str
    owner: str
    model: str
    runs: int
    seconds: float
    cost: float
    currency: str


def monthly(
    runs: Iterable[Mapping[str, Any]], owners: Mapping[str, str]
) -> list[MonthlyCost]:
    """Return what runs cost, the newest month first, then what costs most.

    Parameters
    ----------
    runs : iterable of mapping
        Records of the run log.
    owners : mapping of str to str
        Of the models there are; what is no model any more belongs to nobody.
    """
    sums: dict[tuple[str, str, str], tuple[int, float, float]] = {}
    for run in runs:
        key = (str(run["started"])[:7], str(run["model"]), run.get("currency", "USD"))
        number, seconds, cost = sums.get(key, (0, 0.0, 0.0))
        seconds += amount(run.get("seconds"))
        sums[key] = number + 1, seconds, cost + amount(run.get("cost"))
    lines = [
        MonthlyCost(month, owners.get(model, ""), model, *totals, currency)
        for (month, model, currency), totals in sums.items()
    ]
    lines.sort(key=lambda line: (line.cost, line.model), reverse=True)
    lines.sort(key=lambda line: line.month, reverse=True)
    return lines


def amount(value: object) -> float:
    """Return an amount of a record, which may be a stranger's: finite, not negative."""
    number = float(value) if isinstance(value, int | float) else 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def over_budget(models: int, coming: float, spent: float, price: Cost) -> str:
    """Return a warning where a change would cost more than the month's budget leaves.

    Parameters
    ----------
    models : int
        How many the change trains.
    coming, spent : float
        What their last runs cost, and all runs of this month.
    price : Cost
        Of `project.yaml`, with the budget; without one nothing is said.
    """
    budget = price.per_month
    if budget is None or coming <= 0 or coming + spent <= budget:
        return ""
    noun = "model" if models == 1 else "models"
    return (
        f"over the budget: training {models:,} {noun} costs about {coming:,.2f} "
        f"{price.currency} by their last runs, and {spent:,.2f} of the "
        f"{budget:,.2f} {price.currency} of this month are spent"
    )
