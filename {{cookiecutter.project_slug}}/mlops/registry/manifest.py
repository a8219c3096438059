"""The manifest: what a version is made of, which digests prove it, and what number it gets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, ValidationError

from mlops.errors import Problem, Refused
from mlops.files import canonical_json
from mlops.registry.tags import version_key
from mlops.results import Metric, Result, Signature, SourceFile, Training
from mlops.spec import Scalar

SCHEMA = 1


class Asset(Result):
    """One file of a release."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0, description="Bytes.")


class DataLock(Result):
    """Which data: written beside the manifest too, as `data.lock.json`."""

    digest: str
    rows: int
    train_rows: int
    test_rows: int
    period: tuple[str, str] | None = None
    files: tuple[SourceFile, ...] = ()

    def dump(self) -> bytes:
        """Return the content of the file."""
        return canonical_json(self.model_dump(mode="json")) + b"\n"


class Code(Result):
    """Which code."""

    commit: str = Field(description="The commit that was trained: parent of the version's own.")
    digest: str = Field(description="Over the model's code and specification.")


class Environment(Result):
    """Which libraries and interpreter."""

    lock_sha256: str
    python: str
    platform: str


class Decision(Result):
    """Why it was allowed."""

    decision: str
    rule: str
    champion: str | None = None
    reasons: tuple[str, ...] = ()


class Manifest(Result):
    """Everything about one version; keys that a newer engine adds are ignored by an older one."""

    schema_number: int = Field(default=SCHEMA, alias="schema")
    model: str
    version: str
    previous: str | None = None
    change: str = Field(description="Why this number: what changed against the previous version.")
    signature: Signature
    metrics: tuple[Metric, ...]
    data: DataLock
    data_lock_sha256: str = Field(description="Of `data.lock.json`, which stands beside this.")
    code: Code
    environment: Environment
    estimator: str
    params: dict[str, Scalar]
    seed: int
    train_seconds: float
    verdict: Decision
    assets: dict[str, Asset]
    run: str
    actor: str
    created: str = Field(description="ISO 8601, UTC.")

    def dump(self) -> bytes:
        """Return the one byte string whose SHA-256 the tag names."""
        return canonical_json(self.model_dump(mode="json", by_alias=True)) + b"\n"

    @classmethod
    def parse(cls, content: bytes, shown: str) -> Manifest:
        """Read a manifest.

        Raises
        ------
        Refused
            When it is none, or is of a later generation of engines; `shown` says where it is.
        """
        try:
            manifest = cls.model_validate_json(content)
            what, key = "this manifest is of a newer kind", "schema"
        except ValidationError as error:
            first = error.errors()[0]
            manifest, key = None, ".".join(str(part) for part in first["loc"])
            what = f"not a manifest that this engine can read: {first['msg']}"
        if manifest is None or manifest.schema_number > SCHEMA:
            raise Refused(Problem(what, shown, key, do="update the engine if a newer one wrote it"))
        return manifest

    def same_model(self, training: Training) -> bool:
        """Return whether a training led to the very model, features and data of this version."""
        files = [a.sha256 for n in ("model.skops", "features.py") if (a := self.assets.get(n))]
        wanted = [training.model_sha256, training.features_sha256, training.snapshot]
        return [*files, self.data.digest] == wanted


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
        "major": (major + 1, 0, 0),
        "minor": (major, minor + 1, 0),
        "patch": (major, minor, patch + 1),
    }[level]
    return "v" + ".".join(map(str, number)), f"{level}: {reason}"


def change(
    previous: Manifest | None, training: Training
) -> tuple[Literal["major", "minor", "patch"], str]:
    """Return what kind of change a training is against a version, and what exactly changed."""
    if previous is None:
        return "major", "the version before has no manifest to compare with"
    broken = _broken(previous.signature, training.signature)
    if broken:
        return "major", "; ".join(broken)
    pairs = {
        "code": (previous.code.digest, training.code),
        "parameters": (previous.params, training.params),
        "seed": (previous.seed, training.seed),
        "environment": (previous.environment.lock_sha256, training.lock),
    }
    if changed := [what for what, (before, after) in pairs.items() if before != after]:
        return "minor", ", ".join(changed) + " changed"
    fresh = previous.data.digest != training.snapshot
    return "patch", "only the data changed" if fresh else "trained again, nothing else changed"


def _broken(old: Signature, new: Signature) -> list[str]:
    """Return what would break a caller of the old signature."""
    out = [
        f"{what} is now {after or 'none'} (was {before or 'none'})"
        for what, before, after in (
            ("the task", old.task, new.task),
            ("the target", old.target, new.target),
            ("the positive class", old.positive, new.positive),
            ("the set of classes", ", ".join(old.classes), ", ".join(new.classes)),
        )
        if before != after
    ]
    before, after = ({f.name: f for f in s.features} for s in (old, new))
    for name in sorted(before | after):
        if name not in after:
            out.append(f"feature {name} was removed")
        elif name not in before:
            if not after[name].missing:
                out.append(f"feature {name} is new and required")
        elif before[name].kind != after[name].kind:
            out.append(f"feature {name} is now a {after[name].kind} (was {before[name].kind})")
    return out
