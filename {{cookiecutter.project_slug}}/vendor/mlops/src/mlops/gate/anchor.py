"""The challenger against the anchor, so that small losses do not add up."""

from __future__ import annotations

from mlops.evaluation.compare import paired_difference
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import Outcome
from mlops.gate.contenders import Champion
from mlops.gate.findings import decision_of, finding_of
from mlops.gate.rules import Rule
from mlops.results.verdict import Anchored, Decision, NotComparable

_SEVERITY: dict[Decision, int] = {"promote": 0, "inconclusive": 1, "reject": 2}


def anchored(metric: str, anchor: Champion, new: Outcome, rule: Rule) -> Anchored:
    """Compare the challenger with the anchor under the rule.

    Parameters
    ----------
    metric : str
        The one that decides.
    anchor : Champion
        The last version that was promoted for being better, or the first.
    """
    old = anchor.outcome
    if isinstance(old, NotComparable) or undefined(metric, old):
        return Anchored(version=anchor.version)
    comparison = paired_difference(metric, old, new, rule.confidence)
    return Anchored(
        version=anchor.version,
        finding=finding_of(comparison, rule),
        comparison=comparison,
        rows_seen=anchor.rows_seen,
    )


def with_anchor(decision: Decision, found: Anchored, rule: Rule) -> Decision:
    """Return the more severe of a decision and that against the anchor.

    An anchor that cannot be compared changes nothing; one that may have been trained on
    test rows is favoured, and rejects nobody.
    """
    if found.finding is None:
        return decision
    against = decision_of(found.finding, rule)
    if against == "reject" and found.rows_seen:
        against = "inconclusive"
    return max(decision, against, key=_SEVERITY.__getitem__)
