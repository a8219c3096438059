"""The specification of a repository, `project.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mlops.config.approvers import Demand, demand_for
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
        default=".mlops/releases",
        description="Folder, relative to the repository; used only while origin is not "
        "on GitHub.",
    )


def _person(handle: str) -> str:
    """Return the handle of an approver, who is one person."""
    if "/" in handle:
        raise PydanticCustomError(
            "person",
            "a team cannot approve: a decision names who made it, and the token of a "
            "job may not read who is in a team",
            {"expected": "people, such as @ana; list those of the team"},
        )
    return handle


_People = Annotated[
    tuple[Annotated[Name, AfterValidator(_person)], ...], Field(min_length=1)
]
_Pattern = Annotated[str, Field(pattern=r"^[a-z0-9_*?]{1,100}$")]


class Stage(Strict):
    """A deployment stage, in which one version of each model serves."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")] = Field(
        description="Name of the stage."
    )
    after: str | None = Field(
        default=None, description="The stage that a version must have been in before."
    )
    approvers: tuple[Annotated[Name, AfterValidator(_person)], ...] = Field(
        default=(),
        description="People who may approve; if empty, no approval is needed.",
    )
    approvers_of: dict[_Pattern, _People] = Field(
        default_factory=dict,
        max_length=200,
        description="Who approves for some models instead: a pattern of their names, "
        "such as `credit_*`, and its people. The first pattern that matches counts.",
    )

    def approvers_for(self, model: str) -> tuple[str, ...]:
        """Return who may approve for a model; nobody has to where it is empty."""
        return self.demand(model).handles

    def demand(self, model: str) -> Demand:
        """Return who may approve for a model, and whether they are its own."""
        return demand_for(model, self.approvers, self.approvers_of)

    @property
    def everybody(self) -> tuple[str, ...]:
        """All who may approve for some model, each once."""
        own = [one for people in self.approvers_of.values() for one in people]
        return tuple(dict.fromkeys([*self.approvers, *own]))


class Cost(Strict):
    """What an hour of a runner costs; by default GitHub's for two Linux cores."""

    currency: Annotated[str, Field(min_length=1, max_length=20)] = Field(
        default="USD", description="Currency of the price."
    )
    per_hour: Annotated[float, Field(ge=0, le=_MOST_PER_HOUR)] = Field(
        default=0.48, description="Price of an hour."
    )
    watts: Annotated[float, Field(ge=0, le=_MOST_PER_HOUR)] = Field(
        default=20, description="Power that the machine draws, for the energy estimate."
    )
    per_month: Annotated[float, Field(ge=0, le=1e9)] | None = Field(
        default=None,
        description="Budget of a month for all runs. A change whose runs would exceed "
        "it gets a warning in the plan and in the pull request's comment; nothing is "
        "stopped.",
    )


# GitHub refuses a matrix with more.
MOST_JOBS = 256


class Jobs(Strict):
    """How the models of one workflow run are shared among jobs."""

    at_once: Annotated[int, Field(ge=1, le=MOST_JOBS)] = Field(
        default=20,
        description="Jobs of one matrix that run at the same time (`max-parallel`). "
        "More models than this share jobs, by the time that their last runs took.",
    )
    minutes: Annotated[float, Field(gt=0, le=300)] = Field(
        default=60,
        description="Models share a job only while they take no longer than this "
        "together; then there are more jobs, up to GitHub's 256.",
    )


class PredictionPlace(Strict):
    """Where the prediction log lies."""

    store: Annotated[str, Field(max_length=1000)] = Field(
        default="",
        description="A folder, relative to the repository, s3://BUCKET/PREFIX, or "
        "`artifacts`: those of the runs of `predict.yml`. If empty, the folder of "
        "MLOPS_STATE. The variable MLOPS_PREDICTIONS overrides it.",
    )
    backlog_mb: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1000,
        description="Megabytes of the log that may wait on the machine of a service "
        "until its place takes them. Beyond it, predictions are answered and not "
        'logged (`"logged": false`, and `mlops_unlogged_rows_total`).',
    )
    days: Annotated[int, Field(ge=0, le=36_500)] = Field(
        default=0,
        description="Days that the log is kept, on the machine of a service and in its "
        "place; older files are removed, also what was not delivered. Longer than the "
        "monitor looks back, 7 days. If 0, nothing is removed.",
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="Share of the predictions that are logged, by a hash of the id. "
        "Each logged row has it, and the monitor says so.",
    )
    public: bool = Field(
        default=False,
        description="Whether rows may be kept in artifacts of a public repository, "
        "which anybody can download.",
    )

    @property
    def backlog_bytes(self) -> int:
        """Bytes that may wait."""
        return self.backlog_mb * 1_000_000


class DataPlace(Strict):
    """Where snapshots of data are stored, and what may become of rows."""

    store: Annotated[str, Field(max_length=1000)] = Field(
        default="",
        description="A folder, relative to the repository, or s3://BUCKET/PREFIX, for "
        "`mlops data store`; if empty, no snapshot is stored.",
    )
    public: bool = Field(
        default=False,
        description="Whether the workflows of a public repository may hand rows on as "
        "artifacts, which anybody can download.",
    )


class ProjectSpec(Strict):
    """`project.yaml`."""

    name: Name = Field(description="Name of the repository, shown in reports.")
    description: Words = Field(default="", description="What the repository is for.")
    owner: Name = Field(description="Who answers for the repository.")
    registry: Registry = Registry()
    stages: tuple[Stage, ...] = Field(
        default=(Stage(name="staging"), Stage(name="production", after="staging")),
        min_length=1,
        max_length=20,
        description="Deployment stages, in order.",
    )
    allowed_signers: Annotated[str, Field(max_length=1000), AfterValidator(_inside)] = (
        Field(
            default="",
            description="File of the approvers' public keys (OpenSSH's allowed "
            "signers), relative to the repository. If set, approvals must be SSH "
            "signatures; if empty, the tag that names the approver is enough.",
        )
    )
    predictions: PredictionPlace = PredictionPlace()
    data: DataPlace = DataPlace()
    cost: Cost = Cost()
    jobs: Jobs = Jobs()
    trusted_types: tuple[Name, ...] = Field(
        default=(),
        description="Types that a model file may contain in addition to the engine's "
        "own list, for example of another library.",
    )

    @model_validator(mode="after")
    def _sense(self) -> Self:
        problems = list(_contradictions(self.stages))
        if self.allowed_signers and not any(s.everybody for s in self.stages):
            problems.append(
                Problem(
                    "no stage names approvers, so no signature is needed",
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
                "this stage is listed twice", key=f"stages.{at}.name", found=stage.name
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
