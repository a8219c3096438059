"""Results of the test step: metrics, checks, slices, fairness."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from mlops.results.base import Result, StoredResult

# Beside them, test rows that travel with a version: `mlops test` draws them, a release
# holds them.
REFERENCE = "reference.parquet"

EXAMPLES = "examples.json"


class Metric(Result):
    """A figure with its interval."""

    name: str
    value: float
    low: float
    high: float
    confidence: float = 0.95
    higher_is_better: bool = True
    few: bool = Field(
        default=False,
        description="Whether few rows decide it: its interval may be too narrow.",
    )

    def is_within(self, worst: float) -> bool:
        """Return whether the value is no worse than a limit."""
        return self._is_within(self.value, worst)

    def worst_within(self, worst: float) -> bool:
        """Return whether the whole interval is no worse than a limit."""
        end = self.low if self.higher_is_better else self.high
        return self._is_within(end, worst)

    def _is_within(self, value: float, worst: float) -> bool:
        if self.higher_is_better:
            return value >= worst
        return value <= worst


class Check(Result):
    """One test of the model."""

    name: str
    ok: bool
    standard: bool = Field(default=True, description="False for the model's own tests.")
    skipped: bool = False
    applies: bool = Field(
        default=True,
        description="False: nothing asks for it, or there is nothing to ask about.",
    )
    message: str = ""


class Slice(Result):
    """The primary metric on one group of test rows."""

    column: str
    value: str
    rows: int
    metric: Metric | None = Field(
        default=None, description="None below `slices.min_rows`."
    )
    ok: bool = True


class Group(Result):
    """One group of a sensitive column."""

    name: str
    rows: int
    value: float | None = None


class FairnessResult(Result):
    """One rate compared between the groups of a sensitive column.

    A limit only decides: without one the rate is measured and shown, and `ok` is True.
    Where the lower bound is above the limit it is exceeded; where the upper bound is
    within, it holds; in between, these rows do not tell.
    """

    column: str
    metric: str
    difference: float = Field(description="Of the highest and the lowest group.")
    low: float | None = Field(
        default=None,
        description="Lower bound of the largest difference, for all pairs of groups at "
        "once; None: an older engine measured none.",
    )
    high: float | None = Field(default=None, description="Upper bound of it.")
    limit: float | None = Field(default=None, description="None: none is declared.")
    ok: bool = True
    measured: bool = Field(
        default=True, description="False: too few groups are large enough."
    )
    exception: str | None = None
    groups: tuple[Group, ...] = ()

    @property
    def exceeds(self) -> bool:
        """Whether the difference is above its limit, accepted in writing or not."""
        if self.limit is None:
            return False
        shown = self.difference if self.low is None else self.low
        return shown > self.limit

    @property
    def inconclusive(self) -> bool:
        """Whether these rows show neither that the limit holds nor that it does not."""
        if self.limit is None or self.high is None or self.exceeds:
            return False
        return self.high > self.limit


class FeatureImportance(Result):
    """What shuffling one feature costs."""

    feature: str
    loss: float = Field(description="Positive: the metric is worse without it.")
    low: float
    high: float
    confidence: float = 0.95


class Importance(Result):
    """How much each feature matters for the primary metric, the most first."""

    metric: str
    rows: int = Field(default=0, description="Test rows that were shuffled.")
    features: tuple[FeatureImportance, ...] = ()
    problem: str = Field(default="", description="Why it was not measured.")


class Evaluation(StoredResult):
    """The result of `mlops test`."""

    FILE: ClassVar[str] = "evaluation.json"

    ok: bool
    rows: int
    part: Literal["test", "validation"] = Field(
        default="test", description="Rows that it was measured on."
    )
    metrics: tuple[Metric, ...]
    baselines: dict[str, float] = Field(
        default_factory=dict, description="Primary metric of `dummy` and `simple`."
    )
    checks: tuple[Check, ...] = ()
    slices: tuple[Slice, ...] = ()
    fairness: tuple[FairnessResult, ...] = ()
    leaking: tuple[str, ...] = Field(
        default=(),
        description="Features that give the target away, those that matter most first; "
        "looked for where the predictions are too good to be true.",
    )
    latency_ms: float | None = None
    importance: Importance | None = Field(
        default=None, description="None: an older engine did not ask."
    )
    seconds: float = 0

    @property
    def primary(self) -> Metric:
        """The metric that the gate looks at."""
        return self.metrics[0]


class EvaluationRecord(Result):
    """What a run keeps of an evaluation, so that other rules can judge it later.

    Neither the values of slices nor groups of sensitive columns are in it.
    """

    latency_ms: float | None = None
    slices: tuple[Slice, ...] = Field(
        default=(), description="Those that have a figure, the largest first."
    )
    fairness: tuple[FairnessResult, ...] = ()
