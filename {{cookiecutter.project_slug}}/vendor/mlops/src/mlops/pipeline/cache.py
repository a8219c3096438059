"""Which steps can be skipped: the digests of their inputs and outputs."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.data.sources import source_files
from mlops.io import digests, files
from mlops.pipeline.step import OUTPUTS, STEPS, Done

# The room of each stage: it can reach the code of that and of those before.
_ROOMS = ("data", "training", "evaluation", "registry", "reporting")

# The parts of model.yaml and the model's own files that a stage reads; the report reads all.
_KEYS = {
    "validate": {"task", "data", "features", "sensitive", "split"},
    "train": {"task", "data", "features", "train", "metrics"},
    "test": {
        "task",
        "data",
        "metrics",
        "checks",
        "slices",
        "fairness",
        "split",
        "sensitive",
    },
    "gate": {"task", "data", "metrics", "gate", "split"},
}

_OWN = {
    "validate": ("contract.py",),
    "train": ("features.py", "estimator.py"),
    "test": ("tests/**/*",),
}


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
        raw: dict[str, Any] = (
            files.read_json(self._path) if self._path.is_file() else {}
        )
        try:
            self.done = {
                stage: Done(**entry) for stage, entry in raw.items() if stage in STEPS
            }
        except (AttributeError, TypeError):  # nobody's ledger: nothing is done
            self.done = {}

    def inputs(self, stage: str, context: str = "") -> str:
        """Return one digest of all that a stage depends on; `context` adds what git says."""
        project, engine = self.project, Path(__file__).parents[1]
        folder, before = project.folder(self.name), STEPS[: STEPS.index(stage)]
        code = list(engine.glob("*.py"))
        for room in _ROOMS[: len(before) + 1]:
            code += [
                path
                for path in (engine / room).rglob("*")
                if path.suffix in {".py", ".j2"}
            ]
        own = [path for pattern in _OWN.get(stage, ()) for path in folder.glob(pattern)]
        own = [
            path for path in own if path.is_file() and "__pycache__" not in path.parts
        ]
        if stage != "report":  # which tells of all of them
            before = before[-1:]
        parts: dict[str, Any] = {
            "engine": digests.digest_of(code, engine),
            "own": digests.digest_of(own, folder),
            "spec": self.spec.model_dump(mode="json", include=_KEYS.get(stage)),
            "lock": project.lock_digest,
            # Machines of one kind differ in the third number.
            "python": platform.python_version_tuple()[:2],
            "trusted": list(project.spec.trusted_types),
            "before": [self.done[name].outputs for name in before if name in self.done],
            "context": context,
        }
        if stage == "validate":
            data = self.spec.data
            paths = source_files(data.source, folder)
            if data.labels:
                paths += source_files(data.labels, folder, "data.labels")
            parts["data"] = [(path.name, digests.sha256_file(path)) for path in paths]
        return digests.sha256(digests.canonical_json(parts))

    def is_done(self, stage: str, inputs: str) -> bool:
        """Return whether a stage ran with these inputs and its outputs are untouched."""
        entry = self.done.get(stage)
        if entry is None or entry.inputs != inputs or not entry.outputs:
            return False
        return self._digests(stage) == entry.outputs

    def finish(self, stage: str, inputs: str, ok: bool, seconds: float) -> None:
        """Note that a stage ran; what comes after it is forgotten where its outputs changed."""
        self.done[stage] = Done(inputs, self._digests(stage), ok, round(seconds, 3))
        files.write_json(
            self._path, {key: vars(entry) for key, entry in self.done.items()}
        )

    def _digests(self, stage: str) -> dict[str, str]:
        paths = (self.folder / name for name in OUTPUTS[stage])
        return {
            path.name: digests.sha256_file(path) for path in paths if path.is_file()
        }
