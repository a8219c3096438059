"""Runs side by side: what differs between them, for the terminal and as one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from mlops.reporting import words as w
from mlops.reporting.facts import Summary, Tone, interval
from mlops.reporting.sections import Row, Section, Table
from mlops.results import Record

MOST = 20
Facts = dict[str, object]


def flat(record: Record) -> Facts:
    """Return a run's facts in one level, for people."""
    measured = {m.name: f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})" for m in record.metrics}
    reasons = "; ".join(record.verdict.reasons) if record.verdict else None
    return {
        "model": record.model,
        **_origin(record),
        **{k if k == "estimator" else f"params.{k}": v for k, v in _params(record).items()},
        **measured,
        "reasons": reasons,
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
        "seconds": round(record.seconds, 1),
    }


def page(records: Sequence[Record]) -> str:
    """Return one HTML file: each metric with its intervals, then what else differs."""
    from mlops.reporting.charts import side_by_side
    from mlops.reporting.render import page

    models, groups = (
        ", ".join(dict.fromkeys(name for name in names if name))
        for names in ([r.model for r in records], [r.group for r in records])
    )
    sections = [
        Section("metrics", "Metrics", (), (_metrics(records),)),
        _differing("params", "Parameters", records, _params),
        _differing("origin", "Where they come from", records, _origin),
    ]
    return page(models, groups, _said(records), sections, side_by_side(records))


def _said(records: Sequence[Record]) -> Summary:
    """Return the best run by the metric that comes first, and why it may not be the best."""
    title = f"{w.count(len(records), 'run')} side by side"
    best = _best(records)
    if best is None:
        return Summary("unsure", title, ("None of them was measured.",))
    m = best.metrics[0]
    lines = [f"Best {w.label(m.name)}: {w.number(m.value)} ({interval(m)}), by {best.id}."]
    tone: Tone = ""
    for what, values in (
        ("data", {record.data and record.data.digest for record in records}),
        ("rows", {record.measured_on for record in records}),
    ):
        if len(values) > 1:
            tone = "unsure"
            lines.append(f"Not all were measured on the same {what}: compare with care.")
    return Summary(tone, title, tuple(lines))


def _best(records: Sequence[Record]) -> Record | None:
    """Return the run with the best first metric, among those that have the same one."""
    known = [record for record in records if record.metrics]
    if not known:
        return None
    name, higher = known[0].metrics[0].name, known[0].metrics[0].higher_is_better
    same = [record for record in known if record.metrics[0].name == name]
    return (max if higher else min)(same, key=lambda record: record.metrics[0].value)


def _metrics(records: Sequence[Record]) -> Table:
    best, names = _best(records), dict.fromkeys(m.name for r in records for m in r.metrics)
    rows: list[Row] = []
    for record in records:
        known = {m.name: w.number(m.value) for m in record.metrics}
        cells = (known.get(name, w.NONE) for name in names)
        rows.append(("good" if record is best else "", (_link(record), *cells)))
    return Table("Metrics", ["Run", *map(w.label, names)], "l" + "r" * len(names), rows)


def _differing(
    key: str, title: str, records: Sequence[Record], look: Callable[[Record], Facts]
) -> Section:
    """Return a table of what differs, and a sentence with what is the same in all."""
    facts = [{name: _text(value) for name, value in look(record).items()} for record in records]
    values = {name: [one.get(name, w.NONE) for one in facts] for one in facts for name in one}
    differ = [name for name, found in values.items() if len(set(found)) > 1]
    same = [f"{name} {found[0]}" for name, found in values.items() if name not in differ]
    same = [text for text in same if not text.endswith(w.NONE)]
    rows: list[Row] = [
        ("", (_link(record), *(values[name][n] for name in differ)))
        for n, record in enumerate(records)
    ]
    text = [f"The same in all: {', '.join(same)}."] if same else []
    columns = ["Run", *differ]
    return Section(
        key, title, text, (Table(title, columns, "l" * len(columns), rows),) if differ else ()
    )


def _text(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else w.clean("" if value is None else value)
    return text or w.NONE


def _link(record: Record) -> str:
    """Return a run's id, as a link to its page where it has one."""
    url = record.run_url or ""
    if not url.startswith(("https://", "http://")):
        return record.id
    return Markup('<a href="{}">{}</a>').format(url, w.clean(record.id))
