"""Where the files of releases lie: a protocol, a folder that follows it, a cache of what is far.

The cache is shared by all repositories and processes of a user. It holds what was downloaded, by
its digest, and the tags of registries in other repositories.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import BinaryIO, Protocol

from pydantic import Field

from mlops import Refused, UsageError, WorldError, did_you_mean, listed
from mlops.files import git, pieces, reaching, replacing, sha256
from mlops.registry.objects import sync
from mlops.registry.tags import parse, read
from mlops.results import Result

try:
    from fcntl import LOCK_EX, flock
except ImportError:  # Windows: nobody waits there, and the digest says when two were in the way
    flock = None  # type: ignore[assignment]

ASSET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NAMES = (
    re.compile(r"[a-z][a-z0-9_]{0,39}"),
    re.compile(r"v\d+\.\d+\.\d+|draft-[0-9a-f]{64}"),
    ASSET_NAME,
)
_log = logging.getLogger("mlops.registry")


class Asset(Result):
    """One file of a release."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0, description="Bytes.")

    def __str__(self) -> str:
        return f"{self.sha256} ({self.size} bytes)"


def measure(content: Iterable[bytes], most: float = inf, out: BinaryIO | None = None) -> Asset:
    """Return digest and size of content, not read further than a piece beyond `most` bytes.

    It is written to `out` on its way, where that is given.
    """
    digest, size = hashlib.sha256(), 0
    for piece in content:
        digest.update(piece)
        size += len(piece)
        if out:
            out.write(piece)
        if size > most:
            break
    return Asset(sha256=digest.hexdigest(), size=size)


class ReleaseStore(Protocol):
    """Releases of assets: made as a draft, checked, then published under a version.

    A release is named by its version or, before that, ``draft-`` and the digest of its manifest.
    Every operation may be repeated: what is done already is no error. Files pass in pieces, so that
    memory does not grow with the model. What a store that is `far` sends is kept in the cache.
    """

    far: bool

    def draft(self, model: str, digest: str) -> None:
        """Begin a draft, or go on with one that is there."""

    def upload(self, model: str, digest: str, asset: str, source: Path) -> None:
        """Put a file into a draft, in place of one of the same name; whole or not at all."""

    def publish(self, model: str, digest: str, version: str) -> None:
        """Turn a draft into the release of a version, in one step."""

    def discard(self, model: str, digest: str) -> None:
        """Remove a draft and all that is in it."""
        self.remove(model, f"draft-{digest}")

    def read(self, model: str, release: str, asset: str, start: int = 0) -> Iterator[bytes]:
        """Yield an asset from a byte on, in pieces of at most 1 MiB; Refused where there is none.

        What breaks off is gone on with where it broke, as often as the store thinks sensible.
        """

    def digest(self, model: str, release: str, asset: str) -> str | None:
        """Return the SHA-256 that the store itself has for an asset, None where it has none.

        Refused where the store does not hold the asset.
        """

    def remove(self, model: str, release: str) -> None:
        """Remove a published release and all that is in it."""

    def list(self, model: str) -> list[str]:
        """Return all releases of a model: versions, and drafts as ``draft-DIGEST``, sorted."""


class FolderStore(ReleaseStore):
    """``ROOT/MODEL/RELEASE/ASSET``: embedded, offline, works on any file system."""

    far = False

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def draft(self, model: str, digest: str) -> None:
        """Make the folder of a draft."""
        path = self._path(model, f"draft-{digest}")
        with reaching("write", path):
            path.mkdir(parents=True, exist_ok=True)

    def upload(self, model: str, digest: str, asset: str, source: Path) -> None:
        """Copy a file; it appears whole or not at all."""
        path = self._path(model, f"draft-{digest}", asset)
        with replacing(path) as temporary, source.open("rb") as file, temporary.open("wb") as out:
            shutil.copyfileobj(file, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())

    def publish(self, model: str, digest: str, version: str) -> None:
        """Rename the draft to its version."""
        draft, release = self._path(model, f"draft-{digest}"), self._path(model, version)
        with reaching("publish", release):
            try:
                os.rename(draft, release)
            except OSError:
                if not release.is_dir():
                    raise
                self.discard(model, digest)  # somebody published it before us

    def remove(self, model: str, release: str) -> None:
        """Remove the folder of a release."""
        path = self._path(model, release)
        with reaching("remove", path), suppress(FileNotFoundError):
            shutil.rmtree(path)

    def read(self, model: str, release: str, asset: str, start: int = 0) -> Iterator[bytes]:
        """Yield an asset in pieces."""
        path = self._path(model, release, asset)
        with reaching("read", path):
            if path.is_file():
                yield from pieces(path, start)
                return
        what = "the release store does not hold this file"
        do = "copy the store from where the version was registered, or register it again"
        raise Refused(what, file=str(path), do=do)

    def digest(self, model: str, release: str, asset: str) -> str | None:
        """Return None: a folder knows only what is read."""
        return None

    def list(self, model: str) -> list[str]:
        """Return all releases of a model."""
        folder = self._path(model)
        with reaching("read", folder):
            names = os.listdir(folder) if folder.is_dir() else []
        return sorted(name for name in names if _NAMES[1].fullmatch(name))

    def _path(self, *parts: str) -> Path:
        """Return the place of a model, release or asset, which is never outside the store."""
        for part, pattern in zip(parts, _NAMES, strict=False):
            if not pattern.fullmatch(part):
                what = "not a name that a release store may hold"
                raise Refused(what, found=repr(part)[:120])
        path = self.root.joinpath(*parts)
        if not path.resolve().is_relative_to(self.root.resolve()):
            what = "a link leads out of the release store"
            raise Refused(what, file=str(path), found=str(path.resolve()))
        return path


# -- the cache of what a far store sends ----------------------------------------------------------

MOST = 10e9  # bytes; beyond, what was not used for longest goes


def cache_root() -> Path:
    """Return the folder of the cache: MLOPS_CACHE, or `mlops` where this system keeps caches."""
    if own := os.environ.get("MLOPS_CACHE"):
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(shared) if shared else Path.home() / ".cache") / "mlops"


def place(asset: Asset) -> Path:
    """Return where the cache holds a file, or would."""
    return cache_root() / "sha256" / asset.sha256[:2] / asset.sha256


def keep(asset: Asset, source: Callable[[int], Iterable[bytes]]) -> Asset:
    """See to it that the cache holds a file, and return what came: another file is not kept.

    Parameters
    ----------
    asset : Asset
        Its digest and size.
    source : callable
        Yields the content from a byte on. What an earlier download left is gone on with; where
        that was no part of the file, it is begun again.
    """
    path = place(asset)
    part = path.with_name(f"{path.name}.part")
    try:
        with alone(path.parent):
            if path.is_file():
                if measure(pieces(path), asset.size) == asset:
                    with suppress(PermissionError):  # a cache that came with an image
                        os.utime(path)
                    return asset
                _log.warning("%s is spoilt in the cache: it is fetched again", path)
                path.unlink()
            begun = part.is_file()
            if (came := _download(part, asset, source)) != asset and begun:
                came = _download(part, asset, source)
            if came == asset:
                os.replace(part, path)
    except OSError as error:
        what = f"the cache cannot be written: {(error.strerror or str(error)).lower()}"
        do = "free some disk space, or set MLOPS_CACHE to a folder that you may write in"
        raise WorldError(what, file=str(path), do=do) from error
    _prune(path)
    return came


def _download(part: Path, asset: Asset, source: Callable[[int], Iterable[bytes]]) -> Asset:
    """Go on with a part of a file; where it comes out as another file, remove it."""
    with part.open("ab") as out:
        begun = out.tell()

        def content() -> Iterator[bytes]:
            yield from pieces(part)
            for piece in source(begun) if begun < asset.size else ():
                out.write(piece)
                yield piece

        came = measure(content(), asset.size)
        out.flush()
        os.fsync(out.fileno())
    if came != asset:
        part.unlink()
    return came


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time into the block, by folder; one that dies is out by that."""
    folder.mkdir(parents=True, exist_ok=True)
    if flock is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        flock(handle, LOCK_EX)
        yield
    finally:
        os.close(handle)


def _prune(newest: Path) -> None:
    """Remove what was not used for longest, until the cache is below its limit."""
    found = []
    for path in (cache_root() / "sha256").glob("*/*"):
        with suppress(FileNotFoundError):  # another process prunes as well
            facts = path.stat()
            found.append((path == newest, facts.st_mtime_ns, facts.st_size, path))
    total = 0
    for latest, _, size, path in sorted(found, reverse=True):
        total += size
        if total > MOST and not latest:
            with suppress(OSError):  # gone already, or open in another process on Windows
                path.unlink()


# -- the tags of another repository ---------------------------------------------------------------

# Of each version the commit, its trees and small files: the manifest is there, data and models not.
_LITTLE = ("--depth=1", "--filter=blob:limit=1m")


def mirror(address: str, shown: str, model: str) -> Path:
    """Return a repository that has what another one's tags say of a model.

    Nothing is checked out. Where the other one cannot be reached, what is here already has to do.

    Parameters
    ----------
    address : str
        Where git finds it.
    shown : str
        How errors name it.

    Raises
    ------
    WorldError
        When it cannot be read.
    Refused
        When it holds another tag under a name that was known here.
    UsageError
        When it has no such model.
    """
    folder = cache_root() / "git" / sha256(address.encode())[:16]
    with alone(folder):
        git(folder, "init", "--quiet")
        git(folder, "config", "remote.origin.url", address)
        try:
            lines = git(folder, "ls-remote", "--tags", "--refs", "origin").split("\n")
            events = [parse(line.rpartition("refs/tags/")[2]) for line in lines]
            models = sorted({event.model for event in events if event and event.kind == "register"})
            if model not in models:
                what, allowed = "no version of this model is registered there", listed(models)
                do = did_you_mean(model, models)
                raise UsageError(what, file=shown, found=model, allowed=allowed or "none", do=do)
            sync(folder, *_LITTLE, only=(f"{model}@*", f"{model}#*"))
        except Refused as error:
            what, do = f"{shown} moved tags that were known here", "ask its owner who moved them; "
            do += f"only where that is well, remove {folder}"
            raise Refused(what, found=error.problems[0].found, do=do) from error
        except WorldError as error:
            if model not in read(folder).models:
                what = f"the tags of {shown} cannot be read"
                do = "look at the name; a private one needs GITHUB_TOKEN, of somebody who may read"
                raise WorldError(what, found=str(error.problems[0].what), do=do) from error
            why = error.problems[0].what
            _log.warning("working with the tags of %s that are cached: %s", shown, why)
    return folder
