"""Promotion, rollback, withdrawal: each is one tag, and each checks its conditions first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mlops.errors import Problem, Refused
from mlops.git import require_repository
from mlops.project import Project, Stage
from mlops.registry import objects, tags
from mlops.registry.store import ReleaseStore
from mlops.registry.tags import ModelState, Version
from mlops.registry.verify import verified


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
    target = project.stage(stage)
    require_repository(project.root)
    for _ in objects.attempts():
        objects.sync(project.root)
        state = tags.read(project.root)
        version = _before(state.model(ref), stage) if back else tags.resolve(state, ref)
        model = state.model(version.model)
        present = model.stages.get(stage)
        if present is version:
            return Assigned(version, stage, created=False)
        if not back:
            _entry(target, model, version)
        _approval(target, version, approver or actor)
        verified(project, model, version, store)
        title = f"{'Roll back' if back else 'Promote'} {model.name} to {version.number} in {stage}"
        if _tag(
            project,
            model,
            tags.tag_name("assign", model.name, stage=stage, counter=model.counter + 1),
            version,
            title,
            now,
            Actor=actor,
            Approver=approver or (actor if target.approvers else None),
            Reason=reason,
            Run=run,
            Manifest_SHA256=version.manifest_sha256,
            Rollback=present.number if back and present else None,
        ):
            after = tags.read(project.root).model(model.name)
            return Assigned(after.versions[version.number], stage, True, present)
    raise objects.contended()


def rollback(
    project: Project,
    name: str,
    stage: str,
    *,
    actor: str,
    reason: str,
    now: datetime,
    approver: str | None = None,
    store: ReleaseStore | None = None,
) -> Assigned:
    """Assign the version that was in the stage before; again, and it is the one before that.

    The stage's order is not asked again: the version met it when it first came.

    Raises
    ------
    Refused
        When there was none before, it is not approved, or its chain of digests does not hold.
    """
    return promote(
        project,
        name,
        stage,
        actor=actor,
        reason=reason,
        now=now,
        approver=approver,
        store=store,
        back=True,
    )


def withdraw(
    project: Project, name: str, number: str | None, *, actor: str, reason: str, now: datetime
) -> str | None:
    """Withdraw a version, or (number None) retire the model; return the tag, None if done before.

    Raises
    ------
    UsageError
        When there is no such version.
    Refused
        When it is in a stage: roll back first.
    """
    require_repository(project.root)
    for _ in objects.attempts():
        objects.sync(project.root)
        state = tags.read(project.root)
        version = tags.resolve(state, f"{name}@{number or 'latest'}")
        model = state.model(name)
        what, kind = (version.ref, "deregister") if number else (name, "deprecate")
        if serving := version.stages if number else tuple(model.stages):
            raise Refused(
                Problem(
                    f"{what} serves in {', '.join(serving)}",
                    do=f"`mlops rollback {name} {serving[0]}`, or promote another version there",
                )
            )
        if model.deprecated if number is None else not version.active:
            return None
        tag = tags.tag_name(kind, name, version=number)  # type: ignore[arg-type]
        if any(event.tag == tag for event in model.events):
            tag += f"#{model.counter + 1}"
        if _tag(project, model, tag, version, f"Withdraw {what}", now, Actor=actor, Reason=reason):
            return tag
    raise objects.contended()


def _tag(
    project: Project,
    model: ModelState,
    tag: str,
    version: Version,
    title: str,
    now: datetime,
    **trailers: str | None,
) -> bool:
    """Write one tag on a version's commit; False where its name was just taken."""
    seconds = objects.next_second(now, model.events)
    env = objects.identity(project.root, trailers["Actor"] or "", seconds)
    at = now.astimezone(UTC).isoformat(timespec="seconds")
    message = objects.tag_message(title, **trailers, At=at)
    oid = objects.tag_object(project.root, tag, version.commit, message, env)
    return objects.claim(project.root, tag, oid)


def _before(model: ModelState, stage: str) -> Version:
    """Return the version that a rollback goes to."""
    if before := model.before(stage):
        return before
    raise Refused(
        Problem(
            f"no version of {model.name} was in {stage} before the present one",
            do=f"`mlops promote {model.name}@VERSION {stage}` sets any version",
        )
    )


def _entry(stage: Stage, model: ModelState, version: Version) -> None:
    """Raise Refused unless the version may come into the stage."""
    if model.deprecated:
        raise Refused(Problem(f"{model.name} is retired", do="register a new version first"))
    if stage.after and not model.was_in(stage.after, version.number):
        raise Refused(
            Problem(
                f"{version.ref} was never in {stage.after}, which comes before {stage.name}",
                file="project.yaml",
                key=f"stages.{stage.name}.after",
                do=f"`mlops promote {version.ref} {stage.after}` first",
            )
        )


def _approval(stage: Stage, version: Version, approver: str) -> None:
    """Raise Refused unless somebody who may, and who did not register it, approves."""
    author = version.event.actor
    others = [handle for handle in stage.approvers if not same_person(handle, author)]
    if not stage.approvers or any(same_person(handle, approver) for handle in others):
        return
    own = same_person(approver, author)
    what = f"this person may not approve for {stage.name}"
    raise Refused(
        Problem(
            "nobody approves a version that they registered" if own else what,
            file="project.yaml",
            key=f"stages.{stage.name}.approvers",
            found=approver,
            allowed=", ".join(others) or "nobody else is listed",
            do="name one of them with --approver, or empty the list where one person works alone",
        )
    )


def same_person(one: str, other: str) -> bool:
    """Return whether two handles are one person: ``@Ana`` and ``ana`` are."""
    return one.strip().lstrip("@").casefold() == other.strip().lstrip("@").casefold()
