"""The repository's pages: stages, history and reports.

Of a release whose chain of digests does not hold nothing is published; the page says which link.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

from pydantic import ValidationError

from mlops.config.project import Project
from mlops.errors import EnvironmentFailure, MlopsError, Refused
from mlops.io.git import head
from mlops.registry import tags
from mlops.registry.chain import Bundle, fetch
from mlops.registry.manifest import Manifest, manifest_of
from mlops.registry.tags import Event, ModelState, Version
from mlops.reporting import words
from mlops.reporting.blocks import Cell, Link, Row, Summary, Table, Tone
from mlops.reporting.html import drawn, fill
from mlops.reporting.sections import interval
from mlops.results.base import Result
from mlops.results.evaluation import Metric
from mlops.results.runs import Record
from mlops.runlog import query
from mlops.storage.protocol import ReleaseStore

# Versions in the table, events and runs; versions with pages, of a model and of all: each costs
# four requests, and a repository has a thousand an hour.
_LISTED, _RECENT, _KEPT, _KEPT_IN_ALL = 50, 10, 10, 60

_PAGES = {
    "report.html": "report",
    "card.md": "card",
}  # asset, and what its page is called

_OUTCOMES: dict[str, Tone] = {
    "promote": "good",
    "reject": "bad",
    "inconclusive": "unsure",
}

_SAID = {
    "Rollback": "back from",
    "Approver": "approved by",
    "Reason": "why:",
}  # by trailer

OURS = "index.html", '<meta name="generator" content="mlops">'  # as page.html.j2 has it


class Release(NamedTuple):
    """A version, its manifest and what may be published; `wrong` says why that is nothing."""

    version: Version
    manifest: Manifest | None = None
    files: Mapping[str, bytes] = {}
    tone: Tone = ""
    wrong: str = ""


class Part(NamedTuple):
    """What the first page says of one model; a place is a stage, its version, and lines on it."""

    name: str
    about: str
    facts: Mapping[str, str]
    places: Sequence[tuple[str, str, Sequence[str]]]
    alarms: Sequence[tuple[Tone, str]]
    tables: Sequence[Table]
    releases: Sequence[Release]


class Check(Result):
    """What the page reads of a check of the monitor."""

    alarm: bool
    until: str
    reasons: tuple[str, ...] = ()


class Site(NamedTuple):
    """The files of a site by their paths, and what it says in short."""

    files: Mapping[str, bytes]
    said: Summary


def site(
    project: Project, store: ReleaseStore, now: datetime, address: str = ""
) -> Site:
    """Return all pages.

    Parameters
    ----------
    store : ReleaseStore
        What is published comes out of it, verified.
    now : datetime
        With a time zone.
    address : str
        The repository's on GitHub, for links; empty where it is not there.

    Raises
    ------
    WorldError
        When the store does not answer: that is no broken chain, and no page either.
    """
    state = tags.read(project.root)
    names = sorted({*project.models(), *state.models})
    most = min(_KEPT, max(2, _KEPT_IN_ALL // max(len(names), 1)))
    parts = [_part(project, state.model(name), store, address, most) for name in names]
    known = {"project": project.spec, "address": address, "commit": head(project.root)}
    known |= {"now": words.when(int(now.timestamp()))}
    said = _said(project, parts)
    first = fill(said=said, parts=parts, index=_index(project, parts), **known)
    files = {"index.html": first.encode()}
    for release in (r for part in parts for r in part.releases):
        for asset, content in release.files.items():
            if asset == "card.md":
                card = drawn(content.decode("utf-8", "replace"))
                content = fill(card=card, ref=release.version.ref, **known).encode()
            files[_path(release.version, asset)] = content
    return Site(files, said)


def _path(version: Version, asset: str) -> str:
    return f"{version.model}/{version.number}/{_PAGES[asset]}.html"


def _part(
    project: Project, model: ModelState, store: ReleaseStore, address: str, most: int
) -> Part:
    """Return what there is to say of a model."""
    newest = list(reversed(model.versions.values()))
    staged = {e.version for e in model.events if e.kind == "assign"}
    ranked = sorted(newest, key=lambda v: (not v.stages, v.number not in staged))
    ranked = [
        v for at, v in enumerate(v for v in ranked if v.active) if v.stages or at < most
    ]
    shown = [v for at, v in enumerate(newest) if at < _LISTED or v in ranked]
    releases = [_release(project, v, store, v in ranked) for v in shown]
    odd = [r for r in releases if r.tone == "bad" or (r.wrong and r.version.stages)]
    alarms = [(r.tone, f"{r.version.ref}: {r.wrong}") for r in odd]
    about, facts = _about(project, model.name)
    alarms += _monitored(project, model.name)
    alarms += [("unsure", f"{model.name} is retired.")] if model.deprecated else []
    for stage, problem in model.unresolved.items():
        alarms.append(("bad", f"{stage} cannot be resolved: {problem}"))
    known = sorted({*model.stages, *model.unresolved})
    stages = dict.fromkeys([*(stage.name for stage in project.spec.stages), *known])
    runs = query.records(project, model.name, limit=_RECENT)[::-1]
    tables = (
        _versions(releases, len(newest), address),
        _history(model),
        _runs(runs, address),
    )
    places = [_place(model, stage) for stage in stages]
    return Part(model.name, about, facts, places, alarms, tables, releases)


def _about(project: Project, name: str) -> tuple[str, dict[str, str]]:
    """Return what model.yaml says a model is for."""
    try:
        spec = project.model(name)
    except MlopsError as error:
        return "", {"Specification": error.problems[0].what}
    facts = {
        "Task": f"{spec.task}: predicts {spec.data.target}",
        "Owner": spec.owner,
        "Intended use": spec.intended_use,
        "Not for": spec.limits,
        "Risk": f"{spec.risk}: {spec.risk_reason}" if spec.risk_reason else spec.risk,
    }
    return spec.description, {key: value for key, value in facts.items() if value}


def _release(
    project: Project, version: Version, store: ReleaseStore, publish: bool
) -> Release:
    """Return a version as far as its chain of digests holds.

    What is in a stage is verified to its last byte, of the others what is published.
    """
    manifest = None
    try:
        manifest, content = manifest_of(project.root, version)
        if not publish:
            return Release(version, manifest, tone="" if version.active else "unsure")
        bundle = Bundle(version, manifest, content, store)
        if version.stages:
            bundle = fetch(project, version.ref, store)
        files = {
            asset: bundle.read(asset) for asset in _PAGES if asset in manifest.assets
        }
        return Release(version, manifest, files, "good" if version.stages else "")
    except Refused as error:
        if manifest and version.number not in store.list(version.model):
            wrong = "the store here does not hold its files"
            return Release(version, manifest, tone="unsure", wrong=wrong)
        return Release(
            version, tone="bad", wrong=f"do not use it, {error.problems[0].what}"
        )


def _monitored(project: Project, name: str) -> list[tuple[Tone, str]]:
    """Return the alarm of the monitor's last check, where it was one."""
    try:
        checks = [Check.model_validate(raw) for raw in query.checks(project, name)[-1:]]
    except (EnvironmentFailure, ValidationError):
        return [("unsure", f"{name}: the monitor's last check cannot be read")]
    if not checks or not checks[0].alarm:
        return []
    check = checks[0]
    text = f"{name}: alarm of the monitor, {check.until[:16].replace('T', ' ')}"
    return [("unsure", f"{text}: {words.listed(list(check.reasons))}")]


def _said(project: Project, parts: Sequence[Part]) -> Summary:
    """Return the answer to "is all well?", or what to do first."""
    stages, name = (
        [stage.name for stage in project.spec.stages],
        parts[0].name if parts else "",
    )
    if not any(part.releases for part in parts):
        do = f"mlops run {name}; mlops register {name}; mlops promote {name}@latest {stages[0]}"
        do = f"Begin with: {do if parts else 'mlops new NAME --data FILE --target COLUMN'}"
        what = "Nothing is registered yet." if parts else "There is no model yet."
        return Summary("unsure", what, (do,))
    live = [
        v for part in parts for stage, v, _ in part.places if stage == stages[-1] and v
    ]
    title = f"In {stages[-1]}: {len(live)} of {len(parts)} models"
    if len(parts) == 1:
        title = (
            f"{name} {live[0]} is in {stages[-1]}"
            if live
            else f"{name} waits for {stages[-1]}"
        )
    alarms = [alarm for part in parts for alarm in part.alarms]
    tones = [tone for tone, _ in alarms]
    if "bad" in tones:
        title += f"; {words.count(tones.count('bad'), 'release')} not to be used"
    fine = "Every version that is in a stage was verified to its last byte."
    tone: Tone = "bad" if "bad" in tones else "unsure" if tones else "good"
    return Summary(tone, f"{title}.", tuple(text for _, text in alarms[:5]) or (fine,))


# -- how it is shown --------------------------------------------------------------------------


def _happened(event: Event) -> tuple[str, ...]:
    """Return when, what, by whom, approved by whom, and why."""
    said = event.trailers
    what = words.EVENTS[event.decision].format(version=event.version, stage=event.stage)
    back = f", back from {said['Rollback']}" if "Rollback" in said else ""
    if "Verdict" in said:
        back += f", decided against the verdict {said['Verdict']}"
    approved, why = said.get("Approver", words.NONE), said.get("Reason", words.NONE)
    return words.when(event.time), what + back, event.actor, approved, why


def _place(model: ModelState, stage: str) -> tuple[str, str, list[str]]:
    """Return a stage, the version in it, and since when and why it is there."""
    version = model.stages.get(stage)
    if version is None:
        return stage, "", []
    put = ("assign", stage, version.number)
    event = next(
        e for e in reversed(model.events) if (e.kind, e.stage, e.version) == put
    )
    said, lines = (
        event.trailers,
        [f"since {words.when(event.time)} UTC, by {event.actor}"],
    )
    lines += [f"{words} {said[key]}" for key, words in _SAID.items() if said.get(key)]
    return stage, version.number, lines


def _history(model: ModelState) -> Table:
    rows: list[Row] = [("", _happened(e)) for e in model.events[: -_RECENT - 1 : -1]]
    columns = ("When (UTC)", "What", "By", "Approved by", "Why")
    title = (
        f"History: the last {len(rows)} of {words.count(len(model.events), 'event')}"
    )
    return Table(title, columns, "lllll", rows, folded=True)


def _versions(releases: Sequence[Release], total: int, address: str) -> Table:
    columns = (
        "Version",
        "Stage",
        "Registered",
        "Change",
        "Metric",
        "Data",
        "Verdict",
        "Read",
    )
    rows: list[Row] = []
    for r in releases:
        version, m, born = r.version, r.manifest, _happened(r.version.event)
        stages = ", ".join(version.stages) if version.active else "withdrawn"
        cells: list[Cell] = [
            version.number,
            stages or words.NONE,
            f"{born[0][:10]} by {born[2]}",
        ]
        metric, data, verdict = _measured(m) if m else (words.NONE,) * 3
        cells += [born[4], metric, data, r.wrong or verdict]
        links = [Link(_PAGES[asset], _path(version, asset)) for asset in r.files]
        if address and version.active:
            links.append(
                Link("release", f"{address}/releases/tag/{quote(version.ref)}")
            )
        rows.append((r.tone, (*cells, tuple(links) or words.NONE)))
    older = f", and {total - len(rows):,} older" if total > len(rows) else ""
    return Table(
        f"{words.count(len(rows), 'version')}{older}", columns, "llllllll", rows
    )


def _measured(m: Manifest) -> tuple[str, str, str]:
    """Return a version's primary metric, its data, and why it may be used."""
    period = f", {words.span(m.data.period)}" if m.data.period else ""
    against = f" against {m.verdict.champion}" if m.verdict.champion else ""
    verdict = f"{m.verdict.decision}, {m.verdict.rule}{against}"
    return _primary(m.metrics), words.count(m.data.rows, "row") + period, verdict


def _primary(metrics: Sequence[Metric]) -> str:
    """Return the primary metric with its interval."""
    m = metrics[0] if metrics else None
    return (
        f"{words.label(m.name)} {words.number(m.value)} ({interval(m)})"
        if m
        else words.NONE
    )


def _runs(records: Sequence[Record], address: str) -> Table:
    rows: list[Row] = []
    for r in records:
        # An address from the journal leads to a page, or is none.
        known = re.fullmatch(r"https?://[\w.:-]+/[\w./-]*", r.run_url or "")
        links = [Link("run", known[0])] if known else []
        if r.pull_request and address:
            links.append(Link(f"#{r.pull_request}", f"{address}/pull/{r.pull_request}"))
        begun = r.started[:16].replace("T", " ")
        cells = (
            begun,
            r.outcome,
            _primary(r.metrics),
            r.actor,
            tuple(links) or words.NONE,
        )
        rows.append((_OUTCOMES.get(r.outcome, ""), cells))
    columns = ("Began (UTC)", "Outcome", "Metric", "By", "Read")
    return Table(
        f"The last {words.count(len(rows), 'run')}", columns, "lllll", rows, folded=True
    )


def _index(project: Project, parts: Sequence[Part]) -> Table:
    """Return the models in a line each, where there are several."""
    rows: list[Row] = []
    stages = [stage.name for stage in project.spec.stages]
    for part in parts if len(parts) > 1 else ():
        there = {stage: version or words.NONE for stage, version, _ in part.places}
        tone, text = min(
            part.alarms, default=("", words.NONE)
        )  # "bad" is the first of them
        cells = [
            *(there[stage] for stage in stages),
            part.facts.get("Owner", words.NONE),
            text,
        ]
        rows.append((tone, ((Link(part.name, f"#{part.name}"),), *cells)))
    columns = ("Model", *stages, "Owner", "To look at")
    return Table("Models", columns, "l" * len(columns), rows)
