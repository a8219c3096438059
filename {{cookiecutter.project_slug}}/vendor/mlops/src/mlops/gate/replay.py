"""Past decisions under other rules, from what the run log has of them.

What was recorded is judged again: nothing is trained and no row is read. Where the run
log lacks what a changed key judges, the recorded result stands, and the key is named.
Nothing heavy is imported, as the job that writes comments replays too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import erf, sqrt
from typing import Any

from pydantic import ValidationError

from mlops.config.model_spec import Fairness, Gate, ModelSpec
from mlops.errors import MlopsError
from mlops.gate.conditions import (
    CHECKS,
    FAIRNESS,
    SLICES,
    SLICES_AGAINST_PRODUCTION,
)
from mlops.gate.findings import decision_of, finding_of, with_anchor
from mlops.gate.rules import Rule, RuleKind
from mlops.results.evaluation import FairnessResult
from mlops.results.replay import ReplayedRun
from mlops.results.runs import Record
from mlops.results.verdict import (
    Anchored,
    Comparison,
    Condition,
    Decision,
    Ground,
    NoQuestionLeft,
    NotComparable,
    OnePeriod,
    RefusedByTest,
    SplitChanged,
    Verdict,
)

# The sections of model.yaml that judge, which a replay can try on the past.
JUDGING = ("gate", "checks", "slices", "fairness", "monitor")

_FEW_UNITS = 30  # below, an interval of another level needs more than was recorded

_MEGABYTE = 1e6


def rules_of(spec: ModelSpec) -> dict[str, Any]:
    """Return the sections of a specification that judge, as a record keeps them."""
    return spec.model_dump(mode="json", include=set(JUDGING))


def changed_keys(old: ModelSpec, new: ModelSpec) -> tuple[str, ...]:
    """Return the keys of the sections that judge which differ, such as `gate.alpha`."""
    before = rules_of(old)
    after = rules_of(new)
    keys = []
    for section in JUDGING:
        if before[section] == after[section]:
            continue
        if not isinstance(after[section], dict):
            keys.append(section)
            continue
        for key, value in after[section].items():
            if before[section].get(key) != value:
                keys.append(f"{section}.{key}")
    return tuple(keys)


@dataclass
class _Judge:
    """One past run under the new rules, and what is found on the way.

    Parameters
    ----------
    keys : tuple of str
        That differ from the rules which judged the run.
    missing : list of str
        Those for which the run log lacks what they judge.
    """

    record: Record
    verdict: Verdict
    old: Gate
    new: ModelSpec
    keys: tuple[str, ...]
    missing: list[str] = field(default_factory=list)

    def lacks(self, key: str, what: str) -> None:
        """Note that a changed key cannot be replayed, as something is not recorded."""
        text = f"{key}: {what}"
        if text not in self.missing:
            self.missing.append(text)


def replayed_run(record: Record, old: ModelSpec, new: ModelSpec) -> ReplayedRun | None:
    """Return a past run under other rules; None where it had no verdict.

    Parameters
    ----------
    record : Record
        As the run log has it.
    old : ModelSpec
        The specification before the change. It stands for the rules of a run whose
        record has none: those of older engines.
    new : ModelSpec
    """
    if record.verdict is None:
        return None
    before = _with_rules(old, record)
    keys = tuple(key for key in changed_keys(before, new) if key[:7] != "monitor")
    judge = _Judge(record, record.verdict, before.gate, new, keys)
    decision = _decision(judge, keys)
    return ReplayedRun(
        run=record.id,
        started=record.started,
        pull_request=record.pull_request,
        recorded=record.verdict.decision,
        replayed=decision,
        because=_because(record, before, new, keys, decision),
        not_recorded=tuple(judge.missing),
    )


def _because(
    record: Record,
    before: ModelSpec,
    new: ModelSpec,
    keys: tuple[str, ...],
    decision: Decision,
) -> tuple[str, ...]:
    """Return the keys that make the difference: each that does so by itself, or all."""
    verdict = record.verdict
    if verdict is None or decision == verdict.decision:
        return ()
    single = []
    for key in keys:
        judge = _Judge(record, verdict, before.gate, new, (key,))
        if _decision(judge, (key,)) != verdict.decision:
            single.append(key)
    return tuple(single) or keys


def _with_rules(old: ModelSpec, record: Record) -> ModelSpec:
    """Return a specification with the rules that judged a run, where it has them."""
    if not record.rules:
        return old
    content = old.model_dump(mode="json") | record.rules
    try:
        return ModelSpec.model_validate(content)
    except (ValidationError, MlopsError):  # a stranger may have written them
        return old


def _decision(judge: _Judge, keys: tuple[str, ...]) -> Decision:
    """Return the decision under the keys that changed; others are as they were."""
    conditions = judge.verdict.conditions
    held = [_condition(judge, condition, keys) for condition in conditions]
    if not all(held):
        return "reject"
    return _compared(judge, keys)


# -- the comparison --------------------------------------------------------------------


def _compared(judge: _Judge, keys: tuple[str, ...]) -> Decision:
    """Return what the comparison says, where every condition holds."""
    verdict = judge.verdict
    if verdict.rule == "first version":
        return "promote"
    comparison = verdict.comparison
    refused = (NoQuestionLeft, RefusedByTest)
    if any(isinstance(ground, refused) for ground in verdict.grounds):
        return verdict.decision
    if comparison is None or _has(verdict.grounds, NotComparable):
        return "inconclusive"
    rule = _rule(judge, verdict.rule, keys)
    other = _at_level(judge, comparison, rule)
    decision = decision_of(finding_of(other, rule), rule)
    if _has(verdict.grounds, SplitChanged) and decision == "reject":
        decision = "inconclusive"
    if _has(verdict.grounds, OnePeriod):
        decision = "inconclusive"
    if rule.kind == "superiority" or other.identical:
        return decision
    for ground in verdict.grounds:
        if isinstance(ground, Anchored):
            decision = _anchored(judge, ground, rule, decision)
    return decision


def _has(grounds: Sequence[Ground], kind: type[Ground]) -> bool:
    return any(isinstance(ground, kind) for ground in grounds)


def _rule(judge: _Judge, recorded: str, keys: tuple[str, ...]) -> Rule:
    """Return the rule that the run would be judged by.

    What the ledger gave a question of alpha stays its share of it.
    """
    gate = judge.new.gate
    kind: RuleKind = "superiority" if recorded == "superiority" else "non-inferiority"
    was = Rule(kind, (), judge.old.alpha, judge.old.margin)
    share = _share(judge.verdict.comparison, was)
    if "gate.rule" in keys:
        kind = _kind(judge, kind)
    alpha = gate.alpha if "gate.alpha" in keys else judge.old.alpha
    margin = judge.verdict.margin
    if "gate.margin" in keys or margin is None:
        margin = gate.margin
    return Rule(kind, (), alpha, margin, share)


def _share(comparison: Comparison | None, was: Rule) -> float:
    """Return the part of alpha that a comparison had: one question of several."""
    if comparison is None:
        return 1.0
    share = (1 - comparison.confidence) / (1 - was.confidence)
    return min(share, 1.0)


def _kind(judge: _Judge, recorded: RuleKind) -> RuleKind:
    """Return the kind of rule that `gate.rule` asks for now."""
    named = judge.new.gate.rule
    if named != "auto":
        return named
    changed = judge.verdict.code_changed
    if changed is None:
        judge.lacks("gate.rule", "whether more than data and libraries was new")
        return recorded
    return "superiority" if changed else "non-inferiority"


def _at_level(judge: _Judge, comparison: Comparison, rule: Rule) -> Comparison:
    """Return a comparison with the interval of another level.

    The interval is scaled by quantiles of the normal distribution, and holds 0 where
    the recorded p-value does not reject it at that level.
    """
    confidence = rule.confidence
    if abs(confidence - comparison.confidence) < 1e-9 or comparison.identical:
        return comparison
    units = judge.verdict.units
    exact = "exact bound" in comparison.method
    if exact or (units is not None and units < _FEW_UNITS):
        what = "the interval at this level, as it rests on few units"
        judge.lacks("gate.alpha", what)
        return comparison
    centre = (comparison.low + comparison.high) / 2
    ratio = _quantile(confidence) / _quantile(comparison.confidence)
    reach = (comparison.high - comparison.low) / 2 * ratio
    if comparison.p_value is not None and comparison.p_value > 1 - confidence:
        reach = max(reach, abs(centre))
    update = {
        "low": centre - reach,
        "high": centre + reach,
        "confidence": confidence,
    }
    return comparison.model_copy(update=update)


def _quantile(confidence: float) -> float:
    """Return in how many standard errors of 0 a normal value is with this chance."""
    low, high = 0.0, 40.0
    for _ in range(100):
        middle = (low + high) / 2
        if erf(middle / sqrt(2)) < confidence:
            low = middle
        else:
            high = middle
    return low


def _anchored(
    judge: _Judge, ground: Anchored, rule: Rule, decision: Decision
) -> Decision:
    """Return a decision in which the anchor has a say."""
    if ground.comparison is None:
        return decision
    comparison = _at_level(judge, ground.comparison, rule)
    update = {"comparison": comparison, "finding": finding_of(comparison, rule)}
    return with_anchor(decision, ground.model_copy(update=update), rule)


# -- the conditions --------------------------------------------------------------------


def _condition(judge: _Judge, condition: Condition, keys: tuple[str, ...]) -> bool:
    """Return whether a condition holds under the keys that changed."""
    judged: dict[str, Callable[[_Judge, Condition, tuple[str, ...]], bool]] = {
        CHECKS: _checks,
        SLICES: _slices,
        FAIRNESS: _fairness,
        SLICES_AGAINST_PRODUCTION: _against_production,
    }
    if condition.name not in judged:
        return condition.ok
    return judged[condition.name](judge, condition, keys)


def _checks(judge: _Judge, condition: Condition, keys: tuple[str, ...]) -> bool:
    mine = [key for key in keys if key.startswith("checks.")]
    if not mine:
        return condition.ok
    failed = {failure.name for failure in condition.failures}
    if not condition.ok and not failed:  # an older engine, which named none
        judge.lacks("checks", "which of them failed")
        return False
    for key in mine:
        name = key.removeprefix("checks.")
        if name == "floor":
            failed = {one for one in failed if not one.startswith("floor[")}
            failed |= _below_floor(judge)
        elif name in ("latency_ms", "size_mb"):
            _limit(judge, key, failed)
        else:
            judge.lacks(key, "what it would have measured")
    return not failed


def _below_floor(judge: _Judge) -> set[str]:
    """Return the metrics that are not shown to be above the new floor."""
    measured = {metric.name: metric for metric in judge.record.metrics}
    below = set()
    for name, worst in judge.new.checks.floor.items():
        if name not in measured:
            judge.lacks("checks.floor", f"{name} of this run")
        elif not measured[name].worst_within(worst):
            below.add(f"floor[{name}]")
    return below


def _limit(judge: _Judge, key: str, failed: set[str]) -> None:
    """Judge latency or size by another limit; `failed` is changed."""
    checks = judge.new.checks
    if key == "checks.size_mb":
        name, limit = "size", checks.size_mb
        training = judge.record.training
        value = training.model_bytes / _MEGABYTE if training else None
    else:
        name, limit = "latency", checks.latency_ms
        judged = judge.record.judged
        value = judged.latency_ms if judged else None
    if value is None:
        judge.lacks(key, f"the {name} of this run")
        return
    failed.discard(name)
    if value > limit:
        failed.add(name)


def _slices(judge: _Judge, condition: Condition, keys: tuple[str, ...]) -> bool:
    mine = [key for key in keys if key.startswith("slices.")]
    if not mine:
        return condition.ok
    judged = judge.record.judged
    if mine != ["slices.max_drop"] or judged is None or not judge.record.metrics:
        for key in mine:
            judge.lacks(key, "the metric of each slice")
        return condition.ok
    overall = judge.record.metrics[0].value
    most = judge.new.slices.max_drop
    metrics = [part.metric for part in judged.slices if part.metric is not None]
    drops = [
        overall - one.high if one.higher_is_better else one.low - overall
        for one in metrics
    ]
    return all(drop <= most for drop in drops)


def _fairness(judge: _Judge, condition: Condition, keys: tuple[str, ...]) -> bool:
    if "fairness" not in keys:
        return condition.ok
    judged = judge.record.judged
    known = {(one.column, one.metric): one for one in judged.fairness} if judged else {}
    held = True
    for limit in judge.new.fairness:
        found = known.get((limit.column, limit.metric)) or _failed(condition, limit)
        if found is None:
            judge.lacks("fairness", f"{limit.metric} by {limit.column}")
            continue
        by_limit = found.model_copy(update={"limit": limit.max_difference})
        held = held and (bool(limit.exception) or not by_limit.exceeds)
    return held


def _failed(condition: Condition, limit: Fairness) -> FairnessResult | None:
    """Return what a condition that failed has recorded of a limit."""
    for failure in condition.failures:
        same = failure.name == f"{limit.metric} by {limit.column}"
        if same and failure.value is not None:
            return FairnessResult(
                column=limit.column,
                metric=limit.metric,
                difference=failure.value,
                low=failure.low,
            )
    return None


def _against_production(
    judge: _Judge, condition: Condition, keys: tuple[str, ...]
) -> bool:
    if "gate.alpha" in keys:
        judge.lacks("gate.alpha", "each slice against production at this level")
    if "gate.margin" not in keys:
        return condition.ok
    margin = judge.new.gate.margin
    losses = [one for one in (*condition.failures, condition.worst) if one is not None]
    known = [one.low for one in losses if one.low is not None]
    if any(low > margin for low in known):
        return False
    was = judge.verdict.margin
    if (was is None or margin < was) and condition.asked > 1:
        judge.lacks("gate.margin", "each slice against production")
        return condition.ok
    return bool(known) or condition.ok
