"""The challenger against the anchor, so that small losses do not add up."""

from __future__ import annotations

from mlops.evaluation.compare import paired_difference
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import Outcome
from mlops.gate.contenders import Champion
from mlops.gate.findings import finding_of
from mlops.gate.rules import Rule
from mlops.results.verdict import Anchored, NotComparable


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
