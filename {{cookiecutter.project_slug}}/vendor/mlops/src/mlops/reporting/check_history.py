"""The checks of a model over time: a table, and performance as it was seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mlops.reporting import words
from mlops.reporting.blocks import Chart, Row, Section, Summary, Table, Tone
from mlops.reporting.drawings import Mark, Point, Series, over_time
from mlops.reporting.html import fill
from mlops.reporting.past_checks import moment
from mlops.reporting.terminal import table
from mlops.results.evaluation import Metric
from mlops.results.monitoring import (
    Acceptance,
    AcceptedReference,
    PastCheck,
)

_MOST_CHECKS = 366  # that are drawn, the newest ones

_MOST_SHOWN = 30  # in the table

_MOST_METRICS = 3


def checks_section(past: Sequence[PastCheck]) -> Section:
    """Return the newest checks in a table, the newest first."""
    columns = ("Until (UTC)", "Version", "Result", "Rows", "Performance", "Drifted")
    shown = list(reversed(past[-_MOST_SHOWN:]))
    rows: list[Row] = [(_tone(check), _cells(check)) for check in shown]
    title = f"The last {len(shown)} of {words.count(len(past), 'check')}"
    return Section(
        "checks",
        "Checks over time",
        tables=(Table(title, columns, "lllrll", rows),),
    )


def _tone(check: PastCheck) -> Tone:
    if check.alarm:
        return "bad"
    return "good" if check.enough else "unmeasured"


def result_of(check: PastCheck) -> str:
    """Return the result of a check in two or three words."""
    if check.alarm:
        return "alarm, quiet" if check.quiet else "alarm"
    return "no alarm" if check.enough else "too few rows"


def _cells(check: PastCheck) -> tuple[str, ...]:
    drifted = [words.clean(c.name, 30) for c in check.columns if c.alarm]
    named = ", ".join(drifted[:3])
    if len(drifted) > 3:
        named += f", and {len(drifted) - 3} more"
    return (
        check.until[:16].replace("T", " "),
        check.version or words.NONE,
        result_of(check),
        f"{check.rows:,}",
        performance_of(check),
        named or words.NONE,
    )


def performance_of(check: PastCheck) -> str:
    """Return the first metric of a check, measured or else estimated."""
    for p in check.performance[:1]:
        return f"{words.label(p.window.name)} {words.number(p.window.value)}"
    for e in check.estimates[-1:]:
        return f"{words.label(e.metric)} {words.number(e.value)} (estimate)"
    return words.NONE


# -- performance over time -------------------------------------------------------------


def performance_charts(
    past: Sequence[PastCheck],
    section: str,
    accepted: Sequence[AcceptedReference] = (),
) -> list[Chart]:
    """Return a drawing per metric: measured, estimated, and as it was registered.

    Parameters
    ----------
    accepted : sequence of AcceptedReference
        What people took as the reference; marked as versions are.
    """
    drawn = past[-_MOST_CHECKS:]
    names = [p.window.name for check in drawn for p in check.performance]
    names += [e.metric for check in drawn for e in check.estimates]
    charts = []
    for at, name in enumerate(list(dict.fromkeys(names))[:_MOST_METRICS]):
        title_id = f"performance-{at + 1}"
        chart = _chart_of(name, drawn, [mark_of(one) for one in accepted], title_id)
        charts.append(chart._replace(section=section))
    return charts


def mark_of(accepted: AcceptedReference) -> Mark:
    """Return where people took another reference."""
    return Mark(moment(accepted.at), "accepted")


def _chart_of(
    metric: str, past: Sequence[PastCheck], accepted: Sequence[Mark], title_id: str
) -> Chart:
    label = words.label(metric)
    series = _series(metric, past)
    versions, alarms = _marks(past)
    begin = moment(past[0].until)
    versions += [mark for mark in accepted if mark.at >= begin]
    measured = sum(len(one.points) for one in series if one.kind == "measured")
    estimated = sum(len(one.points) for one in series if one.kind == "estimated")
    known = []
    if measured:
        known.append(f"measured in {words.count(measured, 'check')}")
    if estimated:
        known.append(f"estimated without labels in {words.count(estimated, 'check')}")
    alt = f"{' and '.join(known).capitalize()}."
    alt += " A dashed line is another version or reference."
    if alarms:
        alt += f" {words.count(len(alarms), 'check')} had an alarm."
    svg = over_time(series, [*versions, *alarms], title_id)
    return Chart(title_id, "", f"{label} over time", alt, svg)


def _series(metric: str, past: Sequence[PastCheck]) -> list[Series]:
    """Return the points of one metric, of each kind that there is."""
    measured = []
    estimated = []
    level = []
    for check in past:
        at = moment(check.until)
        for p in check.performance:
            if p.window.name == metric:
                measured.append(_point(at, p.window))
                level.append(Point(at, p.reference.value))
        for e in check.estimates:
            if e.metric == metric:
                estimated.append(Point(at, e.value))
                if e.registered is not None:
                    level.append(Point(at, e.registered))
    kinds = (
        Series("registered", "level", level),
        Series("estimated", "estimated", estimated),
        Series("measured", "measured", measured),
    )
    return [one for one in kinds if one.points]


def _point(at: datetime, metric: Metric) -> Point:
    return Point(at, metric.value, metric.low, metric.high)


def _marks(past: Sequence[PastCheck]) -> tuple[list[Mark], list[Mark]]:
    """Return where another version began, and where alarms were."""
    versions = []
    alarms = []
    before = ""
    for check in past:
        at = moment(check.until)
        if check.version and check.version != before:
            versions.append(Mark(at, check.version))
        before = check.version
        if check.alarm:
            alarms.append(Mark(at, "alarm", alarm=True))
    return versions, alarms


# -- mlops monitor history -------------------------------------------------------------


def history_rows(
    past: Sequence[PastCheck], accepted: Sequence[Acceptance]
) -> dict[str, list[dict[str, Any]]]:
    """Return checks and acceptances as data, oldest first."""
    rows = []
    for check in past:
        rows.append(
            {
                "until": check.until,
                "version": check.version,
                "result": result_of(check),
                "rows": check.rows,
                "drifted": [c.name for c in check.columns if c.alarm],
                "performance": {
                    p.window.name: p.window.value for p in check.performance
                },
                "estimated": {e.metric: e.value for e in check.estimates},
            }
        )
    shown = [one.model_dump(mode="json", exclude={"columns"}) for one in accepted]
    return {"checks": rows, "accepted": shown}


def history_text(
    name: str, past: Sequence[PastCheck], accepted: Sequence[Acceptance]
) -> str:
    """Return the checks in lines, the newest last, and what people accepted."""
    if not past:
        return f"No check of {name} is on the run log."
    head = ["until (UTC)", "version", "result", "rows", "performance", "drifted"]
    lines = [table([list(_cells(check)) for check in past], head)]
    for one in accepted:
        lines.append(
            f"{one.at[:16].replace('T', ' ')}  {_accepted(one)}: "
            f"{words.clean(one.reason, 120)}"
        )
    return "\n".join(lines)


def _accepted(one: Acceptance) -> str:
    by = words.clean(one.approver or one.actor, 40)
    period = f"{one.since[:10]} to {one.until[:10]}"
    return f"{by} accepted {period} as the reference of {one.version}"


def history_page(
    name: str, past: Sequence[PastCheck], accepted: Sequence[Acceptance]
) -> str:
    """Return the checks of a model as one HTML file."""
    alarms = sum(check.alarm for check in past)
    title = f"No check of {words.clean(name, 60)} is on the run log."
    tone: Tone = "unsure"
    if past:
        title = f"{words.count(alarms, 'alarm')} in {words.count(len(past), 'check')}."
        tone = "bad" if past[-1].alarm else "good"
    columns = ("When (UTC)", "What", "Rows", "Why")
    rows: list[Row] = []
    for one in reversed(accepted):
        at = one.at[:16].replace("T", " ")
        rows.append(("", (at, _accepted(one), f"{one.rows:,}", one.reason)))
    references = [one.reference for one in accepted]
    sections = [
        Section("performance", "Performance"),
        checks_section(past),
        Section(
            "accepted",
            "Accepted references",
            () if rows else ("Nobody has accepted another reference.",),
            (Table("References", columns, "llrl", rows),),
        ),
    ]
    return fill(
        name=name,
        about="",
        summary=Summary(tone, title),
        sections=sections,
        charts=performance_charts(past, "performance", references),
    )
