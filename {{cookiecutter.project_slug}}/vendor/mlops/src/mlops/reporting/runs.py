"""Runs side by side, as text and as a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlops.reporting import blocks, terminal, words
from mlops.reporting.html import fill
from mlops.reporting.sections import interval
from mlops.reporting.words import clean
from mlops.results.runs import Record

MOST_RUNS = 20

Facts = dict[str, object]

# -- runs side by side --------------------------------------------------------------------------


def compare(runs: Mapping[str, Facts]) -> str:
    """Return runs side by side, only where they differ: a column each, a line where many."""
    _, differ = _parted(list(runs.values()))
    if not differ:
        return "These runs do not differ."
    if len(runs) < 5:
        return terminal.table(
            [[key, *found] for key, found in differ.items()], ["", *runs]
        )
    rows = [[name, *found] for name, *found in zip(runs, *differ.values(), strict=True)]
    return terminal.table(rows, ["run", *differ])


def _parted(
    runs: Sequence[Facts], missing: object = None
) -> tuple[Facts, dict[str, list[Any]]]:
    """Return what is the same in all runs, and what differs, with a value for each run."""
    values = {
        name: [run.get(name, missing) for run in runs] for run in runs for name in run
    }
    differ = {
        name: found
        for name, found in values.items()
        if any(v != found[0] for v in found)
    }
    same: Facts = {
        name: found[0] for name, found in values.items() if name not in differ
    }
    return same, differ


def flat(record: Record) -> Facts:
    """Return a run's facts in one level, for people."""
    return {
        "model": record.model,
        **_origin(record),
        **{
            k if k == "estimator" else f"params.{k}": v
            for k, v in _params(record).items()
        },
        **{
            m.name: f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})"
            for m in record.metrics
        },
        "reasons": "; ".join(record.verdict.reasons) if record.verdict else None,
    }


def _measured(record: Record) -> Facts:
    return {words.label(m.name): words.number(m.value) for m in record.metrics}


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
        "took": words.duration(record.seconds),
    }


def page(records: Sequence[Record]) -> str:
    """Return one HTML file: each metric with its intervals, then what else differs."""
    from mlops.reporting.charts import side_by_side

    sections = [
        _section("metrics", "Metrics", records, map(_measured, records)),
        _section("params", "Parameters", records, map(_params, records)),
        _section("origin", "Where they come from", records, map(_origin, records)),
    ]
    return fill(
        name=", ".join(dict.fromkeys(r.model for r in records)),
        about=", ".join(dict.fromkeys(r.group for r in records if r.group)),
        said=_said(records),
        sections=sections,
        charts=side_by_side(records),
    )


def _said(records: Sequence[Record]) -> blocks.Summary:
    """Return the best run by the metric that comes first, and why it may not be the best."""
    title = f"{words.count(len(records), 'run')} side by side"
    known = [record for record in records if record.metrics]
    if not known:
        return blocks.Summary("unsure", title, ("None of them was measured.",))
    first = known[0].metrics[0]
    same = [record for record in known if record.metrics[0].name == first.name]
    pick = max if first.higher_is_better else min
    best = pick(same, key=lambda record: record.metrics[0].value)
    m = best.metrics[0]
    lines = [
        f"Best {words.label(m.name)}: {words.number(m.value)} ({interval(m)}), by {best.id}."
    ]
    data = {record.data and record.data.digest for record in records}
    rows = {record.measured_on for record in records}
    for what, values in (("data", data), ("rows", rows)):
        if len(values) > 1:
            lines.append(
                f"Not all were measured on the same {what}: compare with care."
            )
    return blocks.Summary("unsure" if len(lines) > 1 else "", title, tuple(lines))


def _section(
    key: str, title: str, records: Sequence[Record], facts: Iterable[Facts]
) -> blocks.Section:
    """Return a table of what differs, and a sentence with what is the same in all."""
    texts: list[Facts] = [
        {name: _text(value) for name, value in one.items()} for one in facts
    ]
    same, differ = _parted(texts, missing=words.NONE)
    shared = ", ".join(
        f"{name} {text}" for name, text in same.items() if text != words.NONE
    )
    lines = zip(records, *differ.values(), strict=True) if differ else ()
    rows: list[blocks.Row] = [("", (_link(record), *cells)) for record, *cells in lines]
    align = "l" + ("r" if key == "metrics" else "l") * len(differ)
    table = blocks.Table(title, ["Run", *differ], align, rows)
    return blocks.Section(
        key, title, [f"The same in all: {shared}."] if shared else (), [table]
    )


def _text(value: object) -> str:
    text = (
        f"{value:.6g}"
        if isinstance(value, float)
        else clean("" if value is None else value)
    )
    return text or words.NONE


def _link(record: Record) -> blocks.Cell:
    """Return a run's id, as a link to its page where it has one."""
    url = record.run_url or ""
    return (blocks.Link(record.id, url),) if re.match("https?://", url) else record.id
