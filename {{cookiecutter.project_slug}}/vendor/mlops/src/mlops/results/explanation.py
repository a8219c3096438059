"""The explanation of one prediction."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mlops.results.base import Result


class Contribution(Result):
    """What one column adds to a prediction."""

    feature: str
    value: Any = Field(description="As it was sent.")
    contribution: float = Field(description="In the unit of the explained output.")
    error: float = Field(
        description="Standard error: the background is a sample of the rows."
    )


class Explanation(Result):
    """One prediction, step by step: raw row, features, outputs, contributions.

    The contributions add up to `explained` minus `mean`.
    """

    version: str
    row: dict[str, Any] = Field(description="Without sensitive columns.")
    features: dict[str, Any] | None = Field(
        description="What features.py makes of the row; null where a sensitive column "
        "is a feature, which they could show."
    )
    prediction: dict[str, Any] = Field(description="All outputs of the model.")
    output: str = Field(description="The output that is explained.")
    explained: float = Field(description="Its value for this row.")
    mean: float = Field(description="Its mean for the background.")
    background: int = Field(description="Rows of the version's reference sample.")
    contributions: tuple[Contribution, ...] = Field(description="The largest first.")
    fixed: tuple[str, ...] = Field(
        default=(),
        description="Features that the reference sample does not have: the background "
        "has this row's values, and they have no contribution.",
    )
