"""A report as sections of sentences and tables of plain text; each format renders them its way.

Nothing is escaped here. Values of sensitive columns do not get past this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mlops.reporting import words as w
from mlops.reporting.facts import Everything, Run, Tone, interval
from mlops.results import Evaluation, Snapshot, Validation
from mlops.spec import ModelSpec


class Link(NamedTuple):
    """Where to read more; only pages have them, reports stand alone."""

    text: str
    href: str


Cell = str | tuple[Link, ...]
Row = tuple[Tone, tuple[Cell, ...]]


@dataclass(frozen=True)
class Table:
    """Rows, each with a tone; `align` has one letter per column, l or r."""

    title: str
    columns: Sequence[str]
    align: str
    rows: Sequence[Row]
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """One part of a report; a table without rows is left out."""

    key: str
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    commands: Sequence[str] = ()


def sections(facts: Everything) -> list[Section]:
    """Return all parts of the report that have something to say, in their order."""
    spec, data, tests = facts.spec, facts.validation, facts.evaluation
    found = [_quality(facts, tests)] if tests and tests.metrics else []
    found += [_data(data, spec.sensitive)] if data else []
    found += [_tests(tests), _slices(tests, spec), _fairness(tests, spec)] if tests else []
    found += [_cost(facts.run), _reproduce(facts)]
    return [s for s in found if s.text or s.commands or any(t.rows for t in s.tables)]


def _quality(facts: Everything, result: Evaluation) -> Section:
    verdict = facts.verdict
    everyone = (verdict.comparison, *verdict.others) if verdict else ()
    against = {c.metric: c for c in everyone if c}
    champion = {m.name: m.value for m in facts.champion}
    level = result.primary.confidence
    columns = ["Metric", "This model", f"{w.share(level)} interval"]
    if against or champion:
        columns += ["In production", "Better by", f"Its {w.share(level)} interval"]
    rows: list[Row] = []
    for m in result.metrics:
        c = against.get(m.name)
        tone: Tone = ""
        name = w.label(m.name) + ("" if m.higher_is_better else " (lower is better)")
        cells = [name, w.number(m.value), interval(m)]
        if c:
            tone = "good" if c.low > 0 else "bad" if c.high < 0 else ""
            other = "" if c.confidence == level else f"{w.share(c.confidence)}: "
            cells += [w.number(c.champion), w.signed(c.difference), other + interval(c)]
        else:
            cells += [w.number(champion.get(m.name)), w.NONE, w.NONE]
        rows.append((tone, tuple(cells[: len(columns)])))
    text = list(verdict.reasons) if verdict else []
    known = {"dummy": "guessing without looking", "simple": "a simple model"}
    scale = [f"{known.get(k, k)} {w.number(v)}" for k, v in sorted(result.baselines.items())]
    text += [f"{w.label(result.primary.name)}, for scale: {', '.join(scale)}."] if scale else []
    conditions: list[Row] = []
    for condition in sorted(verdict.conditions if verdict else (), key=lambda c: c.ok):
        tone, said = ("good", "met") if condition.ok else ("bad", "not met")
        if not condition.measured:
            tone, said = "", "too few rows"
        conditions.append((tone, (condition.name, said, condition.message)))
    title = "Against the model in production" if against else "How good it is"
    metrics = Table("Metrics", columns, "l" + "r" * (len(columns) - 1), rows)
    met = Table("Conditions", ("Condition", "Result", "What was found"), "lll", conditions)
    return Section("quality", title, text, (metrics, met))


def _data(result: Validation, sensitive: Sequence[str]) -> Section:
    failed: list[Row] = []
    for e in (e for e in result.expectations if not e.ok):
        broken = w.NONE if e.failed_rows is None else f"{e.failed_rows:,}"
        broken += "" if e.failed_share is None else f" ({w.share(e.failed_share)})"
        found = ", ".join(w.clean(x, 40) for x in e.examples[:5]) or w.NONE
        found = "(sensitive)" if e.column in sensitive else found
        failed.append(("bad", (e.column or "all", e.message or e.name, broken, found)))
    total = w.count(len(result.expectations), "expectation")
    said = f"{len(failed)} of {total} failed." if failed else f"All {total} of the contract hold."
    counts, columns = _snapshot(result.snapshot, sensitive)
    differs = ("Column", "What is different", "Rows", "Examples")
    summed = ("Column", "Kind", "Missing", "Distinct", "Values")
    tables = (
        Table("Differences from the contract", differs, "llrl", failed),
        Table("Rows", ("What", "How many"), "lr", counts),
        Table("Columns", summed, "llrrl", columns, folded=True),
    )
    return Section("data", "Data", (said,) if result.expectations else (), tables)


def _snapshot(s: Snapshot | None, sensitive: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """Return what was counted, and what is in each column."""
    if not s:
        return [], []
    counts = {"Rows read": s.rows_read, "Duplicates removed": s.duplicates_removed}
    counts |= {"Rows without a label": s.unlabelled}
    counts |= {"Rows for training": s.train_rows, "Rows for the test": s.test_rows}
    pairs = [(name, f"{n:,}") for name, n in counts.items()]
    pairs += [("Period", w.span(s.period))] if s.period else []
    pairs += [(f.path, w.count(f.rows, "row")) for f in s.files]
    columns: list[Row] = []
    for c in s.columns:
        top = sorted(c.top.items(), key=lambda pair: (-pair[1], pair[0]))[:4]
        text = ", ".join(f"{w.clean(k, 30)} ({n:,})" for k, n in top) or w.NONE
        if c.low is not None:  # no commas: it may be a year
            text = f"{c.low:.6g} to {c.high:.6g}, mean {c.mean:.6g}"
        text = "(sensitive)" if c.name in sensitive else text
        columns.append(("", (c.name, c.kind, f"{c.missing:,}", f"{c.unique:,}", text)))
    return [("", pair) for pair in pairs], columns


def _tests(result: Evaluation) -> Section:
    tables, columns = [], ("Test", "Asked of", "What was found")
    tones: dict[str, Tone] = {"failed": "bad", "skipped": "unsure", "passed": "good"}
    for state, tone in tones.items():
        rows: list[Row] = []
        for c in result.checks:
            if state == ("skipped" if c.skipped else "passed" if c.ok else "failed"):
                own = "every model" if c.standard else "this model"
                rows.append((tone, (c.name, own, c.message or state)))
        if rows:
            folded = state == "passed"
            tables.append(Table(f"{len(rows):,} {state}", columns, "lll", rows, folded))
    text = [", ".join(t.title for t in tables) + "."] if tables else []
    return Section("tests", "Tests", text, tables)


def _slices(result: Evaluation, spec: ModelSpec) -> Section:
    rows: list[Row] = []
    for s in sorted(result.slices, key=lambda s: s.ok):
        tone: Tone = "good" if s.metric else ""
        cells = (w.NONE, w.NONE, "too few rows")
        if s.metric:
            said = "holds" if s.ok else "falls off"
            cells = (w.number(s.metric.value), interval(s.metric), said)
        shown = (f"{s.column} = {s.value}", f"{s.rows:,}", *cells)
        rows.append((tone if s.ok else "bad", shown))
    columns = ("Slice", "Rows", w.label(spec.metrics.primary), "Interval", "Result")
    return Section("slices", "Slices", (), (Table("Slices", columns, "lrrrl", rows),))


def _fairness(result: Evaluation, spec: ModelSpec) -> Section:
    """Groups that are too small to count are too small to show: they may be one person."""
    rows: list[Row] = []
    least = spec.slices.min_rows
    for f in sorted(result.fairness, key=lambda f: f.ok):
        tone: Tone = "good" if f.ok else "bad"
        said = "holds" if f.ok else "breached"
        if not f.measured:
            tone, said = "", "too few rows"
        if f.exception and f.difference > f.limit:
            tone, said = "unsure", f"accepted: {f.exception}"
        values = [w.number(g.value) if g.rows >= least else "(too few rows)" for g in f.groups]
        groups = ", ".join(f"{g.name} {v}" for g, v in zip(f.groups, values, strict=True))
        gap = (w.number(f.difference if f.measured else None), w.number(f.limit))
        rows.append((tone, (f"{w.label(f.metric)} by {f.column}", *gap, said, groups)))
    columns = ("Between groups", "Largest gap", "Allowed", "Result", "Groups")
    return Section("fairness", "Fairness", (), (Table("Gaps", columns, "lrrll", rows),))


def _cost(run: Run) -> Section:
    """Energy is an estimate: time by the watts of project.yaml."""
    price, stages = run.price, run.seconds

    def cost(seconds: float) -> tuple[str, str, str]:
        amount = w.money(seconds / 3600 * price.per_hour, price.currency)
        return w.duration(seconds), amount, f"{w.number(seconds / 3600 * price.watts)} Wh"

    rows: list[Row] = [("", (stage, *cost(seconds))) for stage, seconds in stages.items()]
    text = ["It took {}, {}, about {}.".format(*cost(sum(stages.values())))] if stages else []
    columns = ("Stage", "Time", "Cost", "Energy, estimated")
    return Section("cost", "Cost", text, (Table("By stage", columns, "lrrr", rows, folded=True),))


def _reproduce(facts: Everything) -> Section:
    run, t = facts.run, facts.training
    known = {"Commit": run.commit} if run.commit else {}
    if t:
        known |= {"Data": t.snapshot, "Code": t.code, "Lock": t.lock, "Model file": t.model_sha256}
    digests = Table("Digests", ("What", "Digest"), "ll", [("", x) for x in known.items()], True)
    note = "Files were changed and not committed: the commit alone does not give this run again."
    commands = [f"git checkout {run.commit}"] if run.commit else []
    commands += ["make setup", f"mlops run {facts.model} --force"]
    text = [note] if run.dirty else []
    return Section("reproduce", "How to reproduce", text, [digests], commands)
