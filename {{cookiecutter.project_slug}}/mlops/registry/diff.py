"""What versions are made of, by the paths that conditions know, and in what two of them differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from mlops.errors import UsageError, listed
from mlops.git import GitError, git
from mlops.project import Project
from mlops.registry.manifest import Manifest
from mlops.registry.tags import Version, read, resolve
from mlops.registry.verify import manifest_of

_FIGURES = ("metrics", "slices", "fairness")
_SECTIONS = ["owner", "risk", "source", "columns", "data", "code", "environment", "estimator"]
_SECTIONS += ["params", "seed", *_FIGURES, "signature"]


def public(project: Project, manifest: Manifest) -> dict[str, Any]:
    """Return a manifest as data, without what it says of the values of sensitive columns.

    Sensitive is what was so at registration, and what model.yaml says now.
    """
    hidden = set(manifest.sensitive)
    with suppress(UsageError):  # the folder may be gone
        hidden |= set(project.model(manifest.model).sensitive)
    out = manifest.model_dump(mode="json", by_alias=True)
    for feature in out["signature"]["features"]:
        if feature["name"] in hidden:
            feature |= {"low": None, "high": None, "categories": None}
    out["slices"] = [part for part in out["slices"] if part["column"] not in hidden]
    return out


def facts(project: Project, manifest: Manifest) -> dict[str, Any]:
    """Return what a version is made of, such as ``metrics.roc_auc``; nothing that is empty."""
    out = public(project, manifest)
    out["metrics"] = {m["name"]: m["value"] for m in out["metrics"]}
    out["slices"] = {f"{s['column']} = {s['value']}": s["metric"]["value"] for s in out["slices"]}
    out["fairness"] = {f"{f['metric']} by {f['column']}": f["difference"] for f in out["fairness"]}
    out["data"]["files"] = {file["path"]: file["sha256"] for file in out["data"]["files"]}
    known = {section: out[section] for section in _SECTIONS}
    return {path: value for path, value in _flat(known) if value not in (None, "")}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a document holds by its path, lists of plain values as one text."""
    if isinstance(value, list):
        named = {x["name"]: x for x in value if isinstance(x, dict) and "name" in x}
        value = named or ", ".join(map(str, value))
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


def diff(project: Project, one: str, other: str) -> tuple[Version, Version, list[dict[str, Any]]]:
    """Return two versions, and a row for each fact that is not the same in both."""
    state = read(project.root)
    pair = resolve(state, one), resolve(state, other)
    before, after = (manifest_of(project.root, version)[0] for version in pair)
    old, new = facts(project, before), facts(project, after)
    if files := _changed(project, before, after):
        new["code.files"] = files
    rows: list[dict[str, Any]] = []
    for path in sorted({**old, **new}, key=lambda path: _SECTIONS.index(path.split(".")[0])):
        a, b = old.get(path), new.get(path)
        if a != b:
            change = None
            if path.startswith(_FIGURES) and a is not None and b is not None:
                change = b - a
            rows.append({"what": path, "before": a, "after": b, "change": change})
    return *pair, rows


def _changed(project: Project, before: Manifest, after: Manifest) -> str:
    """Return which files of the model differ between two commits, as far as they are here."""
    folder, commits = f"models/{after.model}", (before.code.commit, after.code.commit)
    out = ""
    with suppress(GitError):  # in a shallow clone, say
        out = git(project.root, "diff", "--relative", "--name-only", *commits, "--", folder)
    names = (line.removeprefix(f"{folder}/") for line in out.splitlines())
    return listed(name for name in names if not name.startswith("data/"))
