"""Results of the ledger: what test parts were asked, and what is left of them.

A question is a file of the run log. It holds no value of a row and no figure: until a
version is registered, passed or failed is all that the test part says.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mlops.results.base import Result, StoredResult


class RowSketch(Result):
    """Enough of the rows of a test part to see how many of them another one has."""

    units: int = Field(description="Distinct rows, or groups in a split by group.")
    by: tuple[str, ...] = Field(description="Columns that a row is recognised by.")
    reach: float = Field(
        default=1.0,
        description="Share of all hashes that `codes` covers; 1: every unit is there.",
    )
    codes: tuple[str, ...] = Field(
        default=(), description="24 bits of the hash of each unit within reach, sorted."
    )


class Question(StoredResult):
    """One model that the test part was asked about."""

    FILE: ClassVar[str] = "question.json"

    model: str
    model_sha256: str
    champion: str | None = Field(
        default=None, description="The version that it was compared with."
    )
    time: str = Field(description="ISO 8601, UTC.")
    rule: str
    number: int = Field(
        default=0, description="Which of the account; 0 where it spends nothing."
    )
    alpha: float = Field(
        default=0.0, description="Chance, spent on it, that a useless change passes."
    )
    passed: bool
    rows: RowSketch
    actor: str = ""
    run_url: str | None = None

    @property
    def spends(self) -> bool:
        """Whether it counts: refreshes and first versions do not."""
        return self.number > 0


class Account(Result):
    """What the ledger says of a model before, or after, the test part is asked."""

    number: int = Field(description="Which question this is; 0 where none is spent.")
    of: int = Field(description="Questions of an account.")
    spent: float = Field(
        default=0.0, description="Share of alpha that earlier questions have spent."
    )
    needed: float | None = Field(
        default=None,
        description="Difference on the test part that this question asks for, about.",
    )
    passed: bool | None = Field(
        default=None, description="What the test part says; None: not asked yet."
    )
