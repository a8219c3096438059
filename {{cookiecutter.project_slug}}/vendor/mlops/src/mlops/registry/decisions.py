"""Decisions about versions, each one atomic push of tags.

Each decision is one or two tags, written together or not at all; the tag says who, why and when.
Pruning withdraws by tags first and removes files after: killed anywhere, the next call goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from mlops.config.project import Project
from mlops.config.project_spec import Stage
from mlops.errors import Refused, UsageError, listed
from mlops.io import git_objects
from mlops.io.git import require_repository
from mlops.registry import tag_writes, tags
from mlops.registry.chain import fetch
from mlops.registry.tags import ModelState, State, Version
from mlops.storage.protocol import ReleaseStore


@dataclass(frozen=True)
class Decision:
    """Who decides, and why.

    Parameters
    ----------
    now : datetime
        With a time zone.
    approver : str, optional
        Who says yes, where the stage names approvers; the actor unless given. On this machine it
        is a claim that the tag records; on GitHub the workflow passes who really approved.
    run : str, optional
        Id or address of the run that does it.
    """

    actor: str
    reason: str
    now: datetime
    approver: str | None = None
    run: str | None = None

    @property
    def decider(self) -> str:
        """Who has to be one of a stage's approvers."""
        return self.approver or self.actor


@dataclass(frozen=True)
class Assigned:
    """The answer: `created` is False where it was so already, `replaced` what left the stage."""

    version: Version
    stage: str = ""
    created: bool = False
    replaced: Version | None = None


@dataclass(frozen=True)
class TagWrite:
    """A tag to be written."""

    kind: tags.Kind
    version: Version
    title: str
    stage: Stage | None = None
    trailers: Mapping[str, str | None] = field(default_factory=dict)


Decide = Callable[[State], tuple[Assigned, list[TagWrite]]]


def promote(
    project: Project,
    ref: str,
    stage: str,
    *,
    store: ReleaseStore | None = None,
    again: bool = False,
    **act: Any,
) -> Assigned:
    """Assign a version to a stage.

    Parameters
    ----------
    ref : str
        ``NAME@v1.2.0``, ``NAME@staging`` or ``NAME@latest``.
    again : bool
        Decide anew about a version that was rejected for this stage.
    **act
        As for `Act`.

    Raises
    ------
    UsageError
        For a stage or version that does not exist.
    Refused
        When the version was never in the stage before, is not approved, was rejected or
        withdrawn, or its chain of digests does not hold.
    """
    target, by = project.stage(stage), Decision(**act)
    if again and not by.reason.strip():
        raise UsageError("who decides anew says why", key="--again", do="add -m WHY")

    def decide(state: State) -> tuple[Assigned, list[TagWrite]]:
        version = tags.resolve(state, ref)
        model = state.model(version.model)
        present = model.stages.get(stage)
        if present is version:
            return Assigned(version, stage), []
        overruled = model.rejected.get((stage, version.number)) if again else None
        _entry(target, model, version, again)
        _approval(target, version, by.decider)
        fetch(project, version.ref, store, whole=True)
        title = f"Promote {model.name} to {version.number} in {stage}"
        note = {"Overrules": overruled.tag if overruled else None}
        step = TagWrite("assign", version, title, target, note)
        return Assigned(version, stage, replaced=present), [step]

    return write(project, by, decide)


def rollback(
    project: Project,
    name: str,
    stage: str,
    *,
    store: ReleaseStore | None = None,
    **act: Any,
) -> Assigned:
    """Assign the version that was in the stage before; again, and it is the one before that.

    The present one leaves the stage. The stage's order is not asked again: the version met it when
    it first came.
    """
    target, by = project.stage(stage), Decision(**act)

    def decide(state: State) -> tuple[Assigned, list[TagWrite]]:
        model = tags.known(state, name)
        present, before = model.stages.get(stage), model.before(stage)
        if present is None or before is None:
            what = f"no version of {name} was in {stage} before the present one"
            do = f"`mlops promote {name}@VERSION {stage}` sets any version"
            raise Refused(what, do=do)
        _approval(target, before, by.decider)
        steps = _back(project, target, present, before, store)
        leaving = f"Take {present.ref} out of {stage}: rolled back to {before.number}"
        steps.append(TagWrite("unassign", present, leaving, target))
        return Assigned(before, stage, replaced=present), steps

    return write(project, by, decide)


def reject(
    project: Project,
    ref: str,
    stage: str,
    *,
    store: ReleaseStore | None = None,
    **act: Any,
) -> Assigned:
    """Keep a version out of a stage; where it is in it, the last approved one comes back.

    `promote` refuses it there, and in the stage that comes after, until it is decided anew.
    """
    target, by = project.stage(stage), Decision(**act)

    def decide(state: State) -> tuple[Assigned, list[TagWrite]]:
        version = tags.resolve(state, ref)
        model = state.model(version.model)
        if (stage, version.number) in model.rejected:
            return Assigned(version, stage), []
        before = model.before(stage) if model.stages.get(stage) is version else None
        _approval(target, before, by.decider)
        steps = _back(project, target, version, before, store) if before else []
        no = {"Decision": "reject"}
        steps.append(
            TagWrite(
                "unassign", version, f"Reject {version.ref} for {stage}", target, no
            )
        )
        return Assigned(version, stage), steps

    return write(project, by, decide)


def withdraw(project: Project, ref: str, **act: Any) -> Assigned:
    """Take a version back: nobody can use it any more; its tag and manifest stay as a record."""

    def decide(state: State) -> tuple[Assigned, list[TagWrite]]:
        version = tags.resolve(state, ref)
        if version.stages:
            do = f"`mlops rollback` or `mlops reject {version.ref} {version.stages[0]}` first"
            raise Refused(f"{version.ref} is in {listed(version.stages)}", do=do)
        step = TagWrite("deregister", version, f"Withdraw {version.ref}")
        return Assigned(version), [step] if version.active else []

    return write(project, Decision(**act), decide)


def deprecate(project: Project, name: str, **act: Any) -> Assigned:
    """Retire a model: nothing of it enters a stage until a new version is registered."""

    def decide(state: State) -> tuple[Assigned, list[TagWrite]]:
        model = tags.known(state, name)
        last = list(model.versions.values())[-1]
        step = TagWrite("deprecate", last, f"Retire {name}")
        return Assigned(last), [] if model.deprecated else [step]

    return write(project, Decision(**act), decide)


def write(project: Project, act: Decision, decide: Decide) -> Assigned:
    """Decide on the state of the registry and write the steps; others first: decide again.

    All steps are about one model.
    """
    root = project.root
    require_repository(root)

    def attempt() -> Assigned | None:
        tag_writes.sync(root)
        state = tags.read(root)
        answer, steps = decide(state)
        if not steps:
            return answer
        model = state.model(steps[0].version.model)
        first = tag_writes.next_second(act.now, model.events)
        oids = {}
        for at, (name, step) in enumerate(_named(model, steps)):
            env = git_objects.identity(root, act.actor, first + at)
            commit, said = step.version.commit, _trailers(act, step)
            oids[name] = tag_writes.tag_object(
                root, name, commit, step.title, said, env
            )
        if not tag_writes.claim(root, oids):
            return None
        after = tags.read(root).model(model.name)
        return replace(
            answer, version=after.versions[answer.version.number], created=True
        )

    return git_objects.retry(attempt)


def _named(model: ModelState, steps: list[TagWrite]) -> Iterator[tuple[str, TagWrite]]:
    """Yield each step with the name of its tag: counted for stages, and where that is taken."""
    counter, taken = model.counter, {event.tag for event in model.events}
    for step in steps:
        stage = step.stage.name if step.stage else ""
        parts = {"model": model.name, "version": step.version.number, "stage": stage}
        name = tags.tag_name(step.kind, None, **parts)
        if step.stage or name in taken:
            counter += 1
            name = tags.tag_name(step.kind, counter, **parts)
        yield name, step


def _trailers(act: Decision, step: TagWrite) -> tag_writes.Trailers:
    asked = step.stage and step.stage.approvers
    return {
        "Actor": act.actor,
        "Approver": act.decider if asked else act.approver,
        "Reason": act.reason,
        "Run": act.run,
        "Manifest-SHA256": step.version.manifest_sha256,
        **step.trailers,
        "At": act.now.astimezone(UTC).isoformat(timespec="seconds"),
    }


def _back(
    project: Project,
    stage: Stage,
    present: Version,
    before: Version,
    store: ReleaseStore | None,
) -> list[TagWrite]:
    """Return the step that puts the version back that was in a stage before."""
    fetch(project, before.ref, store, whole=True)
    title = f"Roll back {before.model} to {before.number} in {stage.name}"
    return [TagWrite("assign", before, title, stage, {"Rollback": present.number})]


def _entry(stage: Stage, model: ModelState, version: Version, again: bool) -> None:
    """Raise Refused unless the version may come into the stage."""
    if model.deprecated:
        raise Refused(f"{model.name} is retired", do="register a new version first")
    for place in (stage.after, None if again else stage.name):
        if place and (no := model.rejected.get((place, version.number))):
            what = f"{version.ref} was rejected for {place} by {no.actor}"
            do = f"`mlops promote {version.ref} {place} --again -m WHY` decides anew"
            raise Refused(what, found=no.trailers.get("Reason", ""), do=do)
    if stage.after and version.number not in model.ever_in(stage.after):
        what = (
            f"{version.ref} was never in {stage.after}, which comes before {stage.name}"
        )
        key, do = (
            f"stages.{stage.name}.after",
            f"`mlops promote {version.ref} {stage.after}` first",
        )
        raise Refused(what, file="project.yaml", key=key, do=do)


def _approval(stage: Stage, version: Version | None, approver: str) -> None:
    """Raise Refused unless somebody who may, and who did not register what comes, approves."""
    author = version.event.actor if version else None
    others = [
        one for one in stage.approvers if not author or not same_person(one, author)
    ]
    if not stage.approvers or any(same_person(handle, approver) for handle in others):
        return
    what = f"this person may not approve for {stage.name}"
    if author and same_person(approver, author):
        what = "nobody approves a version that they registered"
    key, allowed = (
        f"stages.{stage.name}.approvers",
        listed(others) or "nobody else is listed",
    )
    do = "name one of them with --approver, or empty the list where one person works alone"
    raise Refused(
        what, file="project.yaml", key=key, found=approver, allowed=allowed, do=do
    )


def same_person(one: str, other: str) -> bool:
    """Return whether two handles are one person: ``@Ana`` and ``ana`` are."""
    return one.strip().lstrip("@").casefold() == other.strip().lstrip("@").casefold()
