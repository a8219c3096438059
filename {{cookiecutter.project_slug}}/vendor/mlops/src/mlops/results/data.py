"""Results about data: snapshot, columns, contract."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mlops.results.base import Result, StoredResult


class Expectation(Result):
    """One line of the data contract and how it went."""

    name: str
    column: str | None = None
    ok: bool
    message: str = Field(
        description="A plain sentence: what was expected and what was found."
    )
    failed_rows: int | None = None
    failed_share: float | None = None
    examples: tuple[str, ...] = Field(
        default=(), description="Values that break it; never of a sensitive column."
    )


class ColumnSummary(Result):
    """What is in one column of the snapshot."""

    name: str
    kind: str
    missing: int
    unique: int
    low: float | None = None
    mean: float | None = None
    high: float | None = None
    top: dict[str, int] = Field(
        default_factory=dict, description="Empty for sensitive columns."
    )


class SourceFile(Result):
    """One file that was read."""

    path: str
    sha256: str
    rows: int


class Snapshot(StoredResult):
    """The data that everything else of a run refers to."""

    FILE: ClassVar[str] = "snapshot.json"

    digest: str = Field(
        description="SHA-256 over columns, types and values in row order."
    )
    rows: int
    rows_read: int
    duplicates_removed: int
    unlabelled: int = Field(
        description="Rows without a target; kept out of training and test."
    )
    train_rows: int
    test_rows: int
    validation_rows: int = 0
    period: tuple[str, str] | None = None
    files: tuple[SourceFile, ...] = ()
    columns: tuple[ColumnSummary, ...] = ()


class Validation(StoredResult):
    """The result of `mlops validate`."""

    FILE: ClassVar[str] = "validation.json"

    ok: bool
    snapshot: Snapshot | None = Field(
        default=None, description="None where the columns do not fit."
    )
    expectations: tuple[Expectation, ...] = ()
    seconds: float = 0
