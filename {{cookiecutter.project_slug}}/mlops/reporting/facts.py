"""What is known of a run, and all that a report says of it: the answer, then sections of evidence.

Sections are sentences and tables of plain text; each format renders them its way. Nothing is
escaped here. Values of sensitive columns do not get past this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops.project import Cost
from mlops.reporting import words as w
from mlops.results import Comparison, Evaluation, Metric, Snapshot, Training, Validation, Verdict
from mlops.spec import ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ANSWERS: dict[tuple[str, bool], tuple[w.Tone, str]] = {  # by decision, and whether it compares
    ("promote", True): ("good", "Replace {} with this one."),
    ("reject", True): ("bad", "Do not replace {}."),
    ("inconclusive", True): ("unsure", "Keep {}: the two could not be told apart."),
    ("promote", False): ("good", "Put this model into production: it is the first version."),
    ("reject", False): ("bad", "Do not put this model into production."),
    ("inconclusive", False): ("unsure", "Do not put this model into production yet."),
}


@dataclass(frozen=True)
class Run:
    """Where a run was made, and how many seconds each stage took that was not skipped."""

    commit: str | None = None
    dirty: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)
    price: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class Rows:
    """What charts are drawn from: arrays of shape (n,), one element per row of the test part.

    Labels are text, or numbers for regression; scores are probabilities of the positive class.
    """

    actual: NDArray[Any]
    predicted: NDArray[Any]
    score: NDArray[Any] | None = None
    champion: NDArray[Any] | None = None


@dataclass(frozen=True)
class Everything:
    """All that is known about one run of one model; what it did not reach is None."""

    model: str
    spec: ModelSpec
    validation: Validation | None = None
    training: Training | None = None
    evaluation: Evaluation | None = None
    verdict: Verdict | None = None
    run: Run = field(default_factory=Run)
    rows: Rows | None = None
    champion: tuple[Metric, ...] = ()


def summary(facts: Everything) -> w.Summary:
    """Return the verdict in words that a manager understands, or how far the run came."""
    data, tests = facts.validation, facts.evaluation
    if facts.verdict:
        return _decided(facts, facts.verdict)
    if data and not data.ok:
        failed = [e.message or e.name for e in data.expectations if not e.ok]
        said = _some(failed, len(data.expectations), "expectation", "failed")
        mend = f"Mend the data, or model.yaml and contract.py in models/{facts.model}."
        return w.Summary("bad", "No new model: the data do not keep their contract.", (said, mend))
    if tests and not tests.ok:
        failed = [f"{c.name}: {c.message}" for c in tests.checks if not c.ok and not c.skipped]
        said = _some(failed, len(tests.checks), "test", "failed")
        return w.Summary("bad", "Do not use this model: it failed its tests.", (said,))
    if tests:
        title = "The model passed its tests; it was not compared with the one in production."
        return w.Summary("unsure", title, (_measured(tests),))
    if facts.training:
        return w.Summary("unsure", "A model was trained, but not tested: there is no verdict.")
    if data:
        return w.Summary("unsure", "The data keep their contract; no model was trained.")
    return w.Summary("unsure", "Nothing was run yet.", (f"Start with: mlops run {facts.model}",))


def _some(failed: list[str], total: int, noun: str, how: str) -> str:
    """Return how many of all failed, and what the first of them say."""
    return f"{len(failed)} of {w.count(total, noun)} {how}: {w.listed(failed)}"


def _decided(facts: Everything, verdict: Verdict) -> w.Summary:
    """Return the decision, the comparison in a sentence, and the conditions in another."""
    tone, title = _ANSWERS[verdict.decision, verdict.champion is not None]
    lines = []
    if c := verdict.comparison:
        line = _compared(c, verdict.rows)
        if verdict.decision == "inconclusive":
            needed = w.number(c.smallest_detectable)
            line += f" With this many rows, a difference of {needed} would have shown."
        if verdict.rule == "non-inferiority":
            line += f" A loss of up to {w.number(facts.spec.gate.margin)} is accepted here."
        lines.append(line)
        if verdict.decision == "promote" and _identical(c):
            title = "No change: it predicts exactly what {} does."
    elif facts.evaluation and facts.evaluation.metrics:
        lines.append(_measured(facts.evaluation))
    failed = [c.message or c.name for c in verdict.conditions if not c.ok]
    if failed:
        lines.append(_some(failed, len(verdict.conditions), "condition", "not met"))
    elif verdict.conditions:
        names = [w.clean(c.name, 40) for c in verdict.conditions if c.measured]
        every = "Every condition" if len(names) == len(verdict.conditions) else "What can be told"
        lines.append(f"{every} is met: {', '.join(names)}.")
    title = title.format(f"the model in production ({verdict.champion})")
    return w.Summary(tone, title, tuple(lines))


def interval(m: Metric | Comparison) -> str:
    """Return the ends of an interval, with their signs where it is that of a difference."""
    figure = w.signed if isinstance(m, Comparison) else w.number
    return f"{figure(m.low)} to {figure(m.high)}"


def _measured(result: Evaluation) -> str:
    """Return the primary metric and what it means, in one sentence."""
    m = result.primary
    name = w.label(m.name) + (f" ({w.METRICS[m.name][1]})" if m.name in w.METRICS else "")
    value = f"{w.number(m.value)} ({w.share(m.confidence)} interval {interval(m)})"
    return f"{name} on {w.count(result.rows, 'test row')}: {value}."


def _compared(c: Comparison, rows: int) -> str:
    """Return challenger against champion in one sentence."""
    values = f"{w.number(c.challenger)} against {w.number(c.champion)}"
    text = f"{w.label(c.metric)} on the same {w.count(rows, 'row')}: {values}"
    between = f"{w.share(c.confidence)} interval {interval(c)}"
    if _identical(c):
        return f"{text}; both versions predict exactly the same."
    if c.low <= 0 <= c.high:
        return f"{text}; the difference ({w.signed(c.difference)}, {between}) may be chance."
    word = "better" if c.low > 0 else "worse"
    return f"{text}, {word} by {w.number(abs(c.difference))} ({between})."


def _identical(c: Comparison) -> bool:
    return c.method.startswith("identical")


# -- sections -----------------------------------------------------------------------------------


def sections(facts: Everything) -> list[w.Section]:
    """Return all parts of the report that have something to say, in their order."""
    spec, data, tests = facts.spec, facts.validation, facts.evaluation
    found = [_quality(facts, tests)] if tests and tests.metrics else []
    found += [_data(data, spec.sensitive)] if data else []
    found += [_tests(tests), _slices(tests, spec), _fairness(tests, spec)] if tests else []
    found += [_cost(facts.run), _reproduce(facts)]
    return [s for s in found if s.text or s.commands or any(t.rows for t in s.tables)]


def _judged(ok: bool, measured: bool, yes: str, no: str) -> tuple[w.Tone, str]:
    """Return the tone and the word for what holds, what does not, and what cannot be told."""
    if not measured:
        return "", "too few rows"
    return ("good", yes) if ok else ("bad", no)


def _quality(facts: Everything, result: Evaluation) -> w.Section:
    verdict = facts.verdict
    everyone = (verdict.comparison, *verdict.others) if verdict else ()
    against = {c.metric: c for c in everyone if c}
    champion = {m.name: m.value for m in facts.champion}
    level = result.primary.confidence
    columns = ["Metric", "This model", f"{w.share(level)} interval"]
    if against or champion:
        columns += ["In production", "Better by", f"Its {w.share(level)} interval"]
    rows: list[w.Row] = []
    for m in result.metrics:
        c = against.get(m.name)
        tone: w.Tone = ""
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
    conditions: list[w.Row] = []
    for condition in sorted(verdict.conditions if verdict else (), key=lambda c: c.ok):
        tone, said = _judged(condition.ok, condition.measured, "met", "not met")
        conditions.append((tone, (condition.name, said, condition.message)))
    title = "Against the model in production" if against else "How good it is"
    metrics = w.Table("Metrics", columns, "l" + "r" * (len(columns) - 1), rows)
    met = w.Table("Conditions", ("Condition", "Result", "What was found"), "lll", conditions)
    return w.Section("quality", title, text, (metrics, met))


def _data(result: Validation, sensitive: Sequence[str]) -> w.Section:
    failed: list[w.Row] = []
    for e in (e for e in result.expectations if not e.ok):
        broken = w.NONE if e.failed_rows is None else f"{e.failed_rows:,}"
        broken += "" if e.failed_share is None else f" ({w.share(e.failed_share)})"
        found = ", ".join(w.clean(x, 40) for x in e.examples[:5]) or w.NONE
        found = "(sensitive)" if e.column in sensitive else found
        failed.append(("bad", (e.column or "all", e.message or e.name, broken, found)))
    total = w.count(len(result.expectations), "expectation")
    said = f"{len(failed)} of {total} failed." if failed else f"All {total} of the contract hold."
    differs = ("Column", "What is different", "Rows", "Examples")
    tables = [w.Table("Differences from the contract", differs, "llrl", failed)]
    tables += _snapshot(result.snapshot, sensitive) if result.snapshot else []
    return w.Section("data", "Data", (said,) if result.expectations else (), tables)


def _snapshot(s: Snapshot, sensitive: Sequence[str]) -> list[w.Table]:
    """Return what was counted, and what is in each column."""
    counts = {"Rows read": s.rows_read, "Duplicates removed": s.duplicates_removed}
    counts |= {"Rows without a label": s.unlabelled}
    counts |= {"Rows for training": s.train_rows, "Rows for the test": s.test_rows}
    pairs = [(name, f"{n:,}") for name, n in counts.items()]
    pairs += [("Period", w.span(s.period))] if s.period else []
    pairs += [(f.path, w.count(f.rows, "row")) for f in s.files]
    columns: list[w.Row] = []
    for c in s.columns:
        top = sorted(c.top.items(), key=lambda pair: (-pair[1], pair[0]))[:4]
        text = ", ".join(f"{w.clean(k, 30)} ({n:,})" for k, n in top) or w.NONE
        if c.low is not None:  # no commas: it may be a year
            text = f"{c.low:.6g} to {c.high:.6g}, mean {c.mean:.6g}"
        text = "(sensitive)" if c.name in sensitive else text
        columns.append(("", (c.name, c.kind, f"{c.missing:,}", f"{c.unique:,}", text)))
    counted = w.Table("Rows", ("What", "How many"), "lr", [("", pair) for pair in pairs])
    summed = ("Column", "Kind", "Missing", "Distinct", "Values")
    return [counted, w.Table("Columns", summed, "llrrl", columns, folded=True)]


def _tests(result: Evaluation) -> w.Section:
    tones: dict[str, w.Tone] = {"failed": "bad", "skipped": "unsure", "passed": "good"}
    rows: dict[str, list[w.Row]] = {state: [] for state in tones}
    for c in result.checks:
        state = "skipped" if c.skipped else "passed" if c.ok else "failed"
        own = "every model" if c.standard else "this model"
        rows[state].append((tones[state], (c.name, own, c.message or state)))
    columns = ("Test", "Asked of", "What was found")
    tables = [
        w.Table(f"{len(found):,} {state}", columns, "lll", found, folded=state == "passed")
        for state, found in rows.items()
        if found
    ]
    text = [", ".join(t.title for t in tables) + "."] if tables else []
    return w.Section("tests", "Tests", text, tables)


def _slices(result: Evaluation, spec: ModelSpec) -> w.Section:
    rows: list[w.Row] = []
    for s in sorted(result.slices, key=lambda s: s.ok):
        tone, said = _judged(s.ok, s.metric is not None, "holds", "falls off")
        found = (w.number(s.metric.value), interval(s.metric)) if s.metric else (w.NONE, w.NONE)
        rows.append((tone, (f"{s.column} = {s.value}", f"{s.rows:,}", *found, said)))
    columns = ("Slice", "Rows", w.label(spec.metrics.primary), "Interval", "Result")
    return w.Section("slices", "Slices", (), (w.Table("Slices", columns, "lrrrl", rows),))


def _fairness(result: Evaluation, spec: ModelSpec) -> w.Section:
    """Groups that are too small to count are too small to show: they may be one person."""
    rows: list[w.Row] = []
    least = spec.slices.min_rows
    for f in sorted(result.fairness, key=lambda f: f.ok):
        tone, said = _judged(f.ok, f.measured, "holds", "breached")
        if f.exception and f.difference > f.limit:
            tone, said = "unsure", f"accepted: {f.exception}"
        values = [w.number(g.value) if g.rows >= least else "(too few rows)" for g in f.groups]
        groups = ", ".join(f"{g.name} {v}" for g, v in zip(f.groups, values, strict=True))
        gap = (w.number(f.difference if f.measured else None), w.number(f.limit))
        rows.append((tone, (f"{w.label(f.metric)} by {f.column}", *gap, said, groups)))
    columns = ("Between groups", "Largest gap", "Allowed", "Result", "Groups")
    return w.Section("fairness", "Fairness", (), (w.Table("Gaps", columns, "lrrll", rows),))


def _cost(run: Run) -> w.Section:
    """Energy is an estimate: time by the watts of project.yaml."""
    price, stages = run.price, run.seconds

    def cost(seconds: float) -> tuple[str, str, str]:
        amount = w.money(seconds / 3600 * price.per_hour, price.currency)
        return w.duration(seconds), amount, f"{w.number(seconds / 3600 * price.watts)} Wh"

    rows: list[w.Row] = [("", (stage, *cost(seconds))) for stage, seconds in stages.items()]
    text = ["It took {}, {}, about {}.".format(*cost(sum(stages.values())))] if stages else []
    columns = ("Stage", "Time", "Cost", "Energy, estimated")
    table = w.Table("By stage", columns, "lrrr", rows, folded=True)
    return w.Section("cost", "Cost", text, (table,))


def _reproduce(facts: Everything) -> w.Section:
    run, t = facts.run, facts.training
    known = {"Commit": run.commit} if run.commit else {}
    if t:
        known |= {"Data": t.snapshot, "Code": t.code, "Lock": t.lock, "Model file": t.model_sha256}
    digests = w.Table("Digests", ("What", "Digest"), "ll", [("", x) for x in known.items()], True)
    note = "Files were changed and not committed: the commit alone does not give this run again."
    commands = [f"git checkout {run.commit}"] if run.commit else []
    commands += ["make setup", f"mlops run {facts.model} --force"]
    text = [note] if run.dirty else []
    return w.Section("reproduce", "How to reproduce", text, [digests], commands)
