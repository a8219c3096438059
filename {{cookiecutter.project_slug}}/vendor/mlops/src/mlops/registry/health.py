"""What is wrong in the registry, for `mlops doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.config.project import Project
from mlops.errors import MlopsError
from mlops.registry.tags import read

if TYPE_CHECKING:
    from mlops.storage.protocol import ReleaseStore


# -- what is odd ----------------------------------------------------------------------------------


def problems(project: Project, store: ReleaseStore | None = None) -> list[str]:
    """Return what is odd about tags and releases.

    The chain of digests is followed for the versions that are in a stage; of the others, which may
    be thousands, it is only asked whether the store has them.
    """
    from mlops.registry.chain import fetch
    from mlops.storage.folder import FolderStore

    state = read(project.root)
    found = list(state.warnings)
    for model in state.models.values():
        there = set((store or FolderStore(project.store)).list(model.name))
        for version in model.versions.values():
            if version.stages:
                try:
                    fetch(project, version.ref, store)
                except MlopsError as error:
                    found.append(f"{version.ref}: {error.problems[0].what}")
            elif version.active and version.number not in there:
                found.append(f"{version.ref}: the release store does not hold it")
    return found
