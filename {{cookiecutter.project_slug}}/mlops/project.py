"""The repository: where everything stands, and `project.yaml`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field

from mlops.errors import UsageError, did_you_mean, listed
from mlops.files import canonical_json, digest_of, sha256
from mlops.spec import ModelSpec, Strict
from mlops.specfile import load_spec, load_yaml, parse

MODEL_NAME = re.compile(r"[a-z]([a-z0-9_]{0,38}[a-z0-9])?")


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
    stages: tuple[Stage, ...] = (Stage(name="staging"), Stage(name="production", after="staging"))
    cost: Cost = Cost()
    trusted_types: tuple[str, ...] = Field(
        default=(), description="Types, beside the engine's own, that a model file may contain."
    )


@dataclass(frozen=True)
class Project:
    """One repository on disk.

    Parameters
    ----------
    root : Path
        The folder of `project.yaml`.
    """

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """Return the project around `start` (default: the current folder).

        Raises
        ------
        UsageError
            When no folder upwards holds `project.yaml`.
        """
        here = (start or Path.cwd()).resolve()
        for folder in (here, *here.parents):
            if (folder / "project.yaml").is_file():
                return cls(folder)
        what = "no project.yaml here or above: this is not a repository of this template"
        do = "cd into your repository (`mlops pull --from` works anywhere)"
        raise UsageError(what, file=str(here), do=do)

    @cached_property
    def spec(self) -> ProjectSpec:
        """`project.yaml`, read once."""
        return parse(ProjectSpec, load_yaml(self.root / "project.yaml"), "project.yaml")

    def models(self) -> list[str]:
        """Return the names of all models, sorted."""
        return sorted(p.parent.name for p in self.root.glob("models/*/model.yaml"))

    def folder(self, name: str) -> Path:
        """Return the folder of a model.

        Raises
        ------
        UsageError
            When there is no such model; names the ones there are.
        """
        folder = self.root / "models" / name
        if MODEL_NAME.fullmatch(name) and (folder / "model.yaml").is_file():
            return folder
        what, names = "there is no model of this name", self.models()
        new = "`mlops new NAME --data FILE --target COLUMN` makes one"
        do, allowed = did_you_mean(name, names) or new, ", ".join(names) or "none yet"
        raise UsageError(what, file="models/", found=name, allowed=allowed, do=do)

    def model(self, name: str) -> ModelSpec:
        """Return the specification of a model."""
        return load_spec(self.folder(name) / "model.yaml", f"models/{name}/model.yaml")

    def build(self, name: str) -> Path:
        """Return the folder for what a run of this model makes (ignored by git)."""
        return self.root / "build" / name

    @property
    def state(self) -> Path:
        """The folder of the prediction logs; MLOPS_STATE names another."""
        return self.root / (os.environ.get("MLOPS_STATE") or ".mlops")

    @property
    def store(self) -> Path:
        """The folder of the release store."""
        return self.root / self.spec.registry.store

    @property
    def lock(self) -> Path:
        """The file of locked requirements."""
        return self.root / "requirements.txt"

    def code_digest(self, name: str, spec: ModelSpec | None = None) -> str:
        """Return one digest over the code of a model, and of its specification what training reads.

        Where the data lies and what parameters have which value is not in it: both are compared
        on their own. What only tests, gate and reports read may change without a new model.
        """
        folder = self.folder(name)
        files = digest_of((folder / file for file in ("features.py", "estimator.py")), folder)
        read = (spec or self.model(name)).model_dump(
            mode="json",
            include={"task": True, "features": True, "split": True, "data": {"target", "positive"}},
        )
        return sha256(canonical_json([files, read]))

    def stage(self, name: str) -> Stage:
        """Return a stage by name."""
        names = [stage.name for stage in self.spec.stages]
        for stage in self.spec.stages:
            if stage.name == name:
                return stage
        what, do, allowed = (
            "there is no stage of this name",
            did_you_mean(name, names),
            listed(names),
        )
        about = {"file": "project.yaml", "key": "stages", "found": name, "allowed": allowed}
        raise UsageError(what, **about, do=do)
