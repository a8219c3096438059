"""The manifest: what a version is made of, which digests prove it, and what number it gets."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from math import inf
from typing import BinaryIO, Literal

from pydantic import Field, ValidationError

from mlops.errors import Refused
from mlops.files import canonical_json
from mlops.registry.tags import version_key
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

SCHEMA = 1


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


class Code(Result):
    """Which code."""

    commit: str = Field(description="The commit that was trained: parent of the version's own.")
    digest: str = Field(description="Over the model's code and specification.")


class Environment(Result):
    """Which libraries and interpreter."""

    lock_sha256: str
    python: str
    platform: str

    @classmethod
    def here(cls, lock_sha256: str) -> Environment:
        """Return that of this process."""
        system = f"{platform.system()}-{platform.machine()}"
        return cls(lock_sha256=lock_sha256, python=platform.python_version(), platform=system)


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


def change(
    previous: Manifest | None, training: Training
) -> tuple[Literal["major", "minor", "patch"], str]:
    """Return what kind of change a training is against a version, and what exactly changed."""
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
    before, after = ({f.name: f for f in s.features} for s in (old, new))
    for name in sorted(before | after):
        if name not in after:
            out.append(f"feature {name} was removed")
        elif name not in before:
            out.append(f"feature {name} is new")
        elif before[name].kind != after[name].kind:
            out.append(f"feature {name} is now a {after[name].kind} (was {before[name].kind})")
    return out
