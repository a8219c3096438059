"""Which versions can be pruned, and pruning them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime

from mlops.config.project import Project
from mlops.registry import tags
from mlops.registry.decisions import Assigned, Decision, TagWrite, write
from mlops.registry.tags import ModelState, State, Version
from mlops.storage.protocol import ReleaseStore

# -- pruning -------------------------------------------------------------------------------------


def candidates(
    model: ModelState, last: str, newest: int, since: datetime, there: list[str]
) -> list[Version]:
    """Return what may go of a model, oldest first.

    Never what is in a stage, would come back into one by a rollback, was in the `last` stage since
    then, or is among so many of the newest. `there` is what the store holds: of a version that
    was withdrawn already only the files are left to go.
    """
    left = _left(model, last)
    active = [version.number for version in model.versions.values() if version.active]
    stays = set(active[max(len(active) - newest, 0) :])
    for stage in model.trails:
        stays |= {v.number for v in (model.stages.get(stage), model.before(stage)) if v}
    return [
        version
        for number, version in model.versions.items()
        if number not in stays
        and left.get(number, -math.inf) < since.timestamp()
        and (version.active or number in there)
    ]


def prune(
    project: Project,
    name: str,
    newest: int,
    since: datetime,
    act: Decision,
    store: ReleaseStore,
) -> Iterator[Version]:
    """Let what may go, go; yields each version when its files are gone."""
    there, last = store.list(name), project.spec.stages[-1].name

    def decide(state: State) -> tuple[Assigned, list[TagWrite]]:
        model = tags.known(state, name)
        gone = [v for v in candidates(model, last, newest, since, there) if v.active]
        steps = [TagWrite("deregister", v, f"Withdraw {v.ref}: pruned") for v in gone]
        return Assigned(next(iter(model.versions.values()))), steps

    write(project, act, decide)
    model = tags.known(tags.read(project.root), name)
    for version in candidates(model, last, newest, since, there):
        if not version.active:
            store.remove(name, version.number)
            yield version


def _left(model: ModelState, stage: str) -> dict[str, float]:
    """Return when each version that was in a stage left it for the last time; never: infinity."""
    past, out = ModelState(model.name), dict[str, float]()
    for event in model.events:
        before = past.holder(stage)
        past.apply(event)
        if before and past.holder(stage) is not before:
            out[before.number] = event.time
    present = past.holder(stage)
    return out | ({present.number: math.inf} if present else {})
