"""The sections of a report: the evidence behind the summary."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.config.model_spec import ModelSpec
from mlops.reporting import blocks, words
from mlops.reporting.run_report import RunInfo, RunReport
from mlops.results.data import Snapshot, Validation
from mlops.results.evaluation import Evaluation, Metric
from mlops.results.verdict import Comparison


def interval(m: Metric | Comparison) -> str:
    """Return the ends of an interval, with their signs where it is that of a difference."""
    figure = words.signed if isinstance(m, Comparison) else words.number
    return f"{figure(m.low)} to {figure(m.high)}"


# -- sections -----------------------------------------------------------------------------------


def sections(facts: RunReport) -> list[blocks.Section]:
    """Return all parts of the report that have something to say, in their order."""
    spec, data, tests = facts.spec, facts.validation, facts.evaluation
    found = [_quality(facts, tests)] if tests and tests.metrics else []
    found += [_data(data, spec.sensitive)] if data else []
    found += (
        [_tests(tests), _slices(tests, spec), _fairness(tests, spec)] if tests else []
    )
    found += [_cost(facts.run), _reproduce(facts)]
    return [s for s in found if s.text or s.commands or any(t.rows for t in s.tables)]


def _judged(ok: bool, measured: bool, yes: str, no: str) -> tuple[blocks.Tone, str]:
    """Return the tone and the word for what holds, what does not, and what cannot be told."""
    if not measured:
        return "", "too few rows"
    return ("good", yes) if ok else ("bad", no)


def _quality(facts: RunReport, result: Evaluation) -> blocks.Section:
    verdict = facts.verdict
    everyone = (verdict.comparison, *verdict.others) if verdict else ()
    against = {c.metric: c for c in everyone if c}
    champion = {m.name: m.value for m in facts.champion}
    level = result.primary.confidence
    columns = ["Metric", "This model", f"{words.share(level)} interval"]
    if against or champion:
        columns += ["In production", "Better by", f"Its {words.share(level)} interval"]
    rows: list[blocks.Row] = []
    for m in result.metrics:
        c = against.get(m.name)
        tone: blocks.Tone = ""
        name = words.label(m.name) + (
            "" if m.higher_is_better else " (lower is better)"
        )
        cells = [name, words.number(m.value), interval(m)]
        if c:
            tone = "good" if c.low > 0 else "bad" if c.high < 0 else ""
            other = "" if c.confidence == level else f"{words.share(c.confidence)}: "
            cells += [
                words.number(c.champion),
                words.signed(c.difference),
                other + interval(c),
            ]
        else:
            cells += [words.number(champion.get(m.name)), words.NONE, words.NONE]
        rows.append((tone, tuple(cells[: len(columns)])))
    text = list(verdict.reasons) if verdict else []
    known = {"dummy": "guessing without looking", "simple": "a simple model"}
    scale = [
        f"{known.get(k, k)} {words.number(v)}"
        for k, v in sorted(result.baselines.items())
    ]
    text += (
        [f"{words.label(result.primary.name)}, for scale: {', '.join(scale)}."]
        if scale
        else []
    )
    conditions: list[blocks.Row] = []
    for condition in sorted(verdict.conditions if verdict else (), key=lambda c: c.ok):
        tone, said = _judged(condition.ok, condition.measured, "met", "not met")
        conditions.append((tone, (condition.name, said, condition.message)))
    title = "Against the model in production" if against else "How good it is"
    metrics = blocks.Table("Metrics", columns, "l" + "r" * (len(columns) - 1), rows)
    met = blocks.Table(
        "Conditions", ("Condition", "Result", "What was found"), "lll", conditions
    )
    return blocks.Section("quality", title, text, (metrics, met))


def _data(result: Validation, sensitive: Sequence[str]) -> blocks.Section:
    failed: list[blocks.Row] = []
    for e in (e for e in result.expectations if not e.ok):
        broken = words.NONE if e.failed_rows is None else f"{e.failed_rows:,}"
        broken += "" if e.failed_share is None else f" ({words.share(e.failed_share)})"
        found = ", ".join(words.clean(x, 40) for x in e.examples[:5]) or words.NONE
        found = "(sensitive)" if e.column in sensitive else found
        failed.append(("bad", (e.column or "all", e.message or e.name, broken, found)))
    total = words.count(len(result.expectations), "expectation")
    said = (
        f"{len(failed)} of {total} failed."
        if failed
        else f"All {total} of the contract hold."
    )
    differs = ("Column", "What is different", "Rows", "Examples")
    tables = [blocks.Table("Differences from the contract", differs, "llrl", failed)]
    tables += _snapshot(result.snapshot, sensitive) if result.snapshot else []
    return blocks.Section(
        "data", "Data", (said,) if result.expectations else (), tables
    )


def _snapshot(s: Snapshot, sensitive: Sequence[str]) -> list[blocks.Table]:
    """Return what was counted, and what is in each column."""
    counts = {"Rows read": s.rows_read, "Duplicates removed": s.duplicates_removed}
    counts |= {"Rows without a label": s.unlabelled}
    counts |= {"Rows for training": s.train_rows, "Rows for the test": s.test_rows}
    pairs = [(name, f"{n:,}") for name, n in counts.items()]
    pairs += [("Period", words.span(s.period))] if s.period else []
    pairs += [(f.path, words.count(f.rows, "row")) for f in s.files]
    columns: list[blocks.Row] = []
    for c in s.columns:
        top = sorted(c.top.items(), key=lambda pair: (-pair[1], pair[0]))[:4]
        text = ", ".join(f"{words.clean(k, 30)} ({n:,})" for k, n in top) or words.NONE
        if c.low is not None:  # no commas: it may be a year
            text = f"{c.low:.6g} to {c.high:.6g}, mean {c.mean:.6g}"
        text = "(sensitive)" if c.name in sensitive else text
        columns.append(("", (c.name, c.kind, f"{c.missing:,}", f"{c.unique:,}", text)))
    counted = blocks.Table(
        "Rows", ("What", "How many"), "lr", [("", pair) for pair in pairs]
    )
    summed = ("Column", "Kind", "Missing", "Distinct", "Values")
    return [counted, blocks.Table("Columns", summed, "llrrl", columns, folded=True)]


def _tests(result: Evaluation) -> blocks.Section:
    tones: dict[str, blocks.Tone] = {
        "failed": "bad",
        "skipped": "unsure",
        "passed": "good",
    }
    rows: dict[str, list[blocks.Row]] = {state: [] for state in tones}
    for c in result.checks:
        state = "skipped" if c.skipped else "passed" if c.ok else "failed"
        own = "every model" if c.standard else "this model"
        rows[state].append((tones[state], (c.name, own, c.message or state)))
    columns = ("Test", "Asked of", "What was found")
    tables = [
        blocks.Table(
            f"{len(found):,} {state}", columns, "lll", found, folded=state == "passed"
        )
        for state, found in rows.items()
        if found
    ]
    text = [", ".join(t.title for t in tables) + "."] if tables else []
    return blocks.Section("tests", "Tests", text, tables)


def _slices(result: Evaluation, spec: ModelSpec) -> blocks.Section:
    rows: list[blocks.Row] = []
    for s in sorted(result.slices, key=lambda s: s.ok):
        tone, said = _judged(s.ok, s.metric is not None, "holds", "falls off")
        found = (
            (words.number(s.metric.value), interval(s.metric))
            if s.metric
            else (words.NONE, words.NONE)
        )
        rows.append((tone, (f"{s.column} = {s.value}", f"{s.rows:,}", *found, said)))
    columns = ("Slice", "Rows", words.label(spec.metrics.primary), "Interval", "Result")
    return blocks.Section(
        "slices", "Slices", (), (blocks.Table("Slices", columns, "lrrrl", rows),)
    )


def _fairness(result: Evaluation, spec: ModelSpec) -> blocks.Section:
    """Groups that are too small to count are too small to show: they may be one person."""
    rows: list[blocks.Row] = []
    least = spec.slices.min_rows
    for f in sorted(result.fairness, key=lambda f: f.ok):
        tone, said = _judged(f.ok, f.measured, "holds", "breached")
        if f.exception and f.difference > f.limit:
            tone, said = "unsure", f"accepted: {f.exception}"
        values = [
            words.number(g.value) if g.rows >= least else "(too few rows)"
            for g in f.groups
        ]
        groups = ", ".join(
            f"{g.name} {v}" for g, v in zip(f.groups, values, strict=True)
        )
        gap = (
            words.number(f.difference if f.measured else None),
            words.number(f.limit),
        )
        rows.append(
            (tone, (f"{words.label(f.metric)} by {f.column}", *gap, said, groups))
        )
    columns = ("Between groups", "Largest gap", "Allowed", "Result", "Groups")
    return blocks.Section(
        "fairness", "Fairness", (), (blocks.Table("Gaps", columns, "lrrll", rows),)
    )


def _cost(run: RunInfo) -> blocks.Section:
    """Energy is an estimate: time by the watts of project.yaml."""
    price, stages = run.price, run.seconds

    def cost(seconds: float) -> tuple[str, str, str]:
        amount = words.money(seconds / 3600 * price.per_hour, price.currency)
        return (
            words.duration(seconds),
            amount,
            f"{words.number(seconds / 3600 * price.watts)} Wh",
        )

    rows: list[blocks.Row] = [
        ("", (stage, *cost(seconds))) for stage, seconds in stages.items()
    ]
    text = (
        ["It took {}, {}, about {}.".format(*cost(sum(stages.values())))]
        if stages
        else []
    )
    columns = ("Stage", "Time", "Cost", "Energy, estimated")
    table = blocks.Table("By stage", columns, "lrrr", rows, folded=True)
    return blocks.Section("cost", "Cost", text, (table,))


def _reproduce(facts: RunReport) -> blocks.Section:
    run, t = facts.run, facts.training
    known = {"Commit": run.commit} if run.commit else {}
    if t:
        known |= {
            "Data": t.snapshot,
            "Code": t.code,
            "Lock": t.lock,
            "Model file": t.model_sha256,
        }
    digests = blocks.Table(
        "Digests", ("What", "Digest"), "ll", [("", x) for x in known.items()], True
    )
    note = "Files were changed and not committed: the commit alone does not give this run again."
    commands = [f"git checkout {run.commit}"] if run.commit else []
    commands += ["make setup", f"mlops run {facts.model} --force"]
    text = [note] if run.dirty else []
    return blocks.Section("reproduce", "How to reproduce", text, [digests], commands)
