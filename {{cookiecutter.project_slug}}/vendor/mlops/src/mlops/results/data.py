"""Results about data: snapshot, columns, contract."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

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

    path: str = Field(description="Or the address, where it lies elsewhere.")
    sha256: str
    rows: int
    size: int | None = Field(default=None, description="Bytes, of an object elsewhere.")
    version: str = Field(
        default="", description="ETag or time of change, of an object elsewhere."
    )

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what only objects elsewhere have.

        Data locks of files in git stay as they are, byte for byte.
        """
        out: dict[str, Any] = dump(self)
        if self.size is None:
            out.pop("size", None)
        if not self.version:
            out.pop("version", None)
        return out


class LockedObject(Result):
    """One object that lies elsewhere, as it was when it was read."""

    key: str = Field(description="Of model.yaml: data.source or data.labels.")
    address: str = Field(description="Without a query.")
    size: int
    version: str = Field(default="", description="ETag, or time of change.")
    sha256: str = Field(default="", description="Empty until it is read.")
    file: str = Field(default="", description="Its copy in the folder `sources`.")

    @property
    def state(self) -> tuple[str, int, str]:
        """What tells that an object is still the same, without reading it."""
        return self.address, self.size, self.version


class SourceLock(StoredResult):
    """What a run reads of the sources that lie elsewhere: the same for all its jobs."""

    FILE: ClassVar[str] = "sources.json"

    patterns: dict[str, str] = Field(
        description="Digest of what model.yaml names, by key."
    )
    read_at: str = Field(description="When the objects were listed.")
    objects: tuple[LockedObject, ...]
    note: str = Field(
        default="", description="Why these are not the newest rows; empty if they are."
    )


class StoredFile(Result):
    """One file of a stored snapshot."""

    key: str = Field(description="Of model.yaml: data.source or data.labels.")
    path: str
    sha256: str = Field(description="Of the file.")
    rows: int
    piece: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of its Parquet.")
    size: int = Field(description="Bytes of the piece.")


class StoredSnapshot(Result):
    """The record of a snapshot that is stored by content."""

    model: str
    name: str = Field(pattern="^[0-9a-f]{32}$")
    stored_at: str
    reading: str = Field(description="Digest of how the files were read.")
    files: tuple[StoredFile, ...]


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
