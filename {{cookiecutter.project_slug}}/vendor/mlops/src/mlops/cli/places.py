"""The places that settings name: a folder, a bucket, or the artifacts of runs.

Buckets need pyarrow, which jobs that only plan, gate or promote do not install: no
command of theirs may import this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlops import settings
from mlops.cli.context import ARTIFACTS, predictions_store
from mlops.github import client
from mlops.io.places import FolderPlace, folder_of

if TYPE_CHECKING:
    from mlops.config.project import Project
    from mlops.io.places import Place


def prediction_place(project: Project) -> Place:
    """Return the place of the prediction log.

    MLOPS_PREDICTIONS names it, or `predictions.store` of project.yaml; else it is the
    state folder.

    Raises
    ------
    UsageError
        For a place of a kind that is not supported.
    """
    from mlops.github.artifacts import ArtifactsPlace

    now = settings.current()
    key = "MLOPS_PREDICTIONS" if now.predictions else "predictions.store"
    text = predictions_store(project)
    if text == ARTIFACTS:
        return ArtifactsPlace(client.repository(), now.cache / "artifacts")
    if not text:
        return FolderPlace(project.state)
    return place_at(text, project.root, key)


def delivery_place(project: Project) -> Place | None:
    """Return the place that a service brings its log to; None where it stays here.

    Artifacts are none: only a run of a workflow has any.

    Raises
    ------
    UsageError
        For a place of a kind that is not supported.
    """
    text = predictions_store(project)
    if text in ("", ARTIFACTS):
        return None
    target = prediction_place(project)
    root = target.root if isinstance(target, FolderPlace) else None
    if root is not None and root.resolve() == project.state.resolve():
        return None
    return target


def place_at(text: str, root: Path, key: str) -> Place:
    """Return the place that a setting names: a folder, or a prefix of a bucket.

    Parameters
    ----------
    root : Path
        What a relative path is relative to.
    key : str
        Where the setting stands, for the error.

    Raises
    ------
    UsageError
        For a place of a kind that is not supported.
    """
    if text.startswith("s3://"):
        from mlops.data.buckets import BucketPlace

        return BucketPlace(text, settings.current().cache / "places")
    return FolderPlace(folder_of(text, root, key))
