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

# Champion and challenger on each slice.
Parts = dict[str, tuple[Outcome, Outcome]]


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
    parts: Parts = {}
    for part in slices:
        theirs = old.take(part.rows)
        ours = new.take(part.rows)
        if not undefined(metric, ours) and not undefined(metric, theirs):
            parts[part.name] = (theirs, ours)
    if not parts:
        return None
    every = _compared(metric, parts, rule)
    worse = _shown_worse(metric, parts, every, rule)
    return Condition(
        name=SLICES_AGAINST_PRODUCTION,
        ok=not worse,
        asked=len(parts),
        answered=len(parts),
        worst=max(_losses(every, rule), key=lambda loss: loss.value or 0.0),
        failures=tuple(worse.values()),
    )


def _compared(metric: str, parts: Parts, rule: Rule) -> dict[str, Comparison]:
    """Return each slice against production, at the level of all of them together."""
    level = max(1 - 2 * rule.alpha / len(parts), 0.0)
    return {
        name: paired_difference(metric, theirs, ours, level)
        for name, (theirs, ours) in parts.items()
    }


def _shown_worse(
    metric: str, parts: Parts, every: dict[str, Comparison], rule: Rule
) -> dict[str, Failure]:
    """Return the slices that are worse by more than the margin.

    Holm's steps by intervals: whatever is shown at one level makes the next level
    milder for those that are left.

    Parameters
    ----------
    every : dict of str to Comparison
        All slices, at the level of the first step.
    """
    worse: dict[str, Failure] = {}
    compared = every
    while True:
        found = {
            name: comparison
            for name, comparison in compared.items()
            if comparison.high < -rule.margin
        }
        worse |= zip(found, _losses(found, rule), strict=True)
        left = {name: part for name, part in parts.items() if name not in worse}
        if not found or not left:
            return worse
        compared = _compared(metric, left, rule)
    return worse


def _losses(compared: dict[str, Comparison], rule: Rule) -> list[Failure]:
    """Return what each slice lost."""
    return [
        Failure(name=name, value=-one.difference, low=-one.high, limit=rule.margin)
        for name, one in compared.items()
    ]
