"""Every sentence about a verdict or an alarm, made from typed facts.

The gate decides and holds no sentences; what an engine before 0.2 wrote is shown as it
stands.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlops.reporting import words
from mlops.reporting.blocks import Summary, Tone
from mlops.results.compilation import Compilation
from mlops.results.monitoring import (
    AcceptedReference,
    ColumnDrift,
    DriftCheck,
    EstimatedMetric,
    Held,
    Performance,
    QuietPeriod,
    SlicePerformance,
    UndoneShift,
)
from mlops.results.verdict import (
    Anchored,
    Compared,
    Comparison,
    Condition,
    ConditionFailed,
    Failure,
    Ground,
    NoChampion,
    NoQuestionLeft,
    NotComparable,
    OnePeriod,
    RefusedByTest,
    SplitChanged,
    Verdict,
)

_MOST_NAMED = 5

_TOO_FEW = "too few rows"

_A_MILLION = 1e6

_CLEAR_DIFFERENCE = 0.2  # standard deviations; less is said by the cell that changed

_REFUSED_BY_TEST = (
    "The test part was asked about this very model and did not let it through. Passed "
    "or failed is all that it says, and it is not asked twice: change the model, "
    "compare on validation, and merge again; or an approver decides against it, on "
    "record (mlops register MODEL --decided -m WHY)."
)


def too_good_by(features: Sequence[str]) -> str:
    """Return the warning that some features give the target away."""
    names = words.listed([words.quoted(name) for name in features])
    return (
        f"Too good to be true: most of the target can be told from {names}. Check that "
        "each is known before the target is; if not, move it from features to "
        "data.ignore."
    )


# -- reasons ---------------------------------------------------------------------------


def reasons(verdict: Verdict) -> tuple[str, ...]:
    """Return why a verdict is what it is, one sentence or two for each ground."""
    if not verdict.grounds:
        return verdict.reasons
    return tuple(_reason(ground, verdict) for ground in verdict.grounds)


def with_sentences(verdict: Verdict) -> Verdict:
    """Return a verdict with its sentences written out, for people who read the JSON."""
    conditions = tuple(
        c.model_copy(update={"message": condition(c)}) for c in verdict.conditions
    )
    return verdict.model_copy(
        update={"reasons": reasons(verdict), "conditions": conditions}
    )


def _reason(ground: Ground, verdict: Verdict) -> str:
    match ground:
        case NoChampion():
            return "No version is in production yet, and no condition failed."
        case ConditionFailed():
            return _condition_failed(ground, verdict)
        case Compared():
            return _finding(ground, verdict)
        case NotComparable():
            return _not_comparable(ground, verdict)
        case SplitChanged():
            return _split_changed(ground, verdict)
        case OnePeriod():
            return (
                f"All {verdict.part} rows are of one time, and rows of one time share "
                f"what happened then: test more than one (split.{verdict.part})."
            )
        case NoQuestionLeft():
            return _no_question_left(ground)
        case RefusedByTest():
            return _REFUSED_BY_TEST
        case Anchored():
            return anchored(ground, verdict)
        case _:
            return f"{words.clean(ground.kind).capitalize()}."


def _condition_failed(ground: ConditionFailed, verdict: Verdict) -> str:
    for held in verdict.conditions:
        if held.name == ground.name:
            return condition(held)
    return f"The condition {words.quoted(ground.name)} is not met."


def _finding(ground: Compared, verdict: Verdict) -> str:
    c = verdict.comparison
    if c is None:
        return f"The comparison by the primary metric: {ground.finding}."
    superiority = verdict.rule == "superiority"
    margin = words.number(verdict.margin or 0.0)
    facts = f"{before_and_now(c)}; {difference_ci(c)}"
    match ground.finding:
        case "identical" if superiority:
            return f"Nothing changed: {_same_predictions(verdict)}."
        case "identical":
            return f"Nothing is lost: {_same_predictions(verdict)}."
        case "better":
            return f"The new version is better than the one in production ({facts})."
        case "not worse" if c.high < 0:
            worse = words.number(abs(c.difference))
            return (
                f"The new version is worse by {worse}, and a loss of up to {margin} "
                f"is accepted ({facts})."
            )
        case "not worse":
            return f"The new version is not worse by more than {margin} ({facts})."
        case "worse" if superiority:
            return f"The new version is worse than the one in production ({facts})."
        case "worse":
            return (
                f"The new version is more than {margin} worse than the one in "
                f"production ({facts})."
            )
        case _:
            return f"{_undecided(c, verdict)} ({facts}). {_power(c, verdict)}"


def _undecided(c: Comparison, verdict: Verdict) -> str:
    """Return what could not be decided, without the stop."""
    if verdict.rule == "superiority":
        return "No significant difference from the version in production"
    margin = words.number(verdict.margin or 0.0)
    if c.high < 0:
        return (
            f"The new version is worse, and whether by more than the accepted {margin} "
            "is inconclusive"
        )
    return f"Inconclusive: a loss of more than the accepted {margin} is not excluded"


def _power(c: Comparison, verdict: Verdict) -> str:
    """Return what a test set of this size shows in 4 of 5 tests.

    Under non-inferiority that depends on the distance to the margin: the interval ends
    above it where the true difference is that far above it.
    """
    if verdict.rule == "superiority":
        smallest = words.number(c.smallest_detectable)
        return (
            f"On {_size(verdict)}, a difference of {smallest} would be detected in "
            "4 of 5 such tests."
        )
    needed = c.smallest_detectable - (verdict.margin or 0.0)
    version = f"better by {words.number(needed)}"
    if needed <= 0:
        version = f"worse by no more than {words.number(-needed)}"
    return (
        f"On {_size(verdict)}, 4 of 5 such tests would exclude it for a version "
        f"that is {version}."
    )


def _same_predictions(verdict: Verdict) -> str:
    return f"both versions make exactly the same predictions on {_size(verdict)}"


def rows_of(verdict: Verdict) -> str:
    """Return how many rows were compared on, and of which part where that is new."""
    noun = "row" if verdict.part == "test" else f"{verdict.part} row"
    return words.count(verdict.rows, noun)


def _size(verdict: Verdict) -> str:
    """Return what the test set consists of, such as ``1,950 rows in 700 groups``."""
    rows = rows_of(verdict)
    if verdict.units is None:
        return rows
    unit = verdict.unit.removesuffix("s")
    return f"{rows} in {words.count(verdict.units, unit)}"


def _not_comparable(ground: NotComparable, verdict: Verdict) -> str:
    version = verdict.champion or "the version in production"
    obstacle = {
        "another target": "predicts something else",
        "cannot predict": "cannot predict these rows",
    }[ground.obstacle]
    return (
        f"{version} {obstacle} ({ground.detail}), so the two cannot be compared on the "
        "same rows and a person has to decide."
    )


def _split_changed(ground: SplitChanged, verdict: Verdict) -> str:
    text = (
        f"The split has changed: {verdict.champion} may have been trained on up to "
        f"{ground.rows:,} of the {ground.of:,} {verdict.part} rows, which favours it."
    )
    if ground.needs_id:
        text += (
            " Without data.id, the split changes with the columns: give the rows an id."
        )
    return text


def _no_question_left(ground: NoQuestionLeft) -> str:
    questions = words.count(ground.questions, "question")
    return (
        f"No question is left: {questions} were put to these test rows, and one more "
        "would let useless changes through too often. Add labelled rows: a test part "
        "keeps its questions by the share of rows that it keeps. Or set another "
        "split.seed: that opens a new account, with a new alpha to spend. Refreshes go "
        "on as before."
    )


def account(verdict: Verdict) -> str:
    """Return what the ledger says of the question to the test part.

    An empty string without a validation part, and where a ground has the sentence.
    """
    a = verdict.account
    if a is None or (a.number > a.of and a.passed is None):
        return ""
    question = "No question of the account is spent on it"
    if a.number:
        question = f"Question {a.number} of {a.of}"
    if a.passed is not None:
        result = "passed" if a.passed else "failed"
        return f"The test part was asked, and it {result}. {question}."
    text = f"The test part has not been asked: once, at the merge. {question}"
    if a.number:
        text += f", {words.share(a.spent)} of alpha spent before"
    if a.needed is not None:
        size = words.signed(a.needed)
        text += f"; a difference has to reach about {size} there"
    return f"{text}."


def anchored(ground: Anchored, verdict: Verdict) -> str:
    """Return what the comparison with the anchor found."""
    begun = f"{ground.version}, which the refreshes since then began with"
    if ground.finding is None or ground.comparison is None:
        return (
            f"It could not be compared with {begun}: what they have lost together is "
            "not bounded."
        )
    margin = words.number(verdict.margin or 0.0)
    facts = difference_ci(ground.comparison)
    match ground.finding:
        case "worse":
            return (
                f"Small losses have added up: it is more than {margin} worse than "
                f"{begun} ({facts})."
            )
        case "undecided":
            return (
                f"Small losses may have added up: a loss of more than {margin} against "
                f"{begun}, is not excluded ({facts})."
            )
        case _:
            return f"It is not worse by more than {margin} than {begun} ({facts})."


# -- conditions ------------------------------------------------------------------------


def condition(c: Condition) -> str:
    """Return what was found about a condition, in a sentence."""
    if c.message:
        return c.message
    match c.name:
        case "checks":
            return _checks(c)
        case "slices":
            return _slices(c)
        case "slices against production":
            return _slices_against_production(c)
        case "fairness":
            return _fairness(c)
        case "same rows":
            return "The version in production could not predict the same rows."
        case _:
            return _unknown(c)


def _unknown(c: Condition) -> str:
    if c.ok:
        return f"{c.name}: met."
    return f"{c.name}: not met."


def standing(c: Condition) -> tuple[Tone, str]:
    """Return the mark of a condition and the word for it.

    A tick means measured and passed: what was only partly measured has none.
    """
    if not c.ok:
        return ("bad", "not met") if c.measured else ("unsure", "inconclusive")
    if c.asked and not c.measured:
        return "unmeasured", "not measured"
    if not c.measured:
        return "unmeasured", "not declared"
    if c.inconclusive:
        return "unsure", "inconclusive"
    if c.answered < c.asked:
        return "partly", "partly measured"
    return "good", "met"


def _checks(c: Condition) -> str:
    if c.failures:
        failed = words.listed([_failure(f) for f in c.failures], _MOST_NAMED)
        return f"{words.count(len(c.failures), 'check')} failed: {failed}"
    if not c.measured:
        return "No check was run."
    if c.answered < c.asked:
        some = f"{c.answered} of {words.count(c.asked, 'check')} passed"
        return f"{some}; {c.asked - c.answered} not run."
    return f"{words.count(c.answered, 'check')} passed."


def _slices(c: Condition) -> str:
    if c.failures:
        below = words.listed([_failure(f) for f in c.failures], _MOST_NAMED)
        return f"Quality is too low on {below}"
    if not c.asked:
        return "No slice is declared, so none was measured."
    if not c.answered:
        total = words.count(c.asked, "slice")
        return f"None of the {total} could be measured: {_TOO_FEW}."
    if c.answered < c.asked:
        some = f"{c.answered} of {words.count(c.asked, 'slice')}"
        return f"Quality holds on {some}; the others have {_TOO_FEW}."
    return f"Quality holds on all {words.count(c.asked, 'slice')}."


def _slices_against_production(c: Condition) -> str:
    if c.failures:
        worse = words.listed([_lost(f) for f in c.failures], _MOST_NAMED)
        return f"Worse than in production, all slices counted together: {worse}"
    compared = words.count(c.answered, "slice")
    text = f"None of {compared} is shown to be worse than in production"
    if c.worst is None or c.worst.value is None or c.worst.value <= 0:
        return f"{text}."
    if c.worst.limit:
        text += f" by more than {words.number(c.worst.limit)}"
    loss = words.number(c.worst.value)
    return f"{text}; the largest loss is {loss} ({words.clean(c.worst.name, 60)})."


def _lost(failure: Failure) -> str:
    """Return by how much a slice is worse."""
    if failure.value is None or failure.low is None:
        return failure.name
    loss = words.number(failure.value)
    return f"{failure.name} (by {loss}, at least {words.number(failure.low)})"


def _fairness(c: Condition) -> str:
    if c.failures:
        above = words.listed([_failure(f) for f in c.failures], _MOST_NAMED)
        return f"Groups of people are treated too differently: {above}"
    if not c.asked:
        return "No limit between groups is declared, so none was tested."
    limits = words.count(c.asked, "limit")
    if not c.answered:
        return f"None of the {limits} could be measured: {_TOO_FEW}."
    text = _limits_that_hold(c, limits)
    if c.accepted:
        text += f", {c.accepted} by a written exception"
    if c.answered < c.asked:
        text += f"; {c.asked - c.answered} could not be measured"
    return f"{text}."


def _limits_that_hold(c: Condition, limits: str) -> str:
    """Return how many limits between groups hold, and how many nothing decides."""
    if c.inconclusive:
        hold = c.answered - c.inconclusive
        text = f"{c.inconclusive} of {limits} between groups inconclusive on these rows"
        return f"{text}, {hold} hold" if hold else text
    if c.asked == 1:
        return "The one limit between groups holds"
    if c.answered == c.asked:
        return f"All {limits} between groups hold"
    return f"{c.answered} of {limits} between groups hold"


def _failure(failure: Failure) -> str:
    if failure.value is not None and failure.limit is not None:
        value = words.number(failure.value)
        if failure.low is not None:
            value += f", at least {words.number(failure.low)}"
        return f"{failure.name} ({value}, limit {words.number(failure.limit)})"
    if failure.message:
        return f"{failure.name} ({failure.message.rstrip('.')})"
    return failure.name


# -- comparisons -----------------------------------------------------------------------


def before_and_now(c: Comparison) -> str:
    """Return the metric of both versions."""
    before, now = words.number(c.champion), words.number(c.challenger)
    return f"{words.label(c.metric)} {before} in production, {now} now"


def difference_ci(c: Comparison) -> str:
    """Return the interval of a difference, with its confidence."""
    ends = words.difference_interval(c.low, c.high)
    return f"{words.share(c.confidence)} CI of the difference: {ends}"


# -- service ---------------------------------------------------------------------------


def served_by(compilation: Compilation) -> str:
    """Return what will serve the model, the compiled pipeline or not, and why."""
    if not compilation.ok:
        return f"Served by the pipeline, not compiled: {compilation.reason}."
    rows = words.count(compilation.rows, "row")
    return (
        f"Served by the compiled pipeline: equal to the pipeline on {rows} (largest "
        f"difference {compilation.difference:.1e})."
    )


# -- alarms ----------------------------------------------------------------------------


def alarm(
    columns: Sequence[ColumnDrift],
    performance: Sequence[Performance],
    slices: Sequence[SlicePerformance] = (),
) -> list[str]:
    """Return what raised an alarm of the monitor, and nothing that did not.

    The performance comes first: it is harm, where drift is a sign of it. Then the
    columns, the most changed first.

    Parameters
    ----------
    slices : sequence of SlicePerformance
        Groups of rows; they come after all rows together.
    """
    alarms = [_performance(p) for p in performance if p.alarm]
    alarms += [slice_performance(p) for p in slices if p.alarm]
    drifted = sorted((c for c in columns if c.alarm), key=lambda c: -c.effect)
    return alarms + [_drifted(c) for c in drifted]


def slice_performance(p: SlicePerformance) -> str:
    """Return what the loss of one group of rows is, and was."""
    than = "worse than" if p.alarm else "not shown to be worse than"
    title = f"{words.clean(p.column, 40)} = {words.clean(p.value, 60)}"
    text = (
        f"where {title}, {p.loss} is {words.number(p.mean_loss)} on "
        f"{words.count(p.rows, 'labelled row')}, {than} "
        f"{words.number(p.registered_loss)} when it was registered"
    )
    return f"{text} ({how_sure(p.chance)})" if p.alarm else text


def monitored(
    columns: Sequence[ColumnDrift],
    performance: Sequence[Performance],
    slices: Sequence[SlicePerformance] = (),
) -> list[str]:
    """Return what the monitor found: alarms first, then what stays below them."""
    sentences = alarm(columns, performance, slices)
    if (columns or performance) and not sentences:
        sentences.append("nothing reached the alarm level")
    sentences += [_performance(p) for p in performance if not p.alarm]
    changed = sorted((c for c in columns if c.changed), key=lambda c: -c.effect)
    sentences += [_changed(c) for c in changed[:_MOST_NAMED]]
    if len(changed) > _MOST_NAMED:
        more = words.count(len(changed) - _MOST_NAMED, "more column")
        sentences.append(f"{more} changed, below the alarm level")
    return sentences


def check_summary(check: DriftCheck) -> Summary:
    """Return what a check of the monitor found: what happened, since when, what to do.

    The title is one sentence; the lines say since when and how sure, what it costs as
    far as that is known, and what to do.
    """
    if check.alarm:
        return Summary("bad", _what_happened(check), _about_alarm(check))
    if not check.enough:
        rows = words.count(check.rows, "row")
        line = "They are counted with those of the next check."
        return Summary("unsure", f"Not enough data for a verdict: {rows}.", (line,))
    changed = sum(column.changed for column in check.columns)
    estimates = tuple(f"{text[0].upper()}{text[1:]}." for text in _costs(check))
    if changed:
        columns = words.count(changed, "column")
        title = f"No alarm; {columns} changed, below the alarm level."
        return Summary("good", title, estimates)
    return Summary("good", "No alarm: nothing reached the alarm level.", estimates)


def _what_happened(check: DriftCheck) -> str:
    """Return an alarm in one sentence: harm before signs of it."""
    for p in check.performance:
        if p.alarm:
            metric = words.label(p.window.name)
            now = words.number(p.window.value)
            before = words.number(p.reference.value)
            return (
                "Predictions are worse than when the version was registered: "
                f"{metric} {now}, was {before}."
            )
    worse = [p for p in check.slices if p.alarm]
    if worse:
        return _worse_slices(worse)
    drifted = sorted((c for c in check.columns if c.alarm), key=lambda c: -c.effect)
    if not drifted:
        return "The alarm of an earlier check has not ended."
    columns = f"{len(drifted)} of {words.count(len(check.columns), 'column')}"
    first = drifted[0]
    name = words.clean(first.name, 40)
    if len(drifted) == 1:
        return f"Data drift detected in {columns}: {name}, {_in_short(first)}."
    return f"Data drift detected in {columns}, most in {name}: {_in_short(first)}."


def _worse_slices(worse: Sequence[SlicePerformance]) -> str:
    """Return in one sentence which groups of rows are predicted worse."""
    first = worse[0]
    title = f"{words.clean(first.column, 40)} = {words.clean(first.value, 60)}"
    more = ""
    if len(worse) > 1:
        more = f", and in {words.count(len(worse) - 1, 'more slice')}"
    return (
        "Predictions are worse than when the version was registered where "
        f"{title}: {first.loss} {words.number(first.mean_loss)}, was "
        f"{words.number(first.registered_loss)}{more}."
    )


def _in_short(c: ColumnDrift) -> str:
    """Return the one size of a change that is read most easily."""
    if c.standardised is not None and abs(c.standardised) >= _CLEAR_DIFFERENCE:
        way = "up" if c.standardised > 0 else "down"
        size = words.number(abs(c.standardised))
        return f"the mean is {way} by {size} standard deviations"
    if c.cell is not None:
        name = words.quoted(c.cell.name)
        now = words.share(c.cell.share)
        return f"{name} is {now} of the rows, was {words.share(c.cell.reference)}"
    return f"distance {words.number(c.effect)}"


def _about_alarm(check: DriftCheck) -> tuple[str, ...]:
    """Return since when, how sure, what it costs, and what to do."""
    known = [c.chance for c in check.columns if c.alarm and c.chance is not None]
    known += [p.chance for p in check.performance if p.alarm and p.chance is not None]
    known += [p.chance for p in check.slices if p.alarm]
    began = (check.began or check.until)[:16].replace("T", " ")
    since = f"Since the check of {began} UTC"
    if known:
        since += f"; {how_sure(min(known))}"
    do = (
        "See whether the source of the data is broken. If it is not, train on fresh "
        "data, or accept what is new as the reference."
    )
    costs = [f"{text[0].upper()}{text[1:]}." for text in _costs(check)]
    calm = [f"{text[0].upper()}{text[1:]}." for text in quiet(check.quiet)]
    return (f"{since}.", *calm, *costs, do)


def _costs(check: DriftCheck) -> list[str]:
    """Return what is known of the performance, measured or estimated."""
    if check.performance:
        p = check.performance[0]
        now = words.number(p.window.value)
        before = words.number(p.reference.value)
        rows = words.count(p.rows, "labelled row")
        return [f"{words.label(p.window.name)} is {now} on {rows}, was {before}"]
    found = []
    for e in check.estimates:
        if e.registered is not None:
            before = words.number(e.registered)
            metric = words.label(e.metric)
            value = words.number(e.value)
            found.append(
                f"{metric} is estimated as {value} without labels, was {before}"
            )
    return found[:1]


def alarm_title(check: DriftCheck) -> str:
    """Return the title of the issue of an alarm."""
    if any(p.alarm for p in check.performance):
        return f"{check.model}: predictions are worse"
    worse = [p for p in check.slices if p.alarm]
    if worse:
        column = words.clean(worse[0].column, 40)
        return f"{check.model}: predictions are worse in a slice of {column}"
    return f"{check.model}: data drift detected"


def explained(metric: str, shift: UndoneShift) -> str:
    """Return what the estimate of a metric would be without a column's shift."""
    way = "higher" if shift.change >= 0 else "lower"
    size = words.number(abs(shift.change))
    return f"{words.label(metric)} would be {way} by {size}"


def accepted(reference: AcceptedReference | None) -> list[str]:
    """Return what is compared with, where people have chosen it."""
    if reference is None:
        return []
    since = reference.since[:10]
    until = reference.until[:10]
    reason = words.clean(reference.reason, 120).rstrip(".")
    return [
        f"compared with the rows of {since} to {until}, which "
        f"{words.clean(reference.by, 40)} accepted as the reference on "
        f"{reference.at[:10]}: {reason}"
    ]


def quiet(period: QuietPeriod | None) -> list[str]:
    """Return why an alarm starts nothing, where it is so."""
    if period is None:
        return []
    reason = words.clean(period.reason, 120).rstrip(".")
    return [
        f"quiet from {words.clean(period.since, 10)} to {words.clean(period.until, 10)}"
        f" ({reason}): an alarm starts nothing and opens no issue"
    ]


def held(found: Held) -> str:
    """Return why an alarm asks for no retraining now."""
    if found.why == "cool-down":
        days = words.count(found.allowed, "day")
        why = f"an alarm asked for one less than {days} ago (monitor.cool_down)"
    else:
        times = words.count(found.allowed, "retraining")
        why = (
            f"alarms asked for {times} this month, which is all that "
            "monitor.retrainings_per_month allows"
        )
    return (
        f"No retraining is requested: {why}. If the alarm lasts, the first check from "
        f"{found.until.isoformat()} on asks for it."
    )


def selective_labels(selective: bool, overlap: bool) -> list[str]:
    """Return what is to be known where labels come more often for some scores."""
    if not selective:
        return []
    if not overlap:
        return ["labels came for some scores only, so the performance is inconclusive"]
    return [
        "labels came more often for some scores; the performance is that of rows with "
        "the mix of scores of all rows. Where labels also depend on the outcome, it is "
        "biased until the late ones have come"
    ]


def estimated(estimates: Sequence[EstimatedMetric]) -> list[str]:
    """Return what is expected of the predictions of a period without labels."""
    sentences = []
    for e in estimates:
        before = ""
        if e.registered is not None:
            before = f", was {words.number(e.registered)} when it was registered"
        sentences.append(
            f"{words.label(e.metric)} without labels: {words.number(e.value)}{before} "
            f"({e.method}: an estimate; it cannot see concept drift)"
        )
    return sentences


def _performance(p: Performance) -> str:
    now = p.window
    ends = words.interval(now.low, now.high)
    than = "worse than" if p.alarm else "not shown to be worse than"
    text = (
        f"{words.label(now.name)} is {words.number(now.value)} "
        f"({words.share(now.confidence)} CI {ends}) on "
        f"{words.count(p.rows, 'labelled row')}, {than} "
        f"{words.number(p.reference.value)} when it was registered"
    )
    if p.mean_loss is None or p.registered_loss is None:
        return text
    losses = f"{words.number(p.mean_loss)}, was {words.number(p.registered_loss)}"
    text += f"; {p.loss} {losses}"
    if p.alarm and p.chance is not None:
        text += f" ({how_sure(p.chance)})"
    return text


def _drifted(c: ColumnDrift) -> str:
    text = (
        f"{c.name} has drifted: {change(c)}, missing "
        f"{words.share(c.missing)} (was {words.share(c.reference_missing)})"
    )
    if c.unseen:
        where = "new since training"
        if c.kind in ("number", "date"):
            where = "outside the range seen in training"
        text += f", {words.count(c.unseen, 'value')} {where}"
    if c.chance is not None:
        text += f" ({how_sure(c.chance)})"
    return text


def _changed(c: ColumnDrift) -> str:
    return f"{c.name} changed, below the alarm level: {change(c)}"


def change(c: ColumnDrift) -> str:
    """Return how large a change is, in sizes that people read."""
    parts = [f"distance {words.number(c.effect)}"]
    if c.standardised is not None:
        way = "up" if c.standardised > 0 else "down"
        size = words.number(abs(c.standardised))
        parts.append(f"mean {way} by {size} standard deviations")
    if c.cell is not None:
        name = words.quoted(c.cell.name)
        before = words.share(c.cell.reference)
        if c.cell.reference > 0 and c.cell.share > 0:
            before += f", {words.number(c.cell.relative_risk)} times"
        parts.append(f"{name} {words.share(c.cell.share)} (was {before})")
    return ", ".join(parts)


def how_sure(chance: float) -> str:
    """Return how likely so much evidence is where nothing has changed."""
    if chance >= 1:
        return "the alarm of an earlier check has not ended"
    one_in = 1 / chance if chance > 0 else float("inf")
    if one_in > _A_MILLION:
        return "chance alone shows so much in fewer than 1 of a million years"
    return f"chance alone shows so much in at most 1 of {one_in:,.0f} years"
