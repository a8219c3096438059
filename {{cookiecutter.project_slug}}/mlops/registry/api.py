"""What the command line asks the registry: short answers made of tags and manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.errors import MlopsError
from mlops.project import Project
from mlops.registry.tags import Event, Version, read, resolve

if TYPE_CHECKING:
    from mlops.registry.manifest import Manifest
    from mlops.registry.store import ReleaseStore


def versions(project: Project, name: str | None = None) -> list[Version]:
    """Return the active versions of one model or of all, newest first within a model."""
    state = read(project.root)
    names = [resolve(state, f"{name}@latest").model] if name else list(state.models)
    found = [v for model in names for v in reversed(state.model(model).versions.values())]
    return [version for version in found if version.active]


def show(project: Project, ref: str) -> tuple[Version, Manifest]:
    """Return a version and its manifest, verified against the tag."""
    from mlops.registry.verify import manifest_of

    version = resolve(read(project.root), ref)
    return version, manifest_of(project.root, version)[0]


def history(project: Project, name: str) -> list[Event]:
    """Return all that happened to a model, oldest first: the audit log."""
    state = read(project.root)
    return state.model(resolve(state, f"{name}@latest").model).events


def problems(project: Project, store: ReleaseStore | None = None) -> list[str]:
    """Return what is odd about tags and releases.

    The chain of digests is followed for the versions that are in a stage; of the others, which may
    be thousands, it is only asked whether the store has them.
    """
    from mlops.registry.store import FolderStore
    from mlops.registry.verify import fetch

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
