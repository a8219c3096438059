"""Results of the gate: comparisons, conditions, and the grounds of a verdict.

Everything here is a fact. The sentences about them are made by `reporting.wording`, so
that a change of wording judges nothing again. Engines before 0.2 stored the sentences
instead: their files are still read, and `reasons` and `Condition.message` are shown as
they were written.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mlops.results.base import Result, StoredResult
from mlops.results.ledger import Account

Decision = Literal["promote", "reject", "inconclusive"]

RuleName = Literal["first version", "superiority", "non-inferiority"]

UnitName = Literal["rows", "groups", "periods"]

# The rows that a model was judged on; engines before 0.3 judged on the test part alone.
Part = Literal["test", "validation"]

Finding = Literal["identical", "better", "not worse", "worse", "undecided"]


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

    @property
    def identical(self) -> bool:
        """Whether both models predicted exactly the same."""
        return self.method.startswith("identical")


class Failure(Result):
    """One thing that a condition asked for and did not find."""

    name: str = Field(description="A check, a slice, or a metric and its column.")
    message: str = ""
    value: float | None = None
    low: float | None = Field(default=None, description="What it is at least.")
    limit: float | None = None


class Condition(Result):
    """Something that must hold beside the comparison."""

    name: str
    ok: bool
    message: str = Field(
        default="", description="The sentence of an engine before 0.2."
    )
    measured: bool = Field(
        default=True, description="False: nothing was measured, so nothing passed."
    )
    asked: int = Field(default=0, description="How many things were asked for.")
    answered: int = Field(default=0, description="How many of them were measured.")
    accepted: int = Field(
        default=0, description="Limits exceeded with a written exception."
    )
    inconclusive: int = Field(
        default=0, description="How many of those measured these rows do not decide."
    )
    worst: Failure | None = Field(
        default=None, description="Of the slices against production, failed or not."
    )
    failures: tuple[Failure, ...] = ()


class NoChampion(Result):
    """No version is in production yet."""

    kind: Literal["no champion"] = "no champion"


class ConditionFailed(Result):
    """A condition of the verdict does not hold; `name` says which."""

    kind: Literal["condition failed"] = "condition failed"
    name: str


class Compared(Result):
    """What the comparison by the primary metric found under the rule."""

    kind: Literal["compared"] = "compared"
    finding: Finding


class NotComparable(Result):
    """The champion cannot be asked about the challenger's test rows."""

    kind: Literal["not comparable"] = "not comparable"
    obstacle: Literal["another target", "cannot predict"]
    detail: str = Field(description="The champion's target, or what went wrong.")


class SplitChanged(Result):
    """The champion may have been trained on rows that are in the test part now."""

    kind: Literal["split changed"] = "split changed"
    rows: int = Field(description="Test rows that it may have seen, at the most.")
    of: int = Field(description="Test rows.")
    needs_id: bool = Field(description="Without data.id, columns change the split.")


class OnePeriod(Result):
    """All test rows are of one time: nothing tells what the next one would show."""

    kind: Literal["one period"] = "one period"


class Anchored(Result):
    """The comparison with the version that a line of refreshes began with.

    `finding` is None where that version cannot predict the test rows.
    """

    kind: Literal["anchored"] = "anchored"
    version: str
    finding: Finding | None = None
    comparison: Comparison | None = None
    rows_seen: int = Field(
        default=0, description="Test rows that it may have been trained on."
    )


class NoQuestionLeft(Result):
    """The test part was asked as often as its account allows."""

    kind: Literal["no question left"] = "no question left"
    questions: int = Field(description="That an account has.")


class RefusedByTest(Result):
    """The test part was asked about this model, and did not pass it."""

    kind: Literal["refused by test"] = "refused by test"


class OtherGround(Result):
    """A ground that a newer engine gave."""

    kind: str


Ground = Annotated[
    NoChampion
    | ConditionFailed
    | Compared
    | NotComparable
    | SplitChanged
    | OnePeriod
    | Anchored
    | NoQuestionLeft
    | RefusedByTest
    | OtherGround,
    Field(union_mode="left_to_right"),
]


class Verdict(StoredResult):
    """The result of `mlops gate`."""

    FILE: ClassVar[str] = "verdict.json"

    decision: Decision
    rule: RuleName
    champion: str | None = Field(
        default=None, description="Version in production, such as v1.2.0."
    )
    comparison: Comparison | None = None
    others: tuple[Comparison, ...] = ()
    conditions: tuple[Condition, ...] = ()
    grounds: tuple[Ground, ...] = ()
    reasons: tuple[str, ...] = Field(
        default=(), description="The sentences of an engine before 0.2."
    )
    margin: float | None = Field(
        default=None, description="Largest loss that non-inferiority accepts."
    )
    rows: int = 0
    units: int | None = Field(
        default=None, description="Independent groups or periods; None: rows."
    )
    unit: UnitName = "rows"
    part: Part = Field(default="test", description="Rows that were compared on.")
    account: Account | None = Field(
        default=None,
        description="Questions to the test part; None without a validation part.",
    )
    code_changed: bool | None = Field(
        default=None,
        description="Whether more than data and libraries was new; `gate.rule: auto` "
        "goes by it. None: an older engine did not say.",
    )
    seconds: float = 0

    @property
    def refused_by_test(self) -> bool:
        """Whether the test part was asked about the model, and refused it."""
        return any(isinstance(ground, RefusedByTest) for ground in self.grounds)
