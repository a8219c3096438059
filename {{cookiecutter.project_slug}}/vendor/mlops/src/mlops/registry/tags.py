"""The registry as a replay of tags, in GTO's grammar; nothing else is stored.

One `git for-each-ref`, no heavy import: ten thousand versions in a fraction of a
second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mlops.errors import Refused, UsageError, did_you_mean, listed
from mlops.io.git import git

Kind = Literal["register", "deregister", "assign", "unassign", "deprecate"]

# Each may end in #N: always for assignments, where N counts up over all stages of a
# model.
FORMS: dict[Kind, str] = {
    "deprecate": "{model}@deprecated",
    "register": "{model}@{version}",
    "assign": "{model}#{stage}",
    "deregister": "{model}@{version}!",
    "unassign": "{model}#{stage}!",
}

_PARTS = {
    "model": "(?P<model>[a-z](?:[a-z0-9_]*[a-z0-9])?)",
    "version": r"(?P<version>v(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*))",
    "stage": "(?P<stage>[A-Za-z0-9](?:[A-Za-z0-9/_-]*[A-Za-z0-9])?)",
}

_GRAMMAR = {
    kind: re.compile(form.format(**_PARTS) + r"(?:#(?P<counter>\d{1,9}))?", re.ASCII)
    for kind, form in FORMS.items()
}

_TRAILER = re.compile(r"^\s*([A-Z][A-Za-z0-9-]*): (.*)$", re.MULTILINE)

FIELDS = (
    "%(refname:strip=2)%00%(objectname)%00%(*objectname)%00%(*objecttype)%00"
    "%(taggername)%00%(taggerdate:unix)%00%(contents:subject)%00%(contents:body)%00"
)


class Event(NamedTuple):
    """One tag: what happened to which model, when, by whom.

    Attributes
    ----------
    oid : str
        The tag object.
    commit : str
        What it points to.
    time : int
        Seconds since 1970.
    text : str
        The tag's message.
    """

    kind: Kind
    model: str
    version: str | None
    stage: str | None
    counter: int | None
    tag: str = ""
    oid: str = ""
    commit: str = ""
    time: int = 0
    tagger: str = ""
    text: str = ""

    @property
    def trailers(self) -> dict[str, str]:
        """The last paragraph of the message: Actor, Approver, Reason, Run, others."""
        last = self.text.strip().rpartition("\n\n")[2]
        return {key: text.strip() for key, text in _TRAILER.findall(last)}

    @property
    def decision(self) -> str:
        """What was decided: the kind, or ``reject``, which is no kind of GTO's."""
        if self.kind == "unassign" and self.trailers.get("Decision") == "reject":
            return "reject"
        return self.kind

    @property
    def actor(self) -> str:
        """Who did it, as the trailer says; for foreign tags the tagger."""
        return self.trailers.get("Actor") or self.tagger


@dataclass(slots=True)
class Version:
    """A registered version.

    Attributes
    ----------
    active : bool
        False where it was withdrawn.
    stages : tuple of str
        Where it serves.
    """

    model: str
    number: str
    event: Event
    active: bool = True
    stages: tuple[str, ...] = ()

    @property
    def commit(self) -> str:
        """The commit that the version is."""
        return self.event.commit

    @property
    def ref(self) -> str:
        """The name that resolves to this version."""
        return f"{self.model}@{self.number}"

    @property
    def manifest_sha256(self) -> str | None:
        """The digest that the tag names.

        None for a tag that this engine did not write.
        """
        return self.event.trailers.get("Manifest-SHA256")


@dataclass(slots=True)
class ModelState:
    """All that the tags say of one model.

    Attributes
    ----------
    versions : dict of str to Version
        By number.
    events : list of Event
        By time.
    stages : dict of str to Version
        Which version is in a stage.
    unresolved : dict of str to str
        The stages of which nobody can say with certainty what is in them, and why.
    trails : dict of str to list of Event
        What was assigned to each stage and not taken back; the last active one is in
        it.
    removed : dict of (str, str) to Event
        By stage and version, the event that took a version out, or keeps it out.
    commits : dict of str to str
        The version that a commit is.
    dangling : list of Event
        Assignments of commits that are no version when it happens.
    lost : int
        The highest number that a tag of this model must have had and none has; 0 where
        no tag is missing.
    """

    name: str
    versions: dict[str, Version] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    stages: dict[str, Version] = field(default_factory=dict)
    unresolved: dict[str, str] = field(default_factory=dict)
    trails: dict[str, list[Event]] = field(default_factory=dict)
    removed: dict[tuple[str, str], Event] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    dangling: list[Event] = field(default_factory=list)
    lost: int = 0
    deprecated: bool = False

    @property
    def latest(self) -> Version | None:
        """The highest version that was not withdrawn."""
        return next((v for v in reversed(self.versions.values()) if v.active), None)

    @property
    def counter(self) -> int:
        """The highest counter in use."""
        every = (*self.events, *self.dangling)
        return max((event.counter or 0 for event in every), default=0)

    def apply(self, event: Event) -> str | None:
        """Let one event happen; return the problem where it makes no sense."""
        if event.kind == "deprecate":
            self.deprecated = True
            self.events.append(event)
            return None
        number = event.version or self.commits.get(event.commit, "")
        if event.kind == "register":
            self.versions.setdefault(number, Version(self.name, number, event))
        version = self.versions.get(number)
        if version is None or version.commit != event.commit:
            if event.stage is not None:
                self.dangling.append(event)
                self._stage(event, event.stage)
            return "no such version of this model at this commit"
        if event.stage is not None:
            event = event._replace(version=number)
            self._stage(event, event.stage or "")
        else:
            version.active = event.kind == "register"
            self.commits.setdefault(event.commit, number)
        self.deprecated = False
        self.events.append(event)
        return None

    def _stage(self, event: Event, stage: str) -> None:
        """Assign a commit to a stage, or take it out."""
        trail = self.trails.setdefault(stage, [])
        key = (stage, event.version or "")
        if event.kind == "assign":
            trail.append(event)
            self.removed.pop(key, None)
        else:
            trail[:] = [held for held in trail if held.commit != event.commit]
            self.removed[key] = event

    def ever_in(self, stage: str) -> set[str | None]:
        """Return the versions that are or were in a stage."""
        return {
            event.version
            for event in self.events
            if event.kind == "assign" and event.stage == stage
        }

    def assignments(self, stage: str) -> Iterator[tuple[Event, Version | None]]:
        """Yield what a stage was given and not taken back, the last first.

        Withdrawn versions are passed over: that is recorded. The version is None where
        no tag names one at that commit.
        """
        for event in reversed(self.trails.get(stage, [])):
            version = self.versions.get(self.commits.get(event.commit, ""))
            if version is None or version.active:
                yield event, version

    def holder(self, stage: str, but: Version | None = None) -> Version | None:
        """Return the version that is in a stage, or would be without another one.

        None where there is none, and where that is unresolvable.
        """
        for _, version in self.assignments(stage):
            if version is None or version is not but:
                return version
        return None

    def before(self, stage: str) -> Version | None:
        """Return the version that was in a stage before the current one."""
        return self.holder(stage, but=self.stages.get(stage))

    def in_stage(self, stage: str) -> Version | None:
        """Return the version that is in a stage, None where nothing is.

        Raises
        ------
        Refused
            When the stage is unresolvable: never the version before instead.
        """
        problem = self.unresolved.get(stage)
        if problem is None and self._may_be_lost(stage):
            problem = self.loss
        if problem is not None:
            raise unresolvable(self.name, stage, problem)
        return self.stages.get(stage)

    @property
    def loss(self) -> str:
        """What is known of the tag that is missing."""
        return (
            f"the tag of {self.name} with the number #{self.lost} was deleted: it may "
            "have said what is in a stage"
        )

    def _may_be_lost(self, stage: str) -> bool:
        """Return whether a tag that is missing may be the last one of a stage."""
        counters = [
            event.counter or 0
            for event in (*self.events, *self.dangling)
            if event.stage == stage
        ]
        return self.lost > max(counters, default=0)

    def _lost(self, numbers: set[int]) -> int:
        """Return the highest number that no tag has and that one must have had.

        This engine gives each tag the next number, so that a tag which it wrote proves
        that the number before was in use. Tags made by hand prove nothing.
        """
        proven = [
            event.counter - 1
            for event in (*self.events, *self.dangling)
            if event.counter
            and event.counter > 1
            and event.counter - 1 not in numbers
            and "Actor" in event.trailers
        ]
        return max(proven, default=0)

    def settle(self, numbers: set[int]) -> None:
        """Work out which version is in each stage, when all events have happened.

        Parameters
        ----------
        numbers : set of int
            The numbers of all tags of this model, also of those that are ignored.
        """
        self.lost = self._lost(numbers)
        by_number = sorted(self.versions.items(), key=lambda item: version_key(item[0]))
        self.versions = dict(by_number)
        for stage in self.trails:
            event, version = next(self.assignments(stage), (None, None))
            if version is not None:
                self.stages[stage] = version
                version.stages += (stage,)
            elif event is not None:
                self.unresolved[stage] = (
                    f"{event.tag} was given to commit {event.commit[:12]}, and no "
                    "version has a tag there: it was deleted or moved"
                )
            if self.lost and self._may_be_lost(stage):
                self.unresolved[stage] = self.loss
                if version is not None:
                    self.doubt(stage, self.loss)

    def doubt(self, stage: str, problem: str) -> None:
        """Make a stage unresolvable, which a tag alone would have resolved."""
        version = self.stages.pop(stage, None)
        if version is not None:
            version.stages = tuple(other for other in version.stages if other != stage)
        self.unresolved[stage] = problem


@dataclass(slots=True)
class State:
    """The registry: models by name, and what was found that should not be there."""

    models: dict[str, ModelState] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def model(self, name: str) -> ModelState:
        """Return the state of a model; an empty one where nothing is registered yet."""
        return self.models.get(name) or ModelState(name)

    @property
    def unresolved(self) -> list[str]:
        """A line for each stage that cannot be resolved, and for each lost tag."""
        lines = []
        for model in self.models.values():
            for stage, problem in model.unresolved.items():
                lines.append(f"{model.name}@{stage} cannot be resolved: {problem}")
            if model.lost and not model.unresolved:
                lines.append(f"{model.name}: {model.loss}")
        return lines


def tag_name(kind: Kind, counter: int | None = None, **parts: str) -> str:
    """Return the tag for an event; `parts` are model, version and stage."""
    name = FORMS[kind].format(**parts)
    return name if counter is None else f"{name}#{counter}"


def parse(tag: str, *facts: Any) -> Event | None:
    """Return what a tag's name says, or None where it is not in the grammar.

    `facts` are what its object says: oid, commit, time, tagger and text of the event.
    """
    for kind, pattern in _GRAMMAR.items():
        match = pattern.fullmatch(tag)
        if match is None:
            continue
        parts = match.groupdict()
        counter = int(parts["counter"]) if parts["counter"] else None
        version = parts.get("version")
        stage = parts.get("stage")
        return Event(kind, parts["model"], version, stage, counter, tag, *facts)
    return None


def version_key(number: str) -> tuple[int, ...]:
    """Return what versions are sorted by: ``v1.10.0`` comes after ``v1.9.0``."""
    return tuple(map(int, number[1:].split(".")))


def read_registry(root: Path) -> State:
    """Read the registry of a repository from its tags, and ask who approved what."""
    from mlops.registry.approvals import doubt_unapproved

    cells = git(root, "for-each-ref", f"--format={FIELDS}", "refs/tags").split("\0")
    events = []
    foreign = []
    for start in range(0, len(cells) - 8, 8):
        row = cells[start : start + 8]
        name, oid, commit, kind, tagger, seconds, subject, body = row
        tag = name.lstrip("\n")
        text = f"{subject}\n\n{body}"
        event = parse(tag, oid, commit, int(seconds or 0), tagger, text)
        if event is None:
            foreign.append((tag, "is not in the grammar"))
        elif kind == "commit" and seconds:
            events.append(event)
        else:
            foreign.append((tag, "is not annotated"))
    state = replay(events, foreign)
    doubt_unapproved(root, state)
    return state


_RANK = {kind: rank for rank, kind in enumerate(FORMS)}


def _moment(event: Event) -> tuple[int, int, int, str]:
    """Return what events are sorted by."""
    return event.time, event.counter or 0, _RANK[event.kind], event.tag


def replay(events: Iterable[Event], foreign: Sequence[tuple[str, str]] = ()) -> State:
    """Return the state that events lead to.

    Parameters
    ----------
    events : iterable of Event
        In any order.
    foreign : sequence of (str, str)
        Tags that are no events, and why; those that mean a known model are reported.
    """
    models: dict[str, ModelState] = {}
    warnings = []
    every = sorted(events, key=_moment)
    numbers = _numbers(every, foreign)
    for event in every:
        if event.kind == "register" or _names_manifest(event):
            models.setdefault(event.model, ModelState(event.model))
        model = models.get(event.model)
        problem = "no version of this model is registered"
        if model is not None:
            problem = model.apply(event) or ""
        if problem:
            warnings.append(f"{event.tag}: {problem}; ignored")
    for model in models.values():
        model.settle(numbers.get(model.name, set()))
    for tag, reason in foreign:
        if re.search("[@#]", tag) and re.split("[@#]", tag)[0] in models:
            warnings.append(f"{tag}: {reason}; ignored")
    return State(dict(sorted(models.items())), tuple(warnings))


def _numbers(
    events: Iterable[Event], foreign: Sequence[tuple[str, str]]
) -> dict[str, set[int]]:
    """Return the numbers in use by model, also those of tags that say nothing."""
    numbers: dict[str, set[int]] = {}
    unread = (parse(tag) for tag, _ in foreign)
    for event in (*events, *filter(None, unread)):
        if event.counter:
            numbers.setdefault(event.model, set()).add(event.counter)
    return numbers


def _names_manifest(event: Event) -> bool:
    """Return whether an assignment is this engine's.

    The tag of the version that it was given to may be lost.
    """
    return event.kind == "assign" and "Manifest-SHA256" in event.trailers


def unresolvable(name: str, stage: str, problem: str) -> Refused:
    """Return the error for a stage of which nobody can say what is in it."""
    return Refused(
        f"{name}@{stage} cannot be resolved: {problem}",
        do="look at `mlops registry history` and `git ls-remote --tags origin`; bring "
        f"the tag back, or `mlops promote {name}@VERSION {stage} --override-rejection "
        "-m WHY`",
    )


def known(state: State, name: str) -> ModelState:
    """Return the state of a model of which something is registered."""
    model = state.models.get(name)
    if model is not None and (model.versions or model.unresolved):
        return model
    problem = "no version of this model is registered"
    raise _unknown(problem, name, name, list(state.models))


def resolve(state: State, ref: str) -> Version:
    """Return what ``NAME@v1.2.0``, ``NAME@STAGE`` or ``NAME@latest`` stands for.

    Raises
    ------
    UsageError
        When there is no such model, version or stage.
    Refused
        When the stage is unresolvable.
    """
    name, _, which = ref.replace("#", "@", 1).partition("@")
    model = known(state, name)
    version = model.latest if which == "latest" else model.versions.get(which)
    version = version or model.in_stage(which)
    if version is not None:
        return version
    problem = f"this does not say which version of `{name}`"
    if which:
        problem = (
            f"`{name}` has no version of this name, and none is in a stage of this name"
        )
    allowed = ["latest", *model.stages, *reversed(model.versions)]
    raise _unknown(problem, ref, which, allowed)


def _unknown(problem: str, requested: str, part: str, allowed: list[str]) -> UsageError:
    """Return the error for a name that the registry does not have."""
    advice = (
        "name MODEL@VERSION, MODEL@latest or MODEL@STAGE "
        "(`mlops promote` puts a version into one)"
    )
    return UsageError(
        problem,
        found=requested,
        allowed=listed(allowed) or "nothing is registered yet",
        do=did_you_mean(part, allowed) or advice,
    )
