"""Everything that a report is made of, and the answer in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mlops.project import Cost
from mlops.reporting.words import METRICS, clean, count, label, listed, number, share, signed
from mlops.results import Comparison, Evaluation, Metric, Training, Validation, Verdict
from mlops.spec import ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

Tone = Literal["good", "bad", "unsure", ""]
_ANSWERS: dict[tuple[str, bool], tuple[Tone, str]] = {  # by decision, and whether it compares
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


@dataclass(frozen=True)
class Summary:
    """The answer: a title and at most two sentences."""

    tone: Tone
    title: str
    lines: tuple[str, ...] = ()


def summary(facts: Everything) -> Summary:
    """Return the verdict in words that a manager understands, or how far the run came."""
    data, tests = facts.validation, facts.evaluation
    if facts.verdict:
        return _decided(facts, facts.verdict)
    if data and not data.ok:
        failed = [e.message or e.name for e in data.expectations if not e.ok]
        said = f"{len(failed)} of {count(len(data.expectations), 'expectation')} failed: "
        mend = f"Mend the data, or model.yaml and contract.py in models/{facts.model}."
        title = "No new model: the data do not keep their contract."
        return Summary("bad", title, (said + listed(failed), mend))
    if tests and not tests.ok:
        failed = [f"{c.name}: {c.message}" for c in tests.checks if not c.ok and not c.skipped]
        said = f"{len(failed)} of {count(len(tests.checks), 'test')} failed: {listed(failed)}"
        return Summary("bad", "Do not use this model: it failed its tests.", (said,))
    if tests:
        title = "The model passed its tests; it was not compared with the one in production."
        return Summary("unsure", title, (_measured(tests),))
    if facts.training:
        return Summary("unsure", "A model was trained, but not tested: there is no verdict.")
    if data:
        return Summary("unsure", "The data keep their contract; no model was trained.")
    return Summary("unsure", "Nothing was run yet.", (f"Start with: mlops run {facts.model}",))


def _decided(facts: Everything, verdict: Verdict) -> Summary:
    """Return the decision, the comparison in a sentence, and the conditions in another."""
    tone, title = _ANSWERS[verdict.decision, verdict.champion is not None]
    lines = []
    if c := verdict.comparison:
        line = compared(c, verdict.rows)
        if verdict.decision == "inconclusive":
            needed = number(c.smallest_detectable)
            line += f" With this many rows, a difference of {needed} would have shown."
        if verdict.rule == "non-inferiority":
            line += f" A loss of up to {number(facts.spec.gate.margin)} is accepted here."
        lines.append(line)
    elif facts.evaluation and facts.evaluation.metrics:
        lines.append(_measured(facts.evaluation))
    failed = [c.message or c.name for c in verdict.conditions if not c.ok]
    if failed:
        total = count(len(verdict.conditions), "condition")
        lines.append(f"{len(failed)} of {total} not met: {listed(failed)}")
    elif verdict.conditions:
        names = [clean(c.name, 40) for c in verdict.conditions if c.measured]
        every = "Every condition" if len(names) == len(verdict.conditions) else "What can be told"
        lines.append(f"{every} is met: {', '.join(names)}.")
    if verdict.decision == "promote" and c and c.method.startswith("identical"):
        title = "No change: it predicts exactly what {} does."
    title = title.format(f"the model in production ({verdict.champion})")
    return Summary(tone, title, tuple(lines))


def interval(m: Metric | Comparison) -> str:
    """Return the ends of an interval, with their signs where it is that of a difference."""
    figure = signed if isinstance(m, Comparison) else number
    return f"{figure(m.low)} to {figure(m.high)}"


def _measured(result: Evaluation) -> str:
    """Return the primary metric and what it means, in one sentence."""
    m = result.primary
    name = label(m.name) + (f" ({METRICS[m.name][1]})" if m.name in METRICS else "")
    value = f"{number(m.value)} ({share(m.confidence)} interval {interval(m)})"
    return f"{name} on {count(result.rows, 'test row')}: {value}."


def compared(c: Comparison, rows: int) -> str:
    """Return challenger against champion in one sentence."""
    values = f"{number(c.challenger)} against {number(c.champion)}"
    text = f"{label(c.metric)} on the same {count(rows, 'row')}: {values}"
    between = f"{share(c.confidence)} interval {interval(c)}"
    if c.method.startswith("identical"):
        return f"{text}; both versions predict exactly the same."
    if c.low <= 0 <= c.high:
        return f"{text}; the difference ({signed(c.difference)}, {between}) may be chance."
    word = "better" if c.low > 0 else "worse"
    return f"{text}, {word} by {number(abs(c.difference))} ({between})."
