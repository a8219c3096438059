"""Runs side by side: what differs between them, for the terminal and as one HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mlops.reporting import words as w
from mlops.reporting.facts import Summary, Tone, interval
from mlops.reporting.sections import Cell, Link, Row, Section, Table
from mlops.results import Record

MOST = 20
Facts = dict[str, object]


def flat(record: Record) -> Facts:
    """Return a run's facts in one level, for people."""
    return {
        "model": record.model,
        **_origin(record),
        **{k if k == "estimator" else f"params.{k}": v for k, v in _params(record).items()},
        **{m.name: f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})" for m in record.metrics},
        "reasons": "; ".join(record.verdict.reasons) if record.verdict else None,
    }


def _params(record: Record) -> Facts:
    training = record.training
    return {"estimator": training.estimator, **training.params} if training else {}


def _origin(record: Record) -> Facts:
    data = record.data
    return {
        "started": record.started[:16].replace("T", " "),
        "outcome": record.outcome,
        "group": record.group,
        "commit": f"{(record.commit or '')[:12]}{' and changes' if record.dirty else ''}",
        "data": f"{data.digest[:12]} ({data.rows:,} rows)" if data else None,
        "measured on": record.measured_on,
        "actor": record.actor,
        "took": w.duration(record.seconds),
    }


def page(records: Sequence[Record]) -> str:
    """Return one HTML file: each metric with its intervals, then what else differs."""
    from mlops.reporting.charts import side_by_side
    from mlops.reporting.render import template

    measured: list[Facts] = [
        {w.label(m.name): w.number(m.value) for m in r.metrics} for r in records
    ]
    sections = [
        _section("metrics", "Metrics", records, measured),
        _section("params", "Parameters", records, map(_params, records)),
        _section("origin", "Where they come from", records, map(_origin, records)),
    ]
    return template("report.html.j2", lambda value: w.clean(value, 500)).render(
        name=", ".join(dict.fromkeys(r.model for r in records)),
        about=", ".join(dict.fromkeys(r.group for r in records if r.group)),
        facts=None,
        said=_said(records),
        sections=sections,
        charts=side_by_side(records),
    )


def _said(records: Sequence[Record]) -> Summary:
    """Return the best run by the metric that comes first, and why it may not be the best."""
    title = f"{w.count(len(records), 'run')} side by side"
    tone: Tone = ""
    known = [record for record in records if record.metrics]
    if not known:
        return Summary("unsure", title, ("None of them was measured.",))
    first = known[0].metrics[0]
    same = [record for record in known if record.metrics[0].name == first.name]
    pick = max if first.higher_is_better else min
    best = pick(same, key=lambda record: record.metrics[0].value)
    m = best.metrics[0]
    lines = [f"Best {w.label(m.name)}: {w.number(m.value)} ({interval(m)}), by {best.id}."]
    data = {record.data and record.data.digest for record in records}
    rows = {record.measured_on for record in records}
    for what, values in (("data", data), ("rows", rows)):
        if len(values) > 1:
            tone = "unsure"
            lines.append(f"Not all were measured on the same {what}: compare with care.")
    return Summary(tone, title, tuple(lines))


def _section(key: str, title: str, records: Sequence[Record], facts: Iterable[Facts]) -> Section:
    """Return a table of what differs, and a sentence with what is the same in all."""
    known = [{name: _text(value) for name, value in one.items()} for one in facts]
    values = {name: [one.get(name, w.NONE) for one in known] for one in known for name in one}
    differ = [name for name, found in values.items() if len(set(found)) > 1]
    same = [f"{k} {v[0]}" for k, v in values.items() if k not in differ and v[0] != w.NONE]
    rows: list[Row] = [
        ("", (_link(record), *(values[name][at] for name in differ)))
        for at, record in enumerate(records)
    ]
    align = "l" + ("r" if key == "metrics" else "l") * len(differ)
    table = Table(title, ["Run", *differ], align, rows if differ else ())
    return Section(key, title, [f"The same in all: {', '.join(same)}."] if same else (), [table])


def _text(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else w.clean("" if value is None else value)
    return text or w.NONE


def _link(record: Record) -> Cell:
    """Return a run's id, as a link to its page where it has one."""
    url = record.run_url or ""
    return (Link(record.id, url),) if re.match("https?://", url) else record.id
