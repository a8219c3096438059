"""The verdict on a challenger: facts in, one frozen verdict out.

Nothing is read or written here, and there is no sentence: `reporting.wording` makes
those.
"""

from __future__ import annotations

from mlops.evaluation.compare import paired_difference
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import Outcome
from mlops.gate.anchor import anchored
from mlops.gate.conditions import SAME_ROWS, conditions
from mlops.gate.contenders import Challenger, Champion
from mlops.gate.findings import decision_of, finding_of, with_anchor
from mlops.gate.rules import Rule
from mlops.gate.slices import slices_condition
from mlops.results.verdict import (
    Compared,
    Condition,
    ConditionFailed,
    Ground,
    NoChampion,
    NotComparable,
    OnePeriod,
    SplitChanged,
    Verdict,
)


def compare(
    challenger: Challenger,
    champion: Champion | None,
    rule: Rule,
    anchor: Champion | None = None,
) -> Verdict:
    """Decide whether the challenger may replace the champion.

    A condition that fails rejects, whatever the comparison says. A champion that may
    have been trained on test rows is favoured by that: the challenger can win all the
    same, and is not rejected for less.

    Parameters
    ----------
    challenger : Challenger
    champion : Champion or None
        The version in production; None before the first.
    rule : Rule
    anchor : Champion, optional
        What non-inferiority is also judged against, so that small losses do not add
        up; None where that is the champion itself.
    """
    held = conditions(challenger.evaluation)
    if champion is None:
        return _first_version(challenger, held)
    if isinstance(champion.outcome, NotComparable):
        return _not_comparable(challenger, champion, champion.outcome, held, rule)
    verdict = _compared(challenger, champion, champion.outcome, held, rule)
    if anchor is None or rule.kind != "non-inferiority":
        return verdict
    return _with_anchor(verdict, challenger.outcome, anchor, rule)


def _with_anchor(
    verdict: Verdict, new: Outcome, anchor: Champion, rule: Rule
) -> Verdict:
    """Return a verdict in which the anchor has a say.

    A challenger that predicts the same as the champion loses nothing.
    """
    comparison = verdict.comparison
    if comparison is None or comparison.identical:
        return verdict
    found = anchored(comparison.metric, anchor, new, rule)
    return verdict.model_copy(
        update={
            "decision": with_anchor(verdict.decision, found, rule),
            "grounds": (*verdict.grounds, found),
        }
    )


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


def _failed(held: tuple[Condition, ...]) -> tuple[ConditionFailed, ...]:
    return tuple(ConditionFailed(name=c.name) for c in held if not c.ok)


def _split_changed(challenger: Challenger, champion: Champion) -> SplitChanged:
    return SplitChanged(
        rows=champion.rows_seen,
        of=challenger.evaluation.rows,
        needs_id=champion.needs_id,
    )
