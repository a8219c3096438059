"""The slices of the test rows, challenger against champion."""

from __future__ import annotations

from collections.abc import Iterable

from mlops.evaluation.compare import paired_difference
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import Outcome
from mlops.evaluation.slices import SliceRows
from mlops.gate.conditions import SLICES_AGAINST_PRODUCTION
from mlops.gate.rules import Rule
from mlops.results.verdict import Comparison, Condition, Failure


def slices_condition(
    metric: str, old: Outcome, new: Outcome, slices: Iterable[SliceRows], rule: Rule
) -> Condition | None:
    """Return whether no slice is shown to be worse than in production.

    A slice fails where it is worse by more than the margin of the rule. All slices
    together fail one that is not with a chance of at most ``rule.alpha`` (Holm 1979).

    Parameters
    ----------
    metric : str
        The one that decides.
    old, new : Outcome
        Champion and challenger on the same rows.
    slices : iterable of SliceRows
        Those that are large enough to be judged.

    Returns
    -------
    Condition or None
        None where no slice can be compared.
    """
    parts = {}
    for part in slices:
        theirs = old.take(part.rows)
        ours = new.take(part.rows)
        if not undefined(metric, ours) and not undefined(metric, theirs):
            parts[part.name] = (theirs, ours)
    if not parts:
        return None
    worse = _shown_worse(metric, parts, rule)
    return Condition(
        name=SLICES_AGAINST_PRODUCTION,
        ok=not worse,
        asked=len(parts),
        answered=len(parts),
        worst=_worst(metric, parts, rule),
        failures=tuple(worse.values()),
    )


def _shown_worse(
    metric: str, parts: dict[str, tuple[Outcome, Outcome]], rule: Rule
) -> dict[str, Failure]:
    """Return the slices that are worse by more than the margin.

    Holm's steps by intervals: whatever is shown at one level makes the next level
    milder for those that are left.
    """
    worse: dict[str, Failure] = {}
    while len(worse) < len(parts):
        left = len(parts) - len(worse)
        level = 1 - 2 * rule.alpha / left
        found = {}
        for name, (theirs, ours) in parts.items():
            if name in worse:
                continue
            compared = paired_difference(metric, theirs, ours, max(level, 0.0))
            if compared.high < -rule.margin:
                found[name] = _loss(name, compared, rule)
        if not found:
            return worse
        worse |= found
    return worse


def _worst(
    metric: str, parts: dict[str, tuple[Outcome, Outcome]], rule: Rule
) -> Failure:
    """Return the slice that lost the most, whether that is shown or not."""
    level = max(1 - 2 * rule.alpha / len(parts), 0.0)
    losses = [
        _loss(name, paired_difference(metric, theirs, ours, level), rule)
        for name, (theirs, ours) in parts.items()
    ]
    return max(losses, key=lambda loss: loss.value or 0.0)


def _loss(name: str, compared: Comparison, rule: Rule) -> Failure:
    return Failure(
        name=name, value=-compared.difference, low=-compared.high, limit=rule.margin
    )
