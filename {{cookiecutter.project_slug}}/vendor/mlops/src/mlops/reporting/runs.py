"""Runs side by side, as text and as a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlops.reporting import terminal, words
from mlops.reporting.blocks import Cell, Link, Row, Section, Summary, Table
from mlops.reporting.html import fill
from mlops.reporting.wording import reasons
from mlops.results.evaluation import Metric
from mlops.results.runs import Record

MOST_RUNS = 20

_MOST_COLUMNS = 4  # of runs beside each other on a terminal; more are a line each

_LABEL_LENGTH = 60

Facts = dict[str, object]


def side_by_side(runs: Mapping[str, Facts]) -> str:
    """Return where runs differ: a column for each run, a line each if many."""
    _, differ = _partition(list(runs.values()))
    if not differ:
        return "These runs do not differ."
    if len(runs) <= _MOST_COLUMNS:
        lines = [[key, *values] for key, values in differ.items()]
        return terminal.table(lines, ["", *runs])
    by_run = zip(runs, *differ.values(), strict=True)
    return terminal.table([list(line) for line in by_run], ["run", *differ])


def _partition(
    runs: Sequence[Facts], missing: object = None
) -> tuple[Facts, dict[str, list[Any]]]:
    """Return what is the same in all runs, and each run's value of what differs."""
    names = dict.fromkeys(name for run in runs for name in run)
    same: Facts = {}
    differ: dict[str, list[Any]] = {}
    for name in names:
        values = [run.get(name, missing) for run in runs]
        if any(value != values[0] for value in values):
            differ[name] = values
        else:
            same[name] = values[0]
    return same, differ


# -- the facts of one run --------------------------------------------------------------


def flat(record: Record) -> Facts:
    """Return a run's facts in one level, for people."""
    facts: Facts = {"model": record.model, **_origin(record)}
    for name, value in _params(record).items():
        key = name if name == "estimator" else f"params.{name}"
        facts[key] = value
    for m in record.metrics:
        facts[m.name] = f"{m.value:.4f} ({m.low:.4f} to {m.high:.4f})"
    facts["reasons"] = "; ".join(reasons(record.verdict)) if record.verdict else None
    return facts


def _measured(record: Record) -> Facts:
    return {words.label(m.name): words.number(m.value) for m in record.metrics}


def _params(record: Record) -> Facts:
    if record.training is None:
        return {}
    return {"estimator": record.training.estimator, **record.training.params}


def _origin(record: Record) -> Facts:
    commit = (record.commit or "")[:12]
    if record.dirty:
        commit += " and changes"
    data = None
    if record.data:
        data = f"{record.data.digest[:12]} ({words.count(record.data.rows, 'row')})"
    return {
        "started": record.started[:16].replace("T", " "),
        "outcome": record.outcome,
        "group": record.group,
        "commit": commit,
        "data": data,
        "measured on": record.measured_on,
        "actor": record.actor,
        "took": words.duration(record.seconds),
    }


def _run(record: Record) -> Facts:
    return {"run": record.id, **_origin(record)}


def distinguishing(params: Sequence[Facts]) -> list[str]:
    """Return for each run the parameters in which it differs from others, as text."""
    _, differ = _partition(params)
    found = []
    for at in range(len(params)):
        parts = [
            f"{words.clean(name, 30)} {_text(values[at])}"
            for name, values in differ.items()
        ]
        found.append(words.clean(", ".join(parts), _LABEL_LENGTH))
    return found


def labels(records: Sequence[Record]) -> list[str]:
    """Return what each run is called: the parameters in which it differs, else its id.

    Runs that share a label have their id behind it.
    """
    differing = distinguishing([_params(record) for record in records])
    texts = [text or record.id for text, record in zip(differing, records, strict=True)]
    return [
        label if texts.count(label) == 1 else f"{label}, {record.id}"
        for label, record in zip(texts, records, strict=True)
    ]


def best(records: Sequence[Record]) -> int | None:
    """Return the place of the best run by the first metric; None without one."""
    return best_of([r.metrics[0] if r.metrics else None for r in records])


def best_of(metrics: Sequence[Metric | None]) -> int | None:
    """Return the place of the best of these, by the name of the first; None of none."""
    first = next((m for m in metrics if m), None)
    if first is None:
        return None

    def rank(at: int) -> float:
        metric = metrics[at]
        assert metric is not None
        return metric.value if first.higher_is_better else -metric.value

    same = [at for at, m in enumerate(metrics) if m and m.name == first.name]
    return max(same, key=rank)


# -- the page --------------------------------------------------------------------------


def page(records: Sequence[Record]) -> str:
    """Return one HTML file: each metric with its intervals, then what else differs."""
    from mlops.reporting.charts import side_by_side as charts_side_by_side

    names = labels(records)
    at = best(records)
    shown = [
        f"{name} (best)" if position == at else name
        for position, name in enumerate(names)
    ]
    links = [_link(record, name) for record, name in zip(records, shown, strict=True)]
    sections = [
        _section("metrics", "Metrics", links, map(_measured, records)),
        _section("params", "Parameters", links, map(_params, records)),
        _section("origin", "Where they come from", links, map(_run, records)),
    ]
    return fill(
        name=", ".join(dict.fromkeys(r.model for r in records)),
        about=", ".join(dict.fromkeys(r.group for r in records if r.group)),
        summary=_summary(records, names, at),
        sections=sections,
        charts=charts_side_by_side(records, shown),
    )


def _summary(
    records: Sequence[Record], names: Sequence[str], at: int | None
) -> Summary:
    """Return the best run, and why it may not be the best."""
    title = f"{words.count(len(records), 'run')} side by side"
    if at is None:
        return Summary("unsure", title, ("None of them was measured.",))
    lines = [_best(records[at].metrics[0], names[at])]
    data = {record.data and record.data.digest for record in records}
    rows = {record.measured_on for record in records}
    if len(data) > 1:
        lines.append("Not all were measured on the same data: compare with care.")
    if len(rows) > 1:
        lines.append("Not all were measured on the same rows: compare with care.")
    return Summary("unsure" if len(lines) > 1 else "", title, tuple(lines))


def _best(m: Metric, name: str) -> str:
    ends = words.interval(m.low, m.high)
    return f"Best {words.label(m.name)}: {words.number(m.value)} ({ends}), by {name}."


def _section(
    key: str, title: str, links: Sequence[Cell], facts: Iterable[Facts]
) -> Section:
    """Return a table of what differs, and a sentence with what is the same in all."""
    texts: list[Facts] = [
        {name: _text(value) for name, value in one.items()} for one in facts
    ]
    same, differ = _partition(texts, missing=words.NONE)
    shared = [f"{name} {text}" for name, text in same.items() if text != words.NONE]
    rows: list[Row] = []
    if differ:
        rows = [("", tuple(line)) for line in zip(links, *differ.values(), strict=True)]
    side = "r" if key == "metrics" else "l"
    table = Table(title, ["Run", *differ], "l" + side * len(differ), rows)
    text = [f"The same in all: {', '.join(shared)}."] if shared else []
    return Section(key, title, text, [table])


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return words.NONE
    return words.clean(value) or words.NONE


def _link(record: Record, name: str) -> Cell:
    """Return a run's name, as a link to its page where it has one."""
    url = record.run_url or ""
    if re.match("https?://", url):
        return (Link(name, url),)
    return name
