"""The result of a trial: a candidate against the version that serves."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from mlops.results.base import Result
from mlops.results.verdict import Comparison, Finding


class OutputDifference(Result):
    """How one output differs on average; its unit is that of the output."""

    output: str
    champion: float
    candidate: float
    difference: float = Field(description="Candidate minus champion.")
    low: float
    high: float
    confidence: float = 0.95


class TrialPart(Result):
    """What the shadow shows, or the canary."""

    kind: Literal["shadow", "canary"]
    rows: int = Field(description="That the champion predicted.")
    candidate_rows: int = Field(description="That the candidate predicted.")
    labelled: int
    candidate_labelled: int
    outputs: tuple[OutputDifference, ...] = ()
    other_class: float | None = Field(
        default=None,
        description="Share of the rows of the shadow whose predicted class differs.",
    )
    metrics: tuple[Comparison, ...] = Field(
        default=(), description="The primary metric first; of rows with labels."
    )
    finding: Finding | None = Field(
        default=None, description="What the primary metric shows under the rule."
    )
    problem: str = Field(default="", description="Why there are no metrics.")


class TrialReport(Result):
    """A candidate and the version that serves, by what both predicted."""

    model: str
    champion: str
    candidate: str
    since: datetime
    until: datetime
    rule: str
    margin: float
    parts: tuple[TrialPart, ...] = Field(description="None where there are no rows.")
