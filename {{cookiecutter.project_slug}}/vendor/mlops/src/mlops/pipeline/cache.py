"""Which steps need not be done again: digests of what they depend on and wrote.

What a step depends on: the engine's code that it can reach, the model's own code, its
keys of `model.yaml`, the lock, Python's minor version, the files that it reads from
steps before, and what the caller adds (the version in production, the commit).
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.data.sources import files_of, lock_note
from mlops.io import digests, files
from mlops.pipeline.imports import ENGINE, ReachedDigests
from mlops.pipeline.step import Step


@dataclass(frozen=True)
class StepRecord:
    """How a step went when it was last done."""

    inputs: str
    outputs: dict[str, str]
    ok: bool
    seconds: float


class StepCache:
    """The steps that were done in one build folder, kept in `steps.json`.

    Parameters
    ----------
    project : Project
    name : str
        The model.
    spec : ModelSpec
    engine : Path
        The folder of the engine whose code counts; another one in tests.
    """

    def __init__(
        self, project: Project, name: str, spec: ModelSpec, engine: Path = ENGINE
    ) -> None:
        self.project = project
        self.spec = spec
        self.folder = project.build(name)
        self._model = project.folder(name)
        self._path = self.folder / "steps.json"
        self._reached = ReachedDigests(engine, self.folder / ".reached.json")
        self.done = self._read()

    def _read(self) -> dict[str, StepRecord]:
        """Return what the file holds; nothing where it is not what was written."""
        raw: Any = files.read_json(self._path) if self._path.is_file() else {}
        try:
            return {name: StepRecord(**entry) for name, entry in raw.items()}
        except (AttributeError, TypeError):
            return {}

    def inputs(self, step: Step, context: str = "") -> str:
        """Return one digest of all that a step depends on.

        Parameters
        ----------
        step : Step
        context : str
            What the caller knows and the step depends on.
        """
        include: Any = step.keys
        parts: dict[str, Any] = {
            "engine": self._reached.of(step.run.__module__),
            "code": digests.digest_of(self._code(step), self._model),
            "spec": self.spec.model_dump(mode="json", include=include),
            "trusted": list(self.project.spec.trusted_types),
            "lock": self.project.lock_digest,
            "python": platform.python_version_tuple()[:2],
            "before": self._digests(step.reads),
            "context": context,
        }
        if step.reads_data:
            parts["data"] = [
                (file.path.name, file.sha256)
                for file in files_of(self.spec, self._model)
            ]
            note = lock_note(self.spec, self._model)
            if note:  # the report shows it
                parts["note"] = note
        return digests.sha256(digests.canonical_json(parts))

    def is_done(self, step: Step, inputs: str) -> bool:
        """Return whether a step was done with these inputs and its files are intact."""
        record = self.done.get(step.name)
        if record is None or record.inputs != inputs or not record.outputs:
            return False
        return self._digests(step.writes) == record.outputs

    def finish(self, step: Step, inputs: str, ok: bool, seconds: float) -> None:
        """Note that a step was done."""
        outputs = self._digests(step.writes)
        self.done[step.name] = StepRecord(inputs, outputs, ok, round(seconds, 3))
        entries = {name: asdict(record) for name, record in self.done.items()}
        files.write_json(self._path, entries)

    def _code(self, step: Step) -> list[Path]:
        """Return the files of the model's folder that are code of a step."""
        paths = []
        for path in self._model.rglob("*"):
            relative = path.relative_to(self._model)
            if "__pycache__" in relative.parts or not step.code(relative.as_posix()):
                continue
            if path.is_file():
                paths.append(path)
        return paths

    def _digests(self, names: Iterable[str]) -> dict[str, str]:
        paths = [self.folder / name for name in names]
        return {
            path.name: digests.sha256_file(path) for path in paths if path.is_file()
        }
