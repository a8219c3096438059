"""The grammar of tags (GTO's) and the registry as a replay of them; nothing else is stored.

Reading needs the standard library and one `git for-each-ref`, so that ten thousand versions are
listed in a fraction of a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from mlops.errors import Problem, UsageError, did_you_mean, listed
from mlops.git import git

Kind = Literal["register", "deregister", "assign", "unassign", "deprecate"]

# The whole grammar. Each form may end in #N; for assignments N is always there and counts up over
# all stages of a model, for the others it only tells a repetition from the first.
FORMS: dict[Kind, str] = {
    "register": "{model}@{version}",
    "assign": "{model}#{stage}",
    "deregister": "{model}@{version}!",
    "unassign": "{model}#{stage}!",
    "deprecate": "{model}@deprecated",
}
_PARTS = {
    "model": "(?P<model>[a-z](?:[a-z0-9_]*[a-z0-9])?)",
    "version": r"(?P<version>v(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*))",
    "stage": "(?P<stage>[A-Za-z0-9](?:[A-Za-z0-9/_-]*[A-Za-z0-9])?)",
}
_GRAMMAR = [
    (kind, re.compile(form.format(**_PARTS) + r"(?:#(?P<counter>\d{1,9}))?", re.ASCII))
    for kind, form in FORMS.items()
]
_ORDER = {kind: place for place, kind in enumerate(("deprecate", "register", *FORMS))}
_TRAILER = re.compile(r"([A-Z][A-Za-z0-9-]*): (.*)")


class Event(NamedTuple):
    """One tag: what happened to which model, when, by whom.

    `time` is in seconds since 1970, `oid` the tag object, `commit` what it points to.
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
        """What the last paragraph of the message says: Actor, Approver, Reason, Run and others."""
        last = self.text.strip().rpartition("\n\n")[2]
        lines = (_TRAILER.fullmatch(line.strip()) for line in last.split("\n"))
        return {line[1]: line[2].strip() for line in lines if line}

    @property
    def actor(self) -> str:
        """Who did it, as the trailer says; for foreign tags the tagger."""
        return self.trailers.get("Actor") or self.tagger


@dataclass(slots=True)
class Version:
    """A registered version; `stages` is where it serves now, `active` whether it may."""

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
        """The digest that the tag names; None for a tag that this engine did not write."""
        return self.event.trailers.get("Manifest-SHA256")


@dataclass(slots=True)
class ModelState:
    """All that the tags say of one model; versions by number, events by time."""

    name: str
    versions: dict[str, Version] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    stages: dict[str, Version] = field(default_factory=dict)
    trails: dict[str, list[str]] = field(default_factory=dict)
    deprecated: bool = False

    @property
    def latest(self) -> Version | None:
        """The highest version that was not withdrawn."""
        return next((v for v in reversed(self.versions.values()) if v.active), None)

    @property
    def counter(self) -> int:
        """The highest counter in use."""
        return max((e.counter or 0 for e in self.events), default=0)

    def was_in(self, stage: str, version: str) -> bool:
        """Return whether a version is or was in a stage."""
        return any(
            e.kind == "assign" and e.stage == stage and e.version == version for e in self.events
        )

    def before(self, stage: str) -> Version | None:
        """Return the version that was in a stage before the present one, repeats skipped."""
        now = self.stages.get(stage)
        for number in reversed(self.trails.get(stage, [])):
            version = self.versions[number]
            if version.active and version is not now:
                return version
        return None


@dataclass(slots=True)
class State:
    """The registry: models by name, and what was found that should not be there."""

    models: dict[str, ModelState] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def model(self, name: str) -> ModelState:
        """Return the state of a model; an empty one where nothing is registered yet."""
        return self.models.get(name) or ModelState(name)


def tag_name(
    kind: Kind,
    model: str,
    version: str | None = None,
    stage: str | None = None,
    counter: int | None = None,
) -> str:
    """Return the tag for an event."""
    name = FORMS[kind].format(model=model, version=version, stage=stage)
    return name if counter is None else f"{name}#{counter}"


def parse(tag: str) -> Event | None:
    """Return what a tag's name says, or None where it is not in the grammar."""
    for kind, pattern in _GRAMMAR:
        if match := pattern.fullmatch(tag):
            parts = match.groupdict()
            counter = int(parts["counter"]) if parts["counter"] else None
            return Event(
                kind, parts["model"], parts.get("version"), parts.get("stage"), counter, tag
            )
    return None


def version_key(number: str) -> tuple[int, ...]:
    """Return what versions are sorted by: ``v1.10.0`` comes after ``v1.9.0``."""
    return tuple(int(part) for part in number[1:].split("."))


_FORMAT = "%00".join(
    f"%({name})"
    for name in (
        "refname:strip=2",
        "objectname",
        "*objectname",
        "*objecttype",
        "taggername",
        "taggerdate:unix",
        "contents:subject",
        "contents:body",
    )
)


def read(root: Path) -> State:
    """Read the registry of a repository from its tags.

    Raises
    ------
    WorldError
        When git fails.
    """
    fields = git(root, "for-each-ref", f"--format={_FORMAT}%00", "refs/tags").split("\0")
    events, foreign = [], []
    for at in range(0, len(fields) - 8, 8):
        tag, oid, commit, kind, tagger, time, subject, body = fields[at : at + 8]
        tag = tag.lstrip("\n")
        event = parse(tag)
        if event is None or kind != "commit" or not time:
            reason = "is not in the grammar" if event is None else "is no annotated tag of a commit"
            foreign.append((tag, reason))
            continue
        text = f"{subject}\n\n{body}"
        events.append(
            event._replace(oid=oid, commit=commit, time=int(time), tagger=tagger, text=text)
        )
    return replay(events, foreign)


def replay(events: Iterable[Event], foreign: Iterable[tuple[str, str]] = ()) -> State:
    """Return the state that a set of events leads to, whatever order they are given in.

    Parameters
    ----------
    events : iterable of Event
    foreign : iterable of (tag, reason)
        Tags that are no events; those that look as if they meant one of the models are reported.
    """
    ordered = sorted(events, key=lambda e: (e.time, e.counter or 0, _ORDER[e.kind], e.tag))
    models: dict[str, ModelState] = {}
    warnings: list[str] = []
    by_commit: dict[tuple[str, str], Version] = {}
    for event in ordered:
        if event.kind == "register":
            model = models.setdefault(event.model, ModelState(event.model))
            number = str(event.version)
            known = model.versions.setdefault(number, Version(model.name, number, event))
            if known.commit == event.commit:
                by_commit.setdefault((model.name, event.commit), known)
            else:
                warnings.append(f"{event.tag}: {known.ref} is already another commit; ignored")
    holders: dict[tuple[str, str], dict[str, None]] = {}
    for event in ordered:
        warning = _apply(event, models, by_commit, holders)
        if warning:
            warnings.append(f"{event.tag}: {warning}; ignored")
    for model in models.values():
        model.versions = dict(sorted(model.versions.items(), key=lambda v: version_key(v[0])))
        for (name, stage), numbers in holders.items():
            if name == model.name:
                active = [n for n in numbers if model.versions[n].active]
                if active:
                    model.stages[stage] = version = model.versions[active[-1]]
                    version.stages = (*version.stages, stage)
    for tag, reason in foreign:
        if re.split("[@#]", tag)[0] in models and re.search("[@#]", tag):
            warnings.append(f"{tag}: {reason}; ignored")
    return State(dict(sorted(models.items())), tuple(warnings))


def _apply(
    event: Event,
    models: dict[str, ModelState],
    by_commit: dict[tuple[str, str], Version],
    holders: dict[tuple[str, str], dict[str, None]],
) -> str | None:
    """Let one event happen; return why not where it makes no sense.

    `holders` keeps, for each model and stage, the versions assigned and not unassigned since, in
    order. As in GTO the last one holds the stage, and taking it away gives it back to the one
    before.
    """
    model = models.get(event.model)
    if model is None:
        return "no version of this model is registered"
    if event.kind in ("register", "deregister"):
        known = model.versions.get(str(event.version))
        if known is None or known.commit != event.commit:
            return None if event.kind == "register" else "no such version at this commit"
        known.active = event.kind == "register"
    elif event.kind != "deprecate":
        version = by_commit.get((event.model, event.commit))
        if version is None:
            return "no version of this model is registered at its commit"
        event = event._replace(version=version.number)
        held = holders.setdefault((model.name, str(event.stage)), {})
        trail = model.trails.setdefault(str(event.stage), [])
        held.pop(version.number, None)
        if event.kind == "assign":
            held[version.number] = None
            _follow(trail, version.number, "\nRollback: " in event.text)
        elif trail and trail[-1] == version.number:
            trail.pop()
    model.deprecated = event.kind == "deprecate"
    model.events.append(event)
    return None


def _follow(trail: list[str], number: str, back: bool) -> None:
    """Add an assignment to the trail of a stage; a rollback shortens it instead.

    So that a second rollback goes one further back, and not forward to what was just withdrawn.
    """
    if back and number in trail:
        while trail[-1] != number:
            trail.pop()
    elif not trail or trail[-1] != number:
        trail.append(number)


def resolve(state: State, ref: str) -> Version:
    """Return the version that ``NAME@v1.2.0``, ``NAME@STAGE`` or ``NAME@latest`` stands for.

    Raises
    ------
    UsageError
        When there is none; says what there is.
    """
    name, mark, which = ref.replace("#", "@", 1).partition("@")
    model = state.models.get(name)
    if model is None or not mark:
        raise UsageError(
            Problem(
                "a version is named MODEL@VERSION, MODEL@STAGE or MODEL@latest"
                if not mark
                else "no version of this model is registered",
                found=ref,
                allowed=listed(state.models) or "nothing is registered yet",
                do=did_you_mean(name, state.models) if model is None else f"try `{name}@latest`",
            )
        )
    found = model.stages.get(which) or model.versions.get(which)
    if which == "latest":
        found = model.latest
    if found is None:
        allowed = ["latest", *model.stages, *reversed(model.versions)]
        raise UsageError(
            Problem(
                f"`{name}` has no such version, and no version is in a stage of that name",
                found=which,
                allowed=listed(allowed),
                do=did_you_mean(which, allowed),
            )
        )
    return found
