"""What the pages of a site are made of, read for all models at once.

The registry is replayed once, git is asked as often for a hundred models as for one,
and of a far store only what is new is downloaded.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import ValidationError

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.errors import MlopsError, Refused
from mlops.registry import tags
from mlops.registry.approvals import unapproved_of, unexplained
from mlops.registry.chain import Bundle, bundles
from mlops.registry.manifest import Manifest, with_manifests
from mlops.registry.queries import specs_of
from mlops.registry.tags import Event, ModelState, State, Version
from mlops.registry.watched import LastChecked, watched
from mlops.reporting.blocks import Tone
from mlops.reporting.past_checks import history_of
from mlops.results.monitoring import DriftCheck, PastCheck
from mlops.results.runs import Record
from mlops.runlog import query
from mlops.storage.cache import cache_path
from mlops.storage.protocol import ReleaseStore

RECENT = 10  # events and runs of a model

# Asset, and what its page is called.
PAGES = {"report.html": "report", "card.md": "card"}

# Versions in the table of a model, and of all models: each is a manifest to be read.
_LISTED = 50
_LISTED_IN_ALL = 1000
_LISTED_AT_LEAST = 10

# Versions with pages, of a model and of all models, beside those that are in a stage.
_KEPT = 10
_KEPT_IN_ALL = 60

# Checks on the page of the last one, of a model and of all models.
_CHECKS = 60
_CHECKS_IN_ALL = 1200
_CHECKS_AT_LEAST = 5

# Versions whose pages are downloaded from a far store at a time, two requests each.
# What is in the cache is not downloaded again.
_NEW = 40


class LastCheck(NamedTuple):
    """The monitor's last check of a model, and those before it."""

    check: DriftCheck
    past: Sequence[PastCheck]


class Release(NamedTuple):
    """A version and what may be published of it.

    Attributes
    ----------
    wrong : str
        Why nothing may; empty where it may.
    later : bool
        Whether its pages are left for the next run.
    """

    version: Version
    manifest: Manifest | None = None
    files: Mapping[str, bytes] = {}
    tone: Tone = ""
    wrong: str = ""
    later: bool = False


@dataclass(frozen=True)
class Sources:
    """What is known of all models.

    Attributes
    ----------
    names : tuple of str
        Models with a folder or a version.
    releases : mapping of str to list of Release
        By model, those that its page lists, the newest first.
    specs : mapping of str to ModelSpec or MlopsError
        By model, what model.yaml says now, or why it cannot be read.
    staged_specs : mapping of str to ModelSpec or None
        By version, what it was made by, of those that are in a stage.
    unexplained : mapping of str to str
        What there is against tags that take something back, by tag.
    unapproved : mapping of str to str
        What the recent decisions about stages lack, by tag.
    runs : mapping of str to list of Record
        By model, the last ones, the newest first.
    checks : mapping of str to PastCheck or None
        By model, the monitor's last one; None where it cannot be read.
    last_checks : mapping of str to LastCheck
        By model, of those in the last stage, what the page of the last one shows.
    watched : mapping of str to LastChecked
        By model, of those in the last stage, how long ago that was.
    """

    state: State
    names: tuple[str, ...]
    releases: Mapping[str, Sequence[Release]]
    specs: Mapping[str, ModelSpec | MlopsError]
    staged_specs: Mapping[str, ModelSpec | None]
    unexplained: Mapping[str, str]
    unapproved: Mapping[str, str]
    runs: Mapping[str, Sequence[Record]]
    checks: Mapping[str, PastCheck | None]
    last_checks: Mapping[str, LastCheck]
    watched: Mapping[str, LastChecked]


def gather(project: Project, store: ReleaseStore, now: datetime) -> Sources:
    """Read all that the pages show.

    Raises
    ------
    EnvironmentFailure
        When the store does not answer: that is no broken chain, and no page either.
    """
    state = tags.read_registry(project.root)
    names = sorted({*project.models(), *state.models})
    models = list(state.models.values())
    events = [(model, event) for model in models for event in recent_events(model)]
    releases = _releases(project, state, names, store)
    staged = [version for model in models for version in set_of_stages(model)]
    specs = _specs(project, names)
    most = min(_CHECKS, max(_CHECKS_AT_LEAST, _CHECKS_IN_ALL // max(len(names), 1)))
    recent = query.recent_checks(project, most)
    live = {one.model: one for one in watched(project, state, now)}
    return Sources(
        state=state,
        names=tuple(names),
        releases=releases,
        specs=specs,
        staged_specs=specs_of(project, staged, _by_content(project, specs)),
        unexplained=unexplained(project.root, *models),
        unapproved=unapproved_of(project.root, events),
        runs=query.latest_runs(project, RECENT),
        checks={name: _past_check(raws[-1]) for name, raws in recent.items()},
        last_checks=_last_checks(recent, live),
        watched=live,
    )


def recent_events(model: ModelState) -> list[Event]:
    """Return what happened last to a model, the newest first."""
    return model.events[: -RECENT - 1 : -1]


def set_of_stages(model: ModelState) -> list[Version]:
    """Return the versions that are in a stage, each once."""
    return list({version.ref: version for version in model.stages.values()}.values())


def _specs(project: Project, names: Sequence[str]) -> dict[str, ModelSpec | MlopsError]:
    """Return what model.yaml says, or why it cannot be read."""
    specs: dict[str, ModelSpec | MlopsError] = {}
    for name in names:
        try:
            specs[name] = project.model(name)
        except MlopsError as error:
            specs[name] = error
    return specs


def _by_content(
    project: Project, specs: Mapping[str, ModelSpec | MlopsError]
) -> dict[tuple[str, bytes], ModelSpec]:
    """Return specifications by path and content: most versions have the same one."""
    known = {}
    for name, spec in specs.items():
        if not isinstance(spec, MlopsError):
            path = project.folder(name) / "model.yaml"
            known[f"models/{name}/model.yaml", path.read_bytes()] = spec
    return known


def _past_check(raw: Mapping[str, Any]) -> PastCheck | None:
    """Return what is shown of a check; None for one that is corrupt."""
    try:
        return PastCheck.model_validate(raw)
    except ValidationError:
        return None


def _last_checks(
    recent: Mapping[str, Sequence[Mapping[str, Any]]], live: Container[str]
) -> dict[str, LastCheck]:
    """Return the last check of each model that has a page: an older engine's has none.

    Parameters
    ----------
    recent : mapping of str to sequence of dict
        Checks of each model, oldest first.
    live : container of str
        The models in the last stage.
    """
    found = {}
    for name, raws in recent.items():
        if name not in live:
            continue
        try:
            check = DriftCheck.model_validate(raws[-1])
        except ValidationError:
            continue
        past = history_of(raws)
        if past and check.model == name:
            found[name] = LastCheck(check, past)
    return found


def _releases(
    project: Project, state: State, names: Sequence[str], store: ReleaseStore
) -> dict[str, list[Release]]:
    """Return the releases that the pages list, by model."""
    most = min(_KEPT, max(2, _KEPT_IN_ALL // max(len(names), 1)))
    listed = min(_LISTED, max(_LISTED_AT_LEAST, _LISTED_IN_ALL // max(len(names), 1)))
    shown: list[Version] = []
    published: list[Version] = []
    for name in names:
        model = state.model(name)
        newest = list(reversed(model.versions.values()))
        with_pages = _with_pages(model, newest, most)
        refs = {version.ref for version in with_pages}
        published += with_pages
        shown += [v for at, v in enumerate(newest) if at < listed or v.ref in refs]
    found = {
        release.version.ref: release
        for release in _published(project, state, published, store)
    }
    others = [version for version in shown if version.ref not in found]
    for version, stored in with_manifests(project.root, others):
        found[version.ref] = _only_listed(version, stored)
    releases: dict[str, list[Release]] = {name: [] for name in names}
    for version in shown:
        releases[version.model].append(found[version.ref])
    return releases


def _with_pages(model: ModelState, newest: list[Version], most: int) -> list[Version]:
    """Return the versions that have pages: in a stage, once in one, the newest."""
    staged = {event.version for event in model.events if event.kind == "assign"}
    ranked = sorted(newest, key=lambda v: (not v.stages, v.number not in staged))
    active = [version for version in ranked if version.active]
    return [version for at, version in enumerate(active) if version.stages or at < most]


def _only_listed(version: Version, stored: tuple[Manifest, bytes] | Refused) -> Release:
    """Return a version of which nothing but its manifest is shown."""
    if isinstance(stored, Refused):
        return _unusable(version, stored)
    return Release(version, stored[0], tone="" if version.active else "unsure")


def _unusable(version: Version, error: Refused) -> Release:
    wrong = f"do not use it, {error.problems[0].what}"
    return Release(version, tone="bad", wrong=wrong)


def _published(
    project: Project, state: State, versions: list[Version], store: ReleaseStore
) -> Iterator[Release]:
    """Yield versions as far as their chain of digests holds, those in a stage first.

    What is in a stage is verified to its last byte, of the others what is published.
    """
    if store.far:
        store.listing()  # brings the digests of the newest releases, by few requests
    ordered = sorted(versions, key=lambda version: not version.stages)
    new = 0
    for version, bundle in bundles(project, state, ordered, store):
        if isinstance(bundle, Refused):
            yield _unusable(version, bundle)
            continue
        new += store.far and not _cached(bundle)
        yield _release(version, bundle, store, later=new > _NEW)


def _cached(bundle: Bundle) -> bool:
    """Return whether the pages of a release were downloaded before."""
    return all(
        cache_path(asset).is_file()
        for name, asset in bundle.manifest.assets.items()
        if name in PAGES
    )


def _release(
    version: Version, bundle: Bundle, store: ReleaseStore, later: bool
) -> Release:
    """Return a version whose manifest verified, with its pages."""
    manifest = bundle.manifest
    try:
        if version.stages:
            bundle.verify()
        files = {}
        if not later:
            assets = [asset for asset in PAGES if asset in manifest.assets]
            files = {asset: bundle.read(asset) for asset in assets}
    except Refused as error:
        if store.holds(version.model, version.number):
            return _unusable(version, error)
        wrong = "the store here does not hold its files"
        return Release(version, manifest, tone="unsure", wrong=wrong)
    tone: Tone = "good" if version.stages else ""
    return Release(version, manifest, files, tone, later=later)
