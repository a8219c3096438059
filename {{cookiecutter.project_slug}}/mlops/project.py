"""The repository as its owner writes it: `project.yaml`, `model.yaml`, Python; and where it is."""

from __future__ import annotations

import ast
import os
import re
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, Field, ValidationError

from mlops import MlopsError, Problem, UsageError, did_you_mean, listed
from mlops.files import canonical_json, digest_of, sha256, sha256_file
from mlops.spec import ModelSpec, Strict

MODEL_NAME = re.compile(r"[a-z]([a-z0-9_]{0,38}[a-z0-9])?")
T = TypeVar("T", bound=BaseModel)


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

    @property
    def lock_digest(self) -> str:
        """The SHA-256 of that file; empty where there is none."""
        return sha256_file(self.lock) if self.lock.is_file() else ""

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
        for stage in self.spec.stages:
            if stage.name == name:
                return stage
        names = [stage.name for stage in self.spec.stages]
        what = "there is no stage of this name"
        about = {"found": name, "allowed": listed(names), "do": did_you_mean(name, names)}
        raise UsageError(what, file="project.yaml", key="stages", **about)


# -- files of YAML: every mistake at once, each with its key --------------------------------------


def load_yaml(path: Path) -> Any:
    """Read a YAML 1.2 file; a key that stands twice is an error.

    Raises
    ------
    UsageError
        When the file is missing, is not UTF-8, or is not YAML; with the line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError("there is no such file", file=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        what, do = f"cannot be read: {error}", "save it as UTF-8"
        raise UsageError(what, file=str(path), do=do) from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        text = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"not valid YAML: {text}", file=str(path), key=place) from error


def parse(cls: type[T], raw: Any, file: str) -> T:
    """Return `raw` as an instance of `cls`.

    Raises
    ------
    UsageError
        With one Problem for every mistake.
    """
    if not isinstance(raw, dict):
        raise UsageError("this file must hold keys and values", file=file, found=type(raw).__name__)
    try:
        return cls.model_validate(raw)
    except ValidationError as error:
        raise UsageError(*(_problem(cls, item, file) for item in error.errors())) from error
    except UsageError as error:
        raise UsageError(*(replace(p, file=file) for p in error.problems)) from error


def _problem(cls: type[BaseModel], item: Any, file: str) -> Problem:
    """Return one pydantic error in our words."""
    location = [str(part) for part in item["loc"]]
    key = ".".join(location)
    if item["type"] == "extra_forbidden":
        last, allowed = location[-1], sorted(_fields_at(cls, location[:-1]))
        about = {"found": last, "allowed": ", ".join(allowed), "do": did_you_mean(last, allowed)}
        return Problem("unknown key", file, key, **about)
    if item["type"] == "missing":
        return Problem("this key is missing", file, key, do=f"add `{location[-1]}`")
    what = item["msg"][0].lower() + item["msg"][1:]
    expected = str(item.get("ctx", {}).get("expected", ""))
    return Problem(what, file, key, found=repr(item["input"])[:80], allowed=expected)


def _fields_at(cls: type[BaseModel], location: list[str]) -> list[str]:
    """Return the keys that are allowed at a place of the document."""
    for part in location:
        if part in cls.model_fields:
            cls = _class_in(cls.model_fields[part].annotation) or cls
    return list(cls.model_fields)


def _class_in(annotation: Any) -> type[BaseModel] | None:
    """Return the class of keys and values that a type is, or has inside."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_class_in(inside) for inside in get_args(annotation))
    return next((cls for cls in found if cls), None)


def load_spec(path: Path, shown: str) -> ModelSpec:
    """Read `model.yaml`; `shown` is the path that errors name."""
    return parse(ModelSpec, load_yaml(path), shown)


# -- files of Python: what goes wrong in them is told with file and line --------------------------


def load_function(
    source: bytes, shown: str, name: str, imports: frozenset[str] | None = None
) -> Callable[..., Any]:
    """Run a Python file and return one function of it.

    Parameters
    ----------
    source : bytes
        The file's content.
    shown : str
        The path that errors name.
    name : str
        The function that the file must define.
    imports : frozenset of str, optional
        Top-level packages that the file may import; None: any.

    Raises
    ------
    UsageError
        For a syntax error (with its line), an import that is not allowed, an error while the file
        runs, or a function that is missing.
    """
    try:
        tree = ast.parse(source, filename=shown)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        key = f"line {line}" if line else ""
        raise UsageError(f"not valid Python: {error}", file=shown, key=key) from error
    if imports is not None:
        _check_imports(tree, shown, imports)
    module = types.ModuleType(f"mlops_user_{shown.rsplit('/', 1)[-1].removesuffix('.py')}")
    module.__file__ = shown
    with blaming(shown):
        exec(compile(tree, shown, "exec"), module.__dict__)
    function = getattr(module, name, None)
    if not callable(function):
        what = f"this file must define `def {name}(...)`"
        raise UsageError(what, file=shown, do=f"write `{name}`")
    return function  # type: ignore[no-any-return]


def _check_imports(tree: ast.Module, shown: str, allowed: frozenset[str]) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [("." * node.level) + (node.module or "")]
        else:
            continue
        for name in names:
            if name.split(".")[0] not in allowed:
                what = "this import is not allowed here: the file travels with the model"
                line, others = f"line {node.lineno}", ", ".join(sorted(allowed))
                raise UsageError(what, file=shown, key=line, found=name, allowed=others)


@contextmanager
def blaming(shown: str) -> Iterator[None]:
    """Turn an exception out of the user's file into one error that names file and line."""
    try:
        yield
    except MlopsError:
        raise
    except Exception as error:
        frames = traceback.walk_tb(error.__traceback__)
        lines = [line for frame, line in frames if frame.f_code.co_filename == shown]
        said = (str(error).strip().splitlines() or ["no message"])[0][:300]
        what, key = f"{type(error).__name__}: {said}", f"line {lines[-1]}" if lines else ""
        raise UsageError(what, file=shown, key=key, do="mend the file and run again") from error
