"""What a batch has scored, as the run log has it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mlops.results.base import Result, StoredResult


class ScoredFile(Result):
    """A file of rows that a version has predicted, or could not."""

    path: str = Field(description="From the top of the repository, or absolute.")
    sha256: str
    rows: int = 0
    batch: str = Field(description="What the names of its parts hold.")
    error: str = Field(default="", description="Why it could not be scored.")


class BatchRun(StoredResult):
    """What `mlops predict` has scored in one run."""

    FILE: ClassVar[str] = "batch.json"

    model: str
    version: str
    at: str = Field(description="ISO 8601, UTC; the time of the logged rows.")
    files: tuple[ScoredFile, ...] = ()
    run_url: str | None = None

    @property
    def failed(self) -> tuple[ScoredFile, ...]:
        """The files that could not be scored."""
        return tuple(file for file in self.files if file.error)

    @property
    def rows(self) -> int:
        """How many rows were predicted."""
        return sum(file.rows for file in self.files if not file.error)
