"""What a comparison shows under a rule, and what follows from it."""

from __future__ import annotations

from mlops.gate.rules import Rule
from mlops.results.verdict import Anchored, Comparison, Decision, Finding

_SEVERITY: dict[Decision, int] = {"promote": 0, "inconclusive": 1, "reject": 2}


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
