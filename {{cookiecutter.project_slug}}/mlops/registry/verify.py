"""From a tag to bytes in memory: nothing is handed out whose chain of digests does not hold."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlops.errors import Problem, Refused
from mlops.files import replacing, sha256
from mlops.project import Project
from mlops.registry.manifest import Asset, Manifest
from mlops.registry.objects import contents
from mlops.registry.store import FolderStore, ReleaseStore
from mlops.registry.tags import ModelState, Version, read, resolve

if TYPE_CHECKING:
    from mlops.training.model import Model

MANIFEST, DATA_LOCK = "manifest.json", "data.lock.json"
_PIECE = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """A release whose chain was verified; every read verifies again what it hands out."""

    version: Version
    manifest: Manifest
    manifest_bytes: bytes
    store: ReleaseStore
    trusted_types: tuple[str, ...] = ()

    def read(self, asset: str) -> bytes:
        """Return the content of an asset.

        Raises
        ------
        Refused
            When the release has no such asset, or it is not the one that was registered.
        """
        out = io.BytesIO()
        self._copy(asset, out)
        return out.getvalue()

    def save(self, folder: Path) -> list[Path]:
        """Copy all assets and the manifest into a folder; none appears before it is verified."""
        paths = []
        for asset in self.manifest.assets:
            with replacing(folder / asset) as temporary, temporary.open("wb") as out:
                self._copy(asset, out)
            paths.append(folder / asset)
        with replacing(folder / MANIFEST) as temporary:
            temporary.write_bytes(self.manifest_bytes)
        return [*paths, folder / MANIFEST]

    def model(self) -> Model:
        """Return the model, made of verified bytes only."""
        from mlops.training.model import Model
        from mlops.training.modelfile import load

        pipeline = load(self.read("model.skops"), self.trusted_types)
        features = self.read("features.py")
        return Model(self.manifest.model, self.manifest.signature, pipeline, features)

    def _copy(self, asset: str, out: BinaryIO | None) -> None:
        if asset not in self.manifest.assets:
            raise broken("manifest → asset", f"{self.version.ref} has no asset {asset}")
        expected = self.manifest.assets[asset]
        with self.store.open(self.version.model, self.version.number, asset) as file:
            check(file, expected, f"{self.version.ref} {asset}", out)


def check(
    file: BinaryIO,
    expected: Asset,
    shown: str,
    out: BinaryIO | None = None,
    link: str = "manifest → asset",
) -> None:
    """Read a file to its end (never further than one byte past its size) and compare digests."""
    digest, size = hashlib.sha256(), 0
    while piece := file.read(min(_PIECE, expected.size + 1 - size)):
        digest.update(piece)
        size += len(piece)
        if out:
            out.write(piece)
    if size != expected.size or digest.hexdigest() != expected.sha256:
        raise broken(
            link,
            f"{shown} is not the file that was registered",
            found=f"{digest.hexdigest()} ({size} bytes)",
            allowed=f"{expected.sha256} ({expected.size} bytes)",
        )


def broken(link: str, what: str, found: str = "", allowed: str = "") -> Refused:
    """Return the error for one broken link of the chain."""
    return Refused(
        Problem(
            f"the chain of digests is broken at {link}: {what}",
            found=found,
            allowed=allowed,
            do="do not use this version; find out who changed it, then register again",
        )
    )


def manifest_of(root: Path, version: Version) -> tuple[Manifest, bytes]:
    """Return the manifest of a version and its bytes, verified from the tag to the commit.

    Raises
    ------
    Refused
        Naming the link that broke.
    """
    place = f"{version.commit}:./models/{version.model}"
    names = (version.commit, f"{place}/{MANIFEST}", f"{place}/{DATA_LOCK}")
    commit, content, lock = contents(root, names)
    named = version.manifest_sha256
    if named is None:
        raise broken("tag → manifest", f"the tag {version.ref} names no manifest")
    if content is None or commit is None:
        raise broken("tag → manifest", f"the commit of {version.ref} holds no manifest")
    if sha256(content) != named:
        raise broken(
            "tag → manifest",
            f"the commit of {version.ref} holds another manifest than its tag names",
            found=sha256(content),
            allowed=named,
        )
    manifest = Manifest.parse(content, f"{version.ref} {MANIFEST}")
    if (manifest.model, manifest.version) != (version.model, version.number):
        raise broken(
            "manifest → version",
            "the manifest is that of another version",
            found=f"{manifest.model}@{manifest.version}",
            allowed=version.ref,
        )
    head = commit.decode("utf-8", "replace").split("\n\n")[0]
    parents = [line[7:] for line in head.split("\n") if line.startswith("parent ")]
    if parents != [manifest.code.commit]:
        raise broken(
            "tag → commit",
            f"the commit of {version.ref} is no child of the one that was trained",
            found=", ".join(parents),
            allowed=manifest.code.commit,
        )
    if lock is None or sha256(lock) != manifest.data_lock_sha256:
        raise broken("manifest → data lock", f"{DATA_LOCK} of {version.ref} is not its own")
    return manifest, content


def fetch(project: Project, ref: str, store: ReleaseStore | None = None) -> Bundle:
    """Return a release with its whole chain verified: stage → tag → commit → manifest → assets.

    Parameters
    ----------
    ref : str
        ``NAME@v1.2.0``, ``NAME@STAGE`` or ``NAME@latest``.

    Raises
    ------
    UsageError
        When there is no such version.
    Refused
        Naming the link that broke.
    """
    state = read(project.root)
    version = resolve(state, ref)
    return verified(project, state.model(version.model), version, store)


def verified(
    project: Project, model: ModelState, version: Version, store: ReleaseStore | None = None
) -> Bundle:
    """Return the release of a version that the tags know, with its whole chain verified."""
    if not version.active:
        raise Refused(Problem(f"{version.ref} was withdrawn", do="use another version"))
    manifest, content = manifest_of(project.root, version)
    for event in (e for e in model.events if e.version == version.number):
        promised = event.trailers.get("Manifest-SHA256")
        if promised not in (None, version.manifest_sha256):
            raise broken(
                "stage → tag",
                f"{version.ref} was replaced after {event.tag} was given to it",
                found=str(version.manifest_sha256),
                allowed=str(promised),
            )
    store = store or FolderStore(project.store)
    expected = Asset(sha256=sha256(content), size=len(content))
    with store.open(version.model, version.number, MANIFEST) as file:
        check(file, expected, f"{version.ref} {MANIFEST}", link="tag → manifest in the store")
    bundle = Bundle(version, manifest, content, store, project.spec.trusted_types)
    for asset in manifest.assets:
        bundle._copy(asset, None)
    return bundle
