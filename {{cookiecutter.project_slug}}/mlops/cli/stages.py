"""Which stages of a run are done already: their inputs and outputs, by content.

A stage is done when it ran before with the same inputs (data, code that it can reach,
specification, lock, results of the stages before) and its outputs are still what it wrote.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.data.read import source_files
from mlops.files import canonical_json, digest_of, read_json, sha256, sha256_file, write_json
from mlops.project import Project
from mlops.spec import ModelSpec

STAGES = ("validate", "train", "test", "gate", "report")
OUTPUTS = {
    "validate": ("validation.json", "snapshot.json", "snapshot.parquet"),
    "train": ("training.json", "model.skops", "features.py"),
    "test": ("evaluation.json", "reference.parquet", "examples.json"),
    "gate": ("verdict.json",),
    "report": ("spec.json", "report.md", "report.html", "card.md"),
}
# The rooms whose code a stage can reach, and the parts of model.yaml that it reads.
_ROOMS = {
    "validate": ("data",),
    "train": ("data", "training"),
    "test": ("data", "training", "evaluation"),
    "gate": ("data", "training", "evaluation", "registry"),
    "report": ("data", "training", "evaluation", "registry", "reporting"),
}
_KEYS = {
    "validate": ("task", "data", "features", "sensitive", "split"),
    "train": ("task", "data", "features", "train", "metrics"),
    "test": ("task", "data", "metrics", "checks", "slices", "fairness", "split", "sensitive"),
    "gate": ("task", "data", "metrics", "gate", "split"),
}
_FILES = {
    "validate": ("contract.py",),
    "train": ("features.py", "estimator.py"),
    "test": ("tests/**/*",),
    "gate": (),
    "report": (),
}
_BEFORE = {
    "validate": (),
    "train": ("validate",),
    "test": ("train",),
    "gate": ("test",),
    "report": ("validate", "train", "test", "gate"),
}


@dataclass(frozen=True)
class Done:
    """How a stage went when it last ran."""

    inputs: str
    outputs: dict[str, str]
    ok: bool
    seconds: float


class Ledger:
    """The stages that ran in one build folder, kept in stages.json.

    Parameters
    ----------
    project : Project
    name : str
        The model.
    spec : ModelSpec
    """

    def __init__(self, project: Project, name: str, spec: ModelSpec) -> None:
        self.project, self.name, self.spec = project, name, spec
        self.folder = project.build(name)
        self._path = self.folder / "stages.json"
        raw: dict[str, Any] = read_json(self._path) if self._path.is_file() else {}
        try:
            self.done = {stage: Done(**entry) for stage, entry in raw.items() if stage in STAGES}
        except (AttributeError, TypeError):  # nobody's ledger: nothing is done
            self.done = {}

    def inputs(self, stage: str, context: str = "") -> str:
        """Return one digest of all that a stage depends on; `context` adds what git says."""
        folder, engine = self.project.folder(self.name), Path(__file__).parents[1]
        code = [p for room in _ROOMS[stage] for p in (engine / room).rglob("*") if _code(p)]
        code += [p for p in engine.glob("*.py")]
        own = [p for pattern in _FILES[stage] for p in folder.glob(pattern) if _own(p)]
        spec = self.spec.model_dump(mode="json")
        parts: dict[str, Any] = {
            "engine": digest_of(code, engine),
            "own": digest_of(own, folder),
            "spec": {key: spec[key] for key in _KEYS[stage]} if stage in _KEYS else spec,
            "lock": sha256_file(self.project.lock) if self.project.lock.is_file() else "",
            "python": platform.python_version_tuple()[
                :2
            ],  # machines of one kind differ in the third
            "trusted": list(self.project.spec.trusted_types),
            "before": [self.done[b].outputs for b in _BEFORE[stage] if b in self.done],
            "context": context,
        }
        if stage == "validate":
            data = self.spec.data
            paths = source_files(data.source, folder)
            if data.labels:
                paths += source_files(data.labels, folder, "data.labels")
            parts["data"] = [(path.name, sha256_file(path)) for path in paths]
        return sha256(canonical_json(parts))

    def is_done(self, stage: str, inputs: str) -> bool:
        """Return whether a stage ran with these inputs and its outputs are untouched."""
        entry = self.done.get(stage)
        if entry is None or entry.inputs != inputs or not entry.outputs:
            return False
        return self._digests(stage) == entry.outputs

    def finish(self, stage: str, inputs: str, ok: bool, seconds: float) -> None:
        """Note that a stage ran; what comes after it is forgotten where its outputs changed."""
        self.done[stage] = Done(inputs, self._digests(stage), ok, round(seconds, 3))
        write_json(self._path, {key: vars(entry) for key, entry in self.done.items()})

    def _digests(self, stage: str) -> dict[str, str]:
        paths = (self.folder / name for name in OUTPUTS[stage])
        return {path.name: sha256_file(path) for path in paths if path.is_file()}


def _own(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _code(path: Path) -> bool:
    return path.is_file() and path.suffix in {".py", ".j2"}
