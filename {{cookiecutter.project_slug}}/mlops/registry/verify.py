"""From a tag to bytes in memory: nothing is handed out whose chain of digests does not hold."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlops.errors import Refused
from mlops.files import replacing, sha256, write_bytes
from mlops.project import Project
from mlops.registry.manifest import Asset, Manifest
from mlops.registry.objects import contents
from mlops.registry.store import FolderStore, ReleaseStore
from mlops.registry.tags import Version, read, resolve

if TYPE_CHECKING:
    from mlops.training.model import Model

MANIFEST, DATA_LOCK = "manifest.json", "data.lock.json"


@dataclass(frozen=True)
class Bundle:
    """A release whose chain was verified; every read verifies again what it hands out."""

    version: Version
    manifest: Manifest
    manifest_bytes: bytes
    store: ReleaseStore
    trusted_types: tuple[str, ...] = ()

    def read(self, asset: str) -> bytes:
        """Return the content of an asset; Refused where it is not the one that was registered."""
        out = io.BytesIO()
        self.copy(asset, out)
        return out.getvalue()

    def save(self, folder: Path) -> list[Path]:
        """Copy all assets and the manifest into a folder; none appears before it is verified."""
        for asset in self.manifest.assets:
            with replacing(folder / asset) as temporary, temporary.open("wb") as out:
                self.copy(asset, out)
        write_bytes(folder / MANIFEST, self.manifest_bytes)
        return [folder / name for name in (*self.manifest.assets, MANIFEST)]

    def model(self) -> Model:
        """Return the model, made of verified bytes only."""
        from mlops.training.model import Model
        from mlops.training.modelfile import load

        pipeline = load(self.read("model.skops"), self.trusted_types)
        features = self.read("features.py")
        return Model(self.manifest.model, self.manifest.signature, pipeline, features)

    def copy(self, asset: str, out: BinaryIO | None = None) -> None:
        """Verify an asset, and write it to `out` where that is given."""
        if asset not in self.manifest.assets:
            raise broken("manifest → asset", f"{self.version.ref} has no asset {asset}")
        with self.store.open(self.version.model, self.version.number, asset) as file:
            expected = self.manifest.assets[asset]
            check(file, expected, "manifest → asset", f"{self.version.ref} {asset}", out)


def check(
    file: BinaryIO, expected: Asset, link: str, shown: str, out: BinaryIO | None = None
) -> None:
    """Read a file to its end (never further than one byte past its size) and compare digests."""
    digest, size = hashlib.sha256(), 0
    while piece := file.read(min(1 << 20, expected.size + 1 - size)):
        digest.update(piece)
        size += len(piece)
        if out:
            out.write(piece)
    if size != expected.size or digest.hexdigest() != expected.sha256:
        found = f"{digest.hexdigest()} ({size} bytes)"
        allowed = f"{expected.sha256} ({expected.size} bytes)"
        raise broken(link, f"{shown} is not the file that was registered", found, allowed)


def broken(link: str, what: str, found: str = "", allowed: str = "") -> Refused:
    """Return the error for one broken link of the chain."""
    do = "do not use this version; find out who changed it, then register again"
    text = f"the chain of digests is broken at {link}: {what}"
    return Refused(text, found=found, allowed=allowed, do=do)


def manifest_of(root: Path, version: Version) -> tuple[Manifest, bytes]:
    """Return the manifest of a version and its bytes, verified from the tag to the commit."""
    return _verified(version, *contents(root, _objects(version)))


def manifests(root: Path, versions: Iterable[Version]) -> Iterator[tuple[str, Manifest | Refused]]:
    """Yield number and verified manifest of each version, or why it has none; git is asked once."""
    asked = list(versions)
    found = iter(contents(root, (name for version in asked for name in _objects(version))))
    for version, parts in zip(asked, zip(found, found, found, strict=True), strict=True):
        try:
            yield version.number, _verified(version, *parts)[0]
        except Refused as error:
            yield version.number, error


def _objects(version: Version) -> tuple[str, str, str]:
    """Return the names by which git knows commit, manifest and data lock of a version."""
    folder = f"{version.commit}:./models/{version.model}"
    return version.commit, f"{folder}/{MANIFEST}", f"{folder}/{DATA_LOCK}"


def _verified(
    version: Version, commit: bytes | None, content: bytes | None, lock: bytes | None
) -> tuple[Manifest, bytes]:
    ref, named = version.ref, version.manifest_sha256
    if named is None:
        raise broken("tag → manifest", f"the tag {ref} names no manifest")
    if content is None:
        raise broken("tag → manifest", f"the commit of {ref} holds no manifest")
    if sha256(content) != named:
        what = f"the commit of {ref} holds another manifest than its tag names"
        raise broken("tag → manifest", what, sha256(content), named)
    manifest = Manifest.parse(content, f"{ref} {MANIFEST}")
    head = (commit or b"").decode("utf-8", "replace").split("\n\n")[0]
    parents = [line[7:] for line in head.split("\n") if line.startswith("parent ")]
    for link, what, found, allowed in (
        ("manifest → version", "is another", f"{manifest.model}@{manifest.version}", ref),
        ("tag → commit", "has other parents", ", ".join(parents), manifest.code.commit),
        ("manifest → data lock", "changed", sha256(lock or b""), manifest.data_lock_sha256),
    ):
        if found != allowed:
            raise broken(link, f"{link.split(' → ')[1]} of {ref} {what}", found, allowed)
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
    if not version.active:
        raise Refused(f"{version.ref} was withdrawn", do="use another version")
    manifest, content = manifest_of(project.root, version)
    named = sha256(content)
    for event in state.model(version.model).events:
        promised = event.trailers.get("Manifest-SHA256", named)
        if event.version == version.number and promised != named:
            what = f"{version.ref} was replaced after {event.tag} was given to it"
            raise broken("stage → tag", what, named, promised)
    store = store or FolderStore(project.store)
    bundle = Bundle(version, manifest, content, store, project.spec.trusted_types)
    expected = Asset(sha256=named, size=len(content))
    with store.open(version.model, version.number, MANIFEST) as file:
        check(file, expected, "tag → manifest in the store", f"{version.ref} {MANIFEST}")
    for asset in manifest.assets:
        bundle.copy(asset)
    return bundle
