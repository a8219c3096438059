"""Tags of the registry that are here and not at origin: adopt them, or drop them.

They are written where versions were registered before there was an origin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, Refused, UsageError, listed
from mlops.io.digests import sha256
from mlops.io.git import git, git_remote, has_remote
from mlops.registry.chain import chain
from mlops.registry.manifest import MANIFEST
from mlops.registry.tag_writes import at_origin, sync
from mlops.registry.tags import parse, read_registry
from mlops.storage.folder import FolderStore
from mlops.storage.protocol import ReleaseStore

_PREFIX = "refs/tags/"


@dataclass(frozen=True)
class LocalTags:
    """Names of tags that origin does not have, or has otherwise."""

    missing: tuple[str, ...] = ()
    conflicting: tuple[str, ...] = ()


def local_only(root: Path) -> LocalTags:
    """Return the registry's tags that are not at origin.

    None where it cannot be asked.
    """
    if not has_remote(root):
        return LocalTags()
    try:
        theirs = at_origin(root, [f"{_PREFIX}*"])
    except EnvironmentFailure:
        return LocalTags()
    options = ("for-each-ref", "--format=%(objectname) %(refname)", _PREFIX)
    missing = []
    conflicting = []
    for line in git(root, *options).splitlines():
        oid, ref = line.split(" ")
        name = ref.removeprefix(_PREFIX)
        if parse(name) is None or theirs.get(ref) == oid:
            continue
        if ref in theirs:
            conflicting.append(name)
        else:
            missing.append(name)
    return LocalTags(tuple(missing), tuple(conflicting))


def adopt(project: Project, store: ReleaseStore) -> list[str]:
    """Push the tags that origin does not have, with their releases; return their names.

    Raises
    ------
    Refused
        Where origin has other tags under some of the names: then only dropping is
        possible.
    """
    root = project.root
    _require_origin(root)
    tags = local_only(root)
    if tags.conflicting:
        raise Refused(
            "origin made versions of its own under the same names",
            found=listed(tags.conflicting),
            do="`mlops registry adopt --drop` removes those that are only here",
        )
    if not tags.missing:
        return []
    for name in tags.missing:
        event = parse(name)
        if event is not None and event.kind == "register":
            _copy(project, name, store)
    updates = [f"{_PREFIX}{name}:{_PREFIX}{name}" for name in tags.missing]
    git_remote(root, "push", "--atomic", "origin", *updates)
    for name in tags.missing:
        event = parse(name)
        if event is not None and event.kind == "register":
            _publish(project, name, store)
    return list(tags.missing)


def drop(root: Path) -> list[str]:
    """Delete the registry's tags that are only here, and take origin's.

    Return their names.
    """
    _require_origin(root)
    tags = local_only(root)
    names = [*tags.missing, *tags.conflicting]
    if names:
        git(root, "tag", "-d", *names)
    sync(root)
    return names


def _require_origin(root: Path) -> None:
    """Raise an error where there is no origin, or it is out of reach."""
    if not has_remote(root):
        raise UsageError(
            "there is no origin yet",
            do="`git remote add origin ADDRESS`, then `git push`",
        )
    at_origin(root, ["HEAD"])


def _files(project: Project, name: str) -> Iterator[tuple[str, str, Path]]:
    """Yield what a version's folder in the local store holds.

    Digest, asset and path.
    """
    model, _, number = name.partition("@")
    folder = FolderStore(project.store)
    if not folder.holds(model, number):
        return
    bundle = chain(project.root, name, folder)
    for asset in bundle.files:
        yield sha256(bundle.manifest_bytes), asset, folder.root / model / number / asset


def _copy(project: Project, name: str, store: ReleaseStore) -> None:
    """Copy a release from the local folder into a draft of the store."""
    if not store.far or not read_registry(project.root).models:
        return
    model, _, number = name.partition("@")
    if store.holds(model, number):
        return
    begun = False
    for digest, asset, path in _files(project, name):
        if not begun:
            store.draft(model, digest)
            begun = True
        store.upload(model, digest, asset, path)


def _publish(project: Project, name: str, store: ReleaseStore) -> None:
    """Publish the draft of a version, whose tag is there now."""
    if not store.far:
        return
    model, _, number = name.partition("@")
    if store.holds(model, number):
        return
    for digest, asset, _ in _files(project, name):
        if asset == MANIFEST:
            store.publish(model, digest, number)
