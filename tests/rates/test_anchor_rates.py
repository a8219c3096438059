"""What many small losses add up to, over a life of refreshes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from mlops.evaluation.metrics import estimate
from mlops.evaluation.outcome import Outcome
from mlops.gate.contenders import Challenger, Champion
from mlops.gate.rules import Rule
from mlops.gate.verdict import compare
from mlops.results.evaluation import Check, Evaluation, Metric
from mlops.results.verdict import Anchored, NotComparable, Verdict

MARGIN = 0.01
RULE = Rule("non-inferiority", ("roc_auc",), margin=MARGIN)
STEP = 0.0035  # of AUC, that each refresh truly loses
STEPS = 30
NOISES = np.linspace(0.5, 1.4, 40)


def model(
    rng: np.random.Generator, latent: np.ndarray, truth: np.ndarray, noise: float
) -> Outcome:
    """Return a model that sees the truth through noise, most of it its family's own."""
    shared = np.random.default_rng(int(abs(latent[0]) * 1e9)).normal(size=len(latent))
    own = rng.normal(size=len(latent))
    seen = latent + noise * (np.sqrt(0.9) * shared + np.sqrt(0.1) * own)
    return Outcome("binary", truth, (seen > 0).astype(int), seen, ("no", "yes"))


def rows(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    latent = rng.normal(size=count)
    chance = 1 / (1 + np.exp(-1.5 * latent))
    return latent, (rng.random(count) < chance).astype(int)


@cache
def quality() -> np.ndarray:
    """Return the true AUC of a model with each of the noises."""
    rng = np.random.default_rng(60)
    latent, truth = rows(rng, 400_000)
    return np.array(
        [estimate("roc_auc", model(rng, latent, truth, n)).value for n in NOISES]
    )


def noise_of(auc: float) -> float:
    return float(np.interp(-auc, -quality(), NOISES))


def evaluation(count: int) -> Evaluation:
    metric = Metric(name="roc_auc", value=0.8, low=0.7, high=0.9)
    checks = (Check(name="a", ok=True),)
    return Evaluation(ok=True, rows=count, metrics=(metric,), checks=checks)


def life(seed: int, step: float, anchored: bool, count: int = 10_000) -> np.ndarray:
    """Return the true AUC in production after each of thirty refreshes.

    Each refresh is worse by `step` than what is in production, on new test rows.
    """
    rng = np.random.default_rng([61, seed])
    best = float(quality()[0])
    present = best
    lived = []
    for _ in range(STEPS):
        latent, truth = rows(rng, count)
        champion = model(rng, latent, truth, noise_of(present))
        challenger = model(rng, latent, truth, noise_of(present - step))
        first = model(rng, latent, truth, noise_of(best))
        verdict = compare(
            Challenger(evaluation(count), challenger),
            Champion("v1.0.30", champion),
            RULE,
            Champion("v1.0.0", first) if anchored else None,
        )
        if verdict.decision == "promote":
            present -= step
        lived.append(present)
    return np.array(lived)


def test_thirty_small_losses_stay_at_the_margin() -> None:
    """Three of them are 0.0005 more than the margin, which so few rows cannot tell.

    Seen in 20 lives: two or three, 0.0089 on average.
    """
    start = quality()[0]
    lost = np.array([start - life(seed, STEP, True)[-1] for seed in range(20)])
    assert lost.mean() <= MARGIN
    assert lost.max() <= MARGIN + STEP + 1e-9
    assert lost.min() > 0, "some refreshes were promoted"


def test_without_the_anchor_they_would_have_added_up() -> None:
    start = quality()[0]
    lost = [start - life(seed, STEP, False)[-1] for seed in range(5)]
    assert np.mean(lost) > 5 * MARGIN


def test_equal_refreshes_are_promoted_98_of_100_times_as_often() -> None:
    """At 10,000 test rows, in 90 samples."""

    def promoted(anchored: bool) -> int:
        count = 0
        for seed in range(90):
            rng = np.random.default_rng([62, seed])
            latent, truth = rows(rng, 10_000)
            old, new, first = (model(rng, latent, truth, 0.7) for _ in range(3))
            verdict = compare(
                Challenger(evaluation(10_000), new),
                Champion("v1.0.1", old),
                RULE,
                Champion("v1.0.0", first) if anchored else None,
            )
            count += verdict.decision == "promote"
        return count

    assert promoted(True) >= 0.98 * promoted(False)


# -- the rule itself -------------------------------------------------------------------


def judged(anchor: Champion | None, rule: Rule = RULE) -> Verdict:
    """Return the verdict on a refresh that is as good as the champion."""
    rng = np.random.default_rng(63)
    latent, truth = rows(rng, 10_000)
    old, new = (model(rng, latent, truth, 0.8) for _ in range(2))
    challenger = Challenger(evaluation(10_000), new)
    return compare(challenger, Champion("v1.2.0", old), rule, anchor)


def anchor(noise: float, count: int = 10_000, **facts: int) -> Champion:
    rng = np.random.default_rng(63)
    latent, truth = rows(rng, count)
    return Champion("v1.0.0", model(rng, latent, truth, noise), **facts)


@pytest.mark.parametrize(
    ("noise", "decision", "finding"),
    [
        (0.8, "promote", "not worse"),
        (0.2, "reject", "worse"),
        (1.3, "promote", "better"),
    ],
)
def test_the_anchor_decides_where_the_champion_does_not(
    noise: float, decision: str, finding: str
) -> None:
    assert judged(None).decision == "promote"
    verdict = judged(anchor(noise))
    assert verdict.decision == decision
    (ground,) = [g for g in verdict.grounds if isinstance(g, Anchored)]
    assert (ground.version, ground.finding) == ("v1.0.0", finding)
    assert ground.comparison is not None


def test_an_anchor_that_may_know_the_test_rows_rejects_nobody() -> None:
    assert judged(anchor(0.2, rows_seen=5)).decision == "inconclusive"


def test_an_anchor_that_cannot_be_compared_is_named_and_changes_nothing() -> None:
    obstacle = NotComparable(obstacle="cannot predict", detail="columns are missing")
    verdict = judged(Champion("v1.0.0", obstacle))
    assert verdict.decision == "promote"
    assert Anchored(version="v1.0.0") in verdict.grounds


def test_superiority_asks_no_anchor() -> None:
    rule = Rule("superiority", ("roc_auc",), margin=MARGIN)
    verdict = judged(anchor(0.2), rule)
    assert verdict == judged(None, rule)
