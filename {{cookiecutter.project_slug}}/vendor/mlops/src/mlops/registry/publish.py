"""Registering a version: draft, upload, read back, tag (the commit point), publish.

Killed anywhere, the next call finishes what has a tag and goes on with its own draft, whose name is
the digest of its manifest. Two calls at once get two versions, or the same one where they bring the
same model. A release holds the files that one run of this commit left, and nothing drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from mlops import __version__
from mlops.config.project import Project
from mlops.errors import MlopsError, Refused
from mlops.io import git_objects
from mlops.io.digests import sha256
from mlops.io.engine import engine_digest
from mlops.io.git import git
from mlops.registry import sbom, tag_writes, tags
from mlops.registry.assets import WORKFLOWS, Built, ready
from mlops.registry.chain import same
from mlops.registry.manifest import (
    DATA_LOCK,
    MANIFEST,
    Code,
    Manifest,
    dump,
    manifest_of,
)
from mlops.registry.version_numbers import next_number
from mlops.storage.folder import FolderStore
from mlops.storage.protocol import ReleaseStore, measure


@dataclass(frozen=True)
class Registered:
    """The answer of `register`: `created` is False where the version was there already."""

    version: tags.Version
    created: bool
    notes: tuple[str, ...] = ()


def register(
    project: Project,
    name: str,
    *,
    actor: str,
    run: str,
    now: datetime,
    store: ReleaseStore | None = None,
) -> Registered:
    """Make a version of what was built, if its verdict is to promote.

    Parameters
    ----------
    actor : str
        Who registers; nobody may approve a version that they registered themselves.
    run : str
        Id or address of the run that built it.
    now : datetime
        With a time zone.
    store : ReleaseStore, optional
        Default: the folder that project.yaml names.

    Raises
    ------
    UsageError, Refused
        Where nothing was built, not of what is committed, or the verdict says no.
    WorldError
        When disk or network fail; the next call goes on.
    """
    root, built = project.root, ready(project, name)
    releases = store or FolderStore(project.store)

    def attempt() -> Registered | None:
        tag_writes.sync(root)
        model = tags.read(root).model(name)
        last = model.latest
        before, content = (
            manifest_of(root, last) if last and last.manifest_sha256 else (None, b"")
        )
        if last and before and before.same_model(built.training):
            draft = _Draft(releases, before, content, built.files)
            tag_writes.claim(root, {last.event.tag: last.event.oid})
        else:
            manifest = _manifest(project, model, before, built, run, actor)
            draft = _Draft(releases, manifest, dump(manifest), built.files)
            if not _tagged(root, draft, model, now):
                return None
        model = tags.read(root).model(name)
        _tidy(releases, model)
        notes = list(built.notes)
        if not git(root, "branch", "--show-current"):
            notes.append("HEAD is on no branch")
        number = draft.manifest.version
        if number not in releases.list(name):
            if built.assets == draft.manifest.assets:
                draft.fill()
                releases.publish(name, draft.digest, number)
            else:
                notes.append("the release store here does not hold it")
        return Registered(
            model.versions[number], draft.manifest is not before, tuple(notes)
        )

    return git_objects.retry(attempt)


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
        """Upload everything and read it back."""
        name, digest = self.manifest.model, self.digest
        self.store.draft(name, digest)
        with TemporaryDirectory() as folder:
            files = {**self.files, MANIFEST: Path(folder) / MANIFEST}
            files[MANIFEST].write_bytes(self.content)
            expected = {MANIFEST: measure([self.content]), **self.manifest.assets}
            for asset, facts in expected.items():
                self.store.upload(name, digest, asset, files[asset])
                back = measure(
                    self.store.read(name, f"draft-{digest}", asset), facts.size
                )
                same(back, facts, "upload → read back", f"{asset} of the draft")


def _manifest(
    project: Project,
    model: tags.ModelState,
    previous: Manifest | None,
    built: Built,
    run: str,
    actor: str,
) -> Manifest:
    training, data = built.training, built.snapshot.model_copy(update={"columns": ()})
    spec, price, tests = project.model(model.name), project.spec.cost, built.evaluation
    number, change = next_number(model.versions, previous, training)
    return Manifest(
        model=model.name,
        version=number,
        owner=spec.owner,
        risk=spec.risk,
        change=change,
        previous=model.latest.number if model.latest else None,
        signature=training.signature,
        metrics=tests.metrics,
        slices=tuple(
            s for s in tests.slices if s.metric and s.column not in spec.sensitive
        ),
        fairness=tuple(f.model_copy(update={"groups": ()}) for f in tests.fairness),
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
        assets=built.assets,
        run=run,
        actor=actor,
    )


def _tagged(root: Path, draft: _Draft, model: tags.ModelState, now: datetime) -> bool:
    """Upload a version and give it its tag; False where somebody else took the number."""
    store, manifest, name = draft.store, draft.manifest, model.name
    number = manifest.version
    if number in store.list(name):
        what = "the release store holds this version and no tag names it: its tag was deleted"
        do = "bring the tag back (`git fetch --tags`), or remove that release yourself"
        raise Refused(what, file=str(store), found=f"{name}@{number}", do=do)
    try:
        draft.fill()
    except MlopsError:
        store.discard(name, draft.digest)
        if (
            number in tags.read(root).model(name).versions
        ):  # who took it may have tidied our draft
            return False
        raise
    env = git_objects.identity(
        root, manifest.actor, tag_writes.next_second(now, model.events)
    )
    folder = git(root, "rev-parse", "--show-prefix") + f"models/{name}"
    inside = {
        f"{folder}/{MANIFEST}": draft.content,
        f"{folder}/{DATA_LOCK}": dump(manifest.data),
    }
    title = f"Register {name} {number}"
    commit = git_objects.commit(
        root, [manifest.code.commit], inside, title, env, without=WORKFLOWS
    )
    trailers: tag_writes.Trailers = {
        "Actor": manifest.actor,
        "Reason": manifest.change,
        "Run": manifest.run,
        "Manifest-SHA256": draft.digest,
        "At": now.astimezone(UTC).isoformat(timespec="seconds"),
    }
    tag = tags.tag_name("register", model=name, version=number)
    oid = tag_writes.tag_object(root, tag, commit, title, trailers, env)
    done = tag_writes.claim(root, {tag: oid})
    if not done:
        store.discard(name, draft.digest)
    return done


def _tidy(store: ReleaseStore, model: tags.ModelState) -> None:
    """Publish the drafts that have a tag, and remove those whose number another one took."""
    tagged = {v.manifest_sha256: v.number for v in model.versions.values()}
    for release in store.list(model.name):
        digest = release.removeprefix("draft-")
        if digest in tagged:
            store.publish(model.name, digest, tagged[digest])
        elif digest != release and _number(store, model.name, release) in (
            None,
            *model.versions,
        ):
            store.discard(model.name, digest)


def _number(store: ReleaseStore, name: str, release: str) -> str | None:
    """Return the version that a draft wants to be; None where it died before it had a manifest."""
    try:
        content = b"".join(store.read(name, release, MANIFEST))
        return Manifest.parse(content, release).version
    except Refused:
        return None
