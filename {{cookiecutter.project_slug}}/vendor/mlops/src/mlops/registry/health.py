"""What is wrong in the registry, for `mlops doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.config.project import Project
from mlops.errors import MlopsError, listed
from mlops.registry.approvals import unexplained
from mlops.registry.local_tags import local_only
from mlops.registry.tags import ModelState, read

if TYPE_CHECKING:
    from mlops.storage.protocol import ReleaseStore


def problems(project: Project, store: ReleaseStore | None = None) -> list[str]:
    """Return what is wrong with tags and releases, a line each.

    The chain of digests is followed for the versions that are in a stage; of the
    others, which may be thousands, it is only asked whether the store has them.
    """
    from mlops.storage.folder import FolderStore

    state = read(project.root)
    releases = store or FolderStore(project.store)
    messages = [*state.warnings, *state.unresolved]
    tags = local_only(project.root)
    if tags.conflicting:
        messages.append(
            f"origin has other tags of these names: {listed(tags.conflicting)};"
            " see `mlops registry adopt`"
        )
    if tags.missing:
        messages.append(
            f"origin does not have {listed(tags.missing)}; see `mlops registry adopt`"
        )
    for model in state.models.values():
        messages += unexplained(project.root, model).values()
        messages += _versions(project, model, releases)
    return messages


def _versions(project: Project, model: ModelState, store: ReleaseStore) -> list[str]:
    """Return what is wrong with the versions of a model."""
    from mlops.registry.chain import fetch

    messages = []
    releases = set(store.list(model.name, model.versions))
    for version in model.versions.values():
        if version.stages:
            try:
                fetch(project, version.ref, store)
            except MlopsError as error:
                messages.append(f"{version.ref}: {error.problems[0].what}")
        elif version.active and version.number not in releases:
            messages.append(f"{version.ref}: the release store does not hold it")
    return messages
