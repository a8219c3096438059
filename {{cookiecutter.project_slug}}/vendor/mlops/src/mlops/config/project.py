"""A repository on disk: its models, folders and settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from mlops import settings
from mlops.config.model_spec import ModelSpec
from mlops.config.project_spec import ProjectSpec, Stage
from mlops.config.yaml import load_text, load_yaml, parse, read_yaml
from mlops.errors import UsageError, did_you_mean, listed
from mlops.io.digests import canonical_json, digest_of, sha256, sha256_file

MODEL_NAME = re.compile(r"[a-z]([a-z0-9_]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class Project:
    """One repository on disk.

    Parameters
    ----------
    root : Path
        The folder of `project.yaml`.
    builds : Path, optional
        The folder for what runs make; default: `build` in the repository.
    """

    root: Path
    builds: Path | None = None

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """Return the project around `start` (default: the current folder).

        Raises
        ------
        UsageError
            When no folder upwards holds `project.yaml`.
        """
        origin = (start or settings.current().folder).resolve()
        for folder in (origin, *origin.parents):
            if (folder / "project.yaml").is_file():
                return cls(folder)
        message = (
            "no project.yaml here or above: this is not a repository of this template"
        )
        do = "cd into your repository (`mlops pull --from` works anywhere)"
        raise UsageError(message, file=str(origin), do=do)

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
        names = self.models()
        new = "`mlops new NAME --data FILE --target COLUMN` makes one"
        raise UsageError(
            "there is no model of this name",
            file="models/",
            found=name,
            allowed=", ".join(names) or "none yet",
            do=did_you_mean(name, names) or new,
        )

    def model(self, name: str) -> ModelSpec:
        """Return the specification of a model."""
        return load_spec(self.folder(name) / "model.yaml", f"models/{name}/model.yaml")

    def build(self, name: str) -> Path:
        """Return the folder for what a run of this model makes (ignored by git)."""
        return (self.builds or self.root / "build") / name

    @property
    def state(self) -> Path:
        """The folder of the prediction logs; MLOPS_STATE names another."""
        return self.root / (settings.current().state or ".mlops")

    @property
    def store(self) -> Path:
        """The folder of the release store."""
        return self.root / self.spec.registry.store

    @property
    def lock(self) -> Path:
        """The file of locked requirements that models are trained with.

        Up to 0.1.0 there was one file for everything: older versions' commits have it.
        """
        older = self.root / "requirements.txt"
        newer = self.root / "requirements" / "train.txt"
        return older if older.is_file() and not newer.is_file() else newer

    @property
    def lock_digest(self) -> str:
        """The SHA-256 of that file; empty where there is none."""
        return sha256_file(self.lock) if self.lock.is_file() else ""

    def code_digest(self, name: str, spec: ModelSpec | None = None) -> str:
        """Return one digest of all that training reads, but for data and parameters.

        That is every module of the model's folder (`python_files`) and a part of its
        specification. Where the data lies and which values parameters have is not in
        it: both are compared on their own. Nor is what only tests, gate and reports
        read: it may change without a new model.
        """
        folder = self.folder(name)
        files = digest_of(python_files(folder), folder)
        read = (spec or self.model(name)).model_dump(
            mode="json",
            include={
                "task": True,
                "features": True,
                "split": True,
                "data": {"target", "positive"},
            },
        )
        return sha256(canonical_json([files, read]))

    def stage(self, name: str) -> Stage:
        """Return a stage by name."""
        for stage in self.spec.stages:
            if stage.name == name:
                return stage
        names = [stage.name for stage in self.spec.stages]
        raise UsageError(
            "there is no stage of this name",
            file="project.yaml",
            key="stages",
            found=name,
            allowed=listed(names),
            do=did_you_mean(name, names),
        )


def python_files(folder: Path) -> list[Path]:
    """Return a model's modules: features.py, estimator.py and any helpers.

    Contract and tests are not part of the model: they judge it and its data.
    """
    files = []
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder).parts
        apart = {"tests", "data", "__pycache__"} & set(inside[:-1])
        hidden = any(part.startswith(".") for part in inside)
        if not apart and not hidden and inside != ("contract.py",):
            files.append(path)
    return files


def load_spec(path: Path, shown: str) -> ModelSpec:
    """Read `model.yaml`; `shown` is the path that errors name."""
    return _parsed(read_yaml(path), str(path), shown)


@lru_cache(maxsize=256)
def _parsed(text: str, file: str, shown: str) -> ModelSpec:
    """Return what a text specifies, which a command asks for more than once."""
    return parse(ModelSpec, load_text(text, file), shown)
