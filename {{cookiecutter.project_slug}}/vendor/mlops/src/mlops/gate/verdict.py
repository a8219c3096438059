"""The verdict on a challenger.

The reasons of a verdict are sentences that a manager understands.
"""

from __future__ import annotations

import time
from typing import Literal

from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.data.snapshot import Dataset
from mlops.errors import listed
from mlops.evaluation.compare import Rule, VerdictDecision, compare_all, find_obstacle
from mlops.evaluation.outcome import EvaluationContext
from mlops.gate.rules import which_rule
from mlops.results.evaluation import Evaluation
from mlops.results.training import Training
from mlops.results.verdict import Comparison, Condition, Verdict
from mlops.training.model import Model


def decide(
    project: Project,
    name: str,
    spec: ModelSpec,
    dataset: Dataset,
    challenger: Model,
    champion: Model | None,
    champion_version: str | None,
    evaluation: Evaluation,
    code_changed: bool = True,
    bench: EvaluationContext | None = None,
    old_training: Training | None = None,
) -> Verdict:
    """Decide whether the challenger may replace the champion, and write ``verdict.json``.

    Superiority: the interval has confidence ``1 - alpha``; a change that does nothing is promoted
    with a chance of alpha / 2 at the most. Non-inferiority: ``1 - 2 alpha``; a model that is worse
    by the margin passes with a chance of alpha at the most. A condition that fails rejects in
    either case.

    `evaluation` is the challenger's; `code_changed` is what `gate.rule: auto` depends on: False
    where only data or libraries are new. `old_training` says which rows the champion may have
    learned: that favours it, so the challenger can win all the same, and is not rejected for less.
    """
    started = time.perf_counter()
    bench = bench or EvaluationContext(spec, dataset, project.folder(name))
    conditions = _conditions(evaluation)
    failed = [c.message for c in conditions if not c.ok]
    rule: Literal["first version", "superiority", "non-inferiority"] = "first version"
    decision: VerdictDecision = "promote"
    reasons = failed or [
        "There is no version in production yet, and every condition holds."
    ]
    comparisons: list[Comparison] = []
    if champion is not None:
        rule = which_rule(spec, code_changed)
        obstacle = find_obstacle(
            bench, challenger, champion, champion_version or "the champion"
        )
        if obstacle:
            conditions.append(Condition(name="same rows", ok=False, message=obstacle))
            decision, reason = "inconclusive", obstacle
        else:
            comparisons = compare_all(bench, challenger, champion, rule)
            o = bench.outcome(challenger)
            kind = "stretches of time" if spec.split.by == "time" else "groups"
            size = f"{len(o):,} rows" + (
                "" if o.unit is None else f" in {o.units:,} {kind}"
            )
            decision, reason = judge(comparisons[0], rule, spec.gate.margin, size)
        reasons = [*failed, reason]
        if (
            comparisons
            and old_training
            and (learned := dataset.learned_by(old_training))
        ):
            decision = "inconclusive" if decision == "reject" else decision
            most = f"up to {learned:,} of the {evaluation.rows:,} test rows, which favours it."
            reasons.append(
                f"The split has changed: {champion_version} may have learned {most}"
            )
            if spec.split.by == "random" and not spec.data.id:
                reasons[-1] += (
                    " Without data.id it changes with the columns: give the rows an id."
                )
    verdict = Verdict(
        decision="reject" if failed else decision,
        rule=rule,
        champion=champion_version,
        comparison=comparisons[0] if comparisons else None,
        others=tuple(comparisons[1:]),
        conditions=tuple(conditions),
        reasons=tuple(reasons),
        rows=evaluation.rows,
        seconds=round(time.perf_counter() - started, 3),
    )
    verdict.save(project.build(name))
    return verdict


def judge(
    c: Comparison, rule: Rule, margin: float, size: str
) -> tuple[VerdictDecision, str]:
    """Return the decision that a comparison stands for, and the reason in words.

    `margin` is the largest loss that non-inferiority accepts, superiority asks for more than 0;
    `size` says what the test set consists of, such as ``1,950 rows``.
    """
    superior = rule == "superiority"
    line, lost = (0.0, "") if superior else (-margin, figure(margin))
    if c.method.startswith("identical"):
        same = f"on {size} both versions predict exactly the same"
        if superior:
            return "inconclusive", f"Nothing changed: {same}."
        return "promote", f"{same[0].upper()}{same[1:]}: nothing is lost."
    seen = f"{c.metric} {figure(c.champion)} before, {figure(c.challenger)} now"
    seen += f"; the true difference lies between {figure(c.low, True)} and {figure(c.high, True)}"
    if c.low > line:
        better = "better than" if superior else f"at most {lost} worse than"
        return "promote", f"The new version is {better} the one in production ({seen})."
    if c.high < line:
        worse = "worse than" if superior else f"more than {lost} worse than"
        return "reject", f"The new version is {worse} the one in production ({seen})."
    why = "Whether the new version is better cannot be told; more test data would tell."
    if not superior:
        why = f"A loss of more than {lost} cannot be excluded; more test data would."
    could = f"The test set of {size} could show a difference of {figure(c.smallest_detectable)}"
    return (
        "inconclusive",
        f"{could}; {figure(c.difference, True)} was seen ({seen}). {why}",
    )


def figure(x: float, signed: bool = False) -> str:
    """Return a number with as many digits as people read."""
    size = abs(x)
    digits = (
        0 if size >= 100 else 2 if size >= 10 else 3 if size >= 0.01 or not x else 5
    )
    return f"{x:{'+' if signed else ''},.{digits}f}"


def _conditions(evaluation: Evaluation) -> list[Condition]:
    """Return what must hold beside the comparison; each message is a sentence."""
    weak = [f"{s.column} = {s.value}" for s in evaluation.slices if not s.ok]
    unfair = [
        f"{f.metric} by {f.column} ({f.difference:.3f}, limit {f.limit:g})"
        for f in evaluation.fairness
        if not f.ok
    ]
    failed = [
        f"{c.name} ({c.message})" if c.message else c.name
        for c in evaluation.checks
        # Slices and fairness are conditions of their own.
        if not c.ok and not (c.standard and c.name.startswith(("slices[", "fairness[")))
    ]
    if not (evaluation.ok or weak or unfair or failed):
        failed = ["the evaluation is not ok"]
    passed = sum(c.ok and not c.skipped for c in evaluation.checks)
    accepted = sum(
        bool(f.exception) and f.difference > f.limit for f in evaluation.fairness
    )
    limits, slices = len(evaluation.fairness), len(evaluation.slices)
    seen = sum(f.measured for f in evaluation.fairness)
    told = sum(s.metric is not None for s in evaluation.slices)
    kept = f"{limits} limits between groups are kept" if limits else "No limit is set"
    kept += f", {accepted} by a written exception" if accepted else ""
    if seen < limits:
        kept = f"{seen} of {kept}, {limits - seen} could not be measured"
    groups = (
        f"Quality holds on all {slices} groups of rows" if slices else "No slice is set"
    )
    if told < slices:
        some = f"{told} of {slices} groups of rows"
        groups = f"Quality holds on {some}; the others are too small to tell"
    checks = f"{len(failed)} of the model's checks failed"
    unlike = "Groups of people are treated too differently"
    return [
        _condition("checks", failed, checks, f"{passed} checks passed"),
        _condition(
            "slices", weak, "Quality is too low", groups, told > 0 or not slices
        ),
        _condition("fairness", unfair, unlike, kept, seen > 0 or not limits),
    ]


def _condition(
    name: str, bad: list[str], problem: str, fine: str, told: bool = True
) -> Condition:
    message = f"{problem}: {listed(bad, 5)}." if bad else f"{fine}."
    return Condition(name=name, ok=not bad, message=message, measured=told)
