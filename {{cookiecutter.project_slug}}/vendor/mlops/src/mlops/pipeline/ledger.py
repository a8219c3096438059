"""The ledger of a run: what its test part was asked before, and what that leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.pipeline.rows import dataset
from mlops.pipeline.state import RunState
from mlops.results.ledger import Question, RowSketch
from mlops.results.training import Training
from mlops.results.verdict import Verdict

if TYPE_CHECKING:
    from mlops.gate.ledger import Ledger
    from mlops.gate.rules import Rule


def ledger_of(state: RunState) -> Ledger | None:
    """Return what counts for the test part of a run; None without a validation part."""
    from mlops.data.row_sketch import share_in, sketch, units_of
    from mlops.gate.ledger import Ledger, inherited

    if state.spec.split.validation is None:
        return None
    units = units_of(state.spec, dataset(state))
    present = sketch(state.spec, units)
    same = [q for q in state.questions if _is_same(state, q, present)]
    shares = [
        share_in(units, present.by, question.rows)
        for question in state.questions
        if question.spends
    ]
    return Ledger(inherited(shares), same[-1] if same else None)


def _is_same(state: RunState, question: Question, present: RowSketch) -> bool:
    """Return whether a question is the one that a run would ask."""
    digest = Training.load(state.build).model_sha256
    return (question.model_sha256, question.champion, question.rows) == (
        digest,
        state.production.version,
        present,
    )


def with_ledger(
    state: RunState, verdict: Verdict, rule: Rule, ledger: Ledger
) -> Verdict:
    """Return a verdict with what the ledger adds to it."""
    from mlops.gate.ledger import on_test, on_validation

    if state.part == "test":
        return on_test(verdict, rule, ledger)
    snapshot = dataset(state).snapshot
    ratio = snapshot.validation_rows / max(snapshot.test_rows, 1)
    return on_validation(verdict, rule, ledger, ratio)


def question_of(state: RunState, actor: str, run_url: str | None) -> Question:
    """Return the question that a run has asked, from the verdict of the test part."""
    from mlops.data.row_sketch import sketch, units_of
    from mlops.gate.ledger import share_of_alpha

    verdict = Verdict.load(state.build)
    number = verdict.account.number if verdict.account else 0
    alpha = 0.0
    if number:
        alpha = state.spec.gate.alpha / 2 * share_of_alpha(number)
    return Question(
        model=state.name,
        model_sha256=Training.load(state.build).model_sha256,
        champion=state.production.version,
        time=state.started.isoformat(timespec="seconds"),
        rule=verdict.rule,
        number=number,
        alpha=alpha,
        passed=verdict.decision == "promote",
        rows=sketch(state.spec, units_of(state.spec, dataset(state))),
        actor=actor,
        run_url=run_url,
    )
