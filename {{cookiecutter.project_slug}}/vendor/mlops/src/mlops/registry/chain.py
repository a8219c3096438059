"""The chain of digests from a tag to bytes in memory."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, BinaryIO

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, Refused
from mlops.io.digests import pieces, sha256
from mlops.io.files import replacing, sweep
from mlops.registry.manifest import (
    MANIFEST,
    Manifest,
    broken,
    manifest_of,
    with_manifests,
)
from mlops.registry.tags import ModelState, State, Version, read_registry, resolve
from mlops.results.compilation import COMPILED
from mlops.results.training import MODULES
from mlops.storage.cache import cache_file, cache_path, file_lock
from mlops.storage.folder import FolderStore
from mlops.storage.protocol import ASSET_NAME, Asset, ReleaseStore, asset_of

if TYPE_CHECKING:
    from mlops.training.compiled import CompiledPipeline
    from mlops.training.model import Model


_log = logging.getLogger("mlops.registry")


@dataclass(frozen=True)
class Bundle:
    """A release whose chain holds down to its manifest.

    Each file is verified as it is read.
    """

    version: Version
    manifest: Manifest
    manifest_bytes: bytes
    store: ReleaseStore
    trusted_types: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, Asset]:
        """The assets, and the copy of the manifest that lies beside them."""
        return {MANIFEST: asset_of([self.manifest_bytes]), **self.manifest.assets}

    def read(self, asset: str) -> bytes:
        """Return the content of an asset.

        Refused where it is not the one that was registered.
        """
        out = io.BytesIO()
        self.copy(asset, out)
        return out.getvalue()

    def save(
        self, folder: Path, say: Callable[[str], None] = lambda line: None
    ) -> list[Path]:
        """Copy all files into a folder, each read once.

        They appear when all are verified.

        What an earlier call left there when it was killed is removed.
        """
        suffix = sha256(str(folder.resolve()).encode())[:16]
        lock = Path(gettempdir()) / f"mlops-pull-{suffix}"
        with file_lock(lock), ExitStack() as at_once:
            for name in self.files:
                sweep(folder / name)
            for name, asset in self.files.items():
                say(f"{name}, {asset.size / 1e6:,.1f} MB …")
                temporary = at_once.enter_context(replacing(folder / name))
                with temporary.open("wb") as out:
                    self.copy(name, out)
        return [folder / name for name in self.files]

    def model(self) -> Model:
        """Return the model, made of verified bytes only."""
        from mlops.training.model import Model

        return Model.of_files(
            self.manifest.model,
            self.manifest.signature,
            content=self.read("model.skops"),
            features=self.read("features.py"),
            modules=self.read(MODULES) if MODULES in self.files else b"",
            extra_trusted=self.trusted_types,
        )

    def compiled(self) -> CompiledPipeline | None:
        """Return the compiled pipeline, made of verified bytes; None without one.

        Raises
        ------
        Refused
            When its bytes are not those that were registered, or hold more than a
            graph of standard operators.
        """
        facts = self.manifest.compiled
        if facts is None or not facts.ok:
            return None
        from mlops.training.compiled import CompiledPipeline

        return CompiledPipeline(self.read(COMPILED))

    def verify(self, whole: bool = False) -> None:
        """Verify all files: by the store's own digests, by reading where it has none.

        With `whole` every byte is read in any case. Where a far store does not answer,
        what is in the cache can still be used: nothing is handed out that is not read
        and verified.
        """
        try:
            for name, asset in self.files.items():
                release = (self.version.model, self.version.number)
                digest = self.store.digest(*release, name)
                if digest is not None:
                    self._same(asset.model_copy(update={"sha256": digest}), name)
                if whole or digest is None:
                    self.copy(name)
        except EnvironmentFailure as error:
            if whole or not self.store.far:
                raise
            _log.warning("working with what is cached: %s", error.problems[0].what)

    def copy(self, name: str, out: BinaryIO | None = None) -> None:
        """Verify a file, and write it to `out` where that is given.

        What a far store sends goes into the cache, and is read there as it would be in
        any folder.
        """
        if name not in self.files:
            raise broken("manifest → asset", f"{self.version.ref} has no asset {name}")
        asset = self.files[name]
        source = partial(self.store.read, self.version.model, self.version.number, name)
        if self.store.far:
            self._same(cache_file(asset, source), name)
            source = partial(pieces, cache_path(asset))
        self._same(asset_of(source(), asset.size, out), name)

    def _same(self, came: Asset, name: str) -> None:
        link = "tag → manifest in the store" if name == MANIFEST else "manifest → asset"
        same(came, self.files[name], link, f"{self.version.ref} {name}")


def same(came: Asset, asset: Asset, link: str, shown: str) -> None:
    """Raise Refused where what came is not the file that was registered."""
    if came != asset:
        problem = f"{shown} is not the file that was registered"
        raise broken(link, problem, str(came), str(asset))


def chain(
    root: Path, ref: str, store: ReleaseStore, trusted_types: tuple[str, ...] = ()
) -> Bundle:
    """Return a release with its chain verified down to the manifest.

    Stage → tag → commit.

    Parameters
    ----------
    root : Path
        A repository that has the tags.
    trusted_types : tuple of str
        Those of whoever reads, never of who wrote.
    """
    state = read_registry(root)
    version = resolve(state, ref)
    _require_active(version)
    return _bundle(state, version, manifest_of(root, version), store, trusted_types)


def bundles(
    project: Project, state: State, versions: Iterable[Version], store: ReleaseStore
) -> Iterator[tuple[Version, Bundle | Refused]]:
    """Yield versions with their releases, as `chain` returns them, or what is wrong.

    The registry is replayed by whoever calls, and git is asked once: so it takes no
    longer by version where there are thousands.
    """
    trusted = project.spec.trusted_types
    for version, read_manifest in with_manifests(project.root, versions):
        try:
            _require_active(version)
            if isinstance(read_manifest, Refused):
                raise read_manifest
            yield version, _bundle(state, version, read_manifest, store, trusted)
        except Refused as error:
            yield version, error


def _bundle(
    state: State,
    version: Version,
    stored: tuple[Manifest, bytes],
    store: ReleaseStore,
    trusted_types: tuple[str, ...],
) -> Bundle:
    """Return a release whose tags, manifest and names of assets go together."""
    manifest, content = stored
    _require_same_manifest(state.model(version.model), version, sha256(content))
    for name in manifest.assets:
        if not ASSET_NAME.fullmatch(name) or name == MANIFEST:
            problem = f"{version.ref} has an asset whose name leads outside its folder"
            raise broken("manifest → asset", problem, repr(name)[:120])
    return Bundle(version, manifest, content, store, trusted_types)


def _require_active(version: Version) -> None:
    """Raise Refused where a version was withdrawn."""
    if not version.active:
        raise Refused(f"{version.ref} was withdrawn", do="use another version")


def _require_same_manifest(model: ModelState, version: Version, digest: str) -> None:
    """Raise Refused where a tag was given to another manifest."""
    for event in model.events:
        if event.version != version.number:
            continue
        promised = event.trailers.get("Manifest-SHA256", digest)
        if promised != digest:
            problem = f"{version.ref} was replaced after {event.tag} was given to it"
            raise broken("stage → tag", problem, digest, promised)


def fetch(
    project: Project, ref: str, store: ReleaseStore | None = None, whole: bool = False
) -> Bundle:
    """Return a release with its whole chain verified.

    Stage → tag → commit → manifest → assets.

    Parameters
    ----------
    ref : str
        ``NAME@v1.2.0``, ``NAME@STAGE`` or ``NAME@latest``.
    whole : bool
        Read every byte now, also where the store has digests of its own; see
        `Bundle.verify`.

    Raises
    ------
    UsageError
        When there is no such version.
    Refused
        Naming the link that broke.
    """
    store = store or FolderStore(project.store)
    bundle = chain(project.root, ref, store, project.spec.trusted_types)
    bundle.verify(whole)
    return bundle
