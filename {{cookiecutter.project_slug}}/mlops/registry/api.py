"""What the command line asks the registry: short answers made of tags and manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.errors import MlopsError
from mlops.project import Project
from mlops.registry.tags import Event, Version, read, resolve

if TYPE_CHECKING:
    from mlops.registry.manifest import Manifest


def versions(project: Project, name: str | None = None) -> list[Version]:
    """Return the active versions of one model or of all, newest first within a model."""
    state = read(project.root)
    models = (
        [state.models[resolve(state, f"{name}@latest").model]] if name else state.models.values()
    )
    return [v for m in models for v in reversed(m.versions.values()) if v.active]


def show(project: Project, ref: str) -> tuple[Version, Manifest]:
    """Return a version and its manifest, verified against the tag."""
    from mlops.registry.verify import manifest_of

    version = resolve(read(project.root), ref)
    return version, manifest_of(project.root, version)[0]


def history(project: Project, name: str) -> list[Event]:
    """Return all that happened to a model, oldest first: the audit log."""
    state = read(project.root)
    return state.models[resolve(state, f"{name}@latest").model].events


def problems(project: Project) -> list[str]:
    """Return what is odd about the tags, and each active version whose chain does not hold."""
    from mlops.registry.verify import verified

    state = read(project.root)
    found = list(state.warnings)
    for model in state.models.values():
        for version in model.versions.values():
            if version.active:
                try:
                    verified(project, model, version)
                except MlopsError as error:
                    found.append(f"{version.ref}: {error.problems[0].what}")
    return found
