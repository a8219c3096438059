"""Results of monitoring: drift, performance, alarms."""

from __future__ import annotations

from pydantic import Field

from mlops.errors import counted
from mlops.results.base import Result
from mlops.results.evaluation import Metric

# -- monitor ---------------------------------------------------------------------------


class ColumnDrift(Result):
    """One feature or output of the model: the window against the reference."""

    name: str
    kind: str
    output: bool = Field(
        False, description="An output of the model, rather than a feature."
    )
    p_value: float
    q_value: float = Field(
        description="The p-value, adjusted for the number of columns."
    )
    effect: float = Field(
        description="Jensen-Shannon distance, 0 (same) to 1 (nothing shared)."
    )
    alarm: bool
    missing: float = Field(description="Share of the window's rows without a value.")
    reference_missing: float
    unseen: int = Field(
        description="Rows with a category, or out of a range, new since training."
    )


class Performance(Result):
    """One metric on the rows whose label has come."""

    rows: int
    window: Metric
    reference: Metric
    p_value: float = Field(
        description="One-sided: that it is no worse than when registered."
    )
    alarm: bool


class DriftCheck(Result):
    """The result of `mlops monitor`."""

    model: str
    version: str
    stage: str
    since: str
    until: str
    alarm: bool
    enough: bool = Field(description="Whether the window has `monitor.min_rows` rows.")
    rows: int
    labelled: int
    compared: tuple[int, int] = Field(
        description="Rows of window and reference after sampling."
    )
    columns: tuple[ColumnDrift, ...] = ()
    performance: tuple[Performance, ...] = ()
    reasons: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the result for a terminal, the verdict first."""
        verdict = "no alarm" if self.enough else "not enough data"
        if self.alarm:
            verdict = "ALARM"
        head = f"{verdict}: {self.model}@{self.version}, {self.since} to {self.until}"
        rows = f"{counted(self.rows, 'row')}, {self.labelled:,} of them with a label"
        return "\n  ".join([head, rows, *self.reasons])
