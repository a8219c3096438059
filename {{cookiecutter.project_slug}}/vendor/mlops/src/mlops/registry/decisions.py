"""Decisions about versions, each one atomic push of tags.

A decision is one or two tags, written together or not at all; they say who, why and
when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops.config.approvers import same_person
from mlops.config.project import Project
from mlops.config.project_spec import Stage
from mlops.errors import Refused, UsageError, listed
from mlops.io import git_objects
from mlops.io.git import head, require_repository
from mlops.registry import branch, tag_writes, tags
from mlops.registry.approvals import (
    POLICY,
    is_signed,
    unapproved,
    unproven,
)
from mlops.registry.chain import fetch
from mlops.registry.demands import Subject, read_changes
from mlops.registry.manifest import Manifest, manifests
from mlops.registry.tags import Event, ModelState, State, Version
from mlops.storage.protocol import ReleaseStore


@dataclass(frozen=True)
class Decision:
    """Who decides, and why.

    Parameters
    ----------
    now : datetime
        With a time zone.
    approver : str, optional
        Who approves, where the stage names approvers; the actor unless given. On this
        machine it is a claim that the tag records; on GitHub the workflow passes who
        really approved.
    run : str, optional
        Id or address of the run that does it.
    sign : bool
        Sign with the SSH key of git's ``user.signingKey``: that of the approver.
    """

    actor: str
    reason: str
    now: datetime
    approver: str | None = None
    run: str | None = None
    sign: bool = False

    @property
    def decider(self) -> str:
        """Who has to be one of a stage's approvers."""
        return self.approver or self.actor


@dataclass(frozen=True)
class Assigned:
    """The result; `created` is False where it was so already."""

    version: Version
    stage: str = ""
    created: bool = False
    replaced: Version | None = None


@dataclass(frozen=True)
class TagWrite:
    """A tag to be written; `approved` where an approval was demanded."""

    kind: tags.Kind
    version: Version
    title: str
    stage: Stage | None = None
    trailers: Mapping[str, str | None] = field(default_factory=dict)
    approved: bool = False


Decide = Callable[[State], tuple[Assigned, list[TagWrite]]]


def promote(
    project: Project,
    ref: str,
    stage: str,
    *,
    store: ReleaseStore | None = None,
    override: bool = False,
    review: Callable[[Version], None] = lambda version: None,
    **decision: Any,
) -> Assigned:
    """Assign a version to a stage.

    Parameters
    ----------
    ref : str
        ``NAME@v1.2.0``, ``NAME@staging`` or ``NAME@latest``.
    override : bool
        Decide anew about a model that a person took out of this stage, or about a stage
        of which nobody can say what is in it.
    review : callable
        Is shown the version before anything is written, when all else is in order; what
        it raises ends the promotion.
    **decision
        As for `Decision`.

    Raises
    ------
    UsageError
        For a stage or version that does not exist.
    Refused
        When the version was never in the stage before, is not approved, was taken out
        of the stage by a person or withdrawn, or its chain of digests does not hold.
    """
    target = project.stage(stage)
    by = Decision(**decision)
    if override and not by.reason.strip():
        raise UsageError(
            "overriding a decision needs a reason",
            key="--override-rejection",
            do="add -m WHY",
        )

    require_signature(project, target, model_of(ref), by)

    def decide(state: State) -> tuple[Assigned, list[TagWrite]]:
        version = tags.resolve(state, ref)
        model = state.model(version.model)
        present = model.stages.get(stage) if override else model.in_stage(stage)
        if present is version and not _signs_anew(project.root, model, stage, by):
            return Assigned(version, stage), []
        _require_entry(project.root, target, model, version, override)
        overruled = _removal(project.root, model, version, stage) if override else None
        require_stage_approver(project, stage, version, by.decider)
        fetch(project, version.ref, store, whole=True)
        review(version)
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
    **decision: Any,
) -> Assigned:
    """Assign the version that was in the stage before.

    Again, and it is the one before that.

    The present one leaves the stage, and does not come back by itself. Whether the
    version was in the stage that comes first is not asked again: it was when it first
    came.
    """
    target = project.stage(stage)
    by = Decision(**decision)
    require_signature(project, target, name, by)

    def decide(state: State) -> tuple[Assigned, list[TagWrite]]:
        model = tags.known(state, name)
        present = model.in_stage(stage)
        before = model.before(stage)
        if present is None or before is None:
            raise Refused(
                f"no version of {name} was in {stage} before the current one",
                do=f"`mlops promote {name}@VERSION {stage}` sets any version",
            )
        require_stage_approver(project, stage, before, by.decider)
        leaves = _subject(present, target)
        _require_approver(project, target, leaves, None, by.decider)
        steps = [_back(project, target, model, present, before, store)]
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
    **decision: Any,
) -> Assigned:
    """Keep a version out of a stage.

    Where it is in it, the last approved one comes back.

    `promote` refuses it there, and in the stage that comes after, until it is decided
    anew.
    """
    target = project.stage(stage)
    by = Decision(**decision)
    require_signature(project, target, model_of(ref), by)

    def decide(state: State) -> tuple[Assigned, list[TagWrite]]:
        version = tags.resolve(state, ref)
        model = state.model(version.model)
        removal = model.removed.get((stage, version.number))
        if removal is not None and removal.decision == "reject":
            return Assigned(version, stage), []
        before = model.before(stage) if model.stages.get(stage) is version else None
        leaves = _subject(version, target)
        _require_approver(project, target, leaves, None, by.decider)
        if before is not None:
            require_stage_approver(project, stage, before, by.decider)
        steps = []
        if before is not None:
            steps.append(_back(project, target, model, version, before, store))
        title = f"Reject {version.ref} for {stage}"
        rejection = {"Decision": "reject"}
        steps.append(TagWrite("unassign", version, title, target, rejection))
        return Assigned(version, stage), steps

    return write(project, by, decide)


def withdraw(project: Project, ref: str, **decision: Any) -> Assigned:
    """Take a version back: nobody can use it any more.

    Its tag and manifest stay as a record.

    Where a stage names approvers, one of them has to approve.
    """
    by = Decision(**decision)
    name = model_of(ref)
    require_signature(project, guard(project, name), name, by)

    def decide(state: State) -> tuple[Assigned, list[TagWrite]]:
        version = tags.resolve(state, ref)
        if version.stages:
            out = f"`mlops reject {version.ref} {version.stages[0]}`"
            raise Refused(
                f"{version.ref} is in {listed(version.stages)}",
                do=f"`mlops rollback` or {out} first",
            )
        if not version.active:
            return Assigned(version), []
        guarded = require_listed_approver(project, version, by.decider)
        title = f"Withdraw {version.ref}"
        step = TagWrite("deregister", version, title, approved=guarded)
        return Assigned(version), [step]

    return write(project, by, decide)


def deprecate(project: Project, name: str, **decision: Any) -> Assigned:
    """Retire a model: nothing of it enters a stage until a new version is registered.

    Where a stage names approvers, one of them has to approve.
    """
    by = Decision(**decision)
    require_signature(project, guard(project, name), name, by)

    def decide(state: State) -> tuple[Assigned, list[TagWrite]]:
        model = tags.known(state, name)
        last = list(model.versions.values())[-1]
        if model.deprecated:
            return Assigned(last), []
        guarded = require_listed_approver(project, last, by.decider)
        step = TagWrite("deprecate", last, f"Retire {name}", approved=guarded)
        return Assigned(last), [step]

    return write(project, by, decide)


def write(project: Project, by: Decision, decide: Decide) -> Assigned:
    """Decide on the state of the registry and write the tags.

    Others first: decide again.

    All tags are about one model.
    """
    root = project.root
    require_repository(root)

    def attempt() -> Assigned | None:
        tag_writes.sync(root)
        state = tags.read_registry(root)
        outcome, steps = decide(state)
        if not steps:
            return outcome
        model = state.model(steps[0].version.model)
        events = [*model.events, *model.dangling]
        first = tag_writes.next_second(by.now, events)
        policy = branch.tip(root) if by.sign else head(root)
        make = tag_writes.ssh_signed_tag_object if by.sign else tag_writes.tag_object
        oids = {}
        made = []
        for position, (name, step) in enumerate(_named(model, steps)):
            env = git_objects.identity(root, by.actor, first + position)
            trailers = _trailers(project, by, step, policy)
            target = step.version.commit
            oids[name] = make(root, name, target, step.title, trailers, env)
            event = tags.parse(name, oids[name], target, first + position, "", "")
            if event is not None:
                made.append(event._replace(version=step.version.number))
        _require_proven(root, model, made)
        if not tag_writes.claim(root, oids):
            return None
        after = tags.read_registry(root).model(model.name)
        version = after.versions[outcome.version.number]
        return replace(outcome, version=version, created=True)

    return git_objects.retry(attempt)


def model_of(ref: str) -> str:
    """Return the name of the model in ``NAME@v1.2.0``."""
    return ref.partition("@")[0]


def require_signature(
    project: Project, stage: Stage | None, model: str, by: Decision
) -> None:
    """Raise Refused where a decision about a stage has to be signed, and this is not.

    What belongs to no stage is decided by approvers of the one that `guard` returns.
    """
    path = project.spec.allowed_signers
    if not path or stage is None or by.sign:
        return
    people = stage.approvers_for(model)
    if not people:
        return
    raise Refused(
        f"the approvers of {stage.name} have to sign, and this is not signed",
        file="project.yaml",
        key="allowed_signers",
        found=path,
        allowed=f"a signature by {listed(people)}",
        do="one of them runs the same command with --sign on their own machine, where "
        "their SSH key is",
    )


def _signs_anew(root: Path, model: ModelState, stage: str, by: Decision) -> bool:
    """Return whether a signature is new to the assignment that a stage has already."""
    if not by.sign:
        return False
    event, _ = next(model.assignments(stage))
    return not is_signed(root, event)


def _require_proven(root: Path, model: ModelState, made: list[Event]) -> None:
    """Raise Refused unless tags will count, judged as they will be when they are read.

    Asked where signatures are demanded; the tags are objects that no ref names yet.
    """
    problems = unproven(root, model, made)
    if problems:
        raise Refused(
            "this decision would not count, and was not written",
            found=listed(problems.values()),
            do="`git fetch origin`; look at allowed_signers on the default branch, and "
            "at `git config user.signingKey`",
        )


def _named(model: ModelState, steps: list[TagWrite]) -> Iterator[tuple[str, TagWrite]]:
    """Yield each step with the name of its tag.

    Counted for stages, and where that is taken.
    """
    counter = model.counter
    taken = {event.tag for event in model.events}
    for step in steps:
        stage = step.stage.name if step.stage else ""
        parts = {"model": model.name, "version": step.version.number, "stage": stage}
        name = tags.tag_name(step.kind, None, **parts)
        if step.stage or name in taken:
            counter += 1
            name = tags.tag_name(step.kind, counter, **parts)
        yield name, step


def _trailers(
    project: Project, by: Decision, step: TagWrite, policy: str | None
) -> tag_writes.Trailers:
    """Return what a tag says of a decision."""
    demanded = step.approved
    if step.stage is not None:
        people = _approvers(project, step.stage, _subject(step.version, step.stage))
        demanded = demanded or bool(people)
    return {
        "Actor": by.actor,
        "Approver": by.decider if demanded else by.approver,
        "Reason": by.reason,
        "Run": by.run,
        "Manifest-SHA256": step.version.manifest_sha256,
        **step.trailers,
        POLICY: policy,
        "At": by.now.astimezone(UTC).isoformat(timespec="seconds"),
    }


def _back(
    project: Project,
    stage: Stage,
    model: ModelState,
    present: Version,
    before: Version,
    store: ReleaseStore | None,
) -> TagWrite:
    """Return the step that puts the version back that was in a stage before."""
    _require_approved(project.root, model, stage, before)
    fetch(project, before.ref, store, whole=True)
    title = f"Roll back {before.model} to {before.number} in {stage.name}"
    return TagWrite("assign", before, title, stage, {"Rollback": present.number})


def _require_approved(
    root: Path, model: ModelState, stage: Stage, before: Version
) -> None:
    """Raise Refused unless a version was approved for the stage once."""
    entries = _entries(model, stage.name, before)
    problems = unapproved(root, model, entries)
    if len(problems) == len(entries):
        raise Refused(
            f"{before.ref} was never put into {stage.name} with a valid approval",
            found=listed(problems.values()),
            do=f"`mlops promote {before.model}@VERSION {stage.name}` sets any version",
        )


def _entries(model: ModelState, stage: str, version: Version) -> list[Event]:
    """Return the events that put a version into a stage."""
    entry = ("assign", stage, version.number)
    return [e for e in model.events if (e.kind, e.stage, e.version) == entry]


def _require_entry(
    root: Path, stage: Stage, model: ModelState, version: Version, override: bool
) -> None:
    """Raise Refused unless the version may come into the stage."""
    if model.deprecated:
        raise Refused(f"{model.name} is retired", do="register a new version first")
    places = [stage.after, None if override else stage.name]
    for name in filter(None, places):
        if removal := _removal(root, model, version, name):
            raise _taken_out(version, name, removal)
    if stage.after is None:
        return
    entries = _entries(model, stage.after, version)
    if len(unapproved(root, model, entries)) == len(entries):
        raise Refused(
            f"{version.ref} was never in {stage.after}, which comes before "
            f"{stage.name}",
            file="project.yaml",
            key=f"stages.{stage.name}.after",
            do=f"`mlops promote {version.ref} {stage.after}` first",
        )


def awaits_approval(root: Path, ref: str, stage: Stage) -> bool:
    """Return whether a version will come into a stage once somebody approves it.

    It does not wait where the stage names no approvers for its model, where it was in
    the stage before or was taken out of it, and where a newer version is in the stage.
    """
    if not stage.approvers_for(model_of(ref)):
        return False
    state = tags.read_registry(root)
    version = tags.resolve(state, ref)
    model = state.model(version.model)
    decided = version.number in model.ever_in(stage.name)
    if decided or (stage.name, version.number) in model.removed:
        return False
    holder = model.stages.get(stage.name)
    if holder is None:
        return True
    return tags.version_key(holder.number) < tags.version_key(version.number)


def _taken_out(version: Version, stage: str, removal: Event) -> Refused:
    """Return the error for a version that a person took out of a stage."""
    same = ""
    if removal.version != version.number:
        same = f", which is the same model as {removal.version},"
    act = "rejected for" if removal.decision == "reject" else "taken out of"
    return Refused(
        f"{version.ref}{same} was {act} {stage} by {removal.actor}",
        found=removal.trailers.get("Reason", ""),
        do=f"`mlops promote {version.ref} {stage} --override-rejection -m WHY` decides "
        "anew",
    )


def _removal(
    root: Path, model: ModelState, version: Version, stage: str
) -> Event | None:
    """Return the event that took this version, or the same model, out of a stage.

    A model is known by its bytes: registered again, under another number, it is still
    the one that was taken out.
    """
    removed = {
        number: event
        for (left, number), event in model.removed.items()
        if left == stage and number
    }
    if version.number in removed:
        return removed[version.number]
    others = [model.versions[number] for number in removed]
    by_number = dict(manifests(root, [version, *others])) if others else {}
    mine = by_number.pop(version.number, None)
    for number, manifest in by_number.items():
        if not isinstance(mine, Manifest) or not isinstance(manifest, Manifest):
            continue
        event = removed[number]
        if mine.fingerprint == manifest.fingerprint and not _overruled(
            model, version, event
        ):
            return event
    return None


def _overruled(model: ModelState, version: Version, removal: Event) -> bool:
    """Return whether a version came into a stage after the removal."""
    entry = ("assign", removal.stage, version.number)
    return any(
        event.time > removal.time and (event.kind, event.stage, event.version) == entry
        for event in model.events
    )


def _require_approver(
    project: Project,
    stage: Stage,
    subject: Subject,
    author: str | None,
    approver: str,
) -> None:
    """Raise Refused unless a listed person approves who is not the author."""
    people = _approvers(project, stage, subject)
    others = list(people)
    if author:
        others = [one for one in others if not same_person(one, author)]
    if not people or any(same_person(one, approver) for one in others):
        return
    now = stage.demand(subject.model)
    of = f" {subject.model}" if now.narrow else ""
    problem = f"this person may not approve{of} for {stage.name}"
    if author and same_person(approver, author):
        problem = "nobody approves a version that they registered"
    elif any(same_person(one, approver) for one in now.handles):
        problem = (
            "this person became an approver by the change that made the version, which "
            "needs the approval of somebody who was one before"
        )
    raise Refused(
        problem,
        file="project.yaml",
        key=_list_of(stage, subject.model),
        found=approver,
        allowed=listed(others) or "nobody else is listed",
        do="name one of them with --approver, or empty the list where one person works "
        "alone",
    )


def _approvers(project: Project, stage: Stage, subject: Subject) -> tuple[str, ...]:
    """Return who may approve, as the decision will be judged when it is read.

    Whom the change of the version itself has listed is left out.
    """
    change = read_changes(project.root, [subject])[0]
    people = change.counting(stage.demand(subject.model))
    if people is None:
        raise Refused(
            "it is not known who could approve before the change of this version",
            file="project.yaml",
            key=_list_of(stage, subject.model),
            do="`git fetch --unshallow origin`",
        )
    return people


def _list_of(stage: Stage, model: str) -> str:
    """Return the key of project.yaml that says who may approve a model."""
    narrow = stage.demand(model).narrow
    return f"stages.{stage.name}.{'approvers_of' if narrow else 'approvers'}"


def _subject(version: Version, stage: Stage) -> Subject:
    """Return what an approval of a version is about."""
    return Subject(version.model, stage.name, version.commit)


def guard(project: Project, model: str) -> Stage | None:
    """Return the last stage that names approvers for a model.

    They also decide what belongs to no stage.
    """
    named = [stage for stage in project.spec.stages if stage.approvers_for(model)]
    return named[-1] if named else None


def require_stage_approver(
    project: Project, stage: str, version: Version, approver: str
) -> None:
    """Raise Refused unless this person may approve a version for a stage."""
    target = project.stage(stage)
    subject = _subject(version, target)
    _require_approver(project, target, subject, version.event.actor, approver)


def require_listed_approver(project: Project, version: Version, approver: str) -> bool:
    """Return whether some stage names approvers for a version's model.

    Refused where none of them approves.
    """
    stage = guard(project, version.model)
    if stage is not None:
        _require_approver(project, stage, _subject(version, stage), None, approver)
    return stage is not None


def require_registrar(project: Project, model: str, approver: str) -> None:
    """Raise Refused unless an approver of the model decides to register what is new."""
    stage = guard(project, model)
    commit = head(project.root)
    if stage is not None and commit is not None:
        subject = Subject(model, stage.name, commit, registered=False)
        _require_approver(project, stage, subject, None, approver)
