"""A report as sections of sentences and tables of plain text; each format renders them its way.

Nothing is escaped here. Values of sensitive columns do not get past this module.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlops.reporting import words as w
from mlops.reporting.facts import Everything, Tone

Row = tuple[Tone, tuple[str, ...]]


@dataclass(frozen=True)
class Table:
    """Rows, each with a tone; `align` has one letter per column, l or r."""

    title: str
    columns: tuple[str, ...]
    align: str
    rows: tuple[Row, ...]
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """One part of a report; a table without rows is left out."""

    key: str
    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    commands: tuple[str, ...] = ()


def sections(facts: Everything) -> list[Section]:
    """Return all parts of the report that have something to say, in their order."""
    makers = (_quality, _data, _tests, _slices, _fairness, _cost, _reproduce)
    found = [make(facts) for make in makers]
    return [s for s in found if s.text or s.commands or any(t.rows for t in s.tables)]


def _quality(facts: Everything) -> Section:
    verdict, result = facts.verdict, facts.evaluation
    if not result or not result.metrics:
        return Section("quality", "How good it is")
    everyone = (verdict.comparison, *verdict.others) if verdict else ()
    against = {c.metric: c for c in everyone if c}
    champion = {m.name: m.value for m in facts.champion}
    columns = ["Metric", "This model", f"{result.primary.confidence:.0%} interval"]
    if against or champion:
        columns += ["In production", "Better by", "Likely"]
    rows: list[Row] = []
    for m in result.metrics:
        c = against.get(m.name)
        cells = [w.capital(w.label(m.name)) + ("" if m.higher_is_better else " (lower is better)")]
        cells += [w.number(m.value), f"{w.number(m.low)} to {w.number(m.high)}"]
        cells += [w.number(c.champion if c else champion.get(m.name))]
        cells += (
            [w.signed(c.difference), f"{w.signed(c.low)} to {w.signed(c.high)}"]
            if c
            else [w.NONE, w.NONE]
        )
        tone: Tone = "good" if c and c.low > 0 else "bad" if c and c.high < 0 else ""
        rows.append((tone, tuple(cells[: len(columns)])))
    known = {"dummy": "guessing without looking", "simple": "a simple model"}
    scale = [f"{known.get(k, k)} {w.number(v)}" for k, v in sorted(result.baselines.items())]
    text = [w.capital(reason).rstrip(".") + "." for reason in verdict.reasons] if verdict else []
    text += [f"For scale, {w.label(result.primary.name)} of {', '.join(scale)}."] if scale else []
    conditions: list[Row] = [
        ("good" if c.ok else "bad", (c.name, "met" if c.ok else "not met", c.message or w.NONE))
        for c in sorted(verdict.conditions if verdict else (), key=lambda c: c.ok)
    ]
    return Section(
        "quality",
        "Against the model in production" if against else "How good it is",
        tuple(text),
        (
            Table("Metrics", tuple(columns), "l" + "r" * (len(columns) - 1), tuple(rows)),
            Table(
                "Conditions", ("Condition", "Result", "What was found"), "lll", tuple(conditions)
            ),
        ),
    )


def _data(facts: Everything) -> Section:
    result, sensitive = facts.validation, facts.spec.sensitive
    if not result:
        return Section("data", "Data")
    pairs: list[Row] = []
    values: list[Row] = []
    if s := result.snapshot:
        figures = {"Rows read": s.rows_read, "Duplicates removed": s.duplicates_removed}
        figures |= {"Rows without a label": s.unlabelled}
        figures |= {"Rows for training": s.train_rows, "Rows for the test": s.test_rows}
        pairs = [("", (name, f"{n:,}")) for name, n in figures.items()]
        pairs += [("", ("Period", " to ".join(s.period)))] if s.period else []
        pairs += [("", ("File", f"{f.path} ({w.count(f.rows, 'row')})")) for f in s.files]
        for c in s.columns:
            top = sorted(c.top.items(), key=lambda pair: (-pair[1], pair[0]))[:4]
            text = ", ".join(f"{w.clean(k, 30)} ({n:,})" for k, n in top)
            if c.low is not None:  # no commas: it may be a year
                text = f"{c.low:.6g} to {c.high:.6g}, mean {c.mean:.6g}"
            shown = "(sensitive)" if c.name in sensitive else text or w.NONE
            values.append(("", (c.name, c.kind, f"{c.missing:,}", f"{c.unique:,}", shown)))
    failed: list[Row] = []
    kept: list[Row] = []
    for e in result.expectations:
        examples = ", ".join(w.clean(x, 40) for x in e.examples[:5]) or w.NONE
        examples = "(sensitive)" if e.column in sensitive else examples
        share = (
            w.NONE if e.failed_rows is None else f"{e.failed_rows:,} ({w.share(e.failed_share)})"
        )
        message = e.message or e.name
        if e.ok:
            kept.append(("good", (e.column or "all", message)))
        else:
            failed.append(("bad", (e.column or "all", message, share, examples)))
    total = w.count(len(result.expectations), "expectation")
    said = f"{len(failed)} of {total} failed." if failed else f"All {total} of the contract hold."
    differs = ("Column", "What is different", "Rows", "Examples")
    summed = ("Column", "Kind", "Missing", "Distinct", "Values")
    return Section(
        "data",
        "Data",
        (said,) if result.expectations else (),
        (
            Table("Differences from the contract", differs, "llrl", tuple(failed)),
            Table("Rows", ("What", "How many"), "lr", tuple(pairs)),
            Table("Expectations that hold", ("Column", "Found"), "ll", tuple(kept), folded=True),
            Table("Columns", summed, "llrrl", tuple(values), folded=True),
        ),
    )


def _tests(facts: Everything) -> Section:
    checks = facts.evaluation.checks if facts.evaluation else ()
    states: dict[str, list[Row]] = {"failed": [], "skipped": [], "passed": []}
    for c in checks:
        state = "skipped" if c.skipped else "passed" if c.ok else "failed"
        tone: Tone = "unsure" if c.skipped else "good" if c.ok else "bad"
        own = "every model" if c.standard else "this model"
        states[state].append((tone, (c.name, own, c.message or state)))
    text = ", ".join(f"{len(rows):,} {state}" for state, rows in states.items() if rows)
    columns = ("Test", "Asked of", "What was found")
    tables = tuple(
        Table(f"{len(rows):,} {state}", columns, "lll", tuple(rows), folded=state == "passed")
        for state, rows in states.items()
    )
    return Section("tests", "Tests", (w.capital(text) + ".",) if text else (), tables)


def _slices(facts: Everything) -> Section:
    result = facts.evaluation
    rows: list[Row] = []
    for s in sorted(result.slices if result else (), key=lambda s: s.ok):
        m, said = s.metric, "holds" if s.ok else "falls off"
        cells = (w.number(m.value), f"{w.number(m.low)} to {w.number(m.high)}", said) if m else ()
        tone: Tone = "bad" if not s.ok else "good" if m else ""
        shown = cells or (w.NONE, w.NONE, "too few rows")
        rows.append((tone, (f"{s.column} = {s.value}", f"{s.rows:,}", *shown)))
    name = w.capital(w.label(facts.spec.metrics.primary))
    table = Table("Slices", ("Slice", "Rows", name, "Interval", "Result"), "lrrrl", tuple(rows))
    return Section("slices", "Slices", (), (table,))


def _fairness(facts: Everything) -> Section:
    """Groups that are too small to count are too small to show: they may be one person."""
    rows: list[Row] = []
    least = facts.spec.slices.min_rows
    for f in sorted(facts.evaluation.fairness if facts.evaluation else (), key=lambda f: f.ok):
        excused = f.exception and f.difference > f.limit
        tone: Tone = "unsure" if excused else "good" if f.ok else "bad"
        said = f"accepted: {f.exception}" if excused else "holds" if f.ok else "breached"
        known = [
            f"{w.clean(g.name, 40)} {w.number(g.value) if g.rows >= least else '(too few rows)'}"
            for g in f.groups[:12]
        ]
        known += [f"and {len(f.groups) - 12} more"] if len(f.groups) > 12 else []
        name = f"{w.capital(w.label(f.metric))} by {f.column}"
        gap = (w.number(f.difference), w.number(f.limit))
        rows.append((tone, (name, *gap, said, ", ".join(known))))
    columns = ("Between groups", "Largest gap", "Allowed", "Result", "Groups")
    return Section("fairness", "Fairness", (), (Table("Gaps", columns, "lrrll", tuple(rows)),))


def _cost(facts: Everything) -> Section:
    stages, price = dict(facts.run.seconds), facts.run.price
    stages |= {"together": sum(stages.values())} if stages else {}
    rows: list[Row] = []
    for stage, seconds in stages.items():
        hours = seconds / 3600
        amount = w.money(hours * price.per_hour, price.currency)
        energy = hours * price.watts
        used = f"{w.number(energy)} Wh" if energy >= 0.001 else "under 0.001 Wh"
        rows.append(("", (stage, w.duration(seconds), amount, used)))
    columns = ("Stage", "Time", "Cost", "Energy, estimated")
    return Section("cost", "Cost", (), (Table("Cost", columns, "lrrr", tuple(rows)),))


def _reproduce(facts: Everything) -> Section:
    run, t = facts.run, facts.training
    known = {"Commit": run.commit}
    if t:
        known |= {"Data": t.snapshot, "Code": t.code, "Lock": t.lock, "Model file": t.model_sha256}
    elif facts.validation and facts.validation.snapshot:
        known |= {"Data": facts.validation.snapshot.digest}
    rows: list[Row] = [("", (name, digest)) for name, digest in known.items() if digest]
    note = "Files were changed and not committed: the commit alone does not give this run again."
    checkout = (f"git checkout {run.commit}",) if run.commit else ()
    return Section(
        "reproduce",
        "How to reproduce",
        (note,) if run.dirty else (),
        (Table("Digests", ("What", "Digest"), "ll", tuple(rows), folded=True),),
        (*checkout, "make setup", f"mlops run {facts.model} --force"),
    )
