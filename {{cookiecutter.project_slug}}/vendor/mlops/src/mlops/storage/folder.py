"""A release store in a folder."""

from __future__ import annotations

import builtins
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from mlops.errors import Refused
from mlops.io.digests import pieces
from mlops.io.files import reaching, replacing
from mlops.storage.protocol import ASSET_NAME, RELEASE_NAME, Listing, ReleaseStore

# Of a model, a release and an asset.
_NAMES = (re.compile(r"[a-z][a-z0-9_]{0,39}"), RELEASE_NAME, ASSET_NAME)


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
        with (
            replacing(path) as temporary,
            source.open("rb") as file,
            temporary.open("wb") as out,
        ):
            shutil.copyfileobj(file, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())

    def publish(self, model: str, digest: str, version: str) -> None:
        """Rename the draft to its version."""
        draft = self._path(model, f"draft-{digest}")
        release = self._path(model, version)
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

    def read(
        self, model: str, release: str, asset: str, start: int = 0
    ) -> Iterator[bytes]:
        """Yield an asset in pieces."""
        path = self._path(model, release, asset)
        with reaching("read", path):
            if path.is_file():
                yield from pieces(path, start)
                return
        raise Refused(
            "the release store does not hold this file",
            file=str(path),
            do="copy the store from where the version was registered, or register it "
            "again",
        )

    def digest(self, model: str, release: str, asset: str) -> str | None:
        """Return None: a folder knows only what is read."""
        return None

    def holds(self, model: str, version: str) -> bool:
        """Return whether a version is published here."""
        return version in self.list(model)

    def list(self, model: str, versions: Iterable[str] = ()) -> list[str]:
        """Return all releases of a model; a folder lists all of them."""
        folder = self._path(model)
        with reaching("read", folder):
            names = os.listdir(folder) if folder.is_dir() else []
        return sorted(name for name in names if RELEASE_NAME.fullmatch(name))

    def drafts(self, model: str) -> builtins.list[str]:
        """Return the digests of a model's drafts."""
        releases = self.list(model)
        return [
            name.removeprefix("draft-") for name in releases if name.startswith("draft")
        ]

    def listing(self) -> Listing:
        """Return the published releases of all models: all of them."""
        with reaching("read", self.root):
            models = os.listdir(self.root) if self.root.is_dir() else []
        refs = set()
        for model in models:
            if _NAMES[0].fullmatch(model):
                versions = [v for v in self.list(model) if not v.startswith("draft")]
                refs |= {f"{model}@{version}" for version in versions}
        return Listing(frozenset(refs), whole=True)

    def _path(self, *parts: str) -> Path:
        """Return the place of a model, release or asset, never outside the store."""
        for part, pattern in zip(parts, _NAMES, strict=False):
            if not pattern.fullmatch(part):
                problem = "not a name that a release store may hold"
                raise Refused(problem, found=repr(part)[:120])
        path = self.root.joinpath(*parts)
        if not path.resolve().is_relative_to(self.root.resolve()):
            problem = "a link leads out of the release store"
            raise Refused(problem, file=str(path), found=str(path.resolve()))
        return path
