"""The repository's pages: stages, history and reports.

Of a release whose chain of digests does not hold nothing is published; the page says
which link.
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
from mlops.registry.approvals import unapproved, unexplained
from mlops.registry.chain import Bundle, fetch
from mlops.registry.manifest import Manifest, manifest_of
from mlops.registry.queries import spec_of
from mlops.registry.tags import Event, ModelState, Version
from mlops.reporting import wording, words
from mlops.reporting.blocks import Cell, Link, Row, Summary, Table, Tone
from mlops.reporting.gaps import gaps, is_written
from mlops.reporting.html import card_as_html, fill
from mlops.results.base import Result
from mlops.results.evaluation import Metric
from mlops.results.monitoring import ColumnDrift, Performance
from mlops.results.runs import Record
from mlops.runlog import query
from mlops.storage.protocol import ReleaseStore

_LISTED = 50  # versions in the table
_RECENT = 10  # events and runs

# Versions with pages, of a model and of all: each costs four requests, and a repository
# has a thousand an hour.
_KEPT = 10
_KEPT_IN_ALL = 60

# Asset, and what its page is called.
_PAGES = {"report.html": "report", "card.md": "card"}

_OUTCOMES: dict[str, Tone] = {
    "promote": "good",
    "reject": "bad",
    "inconclusive": "unsure",
}

# What a trailer of a tag is called.
_TRAILERS = {
    "Rollback": "back from",
    "Approver": "approved by",
    "Reason": "why:",
}

# A page of ours, and the line by which it is known; page.html.j2 has it.
OURS = "index.html", '<meta name="generator" content="mlops">'

_MOST_ALARMS = 5


class Release(NamedTuple):
    """A version and what may be published of it; `wrong` says why nothing may."""

    version: Version
    manifest: Manifest | None = None
    files: Mapping[str, bytes] = {}
    tone: Tone = ""
    wrong: str = ""


class Alarm(NamedTuple):
    """Something to look at: in short for head and index, in full at the model."""

    tone: Tone
    short: str
    text: str


class Part(NamedTuple):
    """What the first page says of one model.

    A place is a stage, the version in it, and lines about that.
    """

    name: str
    about: str
    facts: Mapping[str, str]
    places: Sequence[tuple[str, str, Sequence[str]]]
    alarms: Sequence[Alarm]
    tables: Sequence[Table]
    releases: Sequence[Release]
    retired: bool = False


class MonitorCheck(Result):
    """What the page reads of a check of the monitor."""

    alarm: bool
    until: str
    columns: tuple[ColumnDrift, ...] = ()
    performance: tuple[Performance, ...] = ()
    reasons: tuple[str, ...] = ()


class Site(NamedTuple):
    """The files of a site by their paths, and what it says in short."""

    files: Mapping[str, bytes]
    summary: Summary


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
    EnvironmentFailure
        When the store does not answer: that is no broken chain, and no page either.
    """
    state = tags.read(project.root)
    names = sorted({*project.models(), *state.models})
    most = min(_KEPT, max(2, _KEPT_IN_ALL // max(len(names), 1)))
    parts = [_part(project, state.model(name), store, address, most) for name in names]
    known = {"project": project.spec, "address": address, "commit": head(project.root)}
    known |= {"now": words.when(int(now.timestamp()))}
    summary = _summary(project, parts)
    first = fill(summary=summary, parts=parts, index=_index(project, parts), **known)
    files = {"index.html": first.encode()}
    for release in (r for part in parts for r in part.releases):
        for asset, content in release.files.items():
            if asset == "card.md":
                card = card_as_html(content.decode("utf-8", "replace"))
                content = fill(card=card, ref=release.version.ref, **known).encode()
            files[_path(release.version, asset)] = content
    return Site(files, summary)


def _path(version: Version, asset: str) -> str:
    return f"{version.model}/{version.number}/{_PAGES[asset]}.html"


def _part(
    project: Project, model: ModelState, store: ReleaseStore, address: str, most: int
) -> Part:
    """Return what there is to say of a model."""
    newest = list(reversed(model.versions.values()))
    staged = {e.version for e in model.events if e.kind == "assign"}
    ranked = sorted(newest, key=lambda v: (not v.stages, v.number not in staged))
    active = [version for version in ranked if version.active]
    published = [v for at, v in enumerate(active) if v.stages or at < most]
    shown = [v for at, v in enumerate(newest) if at < _LISTED or v in published]
    releases = [_release(project, v, store, v in published) for v in shown]
    about, facts = _about(project, model.name)
    alarms = _unusable(releases)
    alarms += _monitored(project, model.name)
    if model.deprecated:
        retired = f"{model.name} is retired."
        alarms.append(Alarm("unsure", retired, retired))
    for stage, problem in model.unresolved.items():
        short = f"{model.name}: {stage} cannot be resolved"
        text = f"{stage} cannot be resolved: {problem}"
        alarms.append(Alarm("bad", short, text))
    if model.lost and not model.unresolved:
        alarms.append(Alarm("bad", f"{model.name}: a tag was deleted", model.loss))
    odd = unexplained(project.root, model)
    for text in odd.values():
        short = f"{model.name}: a decision without a name"
        alarms.append(Alarm("unsure", short, text))
    declared = [stage.name for stage in project.spec.stages]
    known = sorted({*model.stages, *model.unresolved})
    stages = dict.fromkeys([*declared, *known])
    runs = query.records(project, model.name, limit=_RECENT)[::-1]
    tables = (
        _versions(releases, len(newest), address),
        _history(project, model, odd),
        _runs(runs, address),
    )
    unknown = _unknown(project, releases)
    places = [_in_stage(model, stage, unknown) for stage in stages]
    return Part(
        model.name,
        about,
        facts,
        places,
        alarms,
        tables,
        releases,
        retired=bool(model.deprecated),
    )


def _about(project: Project, name: str) -> tuple[str, dict[str, str]]:
    """Return what model.yaml says a model is for."""
    try:
        spec = project.model(name)
    except MlopsError as error:
        return "", {"Specification": error.problems[0].what}
    facts = {
        "Task": f"{spec.task}: predicts {spec.data.target}",
        "Owner": spec.owner,
        "Intended use": _written(spec.intended_use),
        "Not for": _written(spec.limits),
        "Risk": f"{spec.risk}: {_written(spec.risk_reason)}",
    }
    return spec.description, facts


def _written(text: str) -> str:
    """Return what a person wrote, or the mark that nobody has."""
    return text if is_written(text) else "\u270e not written"


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
        if manifest and not store.holds(version.model, version.number):
            wrong = "the store here does not hold its files"
            return Release(version, manifest, tone="unsure", wrong=wrong)
        return Release(
            version, tone="bad", wrong=f"do not use it, {error.problems[0].what}"
        )


def _unusable(releases: Sequence[Release]) -> list[Alarm]:
    """Return the releases that nobody should use, or that could not be verified."""
    alarms = []
    for release in releases:
        ref = release.version.ref
        if release.tone == "bad":
            short = f"{ref} is not to be used"
        elif release.wrong and release.version.stages:
            short = f"{ref} could not be verified"
        else:
            continue
        alarms.append(Alarm(release.tone, short, f"{ref}: {release.wrong}"))
    return alarms


def _monitored(project: Project, name: str) -> list[Alarm]:
    """Return the alarm of the monitor's last check, where it was one."""
    try:
        checks = [
            MonitorCheck.model_validate(raw) for raw in query.checks(project, name)[-1:]
        ]
    except (EnvironmentFailure, ValidationError):
        text = f"{name}: the monitor's last check cannot be read"
        return [Alarm("unsure", text, text)]
    if not checks or not checks[0].alarm:
        return []
    check = checks[0]
    short = f"{name}: alarm of the monitor, {check.until[:16].replace('T', ' ')}"
    messages = wording.alarm(check.columns, check.performance) or list(check.reasons)
    return [Alarm("unsure", short, f"{short}: {words.listed(messages)}")]


def _summary(project: Project, parts: Sequence[Part]) -> Summary:
    """Return whether all is well: what to look at first, then what is live."""
    stages = [stage.name for stage in project.spec.stages]
    if not any(part.releases for part in parts):
        return _nothing_yet(parts, stages[0])
    alarms = [alarm for part in parts for alarm in part.alarms]
    state = _live(parts, stages[-1])
    if not alarms:
        fine = "Every version that is in a stage was verified to its last byte."
        if len(parts) > 1:  # one model is called by its name, which has no capital
            state = f"{state[0].upper()}{state[1:]}"
        return Summary("good", f"{state}.", (fine,))
    bad = sum(alarm.tone == "bad" for alarm in alarms)
    if bad:
        problem = f"{words.count(bad, 'release')} not to be used"
    elif len(alarms) == 1:
        problem = alarms[0].short.rstrip(".")
    else:
        problem = f"{words.count(len(alarms), 'thing')} to look at"
    lines = tuple(alarm.short for alarm in alarms[:_MOST_ALARMS])
    if len(alarms) == 1 and not bad:  # the title says it
        lines = ()
    return Summary("bad" if bad else "unsure", f"{problem}; {state}.", lines)


def _nothing_yet(parts: Sequence[Part], stage: str) -> Summary:
    """Return how to begin."""
    if not parts:
        do = "Begin with: mlops new NAME --data FILE --target COLUMN"
        return Summary("unsure", "There is no model yet.", (do,))
    name = parts[0].name
    do = (
        f"Begin with: mlops run {name}; mlops register {name}; "
        f"mlops promote {name}@latest {stage}"
    )
    return Summary("unsure", "Nothing is registered yet.", (do,))


def _live(parts: Sequence[Part], stage: str) -> str:
    """Return which models are in the last stage, without a stop."""
    versions = {
        part.name: version
        for part in parts
        for in_stage, version, _ in part.places
        if in_stage == stage and version
    }
    if len(parts) > 1:
        active = [part for part in parts if not part.retired]
        live = sum(part.name in versions for part in active)
        return f"in {stage}: {live} of {words.count(len(active), 'model')}"
    name = parts[0].name
    if name in versions:
        return f"{name} {versions[name]} is in {stage}"
    return f"{name} waits for {stage}"


# -- how it is shown -------------------------------------------------------------------


def _event_row(event: Event) -> tuple[str, ...]:
    """Return when, what, by whom, approved by whom, and why."""
    trailers = event.trailers
    decision = words.EVENTS[event.decision].format(
        version=event.version, stage=event.stage
    )
    if "Rollback" in trailers:
        decision += f", back from {trailers['Rollback']}"
    if "Verdict" in trailers:
        decision += f", decided against the verdict {trailers['Verdict']}"
    approved = trailers.get("Approver", words.NONE)
    reason = trailers.get("Reason", words.NONE)
    return words.when(event.time), decision, event.actor, approved, reason


def _unknown(project: Project, releases: Sequence[Release]) -> dict[str, list[str]]:
    """Return what an approver cannot know of the versions in a stage, by number."""
    lines = {}
    for version, manifest, *_ in releases:
        if version.stages and manifest:
            spec = spec_of(project, version)
            found = gaps(spec, manifest.verdict.conditions, manifest.fairness)
            lines[version.number] = found.lines()
    return lines


def _in_stage(
    model: ModelState, stage: str, unknown: Mapping[str, Sequence[str]]
) -> tuple[str, str, list[str]]:
    """Return a stage, the version in it, since when and why, and what is not known.

    Parameters
    ----------
    unknown : mapping of str to sequence of str
        What nobody wrote, declared or measured, by version.
    """
    version = model.stages.get(stage)
    if version is None:
        return stage, "", []
    put = ("assign", stage, version.number)
    event = next(
        e for e in reversed(model.events) if (e.kind, e.stage, e.version) == put
    )
    lines = [f"since {words.when(event.time)} UTC, by {event.actor}"]
    for key, name in _TRAILERS.items():
        if event.trailers.get(key):
            lines.append(f"{name} {event.trailers[key]}")
    lines += unknown.get(version.number, ())
    return stage, version.number, lines


def _history(project: Project, model: ModelState, odd: Mapping[str, str]) -> Table:
    """Return the last events; those that do not count are marked.

    Parameters
    ----------
    odd : mapping of str to str
        What there is against tags that take something back, by tag.
    """
    recent = model.events[: -_RECENT - 1 : -1]
    missing = {**unapproved(project.root, model, recent), **odd}
    rows: list[Row] = []
    for event in recent:
        when, what, *others = _event_row(event)
        problem = missing.get(event.tag, "")
        cells = (when, words.marked(what, problem), *others)
        rows.append(("bad" if problem else "", cells))
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
    rows: list[Row] = [(r.tone, _version(r, address)) for r in releases]
    title = words.count(len(rows), "version")
    if total > len(rows):
        title += f", and {total - len(rows):,} older"
    return Table(title, columns, "l" * len(columns), rows)


def _version(release: Release, address: str) -> tuple[Cell, ...]:
    """Return the cells of one version."""
    version = release.version
    when, _, actor, _, reason = _event_row(version.event)
    stages = ", ".join(version.stages) if version.active else "withdrawn"
    metric = words.NONE
    data = words.NONE
    verdict = words.NONE
    if release.manifest:
        metric, data, verdict = _measured(release.manifest)
    links = [Link(_PAGES[asset], _path(version, asset)) for asset in release.files]
    if address and version.active:
        links.append(Link("release", f"{address}/releases/tag/{quote(version.ref)}"))
    return (
        version.number,
        stages or words.NONE,
        f"{when[:10]} by {actor}",
        reason,
        metric,
        data,
        release.wrong or verdict,
        tuple(links) or words.NONE,
    )


def _measured(m: Manifest) -> tuple[str, str, str]:
    """Return a version's primary metric, its data, and why it may be used."""
    period = f", {words.span(m.data.period)}" if m.data.period else ""
    against = f" against {m.verdict.champion}" if m.verdict.champion else ""
    verdict = f"{m.verdict.decision}, {m.verdict.rule}{against}"
    return _primary(m.metrics), words.count(m.data.rows, "row") + period, verdict


def _primary(metrics: Sequence[Metric]) -> str:
    """Return the primary metric with its interval."""
    if not metrics:
        return words.NONE
    m = metrics[0]
    ends = words.interval(m.low, m.high)
    return f"{words.label(m.name)} {words.number(m.value)} ({ends})"


def _runs(records: Sequence[Record], address: str) -> Table:
    rows: list[Row] = []
    for r in records:
        # An address from the run log leads to a page, or is none.
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
    title = "The last run"
    if len(rows) > 1:
        title = f"The last {len(rows)} runs"
    return Table(title, columns, "lllll", rows, folded=True)


def _index(project: Project, parts: Sequence[Part]) -> Table:
    """Return the models in a line each, where there are several."""
    stages = [stage.name for stage in project.spec.stages]
    rows: list[Row] = []
    if len(parts) > 1:
        rows = [_index_row(part, stages) for part in parts]
    columns = (
        "Model",
        *(f"{s[:1].upper()}{s[1:]}" for s in stages),
        "Owner",
        "To look at",
    )
    return Table("Models", columns, "l" * len(columns), rows)


def _index_row(part: Part, stages: Sequence[str]) -> Row:
    versions = {stage: version or words.NONE for stage, version, _ in part.places}
    worst = Alarm("", words.NONE, "")
    for alarm in part.alarms:
        if not worst.tone or alarm.tone == "bad" != worst.tone:
            worst = alarm
    cells: list[Cell] = [(Link(part.name, f"#{part.name}"),)]
    cells += [versions[stage] for stage in stages]
    cells += [part.facts.get("Owner", words.NONE), worst.short]
    return worst.tone, tuple(cells)
