"""How often the slices against production reject, over many seeded worlds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from mlops.evaluation.outcome import Outcome
from mlops.evaluation.slices import SliceRows
from mlops.gate.contenders import Challenger, Champion
from mlops.gate.rules import Rule
from mlops.gate.slices import slices_condition
from mlops.gate.verdict import compare
from mlops.results.evaluation import Check, Evaluation, Metric
from mlops.results.verdict import Condition, ConditionFailed

RULE = Rule("non-inferiority", ("roc_auc",), alpha=0.05, margin=0.0)


def world(
    seed: int, slices: int, rows: int, harm: float = 0.0
) -> tuple[Outcome, Outcome, tuple[SliceRows, ...]]:
    """Return two equal models and slices; `harm` spoils the first slice of the new one.

    `harm` is the share of noise in its scores there.
    """
    rng = np.random.default_rng([51, slices, seed])
    number = np.repeat(np.arange(slices), rows)
    latent = rng.normal(size=len(number))
    truth = (rng.random(len(latent)) < 1 / (1 + np.exp(-1.5 * latent))).astype(int)
    both = []
    for harmed in (0.0, harm):
        seen = latent + rng.normal(0, 0.7, len(latent))
        noise = rng.normal(0, 1.2, len(latent))
        seen = np.where(number == 0, (1 - harmed) * seen + harmed * noise, seen)
        both.append(
            Outcome("binary", truth, (seen > 0).astype(int), seen, ("no", "yes"))
        )
    parts = tuple(SliceRows("part", str(i), number == i) for i in range(slices))
    return both[0], both[1], parts


def judged(*what: float) -> Condition:
    seed, slices, rows, *harm = what
    old, new, parts = world(int(seed), int(slices), int(rows), *harm)
    found = slices_condition("roc_auc", old, new, parts, RULE)
    assert found is not None
    return found


@pytest.mark.parametrize("slices", [2, 10, 20])
def test_equal_slices_reject_in_5_of_100_worlds_at_most(slices: int) -> None:
    """Without a margin, the strictest case; 1 of 1,000 tests exceeds the bound."""
    worlds = 200
    rejected = sum(not judged(i, slices, 150).ok for i in range(worlds))
    assert rejected <= binom.isf(0.001, worlds, 0.05)


def test_a_slice_that_lost_much_is_found_and_named_alone() -> None:
    found = [judged(i, 10, 300, 0.8) for i in range(60)]
    named = [[failure.name for failure in c.failures] for c in found]
    assert np.mean([names == ["part = 0"] for names in named]) > 0.8


def test_the_margin_is_what_a_slice_may_lose() -> None:
    old, new, parts = world(3, 4, 400, 0.5)
    strict = slices_condition("roc_auc", old, new, parts, RULE)
    lenient = Rule("non-inferiority", ("roc_auc",), margin=0.9)
    mild = slices_condition("roc_auc", old, new, parts, lenient)
    assert strict is not None and mild is not None
    assert not strict.ok and mild.ok
    (failure,) = strict.failures
    assert failure.value is not None and failure.low is not None
    assert failure.value > failure.low > 0
    assert mild.worst is not None and mild.worst.name == "part = 0"


def evaluation(rows: int) -> Evaluation:
    metric = Metric(name="roc_auc", value=0.8, low=0.7, high=0.9)
    checks = (Check(name="a", ok=True),)
    return Evaluation(ok=True, rows=rows, metrics=(metric,), checks=checks)


def test_a_slice_that_is_worse_than_in_production_rejects_a_better_model() -> None:
    """Better on nine slices, far worse on the tenth."""
    old, new, parts = world(5, 10, 400, 1.0)
    sharper = np.where(parts[0].rows, new.score, 3 * old.truth + old.score)
    better = Outcome("binary", old.truth, new.decision, sharper, old.classes)
    rule = Rule("superiority", ("roc_auc",), margin=0.01)
    challenger = Challenger(evaluation(len(old)), better, slices=parts)
    verdict = compare(challenger, Champion("v1.0.0", old), rule)
    assert verdict.comparison is not None and verdict.comparison.low > 0
    assert verdict.decision == "reject"
    assert ConditionFailed(name="slices against production") in verdict.grounds
    # A champion that may know the test rows is favoured: nothing follows from less.
    knowing = Champion("v1.0.0", old, rows_seen=9)
    assert compare(challenger, knowing, rule).decision == "promote"


def test_slices_that_cannot_be_compared_are_no_condition() -> None:
    old, new, parts = world(1, 3, 50)
    of_one_class = SliceRows("part", "none", old.truth == 1)
    assert slices_condition("roc_auc", old, new, (of_one_class,), RULE) is None
    both = (*parts, of_one_class)
    found = slices_condition("roc_auc", old, new, both, RULE)
    assert found is not None and (found.asked, found.answered) == (3, 3)
