"""The sections of a report: the evidence behind the summary."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mlops.config.model_spec import ModelSpec
from mlops.config.project_spec import Cost
from mlops.reporting import wording, words
from mlops.reporting.blocks import Row, Section, Table, Tone
from mlops.reporting.gaps import is_written, not_declared, not_written
from mlops.reporting.run_report import PredictedRows, RunInfo, RunReport
from mlops.results.data import ColumnSummary, Snapshot, Validation
from mlops.results.evaluation import (
    Check,
    Evaluation,
    FairnessResult,
    Metric,
    Slice,
)
from mlops.results.since_production import Change
from mlops.results.verdict import Comparison, Verdict

_HIDDEN = "(sensitive)"

_MOST_CLASSES = 12  # of a confusion matrix that can be read


def sections(facts: RunReport) -> list[Section]:
    """Return all parts of the report that have something to say, in their order."""
    spec = facts.spec
    tests = facts.evaluation
    parts = []
    if tests and tests.metrics:
        parts.append(_quality(facts, tests))
    parts += [_changed(facts), _specification(spec)]
    if facts.validation:
        parts.append(_data(facts.validation, spec.sensitive))
    if tests:
        parts += [
            _importance(tests, spec),
            _tests(tests),
            _slices(tests, facts),
            _fairness(tests, spec),
        ]
    parts += [
        _versions(facts),
        _origin(facts.run),
        _cost(facts.run),
        _reproduce(facts),
    ]
    return [section for section in parts if _says_something(section)]


def _says_something(section: Section) -> bool:
    has_rows = any(table.rows for table in section.tables)
    return bool(section.text or section.commands or has_rows)


def metric_name(metric: Metric, spec: ModelSpec) -> str:
    """Return what a metric is called, its unit, and which way is better."""
    name = words.label(metric.name, spec.metrics.unit)
    if not metric.higher_is_better:
        name += " (lower is better)"
    return name


# -- quality ---------------------------------------------------------------------------


def _quality(facts: RunReport, result: Evaluation) -> Section:
    verdict = facts.verdict
    compared = _comparisons(verdict)
    title = "Against the model in production" if compared else "How good it is"
    if result.part != "test":
        title += f" ({result.part} rows)"
    text = list(wording.reasons(verdict)) if verdict else []
    text += _for_scale(result)
    tables = [_metrics(facts, result, compared)]
    if verdict:
        tables.append(_conditions(verdict))
    if facts.rows:
        tables += [_confusion(facts, facts.rows, result), _residuals(facts)]
    return Section("quality", title, text, tables)


def _comparisons(verdict: Verdict | None) -> dict[str, Comparison]:
    """Return the comparisons of a verdict by metric."""
    if verdict is None or verdict.comparison is None:
        return {}
    return {c.metric: c for c in (verdict.comparison, *verdict.others)}


def _for_scale(result: Evaluation) -> list[str]:
    """Return what the primary metric is for a model that nobody has to train."""
    known = {"dummy": "a model that ignores the features", "simple": "a simple model"}
    parts = [
        f"{known.get(name, name)} {words.number(value)}"
        for name, value in sorted(result.baselines.items())
    ]
    if not parts:
        return []
    return [f"{words.label(result.primary.name)}, for scale: {', '.join(parts)}."]


def _metrics(
    facts: RunReport, result: Evaluation, compared: dict[str, Comparison]
) -> Table:
    level = result.primary.confidence
    columns = ["Metric", "This model", f"{words.share(level)} CI"]
    production = {m.name: m.value for m in facts.champion}
    if compared or production:
        columns += ["In production", "Better by", f"{words.share(level)} CI of it"]
    rows: list[Row] = []
    for metric in result.metrics:
        ends = words.interval(metric.low, metric.high) + words.caution(metric.few)
        cells = [metric_name(metric, facts.spec), words.number(metric.value), ends]
        tone: Tone = ""
        if metric.name in compared:
            tone, more = _difference(compared[metric.name], level)
            cells += more
        elif len(columns) > len(cells):
            before = words.number(production.get(metric.name))
            cells += [before, words.NONE, words.NONE]
        rows.append((tone, tuple(cells)))
    return Table("Metrics", columns, "l" + "r" * (len(columns) - 1), rows)


def _difference(c: Comparison, level: float) -> tuple[Tone, list[str]]:
    """Return the cells of a comparison, and the tone of its interval."""
    ends = words.difference_interval(c.low, c.high)
    if c.confidence != level:
        ends = f"{words.share(c.confidence)}: {ends}"
    tone: Tone = ""
    if c.low > 0:
        tone = "good"
    elif c.high < 0:
        tone = "bad"
    return tone, [words.number(c.champion), words.signed(c.difference), ends]


def _conditions(verdict: Verdict) -> Table:
    rows: list[Row] = []
    for c in sorted(verdict.conditions, key=lambda c: c.ok):
        tone, result = wording.standing(c)
        rows.append((tone, (c.name, result, wording.condition(c))))
    columns = ("Condition", "Result", "Details")
    return Table("Conditions", columns, "lll", rows)


def _confusion(facts: RunReport, rows: PredictedRows, result: Evaluation) -> Table:
    """Return how many rows of each class were predicted as which."""
    table: list[Row] = []
    classes: list[str] = []
    if facts.spec.task != "regression":
        actual = rows.actual.astype(str)
        predicted = rows.predicted.astype(str)
        classes = sorted({*actual.tolist(), *predicted.tolist()})
    if len(classes) <= _MOST_CLASSES:
        for name in classes:
            of_class = predicted[actual == name]
            counts = [f"{int((of_class == other).sum()):,}" for other in classes]
            table.append(("", (f"Actual: {name}", *counts)))
    first = f"{result.part.capitalize()} rows"
    columns = (first, *(f"Predicted: {name}" for name in classes))
    align = "l" + "r" * len(classes)
    return Table("Confusion matrix", columns, align, table, folded=True)


def _residuals(facts: RunReport) -> Table:
    """Return how far off a regression is, by tenths of what it predicts."""
    rows: list[Row] = []
    if facts.spec.task == "regression" and facts.rows:
        rows = [("", cells) for cells in _errors_by_tenth(facts.rows)]
    columns = ("Predicted", "Rows", "Mean error", "Middle 80% of the errors")
    title = "Errors (predicted minus actual), by tenths of the prediction"
    return Table(title, columns, "lrrr", rows, folded=True)


def _errors_by_tenth(rows: PredictedRows) -> Iterator[tuple[str, ...]]:
    """Yield range, rows, mean error and the middle of the errors of each tenth."""
    known = [
        (predicted, predicted - actual)
        for predicted, actual in zip(
            rows.predicted.tolist(), rows.actual.tolist(), strict=True
        )
        if math.isfinite(predicted - actual)
    ]
    known.sort()
    for tenth in range(10):
        part = known[tenth * len(known) // 10 : (tenth + 1) * len(known) // 10]
        if not part:
            continue
        errors = sorted(error for _, error in part)
        outer = len(errors) // 10  # on either side
        yield (
            words.interval(part[0][0], part[-1][0]),
            f"{len(errors):,}",
            words.signed(sum(errors) / len(errors)),
            words.difference_interval(errors[outer], errors[-1 - outer]),
        )


# -- what changed, and the versions before ---------------------------------------------


def _changed(facts: RunReport) -> Section:
    """Return what is not as in the version in production."""
    champion = facts.verdict.champion if facts.verdict else None
    title = f"What changed since {champion or 'production'}"
    text = []
    rows: list[Row] = []
    if facts.changes is not None:
        rows = [
            ("", (_named(c), _value(c.before), _value(c.after))) for c in facts.changes
        ]
        if not rows:
            text = ["Nothing: the same code, parameters, data and libraries."]
    columns = ("What", "Before", "Now")
    return Section("changes", title, text, [Table(title, columns, "lll", rows)])


def _named(change: Change) -> str:
    """Return what changed, such as ``Parameter max_depth``."""
    if change.kind in ("estimator", "code"):
        return change.name[0].upper() + change.name[1:]
    return f"{change.kind.capitalize()} {change.name}"


def _value(text: str) -> str:
    return words.clean(text, 80) or words.NONE


def _versions(facts: RunReport) -> Section:
    """Return the primary metric of the versions, and of this run as the last."""
    rows: list[Row] = []
    tests = facts.evaluation
    if facts.versions and tests and tests.metrics:
        known = [(one.version, one.metric, one.rows) for one in facts.versions]
        this = "this run"
        if tests.part != "test":
            this += f" ({tests.part} rows)"
        for name, m, count in [*known, (this, tests.primary, tests.rows)]:
            ends = words.interval(m.low, m.high)
            rows.append(("", (name, words.number(m.value), ends, f"{count:,}")))
    text = []
    if rows:
        text = [
            "Each was measured on the test rows that it had: where data or split have "
            "changed, these are not the same rows."
        ]
    metric = words.label(facts.spec.metrics.primary, facts.spec.metrics.unit)
    columns = ("Version", metric, "CI", "Test rows")
    table = Table("By version", columns, "lrrr", rows)
    return Section("versions", "Over versions", text, (table,))


# -- what people wrote -----------------------------------------------------------------


def _specification(spec: ModelSpec) -> Section:
    """Return what an approver has to read, and what nobody has written or declared."""
    rows: list[Row] = []
    written = {
        "Intended use": spec.intended_use,
        "Limits": spec.limits,
        f"Risk: {spec.risk}": spec.risk_reason,
    }
    for name, text in written.items():
        if is_written(text):
            rows.append(("", (name, text)))
        else:
            rows.append(("unwritten", (name, "not written")))
    rows += [
        ("unmeasured", (f"{name[0].upper()}{name[1:]}", "not declared, not tested"))
        for name in not_declared(spec)
    ]
    lines = []
    missing = len(not_written(spec))
    if missing:
        lines.append(
            f"{words.count(missing, 'text')} of model.yaml not written: read this "
            "before you approve a promotion."
        )
    table = Table("Use and limits", ("What", "In model.yaml"), "ll", rows)
    return Section("specification", "Use and limits", lines, (table,))


# -- data ------------------------------------------------------------------------------


def _data(result: Validation, sensitive: Sequence[str]) -> Section:
    failed: list[Row] = []
    for e in result.expectations:
        if e.ok:
            continue
        rows = words.NONE if e.failed_rows is None else f"{e.failed_rows:,}"
        if e.failed_share is not None:
            rows += f" ({words.share(e.failed_share)})"
        examples = ", ".join(words.clean(x, 40) for x in e.examples[:5]) or words.NONE
        if e.column in sensitive:
            examples = _HIDDEN
        failed.append(("bad", (e.column or "all", e.message or e.name, rows, examples)))
    text = []
    if result.expectations:
        total = words.count(len(result.expectations), "expectation")
        text = [f"All {total} of the contract are met."]
        if failed:
            text = [f"{len(failed)} of {total} failed."]
    columns = ("Column", "Difference", "Rows", "Examples")
    tables = [Table("Differences from the contract", columns, "llrl", failed)]
    if result.snapshot:
        tables += [
            _counts(result.snapshot),
            _columns(result.snapshot, sensitive),
        ]
    return Section("data", "Data", text, tables)


def _counts(snapshot: Snapshot) -> Table:
    counts = {
        "Rows read": snapshot.rows_read,
        "Duplicates removed": snapshot.duplicates_removed,
        "Rows without a label": snapshot.unlabelled,
        "Rows for training": snapshot.train_rows,
        "Rows for the test": snapshot.test_rows,
    }
    if snapshot.validation_rows:
        counts["Rows for validation"] = snapshot.validation_rows
    rows: list[Row] = [("", (name, f"{n:,}")) for name, n in counts.items()]
    if snapshot.period:
        rows.append(("", ("Period", words.span(snapshot.period))))
    rows += [("", (f.path, words.count(f.rows, "row"))) for f in snapshot.files]
    return Table("Rows", ("What", "How many"), "lr", rows)


def _columns(snapshot: Snapshot, sensitive: Sequence[str]) -> Table:
    rows: list[Row] = []
    for c in snapshot.columns:
        values = _HIDDEN if c.name in sensitive else _values(c)
        rows.append(("", (c.name, c.kind, f"{c.missing:,}", f"{c.unique:,}", values)))
    columns = ("Column", "Kind", "Missing", "Distinct", "Values")
    return Table("Columns", columns, "llrrl", rows, folded=True)


def _values(c: ColumnSummary) -> str:
    """Return the range of a column of numbers, or the commonest values of another."""
    if c.low is not None and c.low == c.high:
        return f"{c.low:.6g} only"
    if c.low is not None and c.high is not None and c.mean is not None:
        # No commas: it may be a year.
        return f"{c.low:.6g} to {c.high:.6g}, mean {c.mean:.6g}"
    common = sorted(c.top.items(), key=lambda pair: (-pair[1], pair[0]))[:4]
    return ", ".join(f"{words.clean(k, 30)} ({n:,})" for k, n in common) or words.NONE


# -- features --------------------------------------------------------------------------


def _importance(result: Evaluation, spec: ModelSpec) -> Section:
    """Return what shuffling each feature costs, the dearest first."""
    found = result.importance
    title = "Feature importance"
    if found is None:
        return Section("importance", title)
    if not found.features:
        reason = words.clean(found.problem) or "no reason is known"
        return Section("importance", title, (f"Not measured: {reason}.",))
    metric = words.label(found.metric, spec.metrics.unit)
    shuffled = words.count(found.rows, f"{result.part} row")
    text = (
        f"By how much {metric} is worse when one feature is shuffled among "
        f"{shuffled}. Features that say the same share their importance. It says what "
        "the model uses, not what causes the outcome.",
    )
    rows: list[Row] = []
    for one in found.features:
        ends = words.difference_interval(one.low, one.high)
        rows.append(("", (one.feature, words.signed(one.loss), ends)))
    level = words.share(found.features[0].confidence)
    columns = ("Feature", "Loss without it", f"{level} CI")
    table = Table("By feature", columns, "lrr", rows, folded=True)
    return Section("importance", title, text, (table,))


# -- tests, slices, fairness -----------------------------------------------------------


def _tests(result: Evaluation) -> Section:
    tones: dict[str, Tone] = {
        "failed": "bad",
        "not run": "unmeasured",
        "not asked for": "",
        "passed": "good",
    }
    rows: dict[str, list[Row]] = {state: [] for state in tones}
    for check in result.checks:
        state = _state(check)
        scope = "every model" if check.standard else "this model"
        cells = (check.name, scope, check.message or state)
        rows[state].append((tones[state], cells))
    columns = ("Test", "Applies to", "Result")
    tables = [
        Table(
            f"{len(checks):,} {state}",
            columns,
            "lll",
            checks,
            folded=state in ("passed", "not asked for"),
        )
        for state, checks in rows.items()
        if checks
    ]
    text = [", ".join(t.title for t in tables) + "."] if tables else []
    return Section("tests", "Tests", text, tables)


def _state(check: Check) -> str:
    if not check.applies:
        return "not asked for"
    if check.skipped:
        return "not run"
    if check.ok:
        return "passed"
    return "failed"


def _slices(result: Evaluation, facts: RunReport) -> Section:
    """Return the primary metric by slice, and where it differs from production."""
    known = {(d.column, d.value): d.comparison for d in facts.slices}
    rows: list[Row] = []
    worse = _worse_than_in_production(facts.verdict)
    for part in sorted(result.slices, key=lambda part: part.ok):
        tone, judged = _slice_result(part)
        if f"{part.column} = {part.value}" in worse:
            tone, judged = "bad", "worse than in production"
        figures = (words.NONE, words.NONE)
        if part.metric:
            ends = words.interval(part.metric.low, part.metric.high)
            ends += words.caution(part.metric.few)
            figures = (words.number(part.metric.value), ends)
        name = f"{part.column} = {part.value}"
        cells = [name, judged, f"{part.rows:,}", *figures]
        if known:
            cells += _against(known.get((part.column, part.value)))
        rows.append((tone, tuple(cells)))
    metrics = facts.spec.metrics
    columns = ["Slice", "Result", "Rows", words.label(metrics.primary, metrics.unit)]
    columns.append("95% CI")
    text = []
    if known:
        columns += ["Better by", "95% CI of it"]
        text = [
            "Better by: against the version in production, on the same rows. Of twenty "
            "slices one differs by chance alone; the condition \u201cslices against "
            "production\u201d counts all of them together."
        ]
    align = "ll" + "r" * (len(columns) - 2)
    return Section("slices", "Slices", text, (Table("Slices", columns, align, rows),))


def _worse_than_in_production(verdict: Verdict | None) -> set[str]:
    """Return the names of the slices that the gate found worse."""
    if verdict is None:
        return set()
    return {
        failure.name
        for c in verdict.conditions
        if c.name == "slices against production"
        for failure in c.failures
    }


def _against(c: Comparison | None) -> list[str]:
    """Return the cells of a slice that was compared, or of one that was not."""
    if c is None:
        return [words.NONE, words.NONE]
    return [words.signed(c.difference), words.difference_interval(c.low, c.high)]


def _slice_result(part: Slice) -> tuple[Tone, str]:
    if part.metric is None:
        return "unmeasured", "not measured: too few rows"
    if part.ok:
        return "good", "holds"
    return "bad", "below its threshold"


def _fairness(result: Evaluation, spec: ModelSpec) -> Section:
    """Return gaps between groups, with a limit or without.

    Groups that are too small to count are too small to show: they may be one person.
    """
    rows: list[Row] = []
    least = spec.slices.min_rows
    for f in sorted(result.fairness, key=lambda f: f.ok):
        tone, judged = _fairness_result(f)
        groups = []
        for g in f.groups:
            value = words.number(g.value) if g.rows >= least else "(too few rows)"
            groups.append(f"{g.name} {value}")
        gap = words.number(f.difference if f.measured else None)
        ends = words.NONE
        if f.low is not None and f.high is not None:
            ends = words.interval(f.low, f.high)
        limit = "none" if f.limit is None else words.number(f.limit)
        name = f"{words.label(f.metric)} by {f.column}"
        rows.append((tone, (name, gap, ends, limit, judged, ", ".join(groups))))
    columns = ("Between groups", "Largest gap", "Bounds", "Limit", "Result", "Groups")
    text = []
    if any(f.low is not None for f in result.fairness):
        text = [
            "Bounds: what the largest gap is at least and at most, each with 95% "
            "confidence and for all pairs of groups at once. A limit is exceeded where "
            "the lower bound is above it."
        ]
    table = Table("Gaps", columns, "lrrrll", rows)
    return Section("fairness", "Fairness", text, (table,))


def _fairness_result(f: FairnessResult) -> tuple[Tone, str]:
    if not f.measured:
        return "unmeasured", "not measured: too few rows"
    if f.limit is None:
        return "", "measured; no limit is declared"
    if f.exceeds and f.exception:
        return "unsure", f"accepted: {f.exception}"
    if f.inconclusive:
        return "unsure", "inconclusive"
    if f.ok:
        return "good", "holds"
    return "bad", "above its limit"


# -- the run ---------------------------------------------------------------------------


def made_by(run: RunInfo) -> str:
    """Return when, by whom and for which pull request, on one line."""
    parts = []
    if run.started:
        parts.append(f"Made {run.started}")
    if run.actor:
        parts.append(f"by {words.clean(run.actor, 60)}")
    if run.pull_request:
        parts.append(f"for pull request #{run.pull_request}")
    return " ".join(parts)


def _origin(run: RunInfo) -> Section:
    """Return who made this, when, and for which change."""
    pull_request = f"#{run.pull_request}" if run.pull_request else ""
    known = {
        "Made": run.started,
        "By": run.actor,
        "Pull request": pull_request,
        "Changed": run.change,
    }
    rows: list[Row] = [("", (name, text)) for name, text in known.items() if text]
    table = Table("Origin", ("What", "Value"), "ll", rows)
    return Section("origin", "Origin", (), (table,))


def _cost(run: RunInfo) -> Section:
    """Energy is an estimate: time by the watts of project.yaml."""
    rows: list[Row] = [
        ("", (step, *_price(seconds, run.price)))
        for step, seconds in run.seconds.items()
    ]
    text = []
    if rows:
        took, amount, energy = _price(sum(run.seconds.values()), run.price)
        text = [f"It took {took}, {amount}, about {energy}."]
    columns = ("Step", "Time", "Cost", "Energy, estimated")
    table = Table("By step", columns, "lrrr", rows, folded=True)
    return Section("cost", "Cost", text, (table,))


def _price(seconds: float, price: Cost) -> tuple[str, str, str]:
    hours = seconds / 3600
    amount = words.money(hours * price.per_hour, price.currency)
    return words.duration(seconds), amount, f"{words.number(hours * price.watts)} Wh"


def _reproduce(facts: RunReport) -> Section:
    run = facts.run
    digests = {"Commit": run.commit} if run.commit else {}
    if facts.training:
        digests |= {
            "Data": facts.training.snapshot,
            "Code": facts.training.code,
            "Lock": facts.training.lock,
            "Model file": facts.training.model_sha256,
        }
    rows: list[Row] = [("", pair) for pair in digests.items()]
    table = Table("Digests", ("What", "Digest"), "ll", rows, folded=True)
    commands = [f"git checkout {run.commit}"] if run.commit else []
    commands += ["make setup", f"mlops run {facts.model} --force"]
    text = []
    if run.dirty:
        text = [
            "Files were changed and not committed: the commit alone does not give this "
            "run again."
        ]
    return Section("reproduce", "How to reproduce", text, [table], commands)
