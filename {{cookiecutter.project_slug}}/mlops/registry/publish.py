"""Registering a version: draft, upload, read back, tag (the commit point), publish.

Killed anywhere, the next call finishes what has a tag and removes what has none. Two calls at once
get two versions, or the same one where they bring the same model.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from mlops.errors import MlopsError, Problem, Refused
from mlops.files import sha256
from mlops.git import GitError, git
from mlops.project import Project
from mlops.registry import assets, objects, tags
from mlops.registry.manifest import (
    SCHEMA,
    Asset,
    Code,
    DataLock,
    Decision,
    Environment,
    Manifest,
    next_number,
)
from mlops.registry.ready import Built, ready
from mlops.registry.store import FolderStore, ReleaseStore, draft_name
from mlops.registry.verify import DATA_LOCK, MANIFEST, check, manifest_of

_ABANDONED = timedelta(days=1)


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
    UsageError
        Outside a repository, or where there are no results.
    Refused
        For uncommitted changes, results of other code or data, or a verdict that says no.
    WorldError
        When disk or network fail; the next call goes on.
    """
    built = ready(project, name)
    releases = store or FolderStore(project.store)
    notes = _detached(project.root, built.commit)
    files: dict[str, Path] = {}
    for _ in objects.attempts():
        objects.sync(project.root)
        model = tags.read(project.root).model(name)
        last = model.latest
        known = manifest_of(project.root, last) if last and last.manifest_sha256 else None
        if last and known and known[0].same_model(built.training):
            _sweep(releases, model, built, None, now)
            objects.claim(project.root, last.event.tag, last.event.oid)
            if last.number not in releases.list(name):
                files = files or assets.gather(project, name, project.model(name))
                if not _publish(releases, *known, files):
                    notes += ("the release store here does not hold it",)
            return Registered(last, False, notes)
        files = files or assets.gather(project, name, project.model(name))
        previous = known[0] if known else None
        number = next_number(model.versions, previous, built.training)
        manifest = _manifest(name, number, last, built, files, run, actor, now)
        manifest = _sweep(releases, model, built, manifest, now) or manifest
        if version := _attempt(project, releases, model, manifest, files, now):
            return Registered(version, True, notes)
    raise objects.contended()


def _manifest(
    name: str,
    number: tuple[str, str],
    last: tags.Version | None,
    built: Built,
    files: dict[str, Path],
    run: str,
    actor: str,
    now: datetime,
) -> Manifest:
    training = built.training
    lock = DataLock.model_validate(built.snapshot.model_dump())
    return Manifest(
        schema=SCHEMA,
        model=name,
        version=number[0],
        change=number[1],
        previous=last.number if last else None,
        signature=training.signature,
        metrics=built.evaluation.metrics,
        data=lock,
        data_lock_sha256=sha256(lock.dump()),
        code=Code(commit=built.commit, digest=training.code),
        environment=Environment(
            lock_sha256=training.lock,
            python=platform.python_version(),
            platform=f"{platform.system()}-{platform.machine()}",
        ),
        estimator=training.estimator,
        params=training.params,
        seed=training.seed,
        train_seconds=training.seconds,
        verdict=Decision.model_validate(built.verdict.model_dump()),
        assets=dict(sorted(assets.describe(files).items())),
        run=run,
        actor=actor,
        created=now.astimezone(UTC).isoformat(timespec="seconds"),
    )


def _attempt(
    project: Project,
    store: ReleaseStore,
    model: tags.ModelState,
    manifest: Manifest,
    files: Mapping[str, Path],
    now: datetime,
) -> tags.Version | None:
    """Try to register under the manifest's number; None where somebody else took it."""
    name, root = manifest.model, project.root
    content = manifest.dump()
    digest = sha256(content)
    if manifest.version in store.list(name):
        raise Refused(
            Problem(
                "the release store holds this version and no tag names it: its tag was deleted",
                file=str(store),
                found=f"{name}@{manifest.version}",
                do="bring the tag back (`git fetch --tags`), or remove that release yourself",
            )
        )
    try:
        _fill(store, manifest, content, files)
    except MlopsError:
        store.discard(name, digest)
        raise
    seconds = objects.next_second(now, model.events)
    env = objects.identity(root, manifest.actor, seconds)
    inside = {
        f"models/{name}/{MANIFEST}": content,
        f"models/{name}/{DATA_LOCK}": manifest.data.dump(),
    }
    title = f"Register {name} {manifest.version}"
    commit = objects.commit(root, manifest.code.commit, inside, title, env)
    tag = tags.tag_name("register", name, version=manifest.version)
    message = objects.tag_message(
        title,
        Actor=manifest.actor,
        Reason=manifest.change,
        Run=manifest.run,
        Manifest_SHA256=digest,
        At=manifest.created,
    )
    oid = objects.tag_object(root, tag, commit, message, env)
    if not objects.claim(root, tag, oid):
        store.discard(name, digest)
        return None
    _publish(store, manifest, content, files)
    return tags.read(root).model(name).versions[manifest.version]


def _fill(
    store: ReleaseStore, manifest: Manifest, content: bytes, files: Mapping[str, Path]
) -> None:
    """Upload what the draft does not hold yet, and read everything back."""
    name, digest = manifest.model, sha256(content)
    release = draft_name(digest)
    expected = {MANIFEST: Asset(sha256=digest, size=len(content)), **manifest.assets}
    store.draft(name, digest)
    with TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST).write_bytes(content)
        for asset, facts in expected.items():
            source = files[asset] if asset in manifest.assets else Path(folder) / MANIFEST
            store.upload(name, digest, asset, source)
            with store.open(name, release, asset) as file:
                check(file, facts, f"{asset} of the draft", link="upload → read back")


def _publish(
    store: ReleaseStore, manifest: Manifest, content: bytes, files: Mapping[str, Path]
) -> bool:
    """Publish a version that has its tag; fill the draft again where another process removed it.

    Returns
    -------
    bool
        False where the local files are not (any more) those of the version.
    """
    digest = sha256(content)
    if draft_name(digest) not in store.list(manifest.model):
        if assets.describe(dict(files)) != manifest.assets:
            return False
        _fill(store, manifest, content, files)
    store.publish(manifest.model, digest, manifest.version)
    return True


def _sweep(
    store: ReleaseStore,
    model: tags.ModelState,
    built: Built,
    wanted: Manifest | None,
    now: datetime,
) -> Manifest | None:
    """Publish drafts that have a tag; remove those of this build, and those left for a day.

    Returns
    -------
    Manifest or None
        The manifest of a draft that differs from the wanted one only in its time: go on with it.
    """
    tagged = {v.manifest_sha256: v.number for v in model.versions.values()}
    resumed = None
    for release in store.list(model.name):
        digest = release.removeprefix("draft-")
        if digest == release:
            continue
        if digest in tagged:
            store.publish(model.name, digest, tagged[digest])
            continue
        try:
            with store.open(model.name, release, MANIFEST) as file:
                draft = Manifest.parse(file.read(), release)
        except Refused:  # died before its manifest was there
            store.discard(model.name, digest)
            continue
        if wanted and draft == wanted.model_copy(update={"created": draft.created}):
            resumed = draft
        elif draft.same_model(built.training) or (
            now - datetime.fromisoformat(draft.created) > _ABANDONED
        ):
            store.discard(model.name, digest)
    return resumed


def _detached(root: Path, commit: str) -> tuple[str, ...]:
    try:
        git(root, "symbolic-ref", "-q", "HEAD")
    except GitError:
        return (f"HEAD is on no branch; the version is of commit {commit[:12]}",)
    return ()
