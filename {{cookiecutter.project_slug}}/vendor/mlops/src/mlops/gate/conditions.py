"""What must hold beside the comparison: checks, slices, fairness."""

from __future__ import annotations

from mlops.results.evaluation import Check, Evaluation, FairnessResult
from mlops.results.verdict import Condition, Failure

CHECKS = "checks"
SLICES = "slices"
FAIRNESS = "fairness"
SAME_ROWS = "same rows"
SLICES_AGAINST_PRODUCTION = "slices against production"

_OF_THEIR_OWN = (f"{SLICES}[", f"{FAIRNESS}[")


def conditions(evaluation: Evaluation) -> tuple[Condition, ...]:
    """Return the conditions on an evaluation, each with what failed.

    An evaluation that is not ok fails the condition of the checks, even where none of
    its parts says why.
    """
    slices = _slices(evaluation)
    fairness = _fairness(evaluation)
    checks = _checks(evaluation)
    explained = any(c.failures for c in (checks, slices, fairness))
    if not evaluation.ok and not explained:
        unknown = Failure(name="the evaluation is not ok")
        checks = checks.model_copy(update={"ok": False, "failures": (unknown,)})
    return checks, slices, fairness


def _checks(evaluation: Evaluation) -> Condition:
    mine = [check for check in evaluation.checks if not _is_elsewhere(check)]
    failures = tuple(
        Failure(name=check.name, message=check.message)
        for check in mine
        if not check.ok
    )
    applicable = [check for check in mine if check.applies]
    answered = sum(not check.skipped for check in applicable)
    return Condition(
        name=CHECKS,
        ok=not failures,
        measured=answered > 0,
        asked=len(applicable),
        answered=answered,
        failures=failures,
    )


def _is_elsewhere(check: Check) -> bool:
    """Return whether a standard check is a condition of its own."""
    return check.standard and check.name.startswith(_OF_THEIR_OWN)


def _slices(evaluation: Evaluation) -> Condition:
    failures = tuple(
        Failure(name=f"{part.column} = {part.value}")
        for part in evaluation.slices
        if not part.ok
    )
    answered = sum(part.metric is not None for part in evaluation.slices)
    return Condition(
        name=SLICES,
        ok=not failures,
        measured=answered > 0,
        asked=len(evaluation.slices),
        answered=answered,
        failures=failures,
    )


def _fairness(evaluation: Evaluation) -> Condition:
    limits = [result for result in evaluation.fairness if result.limit is not None]
    failures = tuple(_breach(result) for result in limits if not result.ok)
    accepted = sum(_is_accepted(result) for result in limits)
    answered = sum(result.measured for result in limits)
    return Condition(
        name=FAIRNESS,
        ok=not failures,
        measured=answered > 0,
        asked=len(limits),
        answered=answered,
        accepted=accepted,
        inconclusive=sum(result.inconclusive for result in limits),
        failures=failures,
    )


def _breach(result: FairnessResult) -> Failure:
    name = f"{result.metric} by {result.column}"
    return Failure(
        name=name, value=result.difference, low=result.low, limit=result.limit
    )


def _is_accepted(result: FairnessResult) -> bool:
    return result.exceeds and bool(result.exception)
