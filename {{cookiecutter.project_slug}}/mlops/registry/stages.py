"""Promotion and rollback: one tag that assigns a version to a stage, if it may come there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlops.errors import Refused, listed
from mlops.git import require_repository
from mlops.project import Project, Stage
from mlops.registry import objects, tags
from mlops.registry.store import ReleaseStore
from mlops.registry.tags import ModelState, Version
from mlops.registry.verify import fetch


@dataclass(frozen=True)
class Assigned:
    """The answer: `created` is False where the version was in the stage already."""

    version: Version
    stage: str
    created: bool
    replaced: Version | None = None


def promote(
    project: Project,
    ref: str,
    stage: str,
    *,
    actor: str,
    reason: str,
    now: datetime,
    approver: str | None = None,
    run: str | None = None,
    store: ReleaseStore | None = None,
    back: bool = False,
) -> Assigned:
    """Assign a version to a stage.

    Parameters
    ----------
    ref : str
        ``NAME@v1.2.0``, ``NAME@staging`` or ``NAME@latest``; only ``NAME`` with `back`.
    approver : str, optional
        Who says yes, where the stage names approvers; the actor unless given. Must be one of them
        and not the one who registered the version. On this machine it is a claim that the tag
        records; on GitHub the workflow passes who really approved.
    back : bool
        Assign the version that was there before, as `rollback` does.

    Raises
    ------
    UsageError
        For a stage or version that does not exist.
    Refused
        When the version was never in the stage before, is not approved, was withdrawn, or its
        chain of digests does not hold.
    """
    target, root = project.stage(stage), project.root
    require_repository(root)

    def attempt() -> Assigned | None:
        objects.sync(root)
        state = tags.read(root)
        version = _before(state.model(ref), stage) if back else tags.resolve(state, ref)
        model = state.model(version.model)
        present = model.stages.get(stage)
        if present is version:
            return Assigned(version, stage, created=False)
        if not back:
            _entry(target, model, version)
        _approval(target, version, approver or actor)
        fetch(project, version.ref, store, whole=True)
        tag = tags.tag_name("assign", model.counter + 1, model=model.name, stage=stage)
        title = f"{'Roll back' if back else 'Promote'} {model.name} to {version.number} in {stage}"
        trailers = {
            "Actor": actor,
            "Approver": approver or (actor if target.approvers else None),
            "Reason": reason,
            "Run": run,
            "Manifest-SHA256": version.manifest_sha256,
            "Rollback": present.number if back and present else None,
            "At": now.astimezone(UTC).isoformat(timespec="seconds"),
        }
        env = objects.identity(root, actor, objects.next_second(now, model.events))
        if not objects.tag(root, tag, version.commit, title, trailers, env):
            return None
        after = tags.read(root).model(model.name)
        return Assigned(after.versions[version.number], stage, True, present)

    return objects.retry(attempt)


def rollback(project: Project, name: str, stage: str, **act: Any) -> Assigned:
    """Assign the version that was in the stage before; again, and it is the one before that.

    `act` is as for `promote`: actor, reason, now and others. The stage's order is not asked again:
    the version met it when it first came.
    """
    return promote(project, name, stage, back=True, **act)


def _before(model: ModelState, stage: str) -> Version:
    """Return the version that a rollback goes to."""
    if before := model.before(stage):
        return before
    what = f"no version of {model.name} was in {stage} before the present one"
    do = f"`mlops promote {model.name}@VERSION {stage}` sets any version"
    raise Refused(what, do=do)


def _entry(stage: Stage, model: ModelState, version: Version) -> None:
    """Raise Refused unless the version may come into the stage."""
    if model.deprecated:
        raise Refused(f"{model.name} is retired", do="register a new version first")
    if stage.after and not model.was_in(stage.after, version.number):
        what = f"{version.ref} was never in {stage.after}, which comes before {stage.name}"
        key, do = f"stages.{stage.name}.after", f"`mlops promote {version.ref} {stage.after}` first"
        raise Refused(what, file="project.yaml", key=key, do=do)


def _approval(stage: Stage, version: Version, approver: str) -> None:
    """Raise Refused unless somebody who may, and who did not register it, approves."""
    author = version.event.actor
    others = [handle for handle in stage.approvers if not same_person(handle, author)]
    if not stage.approvers or any(same_person(handle, approver) for handle in others):
        return
    what = f"this person may not approve for {stage.name}"
    if same_person(approver, author):
        what = "nobody approves a version that they registered"
    key, allowed = f"stages.{stage.name}.approvers", listed(others) or "nobody else is listed"
    do = "name one of them with --approver, or empty the list where one person works alone"
    raise Refused(what, file="project.yaml", key=key, found=approver, allowed=allowed, do=do)


def same_person(one: str, other: str) -> bool:
    """Return whether two handles are one person: ``@Ana`` and ``ana`` are."""
    return one.strip().lstrip("@").casefold() == other.strip().lstrip("@").casefold()
