"""The manifest, and the chain of digests from a tag to bytes in memory.

Nothing is handed out whose chain does not hold.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pydantic import Field, ValidationError

from mlops import Refused, WorldError
from mlops.files import canonical_json, pieces, replacing, sha256
from mlops.project import Project
from mlops.registry.objects import contents
from mlops.registry.store import ASSET_NAME, Asset, FolderStore, ReleaseStore, keep, measure, place
from mlops.registry.tags import Version, read, resolve, version_key
from mlops.results import (
    FairnessResult,
    Metric,
    Result,
    Signature,
    Slice,
    Snapshot,
    Training,
    Verdict,
)
from mlops.spec import Scalar

if TYPE_CHECKING:
    from mlops.training.model import Model

SCHEMA = 1
MANIFEST, DATA_LOCK, DATA = "manifest.json", "data.lock.json", "data.parquet"
_log = logging.getLogger("mlops.registry")


class Code(Result):
    """Which code."""

    commit: str = Field(description="The commit that was trained: parent of the version's own.")
    digest: str = Field(description="Over the model's code and specification.")


class Environment(Result):
    """Which libraries and interpreter."""

    lock_sha256: str
    python: str
    platform: str


class Manifest(Result):
    """Everything about one version; keys that a newer engine adds are ignored by an older one.

    No clock is in it: registering the same build again comes to the same bytes, so a registration
    that was killed goes on with its own draft. When it was, the tag says.
    """

    schema_number: int = Field(default=SCHEMA, alias="schema", le=SCHEMA)
    model: str
    version: str
    owner: str = ""
    risk: str = Field(default="minimal", description="As model.yaml classes it.")
    previous: str | None = None
    change: str = Field(description="Why this number: what changed against the previous version.")
    signature: Signature
    metrics: tuple[Metric, ...]
    slices: tuple[Slice, ...] = Field(default=(), description="Not of sensitive columns.")
    fairness: tuple[FairnessResult, ...] = Field(
        default=(), description="Without the groups: the largest difference between them."
    )
    source: str = Field(default="", description="Of the data, as model.yaml names it.")
    columns: dict[str, str] = Field(
        default_factory=dict, description="Every column of the data, and its kind."
    )
    sensitive: tuple[str, ...] = Field(default=(), description="Columns never shown in the clear.")
    data: Snapshot = Field(description="Without the columns' statistics.")
    data_lock_sha256: str = Field(description="Of `data.lock.json`, which stands beside this.")
    code: Code
    environment: Environment
    estimator: str
    params: dict[str, Scalar]
    seed: int
    train_seconds: float
    train_cost: float = Field(default=0, description="By the price in project.yaml.")
    currency: str = "USD"
    verdict: Verdict
    assets: dict[str, Asset]
    run: str
    actor: str

    @classmethod
    def parse(cls, content: bytes, shown: str) -> Manifest:
        """Read a manifest; Refused where it is none, or of a later generation of engines."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            what, key = f"not a manifest: {first['msg']}", ".".join(map(str, first["loc"]))
            do = "update the engine if a newer one wrote it"
            raise Refused(what, file=shown, key=key, do=do) from error

    def same_model(self, training: Training) -> bool:
        """Return whether a training led to the very model, features and data of this version.

        The signature is compared too: the threshold is in it and in no file.
        """
        files = (self.assets["model.skops"].sha256, self.assets["features.py"].sha256)
        wanted = (training.model_sha256, training.features_sha256, training.snapshot)
        return (*files, self.data.digest) == wanted and self.signature == training.signature


def dump(result: Manifest | Snapshot) -> bytes:
    """Return the one byte string that stands for a manifest or a data lock."""
    return canonical_json(result.model_dump(mode="json", by_alias=True)) + b"\n"


def next_number(
    taken: Iterable[str], previous: Manifest | None, training: Training
) -> tuple[str, str]:
    """Return the next version and the reason for it.

    Parameters
    ----------
    taken : iterable of str
        Every version there ever was, withdrawn ones too: a number is never used again.
    previous : Manifest, optional
        Of the highest active version; None where it has none to compare with.
    """
    highest = max(taken, key=version_key, default=None)
    if highest is None:
        return "v1.0.0", "first version"
    level, reason = change(previous, training)
    major, minor, patch = version_key(highest)
    number = {
        "major": f"v{major + 1}.0.0",
        "minor": f"v{major}.{minor + 1}.0",
        "patch": f"v{major}.{minor}.{patch + 1}",
    }[level]
    return number, f"{level}: {reason}"


def change(previous: Manifest | None, training: Training) -> tuple[str, str]:
    """Return how a training changes a version (major, minor or patch), and what exactly changed."""
    if previous is None:
        return "major", "the version before has no manifest to compare with"
    if broken := _broken(previous.signature, training.signature):
        return "major", "; ".join(broken)
    pairs = {
        "code": (previous.code.digest, training.code),
        "parameters": (previous.params, training.params),
        "seed": (previous.seed, training.seed),
        "threshold": (previous.signature.threshold, training.signature.threshold),
        "environment": (previous.environment.lock_sha256, training.lock),
    }
    if changed := [what for what, (before, after) in pairs.items() if before != after]:
        return "minor", ", ".join(changed) + " changed"
    fresh = previous.data.digest != training.snapshot
    return "patch", "only the data changed" if fresh else "trained again, nothing else changed"


def _broken(old: Signature, new: Signature) -> list[str]:
    """Return what would break a caller of the old signature, who has to send every feature."""
    out = [
        f"{key} is now {getattr(new, key)} (was {getattr(old, key)})"
        for key in ("task", "target", "positive", "classes")
        if getattr(old, key) != getattr(new, key)
    ]
    before, after = ({f.name: f.kind for f in s.features} for s in (old, new))
    for name in sorted(before | after):
        if name not in after:
            out.append(f"feature {name} was removed")
        elif name not in before:
            out.append(f"feature {name} is new")
        elif before[name] != after[name]:
            out.append(f"feature {name} is now a {after[name]} (was {before[name]})")
    return out


# -- from a tag to bytes -------------------------------------------------------------------------


@dataclass(frozen=True)
class Bundle:
    """A release whose chain holds down to its manifest; each file is verified as it is read."""

    version: Version
    manifest: Manifest
    manifest_bytes: bytes
    store: ReleaseStore
    trusted_types: tuple[str, ...] = ()

    @property
    def files(self) -> dict[str, Asset]:
        """The assets, and the copy of the manifest that lies beside them."""
        return {MANIFEST: measure([self.manifest_bytes]), **self.manifest.assets}

    def read(self, asset: str) -> bytes:
        """Return the content of an asset; Refused where it is not the one that was registered."""
        out = io.BytesIO()
        self.copy(asset, out)
        return out.getvalue()

    def save(self, folder: Path, say: Callable[[str], None] = lambda line: None) -> list[Path]:
        """Copy all files into a folder, each read once; they appear when all are verified."""
        with ExitStack() as at_once:
            for name, asset in self.files.items():
                say(f"{name}, {asset.size / 1e6:,.1f} MB …")
                temporary = at_once.enter_context(replacing(folder / name))
                with temporary.open("wb") as out:
                    self.copy(name, out)
        return [folder / name for name in self.files]

    def model(self) -> Model:
        """Return the model, made of verified bytes only."""
        from mlops.training.model import Model
        from mlops.training.modelfile import load

        pipeline = load(self.read("model.skops"), self.trusted_types)
        features = self.read("features.py")
        return Model(self.manifest.model, self.manifest.signature, pipeline, features)

    def verify(self, whole: bool = False) -> None:
        """Verify all files: by the digest that the store has, or by reading where it has none.

        With `whole` every byte is read in any case. Where a far store does not answer, what is in
        the cache can still be used: nothing is handed out that is not read and verified.
        """
        try:
            for name, asset in self.files.items():
                has = self.store.digest(self.version.model, self.version.number, name)
                if has is not None:
                    self._same(asset.model_copy(update={"sha256": has}), name)
                if whole or has is None:
                    self.copy(name)
        except WorldError as error:
            if whole or not self.store.far:
                raise
            _log.warning("working with what is cached: %s", error.problems[0].what)

    def copy(self, name: str, out: BinaryIO | None = None) -> None:
        """Verify a file, and write it to `out` where that is given.

        What a far store sends goes into the cache, and is read there as it would be in any folder.
        """
        if name not in self.files:
            raise broken("manifest → asset", f"{self.version.ref} has no asset {name}")
        asset = self.files[name]
        source = partial(self.store.read, self.version.model, self.version.number, name)
        if self.store.far:
            self._same(keep(asset, source), name)
            source = partial(pieces, place(asset))
        self._same(measure(source(), asset.size, out), name)

    def _same(self, came: Asset, name: str) -> None:
        link = "tag → manifest in the store" if name == MANIFEST else "manifest → asset"
        same(came, self.files[name], link, f"{self.version.ref} {name}")


def same(came: Asset, asset: Asset, link: str, shown: str) -> None:
    """Raise Refused where what came is not the file that was registered."""
    if came != asset:
        raise broken(link, f"{shown} is not the file that was registered", str(came), str(asset))


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


def chain(root: Path, ref: str, store: ReleaseStore, trusted_types: tuple[str, ...] = ()) -> Bundle:
    """Return a release with its chain verified down to the manifest: stage → tag → commit.

    Parameters
    ----------
    root : Path
        A repository that has the tags.
    trusted_types : tuple of str
        Those of whoever reads, never of who wrote.
    """
    state = read(root)
    version = resolve(state, ref)
    if not version.active:
        raise Refused(f"{version.ref} was withdrawn", do="use another version")
    manifest, content = manifest_of(root, version)
    named = sha256(content)
    for event in state.model(version.model).events:
        promised = event.trailers.get("Manifest-SHA256", named)
        if event.version == version.number and promised != named:
            what = f"{version.ref} was replaced after {event.tag} was given to it"
            raise broken("stage → tag", what, named, promised)
    for name in manifest.assets:
        if not ASSET_NAME.fullmatch(name) or name == MANIFEST:
            what = f"{version.ref} has an asset whose name would lead elsewhere"
            raise broken("manifest → asset", what, repr(name)[:120])
    return Bundle(version, manifest, content, store, trusted_types)


def fetch(
    project: Project, ref: str, store: ReleaseStore | None = None, whole: bool = False
) -> Bundle:
    """Return a release with its whole chain verified: stage → tag → commit → manifest → assets.

    Parameters
    ----------
    ref : str
        ``NAME@v1.2.0``, ``NAME@STAGE`` or ``NAME@latest``.
    whole : bool
        Read every byte now, also where the store has digests of its own; see `Bundle.verify`.

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
