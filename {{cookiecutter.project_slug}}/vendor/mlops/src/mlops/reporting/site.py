"""The repository's pages: stages, history and reports.

Of a release whose chain of digests does not hold nothing is published; the page says
which link. Where there are many models, each has a page of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.errors import MlopsError
from mlops.io.git import head
from mlops.registry.manifest import Manifest
from mlops.registry.tags import Event, ModelState, Version
from mlops.reporting import wording, words
from mlops.reporting.alarm_page import alarm_page
from mlops.reporting.blocks import Cell, Link, Row, Summary, Table, Tone
from mlops.reporting.check_history import result_of
from mlops.reporting.gaps import gaps, is_written
from mlops.reporting.html import card_as_html, fill
from mlops.reporting.site_sources import (
    PAGES,
    Release,
    Sources,
    gather,
    recent_events,
)
from mlops.results.evaluation import Metric
from mlops.results.runs import Record
from mlops.storage.protocol import ReleaseStore

# With more models, the first page lists them and each has a page of its own.
_ON_ONE_PAGE = 12

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

CHECK = "monitor.html"  # the page of the monitor's last check, in a model's folder

_MOST_ALARMS = 5

_LONGEST_MESSAGE = 400  # of an alarm, in characters

_TONES: Sequence[Tone] = ("bad", "unsure", "")  # what is to be looked at comes first


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
    facts: Mapping[str, Cell]
    places: Sequence[tuple[str, str, Sequence[str]]]
    alarms: Sequence[Alarm]
    tables: Sequence[Table]
    releases: Sequence[Release]
    retired: bool = False


class Site(NamedTuple):
    """The files of a site by their paths, and what it says in short."""

    files: Mapping[str, bytes]
    summary: Summary


def site(
    project: Project,
    store: ReleaseStore,
    now: datetime,
    address: str = "",
    notes: Sequence[str] = (),
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
    notes : sequence of str
        What else is to be seen first, such as a schedule that is silent.

    Raises
    ------
    EnvironmentFailure
        When the store does not answer: that is no broken chain, and no page either.
    """
    sources = gather(project, store, now)
    parts = [_part(project, sources, name, address) for name in sources.names]
    summary = _with_later(_summary(project, parts), parts)
    summary = summary._replace(lines=(*notes, *summary.lines))
    known = {"project": project.spec, "address": address, "commit": head(project.root)}
    known |= {"now": words.when(int(now.timestamp()))}
    apart = len(parts) > _ON_ONE_PAGE
    index = _index(project, parts, apart)
    shown = () if apart else parts
    owners = sorted({_owner(part) for part in parts}) if apart else []
    first = fill(
        summary=summary, parts=shown, index=index, owners=owners, home="", **known
    )
    files = {"index.html": first.encode()}
    nothing = _index(project, (), apart)
    for part in parts if apart else ():
        page = fill(
            summary=_summary(project, [part]),
            parts=[part],
            index=nothing,
            owners=[],
            home="../index.html",
            **known,
        )
        files[f"{part.name}/index.html"] = page.encode()
    for name in sources.last_checks:
        files[f"{name}/{CHECK}"] = _check_page(sources, name, apart).encode()
    for release in (release for part in parts for release in part.releases):
        name = release.version.model
        home = _home(name, f"{name}/{release.version.number}/", apart)
        for asset, content in release.files.items():
            if asset == "card.md":
                card = card_as_html(content.decode("utf-8", "replace"))
                ref = release.version.ref
                content = fill(card=card, ref=ref, home=home, **known).encode()
            files[f"{name}/{_path(release.version, asset)}"] = content
    return Site(files, summary)


def _check_page(sources: Sources, name: str, apart: bool) -> str:
    """Return the page of the monitor's last check of a model."""
    last = sources.last_checks[name]
    about, _ = _about(sources.specs[name])
    home = _home(name, f"{name}/", apart)
    return alarm_page(last.check, last.past, about, home=home)


def _home(name: str, folder: str, apart: bool) -> str:
    """Return where a model's part is, from a folder of the site."""
    if apart:
        return f"{'../' * (folder.count('/') - 1)}index.html"
    return f"{'../' * folder.count('/')}index.html#{name}"


def _path(version: Version, asset: str) -> str:
    """Return where a page of a version lies, from the folder of its model."""
    return f"{version.number}/{PAGES[asset]}.html"


def _part(project: Project, sources: Sources, name: str, address: str) -> Part:
    """Return what there is to say of a model."""
    model = sources.state.model(name)
    releases = sources.releases[name]
    about, facts = _about(sources.specs[name])
    odd = [
        sources.unexplained[event.tag]
        for event in model.events
        if event.tag in sources.unexplained
    ]
    declared = [stage.name for stage in project.spec.stages]
    known = sorted({*model.stages, *model.unresolved})
    stages = dict.fromkeys([*declared, *known])
    folder = "" if len(sources.names) > _ON_ONE_PAGE else f"{name}/"
    facts |= _last_check(sources, name, folder)
    tables = (
        _versions(releases, len(model.versions), address, folder),
        _history(sources, model),
        _runs(sources.runs.get(name, ()), address),
    )
    unknown = _unknown(sources, releases)
    places = [_in_stage(model, stage, unknown) for stage in stages]
    alarms = [*_unusable(releases), *_monitored(sources, name), *_state(model)]
    alarms += _silent(sources, name)
    for text in odd:
        short = f"{name}: a decision without a name"
        alarms.append(Alarm("unsure", short, text))
    return Part(
        name,
        about,
        facts,
        places,
        alarms,
        tables,
        releases,
        retired=bool(model.deprecated),
    )


def _about(spec: ModelSpec | MlopsError) -> tuple[str, dict[str, Cell]]:
    """Return what model.yaml says a model is for."""
    if isinstance(spec, MlopsError):
        return "", {"Specification": spec.problems[0].what}
    facts: dict[str, Cell] = {
        "Task": f"{spec.task}: predicts {spec.data.target}",
        "Owner": spec.owner,
        "Intended use": _written(spec.intended_use),
        "Not for": _written(spec.limits),
        "Risk": f"{spec.risk}: {_written(spec.risk_reason)}",
    }
    return spec.description, facts


def _state(model: ModelState) -> list[Alarm]:
    """Return what the tags say that somebody should look at."""
    alarms = []
    if model.deprecated:
        retired = f"{model.name} is retired."
        alarms.append(Alarm("unsure", retired, retired))
    for stage, problem in model.unresolved.items():
        short = f"{model.name}: {stage} cannot be resolved"
        text = f"{stage} cannot be resolved: {problem}"
        alarms.append(Alarm("bad", short, text))
    if model.lost and not model.unresolved:
        alarms.append(Alarm("bad", f"{model.name}: a tag was deleted", model.loss))
    return alarms


def _written(text: str) -> str:
    """Return what a person wrote, or the mark that nobody has."""
    return text if is_written(text) else "\u270e not written"


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


def _monitored(sources: Sources, name: str) -> list[Alarm]:
    """Return the alarm of the monitor's last check, where it was one."""
    if name not in sources.checks:
        return []
    check = sources.checks[name]
    if check is None:
        text = f"{name}: the monitor's last check cannot be read"
        return [Alarm("unsure", text, text)]
    if not check.alarm:
        return []
    short = f"{name}: alarm of the monitor, {check.until[:16].replace('T', ' ')}"
    messages = wording.alarm(check.columns, check.performance, check.slices) or list(
        check.reasons
    )
    # The page of the check says all; one sentence that is whole leads there.
    text = words.listed(messages, 1, _LONGEST_MESSAGE)
    return [Alarm("unsure", short, f"{short}: {text}")]


def _silent(sources: Sources, name: str) -> list[Alarm]:
    """Return that a model is no longer watched, where it is so."""
    found = sources.watched.get(name)
    if found is None or not found.silent:
        return []
    days = words.count(int(found.days or 0), "day")
    short = f"{name}: no check of the monitor for {days}"
    return [Alarm("unsure", short, f"{found.text()}.")]


def _last_check(sources: Sources, name: str, folder: str) -> dict[str, Cell]:
    """Return when a model in the last stage was checked last, and what came out."""
    found = sources.watched.get(name)
    if found is None:
        return {}
    check = sources.checks.get(name)
    if found.until is None or check is None:
        return {"Last check": "never"}
    text = f"{found.until:%Y-%m-%d %H:%M} UTC: {result_of(check)}"
    if name in sources.last_checks:
        return {"Last check": (Link(text, f"{folder}{CHECK}"),)}
    return {"Last check": text}


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
        others = len(alarms) - bad
        if others:
            problem = f"{problem}, {words.count(others, 'other thing')} to look at"
    elif len(alarms) == 1:
        problem = alarms[0].short.rstrip(".")
    else:
        problem = f"{words.count(len(alarms), 'thing')} to look at"
    worst_first = sorted(alarms, key=lambda alarm: _TONES.index(alarm.tone))
    lines = tuple(alarm.short for alarm in worst_first[:_MOST_ALARMS])
    if len(alarms) == 1 and not bad:  # the title says it
        lines = ()
    return Summary("bad" if bad else "unsure", f"{problem}; {state}.", lines)


def _with_later(summary: Summary, parts: Sequence[Part]) -> Summary:
    """Return a summary that also says how many versions have no page yet."""
    later = sum(release.later for part in parts for release in part.releases)
    if not later:
        return summary
    text = (
        f"The pages of {words.count(later, 'version')} are left for the next run: "
        "GitHub limits how much is downloaded in an hour."
    )
    return summary._replace(lines=(*summary.lines, text))


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


def _unknown(sources: Sources, releases: Sequence[Release]) -> dict[str, list[str]]:
    """Return what an approver cannot know of the versions in a stage, by number."""
    lines = {}
    for release in releases:
        version = release.version
        manifest = release.manifest
        if version.stages and manifest:
            spec = sources.staged_specs.get(version.ref)
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


def _history(sources: Sources, model: ModelState) -> Table:
    """Return the last events; those that do not count are marked."""
    missing = {**sources.unapproved, **sources.unexplained}
    rows: list[Row] = []
    for event in recent_events(model):
        when, what, *others = _event_row(event)
        problem = missing.get(event.tag, "")
        cells = (when, words.marked(what, problem), *others)
        rows.append(("bad" if problem else "", cells))
    columns = ("When (UTC)", "What", "By", "Approved by", "Why")
    title = (
        f"History: the last {len(rows)} of {words.count(len(model.events), 'event')}"
    )
    return Table(title, columns, "lllll", rows, folded=True)


def _versions(
    releases: Sequence[Release], total: int, address: str, folder: str
) -> Table:
    """Return the versions; `folder` is where that of the model lies, from the page."""
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
    rows: list[Row] = [(r.tone, _version(r, address, folder)) for r in releases]
    title = words.count(len(rows), "version")
    if total > len(rows):
        title += f", and {total - len(rows):,} older"
    return Table(title, columns, "l" * len(columns), rows)


def _version(release: Release, address: str, folder: str) -> tuple[Cell, ...]:
    """Return the cells of one version."""
    version = release.version
    when, _, actor, _, reason = _event_row(version.event)
    stages = ", ".join(version.stages) if version.active else "withdrawn"
    metric = words.NONE
    data = words.NONE
    verdict = words.NONE
    if release.manifest:
        metric, data, verdict = _measured(release.manifest)
    links = [
        Link(PAGES[asset], f"{folder}{_path(version, asset)}")
        for asset in release.files
    ]
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


def _index(project: Project, parts: Sequence[Part], apart: bool) -> Table:
    """Return the models in a line each, where there are several.

    Those that somebody should look at come first.

    Parameters
    ----------
    apart : bool
        Whether each model has a page of its own.
    """
    stages = [stage.name for stage in project.spec.stages]
    rows: list[Row] = []
    if len(parts) > 1:
        rows = [_index_row(part, stages, apart) for part in parts]
    rows.sort(key=lambda row: _TONES.index(row[0]))
    columns = (
        "Model",
        *(f"{s[:1].upper()}{s[1:]}" for s in stages),
        "Owner",
        "To look at",
    )
    return Table("Models", columns, "l" * len(columns), rows)


def _index_row(part: Part, stages: Sequence[str], apart: bool) -> Row:
    versions = {stage: version or words.NONE for stage, version, _ in part.places}
    worst_first = sorted(part.alarms, key=lambda alarm: _TONES.index(alarm.tone))
    tone: Tone = ""
    text = words.NONE
    if worst_first:
        tone = worst_first[0].tone
        text = worst_first[0].short
        more = len(worst_first) - 1
        if more:
            text = f"{text.rstrip('.')}, and {more} more"
    href = f"{part.name}/index.html" if apart else f"#{part.name}"
    cells: list[Cell] = [(Link(part.name, href),)]
    cells += [versions[stage] for stage in stages]
    cells += [_owner(part), text]
    return tone, tuple(cells)


def _owner(part: Part) -> str:
    """Return whose model it is."""
    return str(part.facts.get("Owner") or words.NONE)
