"""The specification of a repository, `project.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mlops.config.fields import Name, Words
from mlops.config.model_spec import Strict
from mlops.errors import Problem, UsageError, did_you_mean, listed

# What an hour may cost or draw; beyond it, products with run times are no longer read.
_MOST_PER_HOUR = 1e6


def _inside(path: str) -> str:
    """Return the path of a file of this repository; empty where there is none."""
    parts = PurePosixPath(path).parts
    wrong = "\\" in path or path.startswith("/") or ".." in parts
    if wrong or not path.isprintable() or (path and not parts):
        raise PydanticCustomError(
            "inside",
            "not the path of a file in this repository",
            {"expected": "such as .github/allowed_signers"},
        )
    return path


class Registry(Strict):
    """Where the files of a release are kept."""

    store: Name = Field(
        default=".mlops/releases", description="A folder, relative to the repository."
    )


class Stage(Strict):
    """A place where a version can serve."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    after: str | None = Field(
        default=None, description="A stage in which a version must have been before."
    )
    approvers: tuple[Name, ...] = Field(
        default=(), description="Who may approve; empty: nobody has to."
    )


class Cost(Strict):
    """What an hour of a runner costs; by default GitHub's for two Linux cores."""

    currency: Annotated[str, Field(min_length=1, max_length=20)] = "USD"
    per_hour: Annotated[float, Field(ge=0, le=_MOST_PER_HOUR)] = 0.48
    watts: Annotated[float, Field(ge=0, le=_MOST_PER_HOUR)] = 20


class ProjectSpec(Strict):
    """`project.yaml`."""

    name: Name
    description: Words = ""
    owner: Name
    registry: Registry = Registry()
    stages: tuple[Stage, ...] = Field(
        default=(Stage(name="staging"), Stage(name="production", after="staging")),
        min_length=1,
        max_length=20,
    )
    allowed_signers: Annotated[str, Field(max_length=1000), AfterValidator(_inside)] = (
        Field(
            default="",
            description="A file of allowed signers in the repository; where it "
            "is set, approvals are signatures. Empty: the tag's word is enough.",
        )
    )
    cost: Cost = Cost()
    trusted_types: tuple[Name, ...] = Field(
        default=(),
        description="Types, beside the engine's own, that a model file may contain.",
    )

    @model_validator(mode="after")
    def _sense(self) -> Self:
        problems = list(_contradictions(self.stages))
        if self.allowed_signers and not any(s.approvers for s in self.stages):
            problems.append(
                Problem(
                    "nobody has to sign: no stage names approvers",
                    key="allowed_signers",
                    found=self.allowed_signers,
                    do="list approvers of a stage, or leave this key out",
                )
            )
        if problems:
            raise UsageError(*problems)
        return self


def _contradictions(stages: tuple[Stage, ...]) -> Iterator[Problem]:
    """Yield stages that stand twice, or after one that does not come before them."""
    before: list[str] = []
    for at, stage in enumerate(stages):
        if stage.name in before:
            yield Problem(
                "this stage stands twice", key=f"stages.{at}.name", found=stage.name
            )
        if stage.after is not None and stage.after not in before:
            yield Problem(
                "no stage of this name comes before this one",
                key=f"stages.{at}.after",
                found=stage.after,
                allowed=listed(before) or "none: this is the first stage",
                do=did_you_mean(stage.after, before),
            )
        before.append(stage.name)
