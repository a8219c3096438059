"""What a model has otherwise than a version before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mlops.io.digests import sha256
from mlops.io.git_objects import contents
from mlops.io.requirements import pins_of
from mlops.registry.manifest import Manifest
from mlops.results.data import Snapshot
from mlops.results.since_production import Change
from mlops.results.training import Signature, Training

_DIGEST = 12  # letters of a digest that people compare


def changes(
    before: Manifest,
    training: Training,
    snapshot: Snapshot,
    locks: tuple[Mapping[str, str], Mapping[str, str]] | None,
) -> tuple[Change, ...]:
    """Return everything that is not as in a version, the model first.

    Parameters
    ----------
    before : Manifest
        Of the version.
    training : Training
    snapshot : Snapshot
        What the model was trained on.
    locks : pair of mappings, optional
        Package: version, of both locks; None where that of the version is not known,
        and only the digests can be compared.
    """
    found = [
        *_estimator(before, training),
        *_differing("parameter", _texts(before.params), _texts(training.params)),
        *_differing("feature", _kinds(before.signature), _kinds(training.signature)),
        *_data(before, snapshot),
    ]
    if before.code.digest != training.code:
        found.append(
            Change(
                kind="code",
                name="code and specification",
                before=before.code.digest[:_DIGEST],
                after=training.code[:_DIGEST],
            )
        )
    return (*found, *_libraries(before, training, locks))


def lock_of(root: Path, version: Manifest, lock: Path) -> Mapping[str, str] | None:
    """Return the packages that a version was trained with.

    None where its commit is not here, or holds another lock.

    Parameters
    ----------
    root : Path
    version : Manifest
    lock : Path
        The lock of the repository; that of the version has the same place.
    """
    path = lock.relative_to(root).as_posix()
    (content,) = contents(root, [f"{version.code.commit}:./{path}"])
    if content is None or sha256(content) != version.environment.lock_sha256:
        return None
    return packages(content.decode("utf-8", "replace"))


def packages(lock: str) -> Mapping[str, str]:
    """Return package: version of a lock."""
    return {pin.name: pin.version for pin in pins_of(lock)}


def _estimator(before: Manifest, training: Training) -> Iterator[Change]:
    old = {"estimator": before.estimator, "seed": str(before.seed)}
    new = {"estimator": training.estimator, "seed": str(training.seed)}
    if training.signature.task == "binary":
        old["threshold"] = f"{before.signature.threshold:g}"
        new["threshold"] = f"{training.signature.threshold:g}"
    for name, text in new.items():
        was = old.get(name, "")
        if text != was:
            yield Change(kind="estimator", name=name, before=was, after=text)


def _data(before: Manifest, snapshot: Snapshot) -> Iterator[Change]:
    if before.data.digest == snapshot.digest:
        return
    yield Change(
        kind="data",
        name="(rows and digest)",
        before=_rows(before.data),
        after=_rows(snapshot),
    )


def _rows(snapshot: Snapshot) -> str:
    """Return how many rows, of which period, and the digest that tells them apart."""
    text = f"{snapshot.rows:,}"
    if snapshot.period:
        days = [end.partition("T")[0] for end in snapshot.period]
        text += f", {' to '.join(dict.fromkeys(days))}"
    return f"{text} ({snapshot.digest[:_DIGEST]})"


def _libraries(
    before: Manifest,
    training: Training,
    locks: tuple[Mapping[str, str], Mapping[str, str]] | None,
) -> Iterator[Change]:
    old = before.environment.lock_sha256
    if old == training.lock:
        return
    if locks is None:
        yield Change(
            kind="library",
            name="lock",
            before=old[:_DIGEST],
            after=training.lock[:_DIGEST],
        )
        return
    yield from _differing("library", *locks)


def _texts(params: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in params.items()}


def _kinds(signature: Signature) -> dict[str, str]:
    return {feature.name: feature.kind for feature in signature.features}


def _differing(
    kind: str, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Change]:
    """Yield a change for each name that has not the same text in both."""
    for name in sorted({**before, **after}):
        was = before.get(name, "")
        is_now = after.get(name, "")
        if was != is_now:
            yield Change.model_validate(
                {"kind": kind, "name": name, "before": was, "after": is_now}
            )
