"""Which versions can be pruned, and pruning them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from datetime import datetime

from mlops.config.project import Project
from mlops.registry import tags
from mlops.registry.anchors import refreshed_from
from mlops.registry.decisions import (
    Assigned,
    Decision,
    TagWrite,
    guard,
    require_listed_approver,
    require_signature,
    write,
)
from mlops.registry.tags import ModelState, State, Version
from mlops.storage.protocol import ReleaseStore


def candidates(
    model: ModelState,
    last: str,
    newest: int,
    since: datetime,
    stored: list[str],
    anchors: Collection[str] = (),
) -> list[Version]:
    """Return the versions of a model that can be pruned, oldest first.

    Never what is in a stage, would come back into one by a rollback, was in the `last`
    stage since then, or is among so many of the newest. Nothing at all while nobody can
    say what is in a stage.

    Parameters
    ----------
    stored : list of str
        What the store holds: of a version that was withdrawn already only the files are
        left.
    anchors : collection of str
        Versions that refreshes are measured by: as long as those are in a stage, they
        are needed too.
    """
    if model.unresolved:
        return []
    left = _left(model, last)
    active = [version.number for version in model.versions.values() if version.active]
    retained = set(active[max(len(active) - newest, 0) :])
    retained |= set(anchors)
    for stage in model.trails:
        for version in (model.stages.get(stage), model.before(stage)):
            if version is not None:
                retained.add(version.number)
    return [
        version
        for number, version in model.versions.items()
        if number not in retained
        and left.get(number, -math.inf) < since.timestamp()
        and (version.active or number in stored)
    ]


def prune(
    project: Project,
    name: str,
    newest: int,
    since: datetime,
    by: Decision,
    store: ReleaseStore,
) -> Iterator[Version]:
    """Withdraw the candidates by tags, then remove their files.

    Yields each removed version.

    Killed anywhere, the next call resumes.
    """
    require_signature(project, guard(project, name), name, by)
    stored = store.list(
        name, tags.known(tags.read_registry(project.root), name).versions
    )
    last = project.spec.stages[-1].name

    def decide(state: State) -> tuple[Assigned, list[TagWrite]]:
        model = tags.known(state, name)
        pruned = {"Decision": "prune"}
        guarded = guard(project, name) is not None
        steps = []
        anchors = _anchors(project, model)
        for version in candidates(model, last, newest, since, stored, anchors):
            if version.active:
                title = f"Withdraw {version.ref}: pruned"
                steps.append(
                    TagWrite("deregister", version, title, None, pruned, guarded)
                )
        for step in steps:
            require_listed_approver(project, step.version, by.decider)
        return Assigned(next(iter(model.versions.values()))), steps

    write(project, by, decide)
    model = tags.known(tags.read_registry(project.root), name)
    anchors = _anchors(project, model)
    for version in candidates(model, last, newest, since, stored, anchors):
        if not version.active:
            store.remove(name, version.number)
            yield version


def _anchors(project: Project, model: ModelState) -> set[str]:
    """Return the anchors of what is in a stage, or would come back into one."""
    found = set[str]()
    for stage in model.trails:
        for version in (model.stages.get(stage), model.before(stage)):
            if version is not None:
                line = refreshed_from(project.root, model, version.number)
                found.update(line[1:])
    return found


def _left(model: ModelState, stage: str) -> dict[str, float]:
    """Return when each version that was in a stage left it for the last time.

    Never: infinity.
    """
    past = ModelState(model.name)
    left = dict[str, float]()
    for event in model.events:
        before = past.holder(stage)
        past.apply(event)
        if before is not None and past.holder(stage) is not before:
            left[before.number] = event.time
    present = past.holder(stage)
    if present is not None:
        left[present.number] = math.inf
    return left
