"""Results of monitoring: drift, performance, alarms, and the detector's state."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from mlops.errors import counted
from mlops.results.base import Result
from mlops.results.evaluation import Metric

# -- the state of the detectors, which the next check begins with ----------------------


class ColumnState(Result):
    """The bets on one column: counts and what was won, never a value."""

    counts: tuple[int, ...] = Field(
        description="Rows per cell: the reference and all rows that were counted."
    )
    cells: tuple[tuple[float, ...], ...] = Field(
        description="Logarithm of what each bet on a cell has won."
    )
    order: tuple[float, ...] = Field(
        default=(), description="Of the bets on the order of numbers."
    )
    peak: float = Field(description="The largest evidence so far, as a logarithm.")


class LossDay(Result):
    """The labelled rows of one day of predictions."""

    rows: int
    won: tuple[float, ...] = Field(
        description="Logarithm of what each bet won on them."
    )


class LossState(Result):
    """The bets on one loss."""

    won: tuple[float, ...]
    days: dict[str, LossDay] = Field(
        default_factory=dict, description="What was counted, by day of the prediction."
    )


class DetectorState(Result):
    """What the detectors of one version have counted."""

    version: str
    baseline: str = Field(
        default="", description="Digest of the baseline, or the id of an acceptance."
    )
    nth: int = Field(
        default=1, description="Versions that were watched within a year, this one too."
    )
    watermark: str | None = Field(
        default=None, description="Time of the newest row that was counted."
    )
    positions: dict[str, int] = Field(
        default_factory=dict,
        description="How far each source of the log was read, by the name of its file.",
    )
    floor: str | None = Field(
        default=None,
        description="From then on `positions` has every source that was read: of a "
        "source that it has not, rows from then on are new. None: an older engine, "
        "for which rows after `watermark` are.",
    )
    rows: int = Field(default=0, description="Rows that were counted.")
    slot: int | None = Field(default=None, description="The calendar's, of that row.")
    label_slot: int | None = None
    columns: dict[str, ColumnState] = Field(default_factory=dict)
    losses: dict[str, LossState] = Field(default_factory=dict)
    drifted: tuple[str, ...] = Field(
        default=(), description="Columns whose alarm has not ended."
    )
    worse: tuple[str, ...] = Field(
        default=(), description="Losses whose alarm has not ended."
    )
    began: str | None = Field(
        default=None, description="When the alarm was raised that has not ended."
    )


# -- monitor ---------------------------------------------------------------------------


class CellChange(Result):
    """The cell of a column whose share changed most, by the error of the change."""

    name: str
    share: float
    reference: float
    relative_risk: float = Field(description="Share now, divided by the share before.")


class CellCount(Result):
    """How many rows of reference and window are in one cell of a column."""

    name: str
    reference: int
    window: int


class ColumnDrift(Result):
    """One feature or output of the model: the window against the reference."""

    name: str
    kind: str
    output: bool = Field(
        False, description="An output of the model, rather than a feature."
    )
    chance: float | None = Field(
        default=None,
        description="So much evidence has at most this chance within a year, over all "
        "columns, where nothing changes. None: an older engine did not compute it.",
    )
    p_value: float = Field(
        description="Of this window alone, whatever was checked before: no alarm."
    )
    q_value: float = Field(
        description="The p-value, adjusted for the number of columns."
    )
    effect: float = Field(
        description="Jensen-Shannon distance, 0 (same) to 1 (nothing shared)."
    )
    standardised: float | None = Field(
        default=None,
        description="Difference of the means in standard deviations; numbers only.",
    )
    cell: CellChange | None = None
    alarm: bool
    changed: bool = Field(
        default=False, description="Changed, but below the level of an alarm."
    )
    missing: float = Field(description="Share of the window's rows without a value.")
    reference_missing: float
    unseen: int = Field(
        description="Rows with a category, or out of a range, new since training."
    )
    reference_unseen: float | None = Field(
        default=None, description="Share of such rows in the reference."
    )
    mean: float | None = Field(default=None, description="Of numbers and dates.")
    deviation: float | None = None
    reference_mean: float | None = None
    reference_deviation: float | None = None
    counts: tuple[int, ...] = Field(
        default=(),
        description="The window's rows per cell, in the order of the baseline: what "
        "people can accept as the reference.",
    )
    cells: tuple[CellCount, ...] = Field(
        default=(),
        description="What is compared; of outputs and of columns that changed alone.",
    )


class Performance(Result):
    """One metric on the rows whose label has come, and the loss that is watched."""

    rows: int
    window: Metric
    reference: Metric
    p_value: float | None = Field(
        default=None, description="Of older engines: one-sided, of one window."
    )
    loss: str = Field(default="", description="What is watched, per row.")
    mean_loss: float | None = None
    registered_loss: float | None = None
    chance: float | None = Field(
        default=None,
        description="So much evidence of a higher loss has at most this chance within "
        "a year where the mean loss is within the interval of the test rows.",
    )
    alarm: bool


class SlicePerformance(Result):
    """The loss of one group of rows whose label has come."""

    column: str
    value: str
    rows: int
    loss: str = Field(description="What is watched, per row.")
    mean_loss: float
    registered_loss: float
    chance: float = Field(
        description="So much evidence of a higher loss has at most this chance within "
        "a year where the mean loss is within the interval of the test rows.",
    )
    alarm: bool

    @property
    def title(self) -> str:
        """How reports name the group."""
        return f"{self.column} = {self.value}"


class LabelShare(Result):
    """How many rows of a tenth of the scores have a label."""

    scores: str
    rows: int
    labelled: int


class UndoneShift(Result):
    """What a metric is estimated to be with one column as in the reference."""

    column: str
    value: float
    change: float = Field(description="Less what is estimated of the window as it is.")


class EstimatedSlice(Result):
    """What a metric is estimated to be on one group of rows."""

    column: str
    value: str = Field(description="The group.")
    rows: int
    estimate: float
    reference: float = Field(description="On the group's rows of the reference sample.")

    @property
    def title(self) -> str:
        """How reports name the group."""
        return f"{self.column} = {self.value}"


class EstimatedMetric(Result):
    """A metric as it is estimated without labels; it cannot see concept drift."""

    metric: str
    value: float
    registered: float | None = None
    method: str
    rows: int
    undone: tuple[UndoneShift, ...] = Field(
        default=(), description="By column that changed, the largest change first."
    )
    slices: tuple[EstimatedSlice, ...] = Field(
        default=(), description="By group of `slices.columns`, the worst change first."
    )


class AcceptedReference(Result):
    """Who took the rows of a period as the reference, when and why."""

    by: str
    at: str
    reason: str
    since: str
    until: str


class QuietPeriod(Result):
    """Days in which an alarm starts nothing, as `monitor.quiet` has them."""

    since: str
    until: str
    reason: str


class RetrainingRequest(Result):
    """That an alarm has asked for a retraining."""

    model: str
    version: str
    at: str = Field(description="ISO 8601, UTC.")
    check: str = Field(description="The end of the period of the check.")
    policy: Literal["propose", "gate"]
    run_url: str | None = None


class Held(Result):
    """Why no retraining is asked for now, and the day from which on one may be."""

    why: Literal["cool-down", "budget"]
    allowed: int = Field(description="Days of cool-down, or retrainings of a month.")
    until: date


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
    counted: int = Field(default=0, description="Rows that no earlier check counted.")
    labelled: int
    compared: tuple[int, int] = Field(
        description="Rows of window and reference, one of each unit."
    )
    began: str | None = Field(
        default=None, description="When the alarm was raised that has not ended."
    )
    accepted: AcceptedReference | None = Field(
        default=None, description="What is compared with, if not the test rows."
    )
    columns: tuple[ColumnDrift, ...] = ()
    performance: tuple[Performance, ...] = ()
    slices: tuple[SlicePerformance, ...] = Field(
        default=(), description="Groups of `slices.columns`, alarms first."
    )
    labels: tuple[LabelShare, ...] = ()
    estimates: tuple[EstimatedMetric, ...] = ()
    quiet: QuietPeriod | None = Field(
        default=None, description="Why an alarm starts nothing and opens no issue."
    )
    notes: tuple[str, ...] = Field(
        default=(), description="What the log lacks; among the reasons, too."
    )
    reasons: tuple[str, ...] = ()
    state: DetectorState | None = None

    def text(self) -> str:
        """Return the result for a terminal, the verdict first."""
        verdict = "no alarm" if self.enough else "not enough data"
        if self.alarm:
            verdict = "ALARM"
        head = f"{verdict}: {self.model}@{self.version}, {self.since} to {self.until}"
        rows = f"{counted(self.rows, 'row')}, {self.labelled:,} of them with a label"
        return "\n  ".join([head, rows, *self.reasons])


class PastCheck(Result):
    """What is shown of an earlier check, of this engine or of an older one."""

    alarm: bool
    until: str
    version: str = ""
    enough: bool = True
    rows: int = 0
    began: str | None = None
    columns: tuple[ColumnDrift, ...] = ()
    performance: tuple[Performance, ...] = ()
    slices: tuple[SlicePerformance, ...] = ()
    estimates: tuple[EstimatedMetric, ...] = ()
    quiet: QuietPeriod | None = None
    reasons: tuple[str, ...] = ()


class AcceptedColumn(Result):
    """What one column was like in a period that people took as the reference."""

    name: str
    counts: tuple[int, ...]
    mean: float | None = None
    deviation: float | None = None


class Acceptance(Result):
    """A person's decision: the rows of a checked period are the new reference."""

    model: str
    version: str
    stage: str
    at: str
    actor: str
    approver: str | None = None
    reason: str
    run_url: str | None = None
    since: str
    until: str
    rows: int
    columns: tuple[AcceptedColumn, ...]

    @property
    def reference(self) -> AcceptedReference:
        """Who decided, when and why."""
        return AcceptedReference(
            by=self.approver or self.actor,
            at=self.at,
            reason=self.reason,
            since=self.since,
            until=self.until,
        )
