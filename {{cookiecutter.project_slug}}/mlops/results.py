"""What the stages hand to each other, as data: JSON files in `build/NAME/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlops import WorldError
from mlops.files import read_json, write_json
from mlops.spec import Kind, Scalar, Split, Task

# Beside them, test rows that travel with a version: `mlops test` draws them, a release holds them.
REFERENCE, EXAMPLES = "reference.parquet", "examples.json"


class Result(BaseModel):
    """Frozen; keys that a newer engine wrote are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def save(self, folder: Path) -> None:
        """Write to `folder/<lower-case class name>.json`, atomically."""
        write_json(folder / f"{type(self).__name__.lower()}.json", self.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        WorldError
            When the file is missing or is not what it should be; says which verb makes it.
        """
        path = folder / f"{cls.__name__.lower()}.json"
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            what = "this file is not what the engine wrote"
            raise WorldError(what, file=str(path), do="delete it") from error


# -- validate ---------------------------------------------------------------------------------


class Expectation(Result):
    """One line of the data contract and how it went."""

    name: str
    column: str | None = None
    ok: bool
    message: str = Field(description="A plain sentence: what was expected and what was found.")
    failed_rows: int | None = None
    failed_share: float | None = None
    examples: tuple[str, ...] = Field(default=(), description="Never of a sensitive column.")


class ColumnSummary(Result):
    """What is in one column of the snapshot."""

    name: str
    kind: str
    missing: int
    unique: int
    low: float | None = None
    mean: float | None = None
    high: float | None = None
    top: dict[str, int] = Field(default_factory=dict, description="Empty for sensitive columns.")


class SourceFile(Result):
    """One file that was read."""

    path: str
    sha256: str
    rows: int


class Snapshot(Result):
    """The data that everything else of a run refers to."""

    digest: str = Field(description="SHA-256 over columns, types and values in row order.")
    rows: int
    rows_read: int
    duplicates_removed: int
    unlabelled: int = Field(description="Rows without a target; kept out of training and test.")
    train_rows: int
    test_rows: int
    period: tuple[str, str] | None = None
    files: tuple[SourceFile, ...] = ()
    columns: tuple[ColumnSummary, ...] = ()


class Validation(Result):
    """The answer of `mlops validate`."""

    ok: bool
    snapshot: Snapshot | None = Field(
        default=None, description="None where the columns do not fit."
    )
    expectations: tuple[Expectation, ...] = ()
    seconds: float = 0


# -- train ------------------------------------------------------------------------------------


class Feature(Result):
    """One column of the input, as training saw it."""

    name: str
    kind: Kind
    missing: bool
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] | None = Field(default=None, description="None above 1,000 values.")


class Signature(Result):
    """What a model takes and gives."""

    task: Task
    target: str
    features: tuple[Feature, ...]
    classes: tuple[str, ...] = ()
    positive: str | None = None
    threshold: float = 0.5


class Training(Result):
    """The answer of `mlops train`."""

    signature: Signature
    params: dict[str, Scalar]
    seed: int
    split: Split | None = None
    split_by: tuple[str, ...] = Field(default=(), description="Columns that part the rows.")
    rows: int
    snapshot: str = Field(description="Digest of the data.")
    code: str = Field(description="Digest of the model's code and specification.")
    lock: str = Field(description="SHA-256 of requirements.txt.")
    model_sha256: str
    model_bytes: int
    features_sha256: str
    estimator: str = Field(description="Class of the estimator, for people.")
    seconds: float = 0


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
    metric: Metric | None = Field(default=None, description="None below `slices.min_rows`.")
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
    measured: bool = Field(default=True, description="False: too few groups are large enough.")
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
    smallest_detectable: float = Field(description="With 80 % power at this number of rows.")
    method: str


class Condition(Result):
    """Something that must hold beside the comparison."""

    name: str
    ok: bool
    message: str
    measured: bool = Field(default=True, description="False: no group has enough rows to tell.")


class Verdict(Result):
    """The answer of `mlops gate`."""

    decision: Literal["promote", "reject", "inconclusive"]
    rule: Literal["first version", "superiority", "non-inferiority"]
    champion: str | None = Field(default=None, description="Version in production, such as v1.2.0.")
    comparison: Comparison | None = None
    others: tuple[Comparison, ...] = ()
    conditions: tuple[Condition, ...] = ()
    reasons: tuple[str, ...] = ()
    rows: int = 0
    seconds: float = 0


# -- monitor ----------------------------------------------------------------------------------


class ColumnDrift(Result):
    """One feature or output of the model: the window against the reference."""

    name: str
    kind: str
    output: bool = Field(False, description="What the model said, rather than what it was asked.")
    p_value: float
    q_value: float = Field(description="The p-value, adjusted for the number of columns.")
    effect: float = Field(description="Jensen-Shannon distance, 0 (same) to 1 (nothing shared).")
    alarm: bool
    missing: float = Field(description="Share of the window's rows without a value.")
    reference_missing: float
    unseen: int = Field(description="Rows with a category, or out of a range, new since training.")


class Performance(Result):
    """One metric on the rows whose label has come."""

    rows: int
    window: Metric
    reference: Metric
    p_value: float = Field(description="One-sided: that it is no worse than when registered.")
    alarm: bool


class DriftCheck(Result):
    """The answer of `mlops monitor`."""

    model: str
    version: str
    stage: str
    since: str
    until: str
    alarm: bool
    enough: bool = Field(description="Whether the window has `monitor.min_rows` rows.")
    rows: int
    labelled: int
    compared: tuple[int, int] = Field(description="Rows of window and reference after sampling.")
    columns: tuple[ColumnDrift, ...] = ()
    performance: tuple[Performance, ...] = ()
    reasons: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the answer for a terminal, the verdict first."""
        verdict = "ALARM" if self.alarm else ("no alarm" if self.enough else "not enough data")
        head = f"{verdict}: {self.model}@{self.version}, {self.since} to {self.until}"
        rows = f"{self.rows:,} rows, {self.labelled:,} of them with a label"
        return "\n  ".join([head, rows, *self.reasons])


# -- run --------------------------------------------------------------------------------------


class Record(Result):
    """One run, as the journal keeps it."""

    id: str
    model: str
    started: str = Field(description="ISO 8601, UTC.")
    seconds: float
    stages: dict[str, str] = Field(description="Stage: ran, skipped, failed or not reached.")
    outcome: str = Field(description="promote, reject, inconclusive, or the stage that failed.")
    commit: str | None = None
    dirty: bool = False
    actor: str = ""
    pull_request: int | None = None
    group: str | None = Field(default=None, description="A sweep, or a pull request: pr-12.")
    run_url: str | None = None
    engine: str = ""
    python: str = ""
    platform: str = ""
    cost: float = 0
    currency: str = "USD"
    data: Snapshot | None = None
    training: Training | None = None
    metrics: tuple[Metric, ...] = ()
    measured_on: str = Field(default="test", description="Rows that the metrics are of.")
    verdict: Verdict | None = None
    extra: dict[str, Any] = Field(default_factory=dict)
