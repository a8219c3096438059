"""Registering a version: draft, upload, read back, tag (the commit point), publish.

Killed anywhere, the next call finishes what has a tag and resumes its own draft, whose
name is the digest of its manifest. Two calls at once get two versions, or the same one
where they bring the same model. A release holds the files that one run of this commit
left, and nothing drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlops import __version__
from mlops.config.project import Project
from mlops.errors import MlopsError, Refused, UsageError
from mlops.io import git_objects
from mlops.io.digests import sha256
from mlops.io.engine import engine_digest
from mlops.io.git import git, is_ancestor
from mlops.registry import sbom, tag_writes, tags
from mlops.registry.assets import WORKFLOWS, Built, ready
from mlops.registry.chain import same
from mlops.registry.decisions import Decision, require_registrar
from mlops.registry.manifest import (
    DATA_LOCK,
    MANIFEST,
    Code,
    Manifest,
    dump,
    manifest_of,
    manifests,
)
from mlops.registry.version_numbers import next_number
from mlops.results.training import Training
from mlops.storage.folder import FolderStore
from mlops.storage.protocol import Asset, ReleaseStore, asset_of


@dataclass(frozen=True)
class Registered:
    """The result; `created` is False where the version was there already."""

    version: tags.Version
    created: bool
    notes: tuple[str, ...] = ()


class Overtaken(Refused):
    """A version of a newer commit is registered already.

    Parameters
    ----------
    newer : str
        That version.
    """

    def __init__(self, newer: str) -> None:
        super().__init__(
            "a version of a newer commit exists",
            found=newer,
            do="nothing: what this run built is older",
        )
        self.newer = newer


def register(
    project: Project,
    name: str,
    *,
    store: ReleaseStore | None = None,
    decided: bool = False,
    override: bool = False,
    newest_only: bool = False,
    **decision: Any,
) -> Registered:
    """Make a version of what was built, if its verdict is to promote.

    Parameters
    ----------
    store : ReleaseStore, optional
        Default: the folder that project.yaml names.
    decided : bool
        A person decides to register, whatever the verdict is: one of the approvers,
        where any are named. The tag records who and why.
    override : bool
        Register the model of a withdrawn version again.
    newest_only : bool
        Register nothing where a version of a newer commit exists. It is looked for
        again in each attempt, so that of two runs at once the older never wins.
    **decision
        As for `Decision`: whoever is the actor may not approve the version later.

    Raises
    ------
    UsageError, Refused
        Where nothing was built, it does not match HEAD, the verdict is not to promote,
        or it is the model of a version that was withdrawn.
    Overtaken
        Where a version of a newer commit exists, and that counts.
    EnvironmentFailure
        When disk or network fail; the next call resumes.
    """
    by = Decision(**{"reason": "", **decision})
    for option, given in (("--decided", decided), ("--override-rejection", override)):
        if given and not by.reason.strip():
            raise UsageError(
                "overriding a decision needs a reason", key=option, do="add -m WHY"
            )
    if decided:
        require_registrar(project, name, by.decider)
    built = ready(project, name, decided)
    releases = store or FolderStore(project.store)

    def attempt() -> Registered | None:
        registration = _Registration(
            project, by, releases, built, override, newest_only
        )
        return _attempt(registration, name)

    return git_objects.retry(attempt)


@dataclass(frozen=True)
class _Registration:
    """What is registered, by whom and where."""

    project: Project
    by: Decision
    store: ReleaseStore
    built: Built
    override: bool
    newest_only: bool = False

    @property
    def overruled(self) -> bool:
        """Whether a person decided against the verdict."""
        return self.built.verdict.decision != "promote"


def _attempt(registration: _Registration, name: str) -> Registered | None:
    """Register on the present state of the registry.

    None where somebody else was faster.
    """
    root = registration.project.root
    built = registration.built
    releases = registration.store
    tag_writes.sync(root)
    model = tags.read_registry(root).model(name)
    last = model.latest
    previous = None
    content = b""
    if last is not None and last.manifest_sha256:
        previous, content = manifest_of(root, last)
        if registration.newest_only:
            newer = newer_version(root, last, built.commit)
            if newer:
                raise Overtaken(newer)
    created = True
    left = releases.drafts(name)
    if last and previous and previous.same_model(built.training):
        created = False
        draft = _Draft(releases, previous, content, built.files)
        tag_writes.claim(root, {last.event.tag: last.event.oid})
    else:
        withdrawn = _withdrawn(root, model, built.training)
        if withdrawn is not None and not registration.override:
            raise _same_as_withdrawn(name, withdrawn)
        manifest = _manifest(registration, model, previous)
        draft = _Draft(releases, manifest, dump(manifest), built.files)
        if not _tagged(registration, draft, model, withdrawn):
            return None
        releases.publish(name, draft.digest, manifest.version)
        left = [digest for digest in left if digest != draft.digest]
    model = tags.read_registry(root).model(name)
    _tidy(releases, model, left)
    notes = list(built.notes)
    if not git(root, "branch", "--show-current"):
        notes.append("HEAD is on no branch")
    number = draft.manifest.version
    if not created and not releases.holds(name, number):
        if built.assets == draft.manifest.assets:
            draft.fill()
            releases.publish(name, draft.digest, number)
        else:
            notes.append("the release store here does not hold it")
    return Registered(model.versions[number], created, tuple(notes))


def newer_version(root: Path, last: tags.Version | None, commit: str) -> str:
    """Return the last version where it is of a commit after this one, else nothing."""
    if last is None or not last.manifest_sha256:
        return ""
    theirs = manifest_of(root, last)[0].code.commit
    overtaken = commit != theirs and is_ancestor(root, commit, theirs)
    return last.ref if overtaken else ""


def _withdrawn(
    root: Path, model: tags.ModelState, training: Training
) -> tags.Event | None:
    """Return the event by which a person withdrew the very model that was trained."""
    events = {
        event.version: event for event in model.events if event.kind == "deregister"
    }
    withdrawn = [
        version
        for version in model.versions.values()
        if not version.active and not _pruned(events[version.number])
    ]
    for number, manifest in manifests(root, withdrawn):
        if isinstance(manifest, Manifest) and manifest.made_by(training):
            return events[number]
    return None


def _pruned(event: tags.Event) -> bool:
    """Return whether a version was withdrawn only to save space."""
    subject = event.text.strip().split("\n")[0]
    return event.trailers.get("Decision") == "prune" or subject.endswith(": pruned")


def _same_as_withdrawn(name: str, event: tags.Event) -> Refused:
    """Return the error for a model that was withdrawn under another number."""
    return Refused(
        f"this is the same model as {name}@{event.version}, which {event.actor} "
        "withdrew",
        found=event.trailers.get("Reason", ""),
        do=f"`mlops register {name} --override-rejection -m WHY` registers it all the "
        "same",
    )


@dataclass(frozen=True)
class _Draft:
    """A release on its way into a store; its name is the digest of its manifest."""

    store: ReleaseStore
    manifest: Manifest
    content: bytes
    files: dict[str, Path]

    @property
    def digest(self) -> str:
        """What the tag names."""
        return sha256(self.content)

    def fill(self) -> None:
        """Upload everything and compare what arrived.

        A store that reckons digests itself is asked for them, which takes no request
        more; what another one holds is read back.
        """
        name = self.manifest.model
        digest = self.digest
        self.store.draft(name, digest)
        with TemporaryDirectory() as folder:
            files = {**self.files, MANIFEST: Path(folder) / MANIFEST}
            files[MANIFEST].write_bytes(self.content)
            expected = {MANIFEST: asset_of([self.content]), **self.manifest.assets}
            for asset, facts in expected.items():
                self.store.upload(name, digest, asset, files[asset])
                arrived = self._arrived(f"draft-{digest}", asset, facts)
                same(arrived, facts, "upload → read back", f"{asset} of the draft")

    def _arrived(self, release: str, asset: str, facts: Asset) -> Asset:
        """Return what the store holds of a file that was uploaded."""
        name = self.manifest.model
        stated = self.store.digest(name, release, asset)
        if stated is not None:
            return facts.model_copy(update={"sha256": stated})
        return asset_of(self.store.read(name, release, asset), facts.size)


def _manifest(
    registration: _Registration, model: tags.ModelState, previous: Manifest | None
) -> Manifest:
    """Return the manifest of the version that comes next."""
    built = registration.built
    training = built.training
    evaluation = built.evaluation
    spec = registration.project.model(model.name)
    price = registration.project.spec.cost
    data = built.snapshot.model_copy(update={"columns": ()})
    number, change = next_number(model.versions, previous, training)
    slices = [
        part
        for part in evaluation.slices
        if part.metric and part.column not in spec.sensitive
    ]
    fairness = [part.model_copy(update={"groups": ()}) for part in evaluation.fairness]
    return Manifest(
        model=model.name,
        version=number,
        owner=spec.owner,
        risk=spec.risk,
        change=change,
        previous=model.latest.number if model.latest else None,
        signature=training.signature,
        metrics=evaluation.metrics,
        measured_on=evaluation.part,
        slices=tuple(slices),
        fairness=tuple(fairness),
        source=spec.data.source,
        columns={column.name: column.kind for column in built.snapshot.columns},
        sensitive=spec.sensitive,
        data=data,
        data_lock_sha256=sha256(dump(data)),
        code=Code(commit=built.commit, digest=training.code),
        environment=sbom.present(training.lock),
        engine=__version__,
        engine_sha256=engine_digest(),
        estimator=training.estimator,
        params=training.params,
        seed=training.seed,
        train_seconds=training.seconds,
        train_cost=round(training.seconds / 3600 * price.per_hour, 6),
        currency=price.currency,
        verdict=built.verdict,
        compiled=built.compilation,
        assets=built.assets,
        run=registration.by.run or "",
        actor=registration.by.actor,
    )


def _tagged(
    registration: _Registration,
    draft: _Draft,
    model: tags.ModelState,
    withdrawn: tags.Event | None,
) -> bool:
    """Upload a version and give it its tag.

    False where somebody else took the number.
    """
    root = registration.project.root
    store = draft.store
    manifest = draft.manifest
    name = model.name
    number = manifest.version
    if store.holds(name, number):
        raise Refused(
            "the release store holds this version and no tag names it: its tag was "
            "deleted",
            file=str(store),
            found=f"{name}@{number}",
            do="restore the tag (`git fetch --tags`), or remove that release yourself",
        )
    try:
        draft.fill()
    except MlopsError:
        store.discard(name, draft.digest)
        # Whoever took the number may have removed our draft.
        if number in tags.read_registry(root).model(name).versions:
            return False
        raise
    by = registration.by
    seconds = tag_writes.next_second(by.now, model.events)
    env = git_objects.identity(root, by.actor, seconds)
    folder = git(root, "rev-parse", "--show-prefix") + f"models/{name}"
    files: dict[str, bytes | str] = {
        f"{folder}/{MANIFEST}": draft.content,
        f"{folder}/{DATA_LOCK}": dump(manifest.data),
    }
    title = f"Register {name} {number}"
    parents = [manifest.code.commit]
    trailers = _trailers(registration, draft, withdrawn)
    tag = tags.tag_name("register", model=name, version=number)

    def claim(without: str | None) -> bool:
        commit = git_objects.commit(root, parents, files, title, env, without=without)
        oid = tag_writes.tag_object(root, tag, commit, title, trailers, env)
        return tag_writes.claim(root, {tag: oid})

    try:
        done = claim(WORKFLOWS)
    except tag_writes.WorkflowsRefused:
        # Leaving them out was taken for a change. As they are, they change nothing.
        done = claim(None)
    if not done:
        store.discard(name, draft.digest)
    return done


def _trailers(
    registration: _Registration, draft: _Draft, withdrawn: tags.Event | None
) -> tag_writes.Trailers:
    """Return what the tag of a version says."""
    by = registration.by
    manifest = draft.manifest
    trailers: tag_writes.Trailers = {
        "Actor": manifest.actor,
        "Reason": manifest.change,
        "Run": manifest.run,
        "Manifest-SHA256": draft.digest,
        "At": by.now.astimezone(UTC).isoformat(timespec="seconds"),
    }
    if registration.overruled:
        trailers["Verdict"] = manifest.verdict.decision
    if withdrawn is not None:
        trailers["Overrules"] = withdrawn.tag
    if registration.overruled or withdrawn is not None:
        trailers["Reason"] = by.reason
        trailers["Approver"] = by.decider
    return trailers


def _tidy(store: ReleaseStore, model: tags.ModelState, drafts: list[str]) -> None:
    """Publish the drafts that have a tag; remove those whose number is taken."""
    tagged = {
        version.manifest_sha256: version.number for version in model.versions.values()
    }
    for digest in drafts:
        if digest in tagged:
            store.publish(model.name, digest, tagged[digest])
            continue
        number = _number(store, model.name, f"draft-{digest}")
        if number is None or number in model.versions:
            store.discard(model.name, digest)


def _number(store: ReleaseStore, name: str, release: str) -> str | None:
    """Return the version that a draft wants to be.

    None where it died before it had a manifest.
    """
    try:
        content = b"".join(store.read(name, release, MANIFEST))
        return Manifest.parse(content, release).version
    except Refused:
        return None
