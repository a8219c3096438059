"""Questions about versions: list, show, history, best, diff, lineage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops.config.project import Project
from mlops.errors import Refused, UsageError, did_you_mean, listed
from mlops.io.git import GitError, git
from mlops.registry.tags import Event, State, Version, known, read, resolve

if TYPE_CHECKING:
    from mlops.registry.manifest import Manifest
    from mlops.results.evaluation import Metric


_FIGURES = ("metrics", "slices", "fairness")

_SECTIONS = [
    "owner",
    "risk",
    "source",
    "columns",
    "data",
    "code",
    "environment",
    "estimator",
]

_SECTIONS += ["params", "seed", *_FIGURES, "signature"]


def versions(
    state: State, name: str | None = None, everything: bool = False
) -> list[Version]:
    """Return the versions of one model or of all, newest first within a model.

    With `everything` also those that were withdrawn, and those of retired models.
    """
    models = [known(state, name)] if name else list(state.models.values())
    shown = [m for m in models if name or everything or not m.deprecated]
    found = [v for model in shown for v in reversed(model.versions.values())]
    return [version for version in found if everything or version.active]


def show(project: Project, ref: str) -> tuple[Version, Manifest]:
    """Return a version and its manifest, verified against the tag."""
    from mlops.registry.manifest import manifest_of

    version = resolve(read(project.root), ref)
    return version, manifest_of(project.root, version)[0]


def history(project: Project, name: str) -> list[Event]:
    """Return all that happened to a model, oldest first: the audit log."""
    return known(read(project.root), name).events


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
    out["slices"] = [
        s for s in out["slices"] if s["metric"] and s["column"] not in hidden
    ]
    return out


def facts(project: Project, manifest: Manifest) -> dict[str, Any]:
    """Return what a version is made of, such as ``metrics.roc_auc``; nothing that is empty."""
    out = public(project, manifest)
    out["metrics"] = {m["name"]: m["value"] for m in out["metrics"]}
    out["slices"] = {
        f"{s['column']} = {s['value']}": s["metric"]["value"] for s in out["slices"]
    }
    out["fairness"] = {
        f"{f['metric']} by {f['column']}": f["difference"] for f in out["fairness"]
    }
    out["data"]["files"] = {
        file["path"]: file["sha256"] for file in out["data"]["files"]
    }
    told = {section: out[section] for section in _SECTIONS}
    return {path: value for path, value in _flat(told) if value not in (None, "")}


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


# -- which is best ----------------------------------------------------------------------------


class Ranked(NamedTuple):
    """A version by one of its metrics; `data` is the digest of what it was trained on."""

    version: Version
    metric: Metric
    data: str


def best(
    project: Project,
    name: str,
    metric: str | None = None,
    where: str | None = None,
    stage: str | None = None,
) -> tuple[list[Ranked], list[str]]:
    """Return the versions of a model that meet conditions, best first, and notes.

    Parameters
    ----------
    metric : str, optional
        Default: the primary one of the newest version.
    where : str, optional
        Conditions on the manifest, such as ``risk=minimal and metrics.accuracy>0.8``.
    stage : str, optional
        Only versions that are or were in this stage.
    """
    from mlops.registry.manifest import Manifest, manifests
    from mlops.runlog.conditions import condition

    test = condition(where, [*Manifest.model_fields, "decision"]) if where else None
    state = read(project.root)
    model, found = known(state, name), versions(state, name)
    if stage:
        once = model.ever_in(stage)
        found = [version for version in found if version.number in once]
    ranked, notes, names = [], [], dict[str, None]()
    for number, manifest in manifests(project.root, found):
        if isinstance(manifest, Refused):
            notes.append(f"{name}@{number} is left out: {manifest.problems[0].what}")
            continue
        figures = {figure.name: figure for figure in manifest.metrics}
        names |= dict.fromkeys(figures)
        metric = metric or next(iter(figures), None)
        if metric in figures and (not test or test(manifest.model_dump(mode="json"))):
            ranked.append(
                Ranked(model.versions[number], figures[metric], manifest.data.digest)
            )
    if metric and names and metric not in names:
        what, do = "no version has this metric", did_you_mean(metric, names)
        raise UsageError(
            what, key="--metric", found=metric, allowed=listed(names), do=do
        )
    higher = bool(ranked) and ranked[0].metric.higher_is_better
    return sorted(ranked, key=lambda one: one.metric.value, reverse=higher), notes


# -- what differs -----------------------------------------------------------------------------


def diff(
    project: Project, one: str, other: str
) -> tuple[Version, Version, list[dict[str, Any]]]:
    """Return two versions, and a row for each fact that is not the same in both."""
    from mlops.registry.manifest import manifest_of

    state = read(project.root)
    pair = resolve(state, one), resolve(state, other)
    before, after = (manifest_of(project.root, version)[0] for version in pair)
    old, new = facts(project, before), facts(project, after)
    if files := _changed(project, before, after):
        new["code.files"] = files
    rows: list[dict[str, Any]] = []
    for path in sorted(
        {**old, **new}, key=lambda path: _SECTIONS.index(path.split(".")[0])
    ):
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
        out = git(
            project.root, "diff", "--relative", "--name-only", *commits, "--", folder
        )
    names = (line.removeprefix(f"{folder}/") for line in out.splitlines())
    return listed(name for name in names if not name.startswith("data/"))


# -- what came from what ------------------------------------------------------------------------


def lineage(project: Project, ref: str) -> dict[str, Any]:
    """Return what is behind a version, and what came after it."""
    from mlops.registry.manifest import manifests
    from mlops.runlog.query import runs

    state = read(project.root)
    version = resolve(state, ref)
    every = dict(manifests(project.root, state.model(version.model).versions.values()))
    m = every.pop(version.number)
    if isinstance(m, Refused):
        raise m
    others = {number: o for number, o in every.items() if not isinstance(o, Refused)}
    behind = ("source", "data", "code", "environment")
    run = next((r for r in runs(project, m.model) if r["id"] == m.run), {"id": m.run})
    told = ("id", "started", "outcome", "actor", "pull_request", "run_url")
    return {
        "version": version.ref,
        "stages": list(version.stages),
        "registered_by": version.event.actor,
        **{k: v for k, v in facts(project, m).items() if k.startswith(behind)},
        **{f"run.{key}": run[key] for key in told if key in run},
        "previous": m.previous,
        "next": [
            number for number, o in others.items() if o.previous == version.number
        ],
        "same_data": [n for n, o in others.items() if o.data.digest == m.data.digest],
    }


def users(project: Project, digest: str) -> list[dict[str, Any]]:
    """Return the versions, withdrawn ones too, and the runs that used some data.

    Parameters
    ----------
    digest : str
        Of a snapshot or of one of its files; the first letters are enough.
    """
    from mlops.registry.manifest import manifests
    from mlops.runlog.query import runs

    out = []
    for model in read(project.root).models.values():
        every = manifests(project.root, reversed(model.versions.values()))
        found = [
            (f"{model.name}@{n}", m.data)
            for n, m in every
            if not isinstance(m, Refused)
        ]
        used = {name: data.model_dump(mode="json") for name, data in found}
        ran = (run for run in runs(project, model.name) if run.get("data"))
        used |= {f"run {run['id']}": run["data"] for run in ran}
        for name, data in used.items():
            digests = {"all rows": data["digest"]}
            digests |= {file["path"]: file["sha256"] for file in data["files"]}
            if hit := [
                what for what, full in digests.items() if full.startswith(digest)
            ]:
                out.append({"used_by": name, "data": hit[0], "rows": data["rows"]})
    return out
