"""Semantic versions: what changed since the version before."""

from __future__ import annotations

from collections.abc import Iterable

from mlops.registry.manifest import Manifest
from mlops.registry.tags import version_key
from mlops.results.training import Signature, Training


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
    """Return major, minor or patch, and what exactly changed."""
    if previous is None:
        return "major", "the version before has no manifest to compare with"
    broken = _broken(previous.signature, training.signature)
    if broken:
        return "major", "; ".join(broken)
    pairs = {
        "code": (previous.code.digest, training.code),
        "parameters": (previous.params, training.params),
        "seed": (previous.seed, training.seed),
        "threshold": (previous.signature.threshold, training.signature.threshold),
        "environment": (previous.environment.lock_sha256, training.lock),
    }
    changed = [name for name, (before, after) in pairs.items() if before != after]
    if changed:
        return "minor", ", ".join(changed) + " changed"
    if previous.data.digest != training.snapshot:
        return "patch", "only the data changed"
    return "patch", "trained again, nothing else changed"


def _broken(old: Signature, new: Signature) -> list[str]:
    """Return what would break a caller of the old signature."""
    out = [
        f"{key} is now {getattr(new, key)} (was {getattr(old, key)})"
        for key in ("task", "target", "positive", "classes")
        if getattr(old, key) != getattr(new, key)
        and not (key == "classes" and set(old.classes) == set(new.classes))
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
