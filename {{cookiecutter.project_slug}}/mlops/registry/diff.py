"""What differs between two versions: data, code, parameters, metrics, slices and signature."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from mlops.errors import UsageError, listed
from mlops.git import GitError, git
from mlops.project import Project
from mlops.registry.manifest import Manifest
from mlops.registry.tags import Version, read, resolve
from mlops.registry.verify import manifest_of
from mlops.results import Feature

_SECTIONS = ("model", "data", "code", "parameters", "metrics", "slices", "fairness", "signature")
_FIGURES = ("metrics", "slices", "fairness")


class Difference(NamedTuple):
    """One line in which two versions differ; `change` is that of a figure."""

    section: str
    what: str
    before: Any
    after: Any
    change: float | None = None


def diff(project: Project, one: str, other: str) -> tuple[Version, Version, list[Difference]]:
    """Return two versions and in what they differ."""
    state = read(project.root)
    pair = resolve(state, one), resolve(state, other)
    before, after = (manifest_of(project.root, version)[0] for version in pair)
    secret = hidden(project, before, after)
    old, new = _facts(before, secret), _facts(after, secret)
    if files := _changed(project, before, after):
        new["code", "files"] = files
    rows = []
    for key in dict.fromkeys([*old, *new]):
        a, b = old.get(key), new.get(key)
        if a != b:
            x, y = _figure(key[0], a), _figure(key[0], b)
            change = None if x is None or y is None else y - x
            rows.append(Difference(*key, a, b, change))
    return *pair, sorted(rows, key=lambda row: _SECTIONS.index(row.section))


def hidden(project: Project, *manifests: Manifest) -> set[str]:
    """Return the columns whose values nobody may see: by the manifests and by model.yaml now."""
    out = {column for manifest in manifests for column in manifest.sensitive}
    with suppress(UsageError):  # the folder may be gone
        out |= {c for manifest in manifests for c in project.model(manifest.model).sensitive}
    return out


def public(project: Project, manifest: Manifest) -> dict[str, Any]:
    """Return a manifest as data, without what it says of the values of hidden columns."""
    out, secret = manifest.model_dump(mode="json", by_alias=True), hidden(project, manifest)
    for feature in out["signature"]["features"]:
        if feature["name"] in secret:
            feature |= {"low": None, "high": None, "categories": None}
    return out


def _figure(section: str, value: Any) -> float | None:
    """Return what a difference can be taken of."""
    known = section in _FIGURES and value is not None
    return float(getattr(value, "value", value)) if known else None


def _facts(m: Manifest, secret: set[str]) -> dict[tuple[str, str], Any]:
    """Return what a version is made of, by section and name; figures as metrics or floats."""
    model = m.assets.get("model.skops")
    sections: dict[str, dict[str, Any]] = {
        "model": {"owner": m.owner, "risk": m.risk, "size": model and f"{model.size:,} bytes"},
        "data": {
            "digest": m.data.digest,
            "rows": m.data.rows,
            "period": " to ".join(m.data.period or ()),
            "source": m.source,
            "files": listed(file.path for file in m.data.files),
            **{f"column {name}": kind for name, kind in m.columns.items()},
        },
        "code": {
            "commit": m.code.commit,
            "estimator": m.estimator,
            "lock": m.environment.lock_sha256,
            "python": m.environment.python,
            "platform": m.environment.platform,
        },
        "parameters": {**m.params, "seed": m.seed, "threshold": m.signature.threshold},
        "metrics": {metric.name: metric for metric in m.metrics},
        "slices": {f"{s.column} = {s.value}": s.metric for s in m.slices if s.column not in secret},
        "fairness": {f"{f.metric} by {f.column}": f.difference for f in m.fairness},
        "signature": {
            **{key: getattr(m.signature, key) for key in ("task", "target", "positive")},
            "classes": listed(m.signature.classes),
            **{f.name: _feature(f, f.name in secret) for f in m.signature.features},
        },
    }
    pairs = [((part, k), v) for part, facts in sections.items() for k, v in facts.items()]
    return {key: value for key, value in pairs if value not in (None, "")}


def _feature(f: Feature, hidden: bool) -> str:
    """Return what a model takes as a feature, as one text."""
    parts = [f.kind, "may be missing" if f.missing else ""]
    if f.low is not None and f.high is not None and not hidden:
        parts.append(f"{f.low:g} to {f.high:g}")
    if f.categories and not hidden:
        parts.append(listed(f.categories, 4))
    return ", ".join(part for part in parts if part)


def _changed(project: Project, before: Manifest, after: Manifest) -> str:
    """Return which files of the model differ between two commits, as far as they are here."""
    folder, commits = f"models/{after.model}", (before.code.commit, after.code.commit)
    out = ""
    if before.model == after.model:
        with suppress(GitError):  # in a shallow clone, say
            out = git(project.root, "diff", "--relative", "--name-only", *commits, "--", folder)
    names = (line.removeprefix(f"{folder}/") for line in out.splitlines())
    return listed(name for name in names if not name.startswith("data/"))
