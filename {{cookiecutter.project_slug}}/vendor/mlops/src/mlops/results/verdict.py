"""Results of the gate: comparisons, conditions, verdict."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlops.results.base import Result

# -- gate -------------------------------------------------------------------------------------


class Comparison(Result):
    """Challenger against champion on the same rows, for one metric."""

    metric: str
    champion: float
    challenger: float
    difference: float = Field(description="Positive: the challenger is better.")
    low: float
    high: float
    confidence: float = 0.95
    p_value: float | None = None
    smallest_detectable: float = Field(
        description="With 80 % power at this number of rows."
    )
    method: str


class Condition(Result):
    """Something that must hold beside the comparison."""

    name: str
    ok: bool
    message: str
    measured: bool = Field(
        default=True, description="False: no group has enough rows to tell."
    )


class Verdict(Result):
    """The answer of `mlops gate`."""

    decision: Literal["promote", "reject", "inconclusive"]
    rule: Literal["first version", "superiority", "non-inferiority"]
    champion: str | None = Field(
        default=None, description="Version in production, such as v1.2.0."
    )
    comparison: Comparison | None = None
    others: tuple[Comparison, ...] = ()
    conditions: tuple[Condition, ...] = ()
    reasons: tuple[str, ...] = ()
    rows: int = 0
    seconds: float = 0
