"""The summary of a report: the result and its reasons."""

from __future__ import annotations

from mlops.reporting import words
from mlops.reporting.blocks import Summary, Tone
from mlops.reporting.gaps import gaps, not_written
from mlops.reporting.run_report import RunReport
from mlops.reporting.wording import (
    account,
    anchored,
    condition,
    difference_ci,
    reasons,
    rows_of,
    standing,
    too_good_by,
)
from mlops.results.data import Validation
from mlops.results.evaluation import Evaluation
from mlops.results.verdict import (
    Anchored,
    Comparison,
    NoQuestionLeft,
    RefusedByTest,
    Verdict,
)

# From here on a share of what can be reached is rather a leak than a model.
_TOO_GOOD = 0.995

_SHARES = frozenset(
    {
        "roc_auc",
        "average_precision",
        "accuracy",
        "balanced_accuracy",
        "f1",
        "macro_f1",
        "r2",
    }
)


def summary(facts: RunReport) -> Summary:
    """Return the verdict as a manager reads it, or how far the run came."""
    if facts.verdict:
        return _decided(facts, facts.verdict)
    if facts.validation and not facts.validation.ok:
        return _invalid(facts, facts.validation)
    if facts.evaluation:
        return _tested(facts.evaluation, facts.spec.metrics.unit)
    if facts.training:
        title = "A model was trained, but not tested: there is no verdict."
        return Summary("unsure", title)
    if facts.validation:
        return Summary("unsure", "The data are valid; no model was trained.")
    start = f"Start with: mlops run {facts.model}"
    return Summary("unsure", "Nothing has been run yet.", (start,))


def _invalid(facts: RunReport, data: Validation) -> Summary:
    failed = [e.message or e.name for e in data.expectations if not e.ok]
    problem = _some(failed, len(data.expectations), "expectation", "failed")
    fix = f"Fix the data, or model.yaml and contract.py in models/{facts.model}."
    return Summary("bad", "No new model: data validation failed.", (problem, fix))


def _tested(tests: Evaluation, unit: str) -> Summary:
    if tests.ok:
        title = (
            "The model passed its tests; it was not compared with the one in "
            "production."
        )
        lines = (primary_metric(tests, unit), *_too_good(tests))
        return Summary("unsure", title, lines)
    failed = [
        f"{check.name}: {check.message}"
        for check in tests.checks
        if not check.ok and not check.skipped
    ]
    problem = _some(failed, len(tests.checks), "test", "failed")
    return Summary("bad", "Do not use this model: it failed its tests.", (problem,))


def _some(failed: list[str], total: int, noun: str, how: str) -> str:
    """Return how many of all failed, and what the first of them say."""
    return f"{len(failed)} of {words.count(total, noun)} {how}: {words.listed(failed)}"


# -- with a verdict --------------------------------------------------------------------


def _decided(facts: RunReport, verdict: Verdict) -> Summary:
    """Return the decision, the comparison, the conditions, and what is missing."""
    if verdict.margin is None:  # an engine before 0.2 did not store it
        verdict = verdict.model_copy(update={"margin": facts.spec.gate.margin})
    tone, title = headline(facts, verdict)
    unit = facts.spec.metrics.unit
    lines = []
    if verdict.comparison:
        lines.append(_compared(verdict.comparison, verdict, unit))
    elif facts.evaluation and facts.evaluation.metrics:
        lines.append(primary_metric(facts.evaluation, unit))
    lines += _anchored(verdict)
    lines += _test_part(verdict)
    lines += _conditions(verdict)
    lines += _too_good(facts.evaluation)
    lines += _gaps(facts)
    return Summary(tone, title, tuple(lines))


def _anchored(verdict: Verdict) -> list[str]:
    """Return that small losses have added up, where they decide."""
    return [
        anchored(ground, verdict)
        for ground in verdict.grounds
        if isinstance(ground, Anchored) and ground.finding in ("worse", "undecided")
    ]


def _test_part(verdict: Verdict) -> list[str]:
    """Return what is known of the test part, where there is a validation part."""
    lines = [
        sentence
        for ground, sentence in zip(verdict.grounds, reasons(verdict), strict=False)
        if isinstance(ground, NoQuestionLeft | RefusedByTest)
    ]
    known = account(verdict)
    return [*lines, known] if known else lines


def headline(facts: RunReport, verdict: Verdict) -> tuple[Tone, str]:
    """Return the decision in a sentence, and its tone."""
    if verdict.champion is None:
        return _first_version(facts, verdict)
    champion = f"the model in production ({verdict.champion})"
    c = verdict.comparison
    if verdict.decision == "promote":
        if c and c.identical:
            return "good", f"No change: it makes the same predictions as {champion}."
        return "good", f"Replace {champion} with this one{_if_tested(verdict)}."
    if verdict.decision == "reject":
        return "bad", f"Do not replace {champion}."
    return "unsure", f"Keep {champion}: {_why_inconclusive(verdict)}."


def _first_version(facts: RunReport, verdict: Verdict) -> tuple[Tone, str]:
    if verdict.decision == "reject":
        return "bad", "Do not put this model into production."
    if verdict.decision == "inconclusive":
        return "unsure", "Do not put this model into production yet."
    if not_written(facts.spec) or _too_good(facts.evaluation):
        title = (
            "The first version passed what was measured; read what follows before "
            "it goes into production."
        )
        return "unsure", title
    tested = _if_tested(verdict)
    return "good", f"Put this model into production{tested}: it is the first version."


def _if_tested(verdict: Verdict) -> str:
    """Return the condition under which a verdict on validation rows holds."""
    return "" if verdict.part == "test" else ", if the test part agrees"


def _why_inconclusive(verdict: Verdict) -> str:
    c = verdict.comparison
    if any(isinstance(ground, NoQuestionLeft) for ground in verdict.grounds):
        return "no question to the test part is left"
    if c is None:
        return "the two could not be compared"
    if c.identical:
        return "this one makes the same predictions"
    if c.high < 0:
        return "this one is worse"
    if any(isinstance(ground, Anchored) for ground in verdict.grounds) and (
        verdict.margin is not None and c.low > -verdict.margin
    ):
        return "small losses may have added up"
    if verdict.rule == "superiority":
        return "no significant difference"
    if verdict.margin is None:
        return "a loss is not excluded"
    return f"a loss of more than {words.number(verdict.margin)} is not excluded"


def _conditions(verdict: Verdict) -> list[str]:
    """Return which conditions failed, or which were measured and met.

    What was measured in part or not at all is among the gaps.
    """
    failed = [c for c in verdict.conditions if not c.ok]
    if failed:
        sentences = [condition(c) for c in failed]
        return [_some(sentences, len(verdict.conditions), "condition", "not met")]
    met = [
        words.clean(c.name, 40)
        for c in verdict.conditions
        if standing(c) == ("good", "met")
    ]
    if not met:
        return []
    # Under a headline that says no, it is the comparison that failed.
    which = "The other conditions met" if verdict.decision == "reject" else "Met"
    return [f"{which}: {', '.join(met)}."]


def _too_good(tests: Evaluation | None) -> list[str]:
    """Return a warning where a score is too good to be true, with what to look at."""
    if not tests or not tests.metrics:
        return []
    if tests.leaking:
        return [too_good_by(tests.leaking)]
    m = tests.primary
    if m.name not in _SHARES or m.value < _TOO_GOOD:
        return []
    return [
        f"{words.label(m.name)} of {words.number(m.value)} is unusually high: check "
        "that no feature contains the target or anything known only afterwards."
    ]


def _gaps(facts: RunReport) -> list[str]:
    """Return what an approver has to know is missing."""
    conditions = facts.verdict.conditions if facts.verdict else ()
    fairness = facts.evaluation.fairness if facts.evaluation else ()
    return gaps(facts.spec, conditions, fairness).lines()


def primary_metric(result: Evaluation, unit: str) -> str:
    """Return the primary metric and what it means, in one sentence."""
    m = result.primary
    name = words.label(m.name, unit)
    if m.name in words.METRICS:
        name += f" ({words.METRICS[m.name][1]})"
    ends = words.interval(m.low, m.high)
    ends += words.caution(m.few)
    value = f"{words.number(m.value)} ({words.share(m.confidence)} CI {ends})"
    return f"{name} on {words.count(result.rows, f'{result.part} row')}: {value}."


def _compared(c: Comparison, verdict: Verdict, unit: str) -> str:
    """Return challenger against champion in a sentence, and what the rule adds."""
    values = f"{words.number(c.challenger)} against {words.number(c.champion)}"
    same = rows_of(verdict)
    text = f"{words.label(c.metric, unit)} on the same {same}: {values}"
    if c.identical:
        return f"{text}; both versions make exactly the same predictions."
    if c.low <= 0 <= c.high:
        size = words.signed(c.difference)
        line = f"{text}; no significant difference ({size}; {difference_ci(c)})."
    else:
        word = "better" if c.low > 0 else "worse"
        line = (
            f"{text}, {word} by {words.number(abs(c.difference))} ({difference_ci(c)})."
        )
    if verdict.rule == "non-inferiority" and verdict.margin is not None:
        line += f" A loss of up to {words.number(verdict.margin)} is accepted here."
    elif verdict.rule == "superiority" and verdict.decision == "inconclusive":
        needed = words.number(c.smallest_detectable)
        line += f" A difference of {needed} would be detected in 4 of 5 such tests."
    return line
