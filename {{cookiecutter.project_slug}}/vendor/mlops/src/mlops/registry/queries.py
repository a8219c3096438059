"""Questions about versions: list, show, history, best, diff, lineage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.config.yaml import load_text, parse
from mlops.errors import Refused, UsageError, did_you_mean, listed
from mlops.io.git import GitError, git
from mlops.io.git_objects import contents
from mlops.registry.tags import (
    Event,
    ModelState,
    State,
    Version,
    known,
    read_registry,
    resolve,
)

if TYPE_CHECKING:
    from mlops.registry.manifest import Manifest
    from mlops.results.evaluation import Metric
    from mlops.runlog.conditions import Condition


_FIGURES = ("metrics", "slices", "fairness")

_SECTIONS = (
    "owner",
    "risk",
    "source",
    "columns",
    "data",
    "code",
    "environment",
    "estimator",
    "params",
    "seed",
    *_FIGURES,
    "signature",
)


def versions(
    state: State, name: str | None = None, everything: bool = False
) -> list[Version]:
    """Return the versions of one model or of all, newest first within a model.

    With `everything` also those that were withdrawn, and those of retired models.
    """
    models = [known(state, name)] if name else list(state.models.values())
    shown = [m for m in models if name or everything or not m.deprecated]
    selected = [v for model in shown for v in reversed(model.versions.values())]
    return [version for version in selected if everything or version.active]


def show(project: Project, ref: str) -> tuple[Version, Manifest]:
    """Return a version and its manifest, verified against the tag."""
    from mlops.registry.manifest import manifest_of

    version = resolve(read_registry(project.root), ref)
    return version, manifest_of(project.root, version)[0]


def spec_of(project: Project, version: Version) -> ModelSpec | None:
    """Return the specification that a version was made by.

    None where its commit holds none that this engine can read.
    """
    return specs_of(project, [version])[version.ref]


def specs_of(
    project: Project,
    versions: Iterable[Version],
    known: Mapping[tuple[str, bytes], ModelSpec] = MappingProxyType({}),
) -> dict[str, ModelSpec | None]:
    """Return the specifications that versions were made by, as `spec_of` does.

    Parameters
    ----------
    known : mapping of (str, bytes) to ModelSpec
        By path and content, what was read before.
    """
    requested = list(versions)
    paths = [f"models/{version.model}/model.yaml" for version in requested]
    names = [f"{v.commit}:./{path}" for v, path in zip(requested, paths, strict=True)]
    read_before: dict[tuple[str, bytes], ModelSpec | None] = dict(known)
    specs = {}
    stored = contents(project.root, names)
    for version, path, content in zip(requested, paths, stored, strict=True):
        key = (path, content or b"")
        if key not in read_before:  # most are the same, and YAML takes long to read
            read_before[key] = _spec(content, path)
        specs[version.ref] = read_before[key]
    return specs


def _spec(content: bytes | None, path: str) -> ModelSpec | None:
    if content is None:
        return None
    try:
        raw = load_text(content.decode("utf-8", "replace"), path)
        return parse(ModelSpec, raw, path)
    except UsageError:
        return None


def history(project: Project, name: str) -> list[Event]:
    """Return all that happened to a model, oldest first: the audit log."""
    return known(read_registry(project.root), name).events


def sensitive_columns(project: Project, manifest: Manifest) -> set[str]:
    """Return the columns whose values are never shown.

    What was sensitive at registration, and what model.yaml says now: the folder of a
    retired model may be gone.
    """
    hidden = set(manifest.sensitive)
    with suppress(UsageError):
        hidden |= set(project.model(manifest.model).sensitive)
    return hidden


def public(project: Project, manifest: Manifest) -> dict[str, Any]:
    """Return a manifest as data, without the values of sensitive columns.

    Sensitive is what was so at registration, and what model.yaml says now.
    """
    hidden = sensitive_columns(project, manifest)
    out = manifest.model_dump(mode="json", by_alias=True)
    for feature in out["signature"]["features"]:
        if feature["name"] in hidden:
            feature |= {"low": None, "high": None, "categories": None}
    out["slices"] = [
        s for s in out["slices"] if s["metric"] and s["column"] not in hidden
    ]
    return out


def facts(project: Project, manifest: Manifest) -> dict[str, Any]:
    """Return what a version is made of, such as ``metrics.roc_auc``.

    Nothing that is empty.
    """
    out = public(project, manifest)
    out["metrics"] = {metric["name"]: metric["value"] for metric in out["metrics"]}
    out["slices"] = {
        f"{part['column']} = {part['value']}": part["metric"]["value"]
        for part in out["slices"]
    }
    out["fairness"] = {
        f"{part['metric']} by {part['column']}": part["difference"]
        for part in out["fairness"]
    }
    out["data"]["files"] = {
        file["path"]: file["sha256"] for file in out["data"]["files"]
    }
    shown = {section: out[section] for section in _SECTIONS}
    return {path: value for path, value in _flat(shown) if value not in (None, "")}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a document holds by its path, lists of plain values as one text."""
    if isinstance(value, list):
        named = {x["name"]: x for x in value if isinstance(x, dict) and "name" in x}
        value = named or ", ".join(map(str, value))
    if not isinstance(value, dict):
        yield path, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{path}.{key}" if path else key)


# -- which is best ---------------------------------------------------------------------


class Ranked(NamedTuple):
    """A version by one of its metrics.

    `data` is the digest of what it was trained on.
    """

    version: Version
    metric: Metric
    data: str


def best(
    project: Project,
    name: str,
    metric: str | None = None,
    where: Sequence[Condition] = (),
    stage: str | None = None,
) -> tuple[list[Ranked], list[str]]:
    """Return the versions of a model that meet conditions, best first, and notes.

    Parameters
    ----------
    metric : str, optional
        Default: the primary one of the newest version.
    where : sequence of (str, str, str)
        Conditions on the manifest, such as ``("metrics.accuracy", "gt", "0.8")``.
    stage : str, optional
        Only versions that are or were in this stage.
    """
    state = read_registry(project.root)
    model = known(state, name)
    chosen = versions(state, name)
    if stage:
        once = model.ever_in(stage)
        chosen = [version for version in chosen if version.number in once]
    manifests, notes = _readable(project, name, chosen)
    names: dict[str, None] = {}
    for manifest in manifests.values():
        names |= dict.fromkeys(figure.name for figure in manifest.metrics)
    metric = metric or next(iter(names), None)
    if metric and names and metric not in names:
        raise UsageError(
            "no version has this metric",
            key="--metric",
            found=metric,
            allowed=listed(names),
            do=did_you_mean(metric, names),
        )
    ranked = []
    for number, manifest in _meeting(manifests, where).items():
        for figure in manifest.metrics:
            if figure.name == metric:
                digest = manifest.data.digest
                ranked.append(Ranked(model.versions[number], figure, digest))
    higher = bool(ranked) and ranked[0].metric.higher_is_better
    ranked.sort(key=lambda one: one.metric.value, reverse=higher)
    return ranked, notes


def _readable(
    project: Project, name: str, chosen: list[Version]
) -> tuple[dict[str, Manifest], list[str]]:
    """Return the manifests that verify, by number, and a note for each other one."""
    from mlops.registry.manifest import manifests

    readable = {}
    notes = []
    for number, manifest in manifests(project.root, chosen):
        if isinstance(manifest, Refused):
            problem = manifest.problems[0].what
            notes.append(f"{name}@{number} is left out: {problem}")
        else:
            readable[number] = manifest
    return readable, notes


def _meeting(
    manifests: dict[str, Manifest], where: Sequence[Condition]
) -> dict[str, Manifest]:
    """Return the manifests that meet all conditions."""
    from mlops.registry.manifest import Manifest
    from mlops.runlog.conditions import matching

    if not where:
        return manifests
    documents = [manifest.model_dump(mode="json") for manifest in manifests.values()]
    met = matching(documents, where, [*Manifest.model_fields, "decision"])
    pairs = zip(manifests.items(), met, strict=True)
    return {number: manifest for (number, manifest), fits in pairs if fits}


# -- what differs ----------------------------------------------------------------------


def diff(
    project: Project, one: str, other: str
) -> tuple[Version, Version, list[dict[str, Any]]]:
    """Return two versions, and a row for each fact that is not the same in both."""
    from mlops.registry.manifest import manifest_of

    state = read_registry(project.root)
    first = resolve(state, one)
    second = resolve(state, other)
    before, _ = manifest_of(project.root, first)
    after, _ = manifest_of(project.root, second)
    old = facts(project, before)
    new = facts(project, after)
    files = _changed(project, before, after)
    if files:
        new["code.files"] = files
    rows: list[dict[str, Any]] = []
    for path in sorted({**old, **new}, key=_section):
        a = old.get(path)
        b = new.get(path)
        if a == b:
            continue
        change = None
        if path.startswith(_FIGURES) and a is not None and b is not None:
            change = b - a
        rows.append({"what": path, "before": a, "after": b, "change": change})
    return first, second, rows


def _section(path: str) -> int:
    """Return where the section of a fact stands in the order of sections."""
    return _SECTIONS.index(path.split(".")[0])


def _changed(project: Project, before: Manifest, after: Manifest) -> str:
    """Return which files of the model differ between two commits."""
    folder = f"models/{after.model}"
    commits = (before.code.commit, after.code.commit)
    options = ("--relative", "--name-only", "--no-ext-diff")
    try:
        out = git(project.root, "diff", *options, *commits, "--", folder)
    except GitError:  # in a shallow clone, say
        return ""
    names = [line.removeprefix(f"{folder}/") for line in out.splitlines()]
    return listed(name for name in names if not name.startswith("data/"))


# -- what came from what ---------------------------------------------------------------


_OF_RUN = ("id", "started", "outcome", "actor", "pull_request", "run_url")

_ORIGIN = ("source", "data", "code", "environment")


def lineage(project: Project, ref: str) -> dict[str, Any]:
    """Return what is behind a version, and what came after it."""
    from mlops.registry.manifest import manifests
    from mlops.runlog.query import runs

    state = read_registry(project.root)
    version = resolve(state, ref)
    every = dict(manifests(project.root, state.model(version.model).versions.values()))
    manifest = every.pop(version.number)
    if isinstance(manifest, Refused):
        raise manifest
    others = {}
    for number, other in every.items():
        if not isinstance(other, Refused):
            others[number] = other
    run = {"id": manifest.run}
    for record in runs(project, manifest.model):
        if record["id"] == manifest.run:
            run = record
    origin = facts(project, manifest)
    digest = manifest.data.digest
    return {
        "version": version.ref,
        "stages": list(version.stages),
        "registered_by": version.event.actor,
        **{key: origin[key] for key in origin if key.startswith(_ORIGIN)},
        **{f"run.{key}": run[key] for key in _OF_RUN if key in run},
        "previous": manifest.previous,
        "next": [n for n, other in others.items() if other.previous == version.number],
        "same_data": [n for n, other in others.items() if other.data.digest == digest],
    }


def users(project: Project, digest: str) -> list[dict[str, Any]]:
    """Return the versions, withdrawn ones too, and the runs that used some data.

    Parameters
    ----------
    digest : str
        Of a snapshot or of one of its files; the first letters are enough.
    """
    out = []
    for model in read_registry(project.root).models.values():
        for name, data in _data_of(project, model).items():
            digests = {"all rows": data["digest"]}
            digests |= {file["path"]: file["sha256"] for file in data["files"]}
            hits = [asset for asset, full in digests.items() if full.startswith(digest)]
            if hits:
                out.append({"used_by": name, "data": hits[0], "rows": data["rows"]})
    return out


def _data_of(project: Project, model: ModelState) -> dict[str, Any]:
    """Return the data of each version and run of a model."""
    from mlops.registry.manifest import manifests
    from mlops.runlog.query import runs

    data = {}
    for number, manifest in manifests(project.root, reversed(model.versions.values())):
        if not isinstance(manifest, Refused):
            data[f"{model.name}@{number}"] = manifest.data.model_dump(mode="json")
    for run in runs(project, model.name):
        if run.get("data"):
            data[f"run {run['id']}"] = run["data"]
    return data
