"""How often a test part may be asked, and what each question spends.

A test set that is asked thirty times promotes something worthless in 30 of 100 worlds.
So each question that has to show an improvement has only a part of the gate's alpha,
and the parts of ten questions add up to it: whatever was asked, and however the next
model was chosen by passed and failed, a useless change passes in all ten of them with a
chance of at most ``alpha / 2`` (Bonferroni). The account belongs to the rows: a part
that has other rows inherits questions by the share of rows that it has in common.

Refreshes are judged by non-inferiority, which the anchor bounds, and spend nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mlops.evaluation.compare import POWER
from mlops.evaluation.intervals import quantile
from mlops.gate.rules import Rule
from mlops.results.ledger import Account, Question
from mlops.results.verdict import NoQuestionLeft, RefusedByTest, Verdict

QUESTIONS = 10

# The last one has a little more than a tenth: an improvement that one question at the
# whole alpha finds in 80 of 100 cases is still found in 50.
_EACH = 0.099
_LAST = 1 - _EACH * (QUESTIONS - 1)


def share_of_alpha(number: int) -> float:
    """Return the share of alpha that a question has; 0 after the last one."""
    if number < 1:
        raise ValueError(number)
    if number < QUESTIONS:
        return _EACH
    return _LAST if number == QUESTIONS else 0.0


def inherited(shares: Iterable[float]) -> int:
    """Return how many questions count, rounded up.

    Parameters
    ----------
    shares : iterable of float
        For each earlier question the share of the present test rows that it asked.
    """
    # To the nearest millionth first: ten times 0.1 are one question, not two.
    return math.ceil(round(math.fsum(shares), 6))


@dataclass(frozen=True)
class Ledger:
    """What was asked before, as far as it counts for the test part of a run.

    Parameters
    ----------
    count : int
        Questions that the present test part has inherited.
    same : Question or None
        The very question that this run would ask: the same model against the same
        version on the same rows. It is not asked twice.
    """

    count: int = 0
    same: Question | None = None

    @property
    def number(self) -> int:
        """The number of the question of this run, were it to spend."""
        if self.same is not None and self.same.spends:
            return self.same.number
        return self.count + 1

    @property
    def spent(self) -> float:
        """Share of alpha that was spent by the questions before."""
        before = range(1, min(self.number, QUESTIONS + 1))
        return round(math.fsum(share_of_alpha(number) for number in before), 6)


def question_rule(rule: Rule, ledger: Ledger) -> Rule:
    """Return the rule by which the test part is asked."""
    if rule.kind != "superiority":
        return rule
    return rule.of_share(share_of_alpha(ledger.number))


def may_be_asked(verdict: Verdict) -> bool:
    """Return whether validation leaves it to the test part.

    A refresh spends nothing, so there it is enough that validation does not reject.
    """
    if verdict.decision == "promote":
        return True
    refresh = verdict.rule == "non-inferiority" and verdict.comparison is not None
    return refresh and verdict.decision == "inconclusive"


def on_validation(
    verdict: Verdict, rule: Rule, ledger: Ledger, ratio: float
) -> Verdict:
    """Return the verdict of the validation part, with what the ledger adds to it.

    Parameters
    ----------
    ratio : float
        Validation rows per test row: how much smaller the error on the test part is.
    """
    verdict = verdict.model_copy(update={"part": "validation"})
    account = _account(verdict, rule, ledger, ratio)
    if ledger.same is not None and not ledger.same.passed:
        return verdict.model_copy(
            update={
                "decision": "reject",
                "grounds": (*verdict.grounds, RefusedByTest()),
                "account": account.model_copy(update={"passed": False}),
            }
        )
    if not _spends(verdict):
        return verdict.model_copy(update={"account": account})
    grounds = verdict.grounds
    decision = verdict.decision
    if ledger.number > QUESTIONS:
        grounds = (*grounds, NoQuestionLeft(questions=QUESTIONS))
        decision = "inconclusive" if decision == "promote" else decision
    return verdict.model_copy(
        update={"decision": decision, "grounds": grounds, "account": account}
    )


def on_test(verdict: Verdict, rule: Rule, ledger: Ledger) -> Verdict:
    """Return the verdict of the test part, with its account."""
    account = _account(verdict, rule, ledger, 1.0)
    passed = verdict.decision == "promote"
    return verdict.model_copy(
        update={"account": account.model_copy(update={"passed": passed})}
    )


def _spends(verdict: Verdict) -> bool:
    """Return whether the test part would be asked to show an improvement."""
    return verdict.rule == "superiority" and verdict.comparison is not None


def _account(verdict: Verdict, rule: Rule, ledger: Ledger, ratio: float) -> Account:
    if not _spends(verdict):
        return Account(number=0, of=QUESTIONS)
    return Account(
        number=ledger.number,
        of=QUESTIONS,
        spent=ledger.spent,
        needed=_needed(verdict, rule, ledger.number, ratio),
    )


def _needed(verdict: Verdict, rule: Rule, number: int, ratio: float) -> float | None:
    """Return the difference that a question asks for, from the error of this one.

    The error is that of the comparison; on more rows it is smaller by the root.
    """
    c = verdict.comparison
    share = share_of_alpha(number)
    if c is None or c.identical or not share:
        return None
    error = c.smallest_detectable / (quantile(c.confidence) + POWER)
    asks = quantile(rule.of_share(share).confidence)
    return asks * error * math.sqrt(ratio)
