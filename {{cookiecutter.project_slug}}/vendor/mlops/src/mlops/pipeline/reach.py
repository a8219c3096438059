"""Whether a change can reach a model or its verdict; if not, nothing is trained."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from mlops.config.yaml import load_text
from mlops.errors import MlopsError
from mlops.io.git import GitError, git
from mlops.pipeline.imports import reached_files

# The steps up to the verdict. The report reads what these have written: a change of it
# changes no model, and no verdict.
_STEPS = ("validate", "train", "test", "gate")

_PACKAGE = "vendor/mlops/src/mlops"

# What runs the steps counts as a whole, but for the report.
_PIPELINE = f"{_PACKAGE}/pipeline"
_REPORT = f"{_PIPELINE}/report.py"


def reaches_models(root: Path, start: str, path: str) -> bool:
    """Return whether the change of one file can reach a model or its verdict.

    Parameters
    ----------
    root : Path
        The repository, with the engine that is checked out.
    start : str
        The commit that the change starts from.
    path : str
        ``project.yaml``, or a file of the engine.
    """
    if path == "project.yaml":
        return _reading(root, start) != _reading(root, "HEAD")
    file = PurePosixPath(path)
    if file.is_relative_to(_PIPELINE) or not file.is_relative_to(_PACKAGE):
        return path != _REPORT
    # A file that is gone is reached by none: whatever imported it has changed, too.
    engine = root / _PACKAGE
    if not (engine / "pipeline" / "train.py").is_file():
        return True  # another engine than this one
    return any(
        root / path in reached_files(f"mlops.pipeline.{step}", engine)
        for step in _STEPS
    )


def _reading(root: Path, commit: str) -> object:
    """Return what runs read of `project.yaml` in a commit; unlike anything if broken.

    That is what a model file may contain, and which stage the champion is in.
    """
    try:
        raw: Any = load_text(
            git(root, "show", f"{commit}:./project.yaml"), "project.yaml"
        )
        stages = [stage["name"] for stage in raw.get("stages") or ()]
        return (raw.get("trusted_types"), stages[-1:])
    except (GitError, MlopsError, AttributeError, KeyError, TypeError):
        return object()
