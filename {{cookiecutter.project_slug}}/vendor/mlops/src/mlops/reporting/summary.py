"""The summary of a report: the answer and its reasons."""

from __future__ import annotations

from mlops.reporting import blocks, words
from mlops.reporting.run_report import RunReport
from mlops.reporting.sections import interval
from mlops.results.evaluation import Evaluation
from mlops.results.verdict import Comparison, Verdict

_ANSWERS: dict[
    tuple[str, bool], tuple[blocks.Tone, str]
] = {  # by decision, and whether it compares
    ("promote", True): ("good", "Replace {} with this one."),
    ("reject", True): ("bad", "Do not replace {}."),
    ("inconclusive", True): ("unsure", "Keep {}: the two could not be told apart."),
    ("promote", False): (
        "good",
        "Put this model into production: it is the first version.",
    ),
    ("reject", False): ("bad", "Do not put this model into production."),
    ("inconclusive", False): ("unsure", "Do not put this model into production yet."),
}


def summary(facts: RunReport) -> blocks.Summary:
    """Return the verdict in words that a manager understands, or how far the run came."""
    data, tests = facts.validation, facts.evaluation
    if facts.verdict:
        return _decided(facts, facts.verdict)
    if data and not data.ok:
        failed = [e.message or e.name for e in data.expectations if not e.ok]
        said = _some(failed, len(data.expectations), "expectation", "failed")
        mend = f"Mend the data, or model.yaml and contract.py in models/{facts.model}."
        return blocks.Summary(
            "bad", "No new model: the data do not keep their contract.", (said, mend)
        )
    if tests and not tests.ok:
        failed = [
            f"{c.name}: {c.message}" for c in tests.checks if not c.ok and not c.skipped
        ]
        said = _some(failed, len(tests.checks), "test", "failed")
        return blocks.Summary(
            "bad", "Do not use this model: it failed its tests.", (said,)
        )
    if tests:
        title = "The model passed its tests; it was not compared with the one in production."
        return blocks.Summary("unsure", title, (_measured(tests),))
    if facts.training:
        return blocks.Summary(
            "unsure", "A model was trained, but not tested: there is no verdict."
        )
    if data:
        return blocks.Summary(
            "unsure", "The data keep their contract; no model was trained."
        )
    return blocks.Summary(
        "unsure", "Nothing was run yet.", (f"Start with: mlops run {facts.model}",)
    )


def _some(failed: list[str], total: int, noun: str, how: str) -> str:
    """Return how many of all failed, and what the first of them say."""
    return f"{len(failed)} of {words.count(total, noun)} {how}: {words.listed(failed)}"


def _decided(facts: RunReport, verdict: Verdict) -> blocks.Summary:
    """Return the decision, the comparison in a sentence, and the conditions in another."""
    tone, title = _ANSWERS[verdict.decision, verdict.champion is not None]
    lines = []
    if c := verdict.comparison:
        line = _compared(c, verdict.rows)
        if verdict.decision == "inconclusive":
            needed = words.number(c.smallest_detectable)
            line += f" With this many rows, a difference of {needed} would have shown."
        if verdict.rule == "non-inferiority":
            line += f" A loss of up to {words.number(facts.spec.gate.margin)} is accepted here."
        lines.append(line)
        if verdict.decision == "promote" and _identical(c):
            title = "No change: it predicts exactly what {} does."
    elif facts.evaluation and facts.evaluation.metrics:
        lines.append(_measured(facts.evaluation))
    failed = [c.message or c.name for c in verdict.conditions if not c.ok]
    if failed:
        lines.append(_some(failed, len(verdict.conditions), "condition", "not met"))
    elif verdict.conditions:
        names = [words.clean(c.name, 40) for c in verdict.conditions if c.measured]
        every = (
            "Every condition"
            if len(names) == len(verdict.conditions)
            else "What can be told"
        )
        lines.append(f"{every} is met: {', '.join(names)}.")
    title = title.format(f"the model in production ({verdict.champion})")
    return blocks.Summary(tone, title, tuple(lines))


def _measured(result: Evaluation) -> str:
    """Return the primary metric and what it means, in one sentence."""
    m = result.primary
    name = words.label(m.name) + (
        f" ({words.METRICS[m.name][1]})" if m.name in words.METRICS else ""
    )
    value = (
        f"{words.number(m.value)} ({words.share(m.confidence)} interval {interval(m)})"
    )
    return f"{name} on {words.count(result.rows, 'test row')}: {value}."


def _compared(c: Comparison, rows: int) -> str:
    """Return challenger against champion in one sentence."""
    values = f"{words.number(c.challenger)} against {words.number(c.champion)}"
    text = f"{words.label(c.metric)} on the same {words.count(rows, 'row')}: {values}"
    between = f"{words.share(c.confidence)} interval {interval(c)}"
    if _identical(c):
        return f"{text}; both versions predict exactly the same."
    if c.low <= 0 <= c.high:
        return f"{text}; the difference ({words.signed(c.difference)}, {between}) may be chance."
    word = "better" if c.low > 0 else "worse"
    return f"{text}, {word} by {words.number(abs(c.difference))} ({between})."


def _identical(c: Comparison) -> bool:
    return c.method.startswith("identical")
