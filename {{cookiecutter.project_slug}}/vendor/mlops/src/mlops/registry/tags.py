"""The grammar of tags (GTO's) and the registry as a replay of them; nothing else is stored.

One `git for-each-ref`, no heavy import: ten thousand versions in a fraction of a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mlops.errors import UsageError, did_you_mean, listed
from mlops.io.git import git

Kind = Literal["register", "deregister", "assign", "unassign", "deprecate"]

# Each may end in #N: always for assignments, where N counts up over all stages of a model.
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
        return {key: text.strip() for key, text in _TRAILER.findall(last)}

    @property
    def decision(self) -> str:
        """What was decided: the kind, or ``reject``, for which GTO has no tag of its own."""
        no = self.kind == "unassign" and self.trailers.get("Decision") == "reject"
        return "reject" if no else self.kind

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
    """All that the tags say of one model: versions by number, events by time.

    `trails` holds what was assigned to each stage and not taken back; the last active one is in it.
    `rejected` holds, by stage and version, the event that keeps a version out of a stage.
    """

    name: str
    versions: dict[str, Version] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    stages: dict[str, Version] = field(default_factory=dict)
    trails: dict[str, list[str]] = field(default_factory=dict)
    rejected: dict[tuple[str, str], Event] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    deprecated: bool = False

    @property
    def latest(self) -> Version | None:
        """The highest version that was not withdrawn."""
        return next((v for v in reversed(self.versions.values()) if v.active), None)

    @property
    def counter(self) -> int:
        """The highest counter in use."""
        return max((e.counter or 0 for e in self.events), default=0)

    def apply(self, event: Event) -> str | None:
        """Let one event happen; return why not where it makes no sense."""
        number = event.version or self.commits.get(event.commit, "")
        if event.kind == "register":
            self.versions.setdefault(number, Version(self.name, number, event))
        version = self.versions.get(number)
        if event.kind == "deprecate":
            pass
        elif version is None or version.commit != event.commit:
            return "no such version of this model at this commit"
        elif event.stage is None:
            version.active = event.kind == "register"
            self.commits.setdefault(event.commit, number)
        else:
            trail, place = (
                self.trails.setdefault(event.stage, []),
                (event.stage, number),
            )
            event = event._replace(version=number)
            if event.kind == "assign":
                trail.append(number)
                self.rejected.pop(place, None)
            else:
                trail[:] = [held for held in trail if held != number]
                if event.decision == "reject":
                    self.rejected[place] = event
        self.deprecated = event.kind == "deprecate"
        self.events.append(event)
        return None

    def ever_in(self, stage: str) -> set[str | None]:
        """Return the versions that are or were in a stage."""
        return {
            e.version for e in self.events if (e.kind, e.stage) == ("assign", stage)
        }

    def holder(self, stage: str, but: Version | None = None) -> Version | None:
        """Return the version that is in a stage, or would be without another one."""
        trail = (
            self.versions[number] for number in reversed(self.trails.get(stage, []))
        )
        return next(
            (version for version in trail if version.active and version is not but),
            None,
        )

    def before(self, stage: str) -> Version | None:
        """Return the version that was in a stage before the present one, repeats skipped."""
        return self.holder(stage, but=self.stages.get(stage))


@dataclass(slots=True)
class State:
    """The registry: models by name, and what was found that should not be there."""

    models: dict[str, ModelState] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def model(self, name: str) -> ModelState:
        """Return the state of a model; an empty one where nothing is registered yet."""
        return self.models.get(name) or ModelState(name)


def tag_name(kind: Kind, counter: int | None = None, **parts: str) -> str:
    """Return the tag for an event; `parts` are model, version and stage."""
    return FORMS[kind].format(**parts) + ("" if counter is None else f"#{counter}")


def parse(tag: str, *facts: Any) -> Event | None:
    """Return what a tag's name says, or None where it is not in the grammar.

    `facts` are what its object says: oid, commit, time, tagger and text of the event.
    """
    for kind, pattern in _GRAMMAR.items():
        if match := pattern.fullmatch(tag):
            found = match.groupdict()
            counter = int(found["counter"]) if found["counter"] else None
            version, stage = found.get("version"), found.get("stage")
            return Event(kind, match["model"], version, stage, counter, tag, *facts)
    return None


def version_key(number: str) -> tuple[int, ...]:
    """Return what versions are sorted by: ``v1.10.0`` comes after ``v1.9.0``."""
    return tuple(map(int, number[1:].split(".")))


def read(root: Path) -> State:
    """Read the registry of a repository from its tags."""
    cells = git(root, "for-each-ref", f"--format={FIELDS}", "refs/tags").split("\0")
    events, foreign = [], []
    for at in range(0, len(cells) - 8, 8):
        tag, oid, commit, kind, tagger, seconds, subject, body = cells[at : at + 8]
        tag, text = tag.lstrip("\n"), f"{subject}\n\n{body}"
        event = parse(tag, oid, commit, int(seconds or 0), tagger, text)
        if event and kind == "commit" and seconds:
            events.append(event)
        else:
            foreign.append(
                (tag, "is not annotated" if event else "is not in the grammar")
            )
    return replay(events, foreign)


def replay(events: Iterable[Event], foreign: Iterable[tuple[str, str]] = ()) -> State:
    """Return the state that events lead to, and report `foreign` tags that mean a known model."""
    models: dict[str, ModelState] = {}
    warnings = []
    rank = {kind: n for n, kind in enumerate(FORMS)}
    for event in sorted(
        events, key=lambda e: (e.time, e.counter or 0, rank[e.kind], e.tag)
    ):
        if event.kind == "register":
            models.setdefault(event.model, ModelState(event.model))
        model = models.get(event.model)
        odd = model.apply(event) if model else "no version of this model is registered"
        if odd:
            warnings.append(f"{event.tag}: {odd}; ignored")
    for model in models.values():
        model.versions = dict(
            sorted(model.versions.items(), key=lambda v: version_key(v[0]))
        )
        for stage in model.trails:
            if version := model.holder(stage):
                model.stages[stage] = version
                version.stages += (stage,)
    for tag, reason in foreign:
        if re.search("[@#]", tag) and re.split("[@#]", tag)[0] in models:
            warnings.append(f"{tag}: {reason}; ignored")
    return State(dict(sorted(models.items())), tuple(warnings))


def known(state: State, name: str) -> ModelState:
    """Return the state of a model of which something is registered."""
    if model := state.models.get(name):
        return model
    raise _unknown(
        "no version of this model is registered", name, name, list(state.models)
    )


def resolve(state: State, ref: str) -> Version:
    """Return the version that ``NAME@v1.2.0``, ``NAME@STAGE`` or ``NAME@latest`` stands for."""
    name, _, which = ref.replace("#", "@", 1).partition("@")
    model = known(state, name)
    found = model.latest if which == "latest" else None
    if found := found or model.stages.get(which) or model.versions.get(which):
        return found
    what = f"this does not say which version of `{name}`"
    if which:
        what = (
            f"`{name}` has no version of this name, and none is in a stage of this name"
        )
    raise _unknown(
        what, ref, which, ["latest", *model.stages, *reversed(model.versions)]
    )


def _unknown(what: str, found: str, part: str, allowed: list[str]) -> UsageError:
    do = "name MODEL@VERSION, MODEL@latest or MODEL@STAGE (`mlops promote` puts a version into one)"
    do = did_you_mean(part, allowed) or do
    shown = listed(allowed) or "nothing is registered yet"
    return UsageError(what, found=found, allowed=shown, do=do)
