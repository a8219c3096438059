"""The verdict on a challenger: facts in, one frozen verdict out.

Nothing is read or written here, and there is no sentence: `reporting.wording` makes
those.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlops.evaluation.compare import paired_difference
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import Outcome
from mlops.evaluation.slices import SliceRows
from mlops.gate.conditions import SAME_ROWS, conditions
from mlops.gate.rules import Rule
from mlops.gate.slices import slices_condition
from mlops.results.evaluation import Evaluation
from mlops.results.verdict import (
    Compared,
    Comparison,
    Condition,
    ConditionFailed,
    Decision,
    Finding,
    Ground,
    NoChampion,
    NotComparable,
    OnePeriod,
    SplitChanged,
    UnitName,
    Verdict,
)


@dataclass(frozen=True, eq=False)
class Challenger:
    """The model that asks to go into production.

    Parameters
    ----------
    evaluation : Evaluation
        What the test step found.
    outcome : Outcome
        Its predictions beside what happened, on the test rows.
    unit : {"rows", "groups", "periods"}
        What stands for itself in the test part: `Outcome.unit` numbers them.
    slices : tuple of SliceRows
        The groups of rows in which quality must hold.
    """

    evaluation: Evaluation
    outcome: Outcome
    unit: UnitName = "rows"
    slices: tuple[SliceRows, ...] = ()


@dataclass(frozen=True, eq=False)
class Champion:
    """The version in production, asked about the challenger's test rows.

    Parameters
    ----------
    version : str
        Such as ``v1.2.0``.
    outcome : Outcome or NotComparable
        Its predictions of the same rows in the same order, or why there are none.
    rows_seen : int
        Test rows that it may have been trained on, because the split was another one
        then.
    needs_id : bool
        Whether the split depends on the columns, for want of `data.id`.
    """

    version: str
    outcome: Outcome | NotComparable
    rows_seen: int = 0
    needs_id: bool = False


def compare(challenger: Challenger, champion: Champion | None, rule: Rule) -> Verdict:
    """Decide whether the challenger may replace the champion.

    A condition that fails rejects, whatever the comparison says. A champion that may
    have been trained on test rows is favoured by that: the challenger can win all the
    same, and is not rejected for less.
    """
    held = conditions(challenger.evaluation)
    if champion is None:
        return _first_version(challenger, held)
    if isinstance(champion.outcome, NotComparable):
        return _not_comparable(challenger, champion, champion.outcome, held, rule)
    return _compared(challenger, champion, champion.outcome, held, rule)


def _first_version(challenger: Challenger, held: tuple[Condition, ...]) -> Verdict:
    failed = _failed(held)
    return Verdict(
        decision="reject" if failed else "promote",
        rule="first version",
        conditions=held,
        grounds=failed or (NoChampion(),),
        rows=challenger.evaluation.rows,
    )


def _not_comparable(
    challenger: Challenger,
    champion: Champion,
    obstacle: NotComparable,
    held: tuple[Condition, ...],
    rule: Rule,
) -> Verdict:
    failed = _failed(held)
    same_rows = Condition(name=SAME_ROWS, ok=False, measured=False)
    return Verdict(
        decision="reject" if failed else "inconclusive",
        rule=rule.kind,
        champion=champion.version,
        conditions=(*held, same_rows),
        grounds=(*failed, obstacle),
        margin=rule.margin,
        rows=challenger.evaluation.rows,
    )


def _compared(
    challenger: Challenger,
    champion: Champion,
    old: Outcome,
    held: tuple[Condition, ...],
    rule: Rule,
) -> Verdict:
    new = challenger.outcome
    primary, *others = (name for name in rule.metrics if not undefined(name, new))
    comparison = paired_difference(primary, old, new, rule.confidence)
    finding = finding_of(comparison, rule)
    decision = decision_of(finding, rule)
    if not champion.rows_seen:  # else it is favoured, in the slices too
        against = slices_condition(primary, old, new, challenger.slices, rule)
        held = held if against is None else (*held, against)
    failed = _failed(held)
    grounds: list[Ground] = [*failed, Compared(finding=finding)]
    if champion.rows_seen:
        grounds.append(_split_changed(challenger, champion))
        if decision == "reject":
            decision = "inconclusive"
    if challenger.unit == "periods" and new.unit is None:
        grounds.append(OnePeriod())
        decision = "inconclusive"
    return Verdict(
        decision="reject" if failed else decision,
        rule=rule.kind,
        champion=champion.version,
        comparison=comparison,
        others=tuple(paired_difference(name, old, new) for name in others),
        conditions=held,
        grounds=tuple(grounds),
        margin=rule.margin,
        rows=challenger.evaluation.rows,
        units=None if new.unit is None else new.units,
        unit=challenger.unit,
    )


def finding_of(comparison: Comparison, rule: Rule) -> Finding:
    """Return what a comparison shows under a rule.

    `better` and `worse` are about the interval and the rule's threshold: under
    non-inferiority a difference is `not worse` above the threshold, and `worse` where
    even the better end of the interval is below it.
    """
    if comparison.identical:
        return "identical"
    if comparison.low > max(rule.threshold, 0.0):
        return "better"
    if comparison.low > rule.threshold:
        return "not worse"
    if comparison.high < rule.threshold:
        return "worse"
    return "undecided"


def decision_of(finding: Finding, rule: Rule) -> Decision:
    """Return the decision that a finding stands for, where every condition holds."""
    if finding in ("better", "not worse"):
        return "promote"
    if finding == "worse":
        return "reject"
    if finding == "identical" and rule.kind == "non-inferiority":
        return "promote"
    return "inconclusive"


def _failed(held: tuple[Condition, ...]) -> tuple[ConditionFailed, ...]:
    return tuple(ConditionFailed(name=c.name) for c in held if not c.ok)


def _split_changed(challenger: Challenger, champion: Champion) -> SplitChanged:
    return SplitChanged(
        rows=champion.rows_seen,
        of=challenger.evaluation.rows,
        needs_id=champion.needs_id,
    )
