"""Where the files of releases lie: a small protocol, and a folder that follows it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import BinaryIO, Protocol

from mlops.errors import Problem, Refused, WorldError
from mlops.files import cannot, replacing

_MODEL = re.compile(r"[a-z][a-z0-9_]{0,39}")
_RELEASE = re.compile(r"v\d+\.\d+\.\d+|draft-[0-9a-f]{64}")
_ASSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PIECE = 1 << 20


class ReleaseStore(Protocol):
    """Releases of assets: made as a draft, checked, then published under a version.

    A release is named by its version or, before that, ``draft-`` and the digest of its manifest.
    Every operation may be repeated: what is done already is no error.
    """

    def draft(self, model: str, digest: str) -> None:
        """Begin a draft, or go on with one that is there."""

    def upload(self, model: str, digest: str, asset: str, source: Path) -> None:
        """Put a file into a draft, in place of one of the same name."""

    def publish(self, model: str, digest: str, version: str) -> None:
        """Turn a draft into the release of a version."""

    def discard(self, model: str, digest: str) -> None:
        """Remove a draft."""

    def open(self, model: str, release: str, asset: str) -> BinaryIO:
        """Open an asset for reading.

        Raises
        ------
        Refused
            When the store does not hold it.
        """

    def list(self, model: str) -> list[str]:
        """Return all releases of a model: versions, and drafts as ``draft-DIGEST``, sorted."""


def draft_name(digest: str) -> str:
    """Return the name of the release that is not published yet."""
    return f"draft-{digest}"


class FolderStore:
    """``ROOT/MODEL/RELEASE/ASSET``: embedded, offline, works on any file system.

    Parameters
    ----------
    root : Path
        Made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def draft(self, model: str, digest: str) -> None:
        """Begin a draft, or go on with one that is there."""
        path = self._path(model, draft_name(digest))
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot("write", path, error) from error

    def upload(self, model: str, digest: str, asset: str, source: Path) -> None:
        """Put a file into a draft; it appears whole or not at all."""
        path = self._path(model, draft_name(digest), asset)
        with replacing(path) as temporary, source.open("rb") as file, temporary.open("wb") as out:
            shutil.copyfileobj(file, out, _PIECE)
            out.flush()
            os.fsync(out.fileno())

    def publish(self, model: str, digest: str, version: str) -> None:
        """Rename the draft to its version, in one step."""
        draft, release = self._path(model, draft_name(digest)), self._path(model, version)
        try:
            os.rename(draft, release)
        except OSError as error:
            if release.is_dir() and not draft.is_dir():
                return
            raise cannot("publish", release, error) from error

    def discard(self, model: str, digest: str) -> None:
        """Remove a draft and all that is in it."""
        path = self._path(model, draft_name(digest))
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise cannot("remove", path, error) from error

    def open(self, model: str, release: str, asset: str) -> BinaryIO:
        """Open an asset for reading."""
        path = self._path(model, release, asset)
        try:
            return path.open("rb")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Refused(
                Problem(
                    "the release store does not hold this file",
                    file=str(path),
                    do="copy the store from where the version was registered, or register it again",
                )
            ) from error
        except OSError as error:
            raise cannot("read", path, error) from error

    def list(self, model: str) -> list[str]:
        """Return all releases of a model."""
        folder = self._path(model)
        try:
            return sorted(p.name for p in folder.iterdir() if _RELEASE.fullmatch(p.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise cannot("read", folder, error) from error

    def _path(self, model: str, release: str | None = None, asset: str | None = None) -> Path:
        """Return the place of something, which is never outside the store."""
        path = self.root
        for part, pattern in ((model, _MODEL), (release, _RELEASE), (asset, _ASSET)):
            if part is None:
                continue
            if not pattern.fullmatch(part):
                raise Refused(
                    Problem("not a name that a release store may hold", found=repr(part)[:120])
                )
            path /= part
        try:
            resolved = path.resolve()
        except (OSError, RuntimeError) as error:
            raise WorldError(Problem(f"cannot be resolved: {error}", file=str(path))) from error
        if not resolved.is_relative_to(self.root.resolve()):
            raise Refused(
                Problem(
                    "a link leads out of the release store", file=str(path), found=str(resolved)
                )
            )
        return path
