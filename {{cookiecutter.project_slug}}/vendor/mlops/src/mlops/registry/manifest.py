"""The manifest of a version: all that is known of it, verified from its tag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field, ValidationError

from mlops.config.fields import Param
from mlops.errors import Refused
from mlops.io.digests import canonical_json, sha256
from mlops.io.git_objects import contents
from mlops.registry.tags import Version
from mlops.results.base import Result
from mlops.results.compilation import Compilation
from mlops.results.data import Snapshot
from mlops.results.evaluation import FairnessResult, Metric, Slice
from mlops.results.training import MODULES, Signature, Training
from mlops.results.verdict import Verdict
from mlops.storage.protocol import Asset


def broken(link: str, problem: str, value: str = "", allowed: str = "") -> Refused:
    """Return the error for one broken link of the chain."""
    do = "do not use this version; find out who changed it, then register again"
    text = f"the chain of digests is broken at {link}: {problem}"
    return Refused(text, found=value, allowed=allowed, do=do)


SCHEMA = 1

MANIFEST = "manifest.json"

DATA_LOCK = "data.lock.json"

DATA = "data.parquet"


class Code(Result):
    """Which code."""

    commit: str = Field(
        description="The commit that was trained: parent of the version's own."
    )
    digest: str = Field(description="Over the model's code and specification.")


class Environment(Result):
    """Which libraries and interpreter."""

    lock_sha256: str
    python: str
    platform: str


class Manifest(Result):
    """Everything about one version.

    Keys that a newer engine adds are ignored by an older one.

    No clock is in it: registering the same build again comes to the same bytes, so a
    registration that was killed is resumed with its own draft. The tag has the time.
    """

    schema_number: int = Field(default=SCHEMA, alias="schema", le=SCHEMA)
    model: str
    version: str
    owner: str = ""
    risk: str = Field(default="minimal", description="As model.yaml classes it.")
    previous: str | None = None
    change: str = Field(
        description="Why this number: what changed against the previous version."
    )
    signature: Signature
    metrics: tuple[Metric, ...]
    measured_on: str = Field(
        default="test", description="Rows that the metrics are of: test or validation."
    )
    slices: tuple[Slice, ...] = Field(
        default=(), description="Not of sensitive columns."
    )
    fairness: tuple[FairnessResult, ...] = Field(
        default=(),
        description="Without the groups: the largest difference between them.",
    )
    source: str = Field(default="", description="Of the data, as model.yaml names it.")
    columns: dict[str, str] = Field(
        default_factory=dict, description="Every column of the data, and its kind."
    )
    sensitive: tuple[str, ...] = Field(
        default=(), description="Columns never shown in the clear."
    )
    data: Snapshot = Field(description="Without the columns' statistics.")
    data_lock_sha256: str = Field(
        description="Of `data.lock.json`, which stands beside this."
    )
    code: Code
    environment: Environment
    engine: str = Field(
        default="", description="Version of the engine; empty before 0.2.0."
    )
    engine_sha256: str = Field(
        default="",
        description="Over the engine's files: that of its ENGINE.sha256 if unmodified.",
    )
    estimator: str
    params: dict[str, Param]
    seed: int
    train_seconds: float
    train_cost: float = Field(default=0, description="By the price in project.yaml.")
    currency: str = "USD"
    verdict: Verdict
    compiled: Compilation | None = Field(
        default=None,
        description="Whether model.onnx may serve; null before there was such a file.",
    )
    assets: dict[str, Asset]
    run: str
    actor: str

    @classmethod
    def parse(cls, content: bytes, shown: str) -> Manifest:
        """Read a manifest; Refused where it is none, or a later engine wrote it."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            raise Refused(
                f"not a manifest: {first['msg']}",
                file=shown,
                key=".".join(map(str, first["loc"])),
                do="update the engine if a newer one wrote it",
            ) from error

    @property
    def fingerprint(self) -> tuple[str, str, str, Signature]:
        """What makes two versions the same model: its files, and the signature.

        The threshold is in the signature and in no file.
        """
        model = self.assets["model.skops"].sha256
        features = self.assets["features.py"].sha256
        modules = self.assets[MODULES].sha256 if MODULES in self.assets else ""
        return model, features, modules, self.signature

    def same_model(self, training: Training) -> bool:
        """Return whether a training led to this model, on the same data."""
        return self.made_by(training) and self.data.digest == training.snapshot

    def made_by(self, training: Training) -> bool:
        """Return whether a training led to this model, on whatever data."""
        files = (
            training.model_sha256,
            training.features_sha256,
            training.modules_sha256,
        )
        return self.fingerprint == (*files, training.signature)


def dump(result: Manifest | Snapshot) -> bytes:
    """Return the one byte string that stands for a manifest or a data lock."""
    return canonical_json(result.model_dump(mode="json", by_alias=True)) + b"\n"


def manifest_of(root: Path, version: Version) -> tuple[Manifest, bytes]:
    """Return the manifest of a version and its bytes, verified from the tag."""
    return _verified(version, *contents(root, _objects(version)))


def manifests(
    root: Path, versions: Iterable[Version]
) -> Iterator[tuple[str, Manifest | Refused]]:
    """Yield number and verified manifest of each version, or why it has none.

    Git is asked once.
    """
    for version, read in with_manifests(root, versions):
        yield version.number, read if isinstance(read, Refused) else read[0]


def with_manifests(
    root: Path, versions: Iterable[Version]
) -> Iterator[tuple[Version, tuple[Manifest, bytes] | Refused]]:
    """Yield each version with its verified manifest and the bytes of that.

    Or with why it has none. Git is asked once, whatever models they are of.
    """
    requested = list(versions)
    names = [name for version in requested for name in _objects(version)]
    stored = iter(contents(root, names))
    objects = zip(stored, stored, stored, strict=True)
    for version, parts in zip(requested, objects, strict=True):
        try:
            yield version, _verified(version, *parts)
        except Refused as error:
            yield version, error


def _objects(version: Version) -> tuple[str, str, str]:
    """Return git's names of the commit, manifest and data lock of a version."""
    folder = f"{version.commit}:./models/{version.model}"
    return version.commit, f"{folder}/{MANIFEST}", f"{folder}/{DATA_LOCK}"


def _verified(
    version: Version, commit: bytes | None, content: bytes | None, lock: bytes | None
) -> tuple[Manifest, bytes]:
    """Return a manifest and its bytes.

    When every link from the tag to the data lock holds.
    """
    ref = version.ref
    named = version.manifest_sha256
    if named is None:
        raise broken("tag → manifest", f"the tag {ref} names no manifest")
    if content is None:
        raise broken("tag → manifest", f"the commit of {ref} holds no manifest")
    if sha256(content) != named:
        problem = f"the commit of {ref} holds a different manifest than its tag names"
        raise broken("tag → manifest", problem, sha256(content), named)
    manifest = Manifest.parse(content, f"{ref} {MANIFEST}")
    own = f"{manifest.model}@{manifest.version}"
    if own != ref:
        raise broken(
            "manifest → version",
            f"the manifest of {ref} names another version",
            own,
            ref,
        )
    parents = ", ".join(_parents(commit or b""))
    if parents != manifest.code.commit:
        problem = f"commit of {ref} has different parents"
        raise broken("tag → commit", problem, parents, manifest.code.commit)
    digest = sha256(lock or b"")
    if digest != manifest.data_lock_sha256:
        problem = f"data lock of {ref} changed"
        raise broken("manifest → data lock", problem, digest, manifest.data_lock_sha256)
    return manifest, content


def _parents(commit: bytes) -> list[str]:
    """Return the parents that a commit object names."""
    head = commit.decode("utf-8", "replace").split("\n\n")[0]
    lines = head.split("\n")
    return [
        line.removeprefix("parent ") for line in lines if line.startswith("parent ")
    ]
