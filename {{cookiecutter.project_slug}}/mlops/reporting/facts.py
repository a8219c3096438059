"""Everything that a report is made of, and the answer in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mlops.project import Cost
from mlops.reporting.words import METRICS, capital, clean, count, label, listed, number, signed
from mlops.results import Comparison, Evaluation, Metric, Training, Validation, Verdict
from mlops.spec import ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

Tone = Literal["good", "bad", "unsure", ""]


@dataclass(frozen=True)
class Run:
    """Where a run was made and how long it took.

    Parameters
    ----------
    seconds : mapping
        Stage: seconds. A stage that was skipped because nothing changed is absent.
    """

    commit: str | None = None
    dirty: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)
    price: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class Rows:
    """What charts are drawn from: arrays of shape (n,), one element per row of the test part.

    Parameters
    ----------
    actual, predicted : ndarray
        Labels as text, or numbers for regression.
    score : ndarray, optional
        Probability of the positive class; of the predicted class where there are more than two.
    champion : ndarray, optional
        Binary only: the score of the model in production.
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
    if facts.verdict:
        return _decided(facts, facts.verdict)
    if facts.validation and not facts.validation.ok:
        expected = facts.validation.expectations
        failed = [e.message or e.name for e in expected if not e.ok]
        lines = (
            f"{len(failed)} of {count(len(expected), 'expectation')} failed: {listed(failed)}",
            f"Mend the data, or the contract in models/{facts.model}/contract.py.",
        )
        return Summary("bad", "No new model: the data do not keep their contract.", lines)
    if facts.evaluation:
        checks = facts.evaluation.checks
        failed = [f"{c.name}: {c.message}" for c in checks if not c.ok and not c.skipped]
        if not facts.evaluation.ok:
            line = f"{len(failed)} of {count(len(checks), 'test')} failed: {listed(failed)}"
            return Summary("bad", "Do not use this model: it failed its tests.", (line,))
        title = "The model passed its tests; it was not compared with the one in production."
        return Summary("unsure", title, (_measured(facts.evaluation),))
    if facts.training:
        return Summary("unsure", "A model was trained, but not tested: there is no verdict.")
    if facts.validation:
        return Summary("unsure", "The data keep their contract; no model was trained.")
    return Summary("unsure", "Nothing was run yet.", (f"Start with: mlops run {facts.model}",))


def _decided(facts: Everything, verdict: Verdict) -> Summary:
    """Return the decision, the comparison in a sentence, and the conditions in another."""
    now = f"the model in production ({verdict.champion})"
    tone, title = {
        ("promote", True): ("good", f"Replace {now} with this one."),
        ("reject", True): ("bad", f"Do not replace {now}."),
        ("inconclusive", True): ("unsure", f"Keep {now}: the two could not be told apart."),
        ("promote", False): ("good", "Put this model into production: it is the first version."),
        ("reject", False): ("bad", "Do not put this model into production."),
        ("inconclusive", False): ("unsure", "Do not put this model into production yet."),
    }[verdict.decision, verdict.champion is not None]
    lines = []
    if verdict.comparison:
        lines.append(compared(verdict.comparison, verdict.rows))
        if verdict.decision == "inconclusive":
            needed = number(verdict.comparison.smallest_detectable)
            lines[0] += f" With this many rows, a difference of {needed} would have shown."
        if verdict.rule == "non-inferiority":
            lines[0] += f" A loss of up to {number(facts.spec.gate.margin)} is accepted here."
    elif facts.evaluation and facts.evaluation.metrics:
        lines.append(_measured(facts.evaluation))
    failed = [c.message or c.name for c in verdict.conditions if not c.ok]
    if failed:
        total = count(len(verdict.conditions), "condition")
        lines.append(f"{len(failed)} of {total} not met: {listed(failed)}")
    elif verdict.conditions:
        names = ", ".join(clean(c.name, 40) for c in verdict.conditions[:8])
        lines.append(f"Every condition is met: {names}.")
    return Summary(tone, title, tuple(lines))  # type: ignore[arg-type]


def _measured(result: Evaluation) -> str:
    """Return the primary metric and what it means, in one sentence."""
    m = result.primary
    name = capital(label(m.name)) + (f" ({METRICS[m.name][1]})" if m.name in METRICS else "")
    interval = f"likely {number(m.low)} to {number(m.high)}"
    return f"{name} on {count(result.rows, 'test row')}: {number(m.value)}, {interval}."


def compared(c: Comparison, rows: int) -> str:
    """Return challenger against champion in one sentence."""
    where = f" on the same {count(rows, 'row')}" if rows else ""
    values = f"{number(c.challenger)} against {number(c.champion)}"
    likely = f"likely {signed(c.low)} to {signed(c.high)}"
    text = f"{capital(label(c.metric))}{where}: {values}"
    if c.method.startswith("identical"):
        return f"{text}; both versions predict exactly the same."
    if c.low <= 0 <= c.high:
        return f"{text}; the difference ({signed(c.difference)}, {likely}) may be chance."
    word = "better" if c.low > 0 else "worse"
    return f"{text}, {word} by {number(abs(c.difference))} (the true difference is {likely})."
