"""What is wrong in the registry, for `mlops doctor`."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, NamedTuple

from mlops.config.project import Project
from mlops.errors import MlopsError, Refused, counted, listed
from mlops.registry.approvals import unexplained
from mlops.registry.local_tags import local_only
from mlops.registry.tags import State, Version, read_registry

if TYPE_CHECKING:
    from mlops.registry.chain import Bundle
    from mlops.storage.protocol import ReleaseStore

# Releases that a far store does not list are asked for one by one: so many, and the
# others are counted. All jobs of a repository share a thousand requests an hour.
MOST_REQUESTS = 30


class Health(NamedTuple):
    """What is wrong with tags and releases, and what was not looked at, in lines."""

    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def problems(project: Project, store: ReleaseStore | None = None) -> list[str]:
    """Return what is wrong with tags and releases, a line each."""
    return list(health(project, store).problems)


def health(
    project: Project,
    store: ReleaseStore | None = None,
    names: Container[str] | None = None,
    most: int | None = MOST_REQUESTS,
) -> Health:
    """Return what is wrong with tags and releases, and what was not looked at.

    The registry is replayed once. The chain of digests is followed for the versions
    that are in a stage; of the others, which may be thousands, it is only asked whether
    the store has them.

    Parameters
    ----------
    names : container of str, optional
        Only these models; default: all.
    most : int, optional
        How many of the releases that the store does not list are asked for, those in
        the last stages first; None: all.
    """
    from mlops.storage.folder import FolderStore

    state = read_registry(project.root)
    if names is not None:
        chosen = {name: m for name, m in state.models.items() if name in names}
        state = State(chosen, state.warnings)
    messages = [*state.warnings, *state.unresolved, *_of_origin(project)]
    messages += unexplained(project.root, *state.models.values()).values()
    found = _releases(project, state, store or FolderStore(project.store), most)
    return Health((*messages, *found.problems), found.notes)


def _of_origin(project: Project) -> list[str]:
    """Return which tags are not at origin, or are others there."""
    messages = []
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
    return messages


def _releases(
    project: Project, state: State, store: ReleaseStore, most: int | None
) -> Health:
    """Return what is wrong with the releases, and how many were not looked at."""
    from mlops.registry.chain import bundles

    every = [v for model in state.models.values() for v in model.versions.values()]
    staged = _by_stage(project, every)
    stored = [version for version in every if version.active and not version.stages]
    listing = store.listing()
    unseen: list[Version] = []
    if not listing.whole and most is not None:
        unlisted = [v for v in (*staged, *stored) if v.ref not in listing.refs]
        unseen = unlisted[most:]
    left_out = {version.ref for version in unseen}
    messages = []
    looked_at = [version for version in staged if version.ref not in left_out]
    for version, bundle in bundles(project, state, looked_at, store):
        problem = _broken(bundle)
        if problem:
            messages.append(f"{version.ref}: {problem}")
    for version in stored:
        if version.ref in listing.refs or version.ref in left_out:
            continue
        if listing.whole or not store.holds(version.model, version.number):
            messages.append(f"{version.ref}: the release store does not hold it")
    return Health(tuple(messages), _not_looked_at(unseen))


def _by_stage(project: Project, versions: Iterable[Version]) -> list[Version]:
    """Return the versions that are in a stage, those in the last stages first."""
    order = [stage.name for stage in project.spec.stages]

    def last(version: Version) -> int:
        known = [stage for stage in version.stages if stage in order]
        return max(map(order.index, known), default=-1)

    staged = [version for version in versions if version.stages]
    return sorted(staged, key=last, reverse=True)


def _broken(bundle: Bundle | Refused) -> str:
    """Return what is wrong with a release; empty where its chain of digests holds."""
    if isinstance(bundle, Refused):
        return bundle.problems[0].what
    try:
        bundle.verify()
    except MlopsError as error:
        return error.problems[0].what
    return ""


def _not_looked_at(versions: list[Version]) -> tuple[str, ...]:
    """Return how many releases were not looked at, and what looks at them."""
    if not versions:
        return ()
    staged = sum(bool(version.stages) for version in versions)
    in_stages = f", {staged:,} of them in a stage" if staged else ""
    return (
        f"{counted(len(versions), 'older release')} not looked at{in_stages}: GitHub "
        "lists the newest thousand, and `mlops doctor --all` asks for each other one",
    )
