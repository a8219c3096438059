"""Where the files of releases lie: a small protocol, and a folder that follows it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from mlops.errors import Refused
from mlops.files import cannot, pieces, replacing

ASSET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NAMES = (
    re.compile(r"[a-z][a-z0-9_]{0,39}"),
    re.compile(r"v\d+\.\d+\.\d+|draft-[0-9a-f]{64}"),
    ASSET_NAME,
)


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
        with _saying("write", path):
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
        with _saying("publish", release):
            try:
                os.rename(draft, release)
            except OSError:
                if not release.is_dir():
                    raise
                self.discard(model, digest)  # somebody published it before us

    def discard(self, model: str, digest: str) -> None:
        """Remove the folder of a draft."""
        self.remove(model, f"draft-{digest}")

    def remove(self, model: str, release: str) -> None:
        """Remove the folder of a release."""
        path = self._path(model, release)
        with _saying("remove", path), suppress(FileNotFoundError):
            shutil.rmtree(path)

    def read(self, model: str, release: str, asset: str, start: int = 0) -> Iterator[bytes]:
        """Yield an asset in pieces."""
        path = self._path(model, release, asset)
        with _saying("read", path):
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
        with _saying("read", folder):
            names = os.listdir(folder) if folder.is_dir() else []
        return sorted(name for name in names if _NAMES[1].fullmatch(name))

    def _path(self, *parts: str) -> Path:
        """Return the place of a model, release or asset, which is never outside the store."""
        for part, pattern in zip(parts, _NAMES, strict=False):
            if not pattern.fullmatch(part):
                what = "not a name that a release store may hold"
                raise Refused(what, found=repr(part)[:120])
        path = self.root.joinpath(*parts)
        with _saying("resolve", path):
            resolved = path.resolve()
        if not resolved.is_relative_to(self.root.resolve()):
            what = "a link leads out of the release store"
            raise Refused(what, file=str(path), found=str(resolved))
        return path


@contextmanager
def _saying(verb: str, path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into an error that names the file."""
    try:
        yield
    except OSError as error:
        raise cannot(verb, path, error) from error
