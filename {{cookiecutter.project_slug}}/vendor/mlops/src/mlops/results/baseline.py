"""What a version's rows looked like: cells of each column, and losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import ClassVar

from pydantic import Field

from mlops.results.base import Result, StoredResult

_DAY_ZERO = date(1970, 1, 1).toordinal()


def _day(days: float) -> str:
    """Return the day that is so many days after 1970 began."""
    try:
        return date.fromordinal(_DAY_ZERO + math.floor(days)).isoformat()
    except (OverflowError, ValueError):  # beyond the years 1 to 9999
        return f"{days:g} days after 1970"


def _named(edges: Sequence[float]) -> list[str]:
    """Return numbers as text: as few digits as tell them apart, four at least."""
    names: list[str] = []
    for digits in (4, 6, 9, 17):
        names = [f"{edge:.{digits}g}" for edge in edges]
        if len(set(names)) == len(set(edges)):
            break
    return names


class Cells(Result):
    """The cells of one column; the order of their counts is that of `names`."""

    name: str
    kind: str
    edges: tuple[float, ...] = Field(
        default=(), description="Of numbers, and of dates in days since 1970."
    )
    levels: tuple[str, ...] = Field(
        default=(), description="Levels with a cell of their own, the commonest first."
    )
    others: tuple[str, ...] = Field(
        default=(), description="Further levels that training saw: one cell."
    )

    @property
    def ordered(self) -> bool:
        """Whether the cells have an order: those of numbers and dates do."""
        return self.kind in ("number", "date")

    @property
    def size(self) -> int:
        """Number of cells; the last one is that of missing values."""
        if self.ordered:
            inner = max(len(self.edges) - 1, min(len(self.edges), 1))
            return inner + 3
        return len(self.levels) + 3

    @property
    def names(self) -> tuple[str, ...]:
        """What each cell is called."""
        if not self.ordered:
            return (*self.levels, "other levels", "not seen in training", "missing")
        edges = _named(self.edges)
        if self.kind == "date":
            edges = [_day(edge) for edge in self.edges]
        inner = [f"{low} to {high}" for low, high in pairwise(edges)]
        if len(edges) == 1:
            inner = edges
        return ("below all of training", *inner, "above all of training", "missing")


class ColumnBaseline(Result):
    """How one column was distributed in the training rows and in the test rows."""

    cells: Cells
    output: bool = Field(
        default=False, description="An output of the model, rather than a feature."
    )
    training: tuple[int, ...] = Field(description="Training rows per cell.")
    reference: tuple[int, ...] = Field(description="Test rows per cell.")
    reference_units: tuple[int, ...] = Field(
        default=(),
        description="The same with one row of each group; empty without groups.",
    )
    mean: float | None = None
    deviation: float | None = None


class LossBaseline(Result):
    """The mean of a loss per row, 0 to 1, on the test rows."""

    name: str
    mean: float
    error: float = Field(description="Standard error, by units.")
    freedom: float = Field(description="Degrees of freedom of the error.")
    rows: int
    scale: float = Field(
        default=1.0, description="Of a regression: the error that counts as 1."
    )


class SliceBaseline(Result):
    """One group of `slices.columns`: which rows are of it, and their loss."""

    column: str
    value: str = Field(description="As reports name the group.")
    kind: str
    low: float | None = Field(
        default=None,
        description="Of numbers, and of dates in days since 1970: the group begins "
        "above it. None: its rows have `value`.",
    )
    high: float | None = Field(default=None, description="The last value of the group.")
    loss: LossBaseline

    @property
    def title(self) -> str:
        """How reports name it."""
        return f"{self.column} = {self.value}"


class Baseline(StoredResult):
    """What monitoring compares with, counted over all rows of training and test.

    It has no rows; the values in it are edges of cells and levels of categories.
    """

    FILE: ClassVar[str] = "baseline.json"

    columns: tuple[ColumnBaseline, ...]
    losses: tuple[LossBaseline, ...] = ()
    slices: tuple[SliceBaseline, ...] = Field(
        default=(), description="Groups whose loss is watched, too."
    )
    rows: int = Field(description="Test rows that were counted.")
    units: int | None = Field(default=None, description="Their groups, where any.")

    @property
    def watched(self) -> tuple[LossBaseline, ...]:
        """The losses that are bet on: of all rows, and of each slice."""
        return (*self.losses, *(one.loss for one in self.slices))
