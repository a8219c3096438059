"""The specification of a repository, `project.yaml`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlops.config.model_spec import Strict


class Registry(Strict):
    """Where the files of a release are kept."""

    store: str = Field(
        default=".mlops/releases", description="A folder, relative to the repository."
    )


class Stage(Strict):
    """A place where a version can serve."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    after: str | None = Field(
        default=None, description="A stage in which a version must have been before."
    )
    approvers: tuple[str, ...] = Field(
        default=(), description="Who may approve; empty: nobody has to."
    )


class Cost(Strict):
    """What an hour of a runner costs; the default is GitHub's for a 2-core Linux runner."""

    currency: str = "USD"
    per_hour: Annotated[float, Field(ge=0)] = 0.48
    watts: Annotated[float, Field(ge=0)] = 20


class ProjectSpec(Strict):
    """`project.yaml`."""

    name: str
    description: str = ""
    owner: str
    registry: Registry = Registry()
    stages: tuple[Stage, ...] = (
        Stage(name="staging"),
        Stage(name="production", after="staging"),
    )
    cost: Cost = Cost()
    trusted_types: tuple[str, ...] = Field(
        default=(),
        description="Types, beside the engine's own, that a model file may contain.",
    )
