"""Results of the test step: metrics, checks, slices, fairness."""

from __future__ import annotations

from pydantic import Field

from mlops.results.base import Result

# Beside them, test rows that travel with a version: `mlops test` draws them, a release holds them.
REFERENCE, EXAMPLES = "reference.parquet", "examples.json"

# -- test -------------------------------------------------------------------------------------


class Metric(Result):
    """A figure with its interval."""

    name: str
    value: float
    low: float
    high: float
    confidence: float = 0.95
    higher_is_better: bool = True


class Check(Result):
    """One test of the model."""

    name: str
    ok: bool
    standard: bool = Field(default=True, description="False for the model's own tests.")
    skipped: bool = False
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
    """One limit between groups."""

    column: str
    metric: str
    difference: float
    limit: float
    ok: bool
    measured: bool = Field(
        default=True, description="False: too few groups are large enough."
    )
    exception: str | None = None
    groups: tuple[Group, ...] = ()


class Evaluation(Result):
    """The answer of `mlops test`."""

    ok: bool
    rows: int
    metrics: tuple[Metric, ...]
    baselines: dict[str, float] = Field(
        default_factory=dict, description="Primary metric of `dummy` and `simple`."
    )
    checks: tuple[Check, ...] = ()
    slices: tuple[Slice, ...] = ()
    fairness: tuple[FairnessResult, ...] = ()
    latency_ms: float | None = None
    seconds: float = 0

    @property
    def primary(self) -> Metric:
        """The metric that the gate looks at."""
        return self.metrics[0]
