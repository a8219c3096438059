"""Error rates and power of the comparison, by simulation and by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import binomtest, norm, t

from engine.evaluation_worlds import OF_WORLDS, pair, rows_for
from mlops.evaluation.compare import paired_difference
from mlops.evaluation.metrics import estimate
from mlops.evaluation.outcome import Outcome, outcome, time_blocks
from mlops.gate.findings import decision_of, finding_of
from mlops.gate.rules import Rule
from mlops.results.training import Signature

WORLDS = 800


def _decisions(
    task: str, per: int, noise: tuple[float, float], metrics: list[str], **how: object
):
    """Return how often each decision was taken over many worlds, by metric."""
    counts = {
        m: dict.fromkeys(("promote", "reject", "inconclusive"), 0) for m in metrics
    }
    kind, margin = how.get("rule", "superiority"), how.get("margin", {})
    for i in range(WORLDS):
        old, new = pair(np.random.default_rng([4, i]), task, 300, per, noise)
        for m in metrics:
            rule = Rule(kind, (m,), margin=margin.get(m, 0.0))
            both = rows_for(m, old, new)
            c = paired_difference(m, *both, rule.confidence)
            counts[m][decision_of(finding_of(c, rule), rule)] += 1
    return {m: {d: n / WORLDS for d, n in count.items()} for m, count in counts.items()}


@pytest.mark.parametrize("per", [1, 5])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_useless_change_is_promoted_with_half_of_alpha(task: str, per: int) -> None:
    """800 worlds without a difference: 2.5 %; 1 of 500 tests exceeds 4.1 %."""
    metrics = [name for t, name in OF_WORLDS if t == task]
    seen = _decisions(task, per, (0.7, 0.7), metrics)
    assert {
        m: s for m, s in seen.items() if max(s["promote"], s["reject"]) > 0.041
    } == {}


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_real_improvement_is_found_and_its_loss_too(task: str) -> None:
    metric = ["roc_auc", "log_loss"] if task == "binary" else ["rmse"]
    for m, s in _decisions(task, 1, (1.4, 0.5), metric).items():
        assert s["promote"] > 0.8, m
        assert s["reject"] == 0, m
    for m, s in _decisions(task, 1, (0.5, 1.4), metric).items():
        assert s["reject"] > 0.8, m


@pytest.mark.parametrize("per", [1, 5])
def test_a_loss_as_large_as_the_margin_passes_with_alpha(per: int) -> None:
    """800 worlds at the margin: 5 %, and 7.3 % is exceeded in 1 of 500 tests."""
    metrics, noise = ["roc_auc", "accuracy", "log_loss"], (0.6, 0.9)
    old, new = pair(np.random.default_rng(0), rows=2_000_000, per=per, noise=noise)
    lost = {m: abs(estimate(m, new).value - estimate(m, old).value) for m in metrics}
    seen = _decisions(
        "binary", per, noise, metrics, rule="non-inferiority", margin=lost
    )
    assert {m: s for m, s in seen.items() if s["promote"] > 0.073} == {}


def test_the_smallest_detectable_difference_is_found_in_80_of_100_worlds() -> None:
    noise = (1.3, 0.7)
    old, new = pair(np.random.default_rng(0), rows=2_000_000, noise=noise)
    truth = estimate("roc_auc", new).value - estimate("roc_auc", old).value
    ratio, found = [], []
    for rows in (300, 550, 1000):
        comparisons = [
            paired_difference(
                "roc_auc", *pair(np.random.default_rng([6, i]), rows=rows, noise=noise)
            )
            for i in range(300)
        ]
        ratio.append(truth / np.mean([c.smallest_detectable for c in comparisons]))
        found.append(np.mean([c.low > 0 for c in comparisons]))
    power = float(np.interp(1.0, ratio, found))
    assert ratio[0] < 1 < ratio[-1]  # the question lies inside of what was tried
    assert 0.72 < power < 0.88


@pytest.mark.parametrize(("task", "name"), OF_WORLDS)
@pytest.mark.parametrize("per", [1, 4])
def test_turning_the_question_round_turns_the_answer_round(
    task: str, name: str, per: int
) -> None:
    worlds = pair(np.random.default_rng(8), task, 120, per, (0.7, 1.0))
    old, new = rows_for(name, *worlds)
    there, back = paired_difference(name, old, new), paired_difference(name, new, old)
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.p_value == pytest.approx(back.p_value)
    assert there.low <= there.difference <= there.high


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(OF_WORLDS))
def test_the_order_of_rows_does_not_matter(seed: int, which: tuple[str, str]) -> None:
    task, name = which
    old, new = rows_for(name, *pair(np.random.default_rng(seed), task, 60, 2))
    order = np.random.default_rng(seed).permutation(60)
    a, b = (
        paired_difference(name, old, new),
        paired_difference(name, old.take(order), new.take(order)),
    )
    assert (a.low, a.high, a.p_value) == pytest.approx(
        (b.low, b.high, b.p_value), rel=1e-6, abs=1e-12
    )


@pytest.mark.parametrize(("task", "name"), OF_WORLDS)
def test_a_better_model_has_a_positive_difference_whatever_the_metric(
    task: str, name: str
) -> None:
    worlds = pair(np.random.default_rng(1), task, 20_000, 1, (3.0, 0.1))
    old, new = rows_for(name, *worlds)
    assert paired_difference(name, old, new).low > 0


@pytest.mark.parametrize(("task", "name"), OF_WORLDS)
@pytest.mark.parametrize("rows", [4, 60])
def test_identical_predictions_differ_by_nothing(
    task: str, name: str, rows: int
) -> None:
    old, _ = pair(np.random.default_rng(20), task, rows)
    c = paired_difference(name, old, old.take(np.arange(rows)))
    assert (c.difference, c.low, c.high, c.p_value) == (0, 0, 0, 1)
    assert np.isfinite(c.smallest_detectable)
    better = Rule("superiority", (name,))
    no_worse = Rule("non-inferiority", (name,), margin=0.01)
    assert decision_of(finding_of(c, better), better) == "inconclusive"
    assert decision_of(finding_of(c, no_worse), no_worse) == "promote"


def _binary(right_old: list[int], right_new: list[int]) -> tuple[Outcome, Outcome]:
    truth = np.ones(len(right_old), int)
    truth[0] = 0
    said = [
        np.where(np.array(r) == 1, truth, 1 - truth) for r in (right_old, right_new)
    ]
    return tuple(Outcome("binary", truth, s, s.astype(float), ("n", "y")) for s in said)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=60)
)
def test_accuracy_has_the_exact_p_of_mcnemar_and_an_interval_that_agrees(
    rows: list,
) -> None:
    old, new = _binary([a for a, _ in rows], [b for _, b in rows])
    won, lost = sum(b > a for a, b in rows), sum(a > b for a, b in rows)
    c = paired_difference("accuracy", old, new)
    expected = binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert c.p_value == pytest.approx(expected)
    if c.p_value > 0.05:
        assert c.low <= 0 <= c.high
    assert np.isfinite([c.low, c.high, c.smallest_detectable]).all()


def _answers(rows: int, won: int, lost: int) -> tuple[Outcome, Outcome]:
    """Return two models of which the new one wins and loses some rows."""
    right_old = [0] * won + [1] * lost + [1] * (rows - won - lost)
    right_new = [1] * won + [0] * lost + [1] * (rows - won - lost)
    return _binary(right_old, right_new)


def test_the_interval_of_accuracy_is_that_of_bonett_and_price() -> None:
    """30 of 200 rows won and 10 lost, each with one more in 202 rows."""
    old, new = _answers(200, won=30, lost=10)
    c = paired_difference("accuracy", old, new, 0.9)
    centre = (31 - 11) / 202
    error = math.sqrt(((31 + 11) / 202 - centre**2) / 202)
    assert c.difference == pytest.approx(20 / 200)
    assert c.low == pytest.approx(centre - 1.6448536 * error)
    assert c.high == pytest.approx(centre + 1.6448536 * error)
    assert c.smallest_detectable == pytest.approx((1.6448536 + 0.8416212) * error)
    assert (c.champion, c.challenger) == (170 / 200, 190 / 200)
    assert (c.metric, c.confidence) == ("accuracy", 0.9)


@pytest.mark.parametrize("each", [1, 3, 10])
def test_as_many_rows_won_as_lost_have_a_p_of_1_and_no_more(each: int) -> None:
    """Twice the smaller tail of the binomial is above 1 there."""
    c = paired_difference("accuracy", *_answers(40, won=each, lost=each))
    assert (c.p_value, c.difference) == (1, 0)
    assert c.low == pytest.approx(-c.high)


def test_an_interval_holds_0_where_the_exact_test_does_not_reject_it() -> None:
    """9 rows won and 2 lost of 100: p is 0.065, and 0 just outside of 95 %."""
    old, new = _answers(100, won=9, lost=2)
    c = paired_difference("accuracy", old, new)
    assert c.p_value == pytest.approx(binomtest(9, 11).pvalue)
    assert c.p_value > 0.05
    assert c.low == pytest.approx(0, abs=1e-12)
    assert c.high == pytest.approx(2 * 7 / 102)
    back = paired_difference("accuracy", new, old)
    assert back.high == pytest.approx(0, abs=1e-12)
    assert back.low == pytest.approx(-2 * 7 / 102)
    lenient = paired_difference("accuracy", old, new, 0.9)
    assert lenient.low > 0, "at 90 % the exact test rejects it, and nothing is widened"


@pytest.mark.parametrize("per", [1, 4])
def test_the_interval_of_a_mean_is_that_of_the_paired_differences(per: int) -> None:
    """The log loss by hand: rows or sums of clusters, half of alpha on either side."""
    old, new = pair(np.random.default_rng(5), "binary", 400, per, (0.7, 0.8))
    c = paired_difference("log_loss", old, new, 0.9)
    lost = [-np.log(np.where(o.truth == 1, o.score, 1 - o.score)) for o in (old, new)]
    apart = lost[0] - lost[1]  # the lower loss is the better one
    units = apart.reshape(-1, per).mean(axis=1)
    error = units.std(ddof=1) / math.sqrt(len(units))
    assert c.difference == pytest.approx(apart.mean())
    reach = (c.high - c.low) / 2
    assert reach == pytest.approx(1.65 * error, rel=0.02)
    assert c.low == pytest.approx(c.difference - reach)
    assert c.smallest_detectable == pytest.approx(reach + 0.8416212 * error, rel=0.01)
    assert c.p_value == pytest.approx(2 * norm.sf(abs(apart.mean()) / error), rel=0.1)
    assert 0.05 < c.p_value < 1


def test_a_few_clusters_have_the_wider_interval_of_students_t() -> None:
    """At most 7 degrees of freedom: 2.36 standard errors and not 1.96."""
    old, new = pair(np.random.default_rng(5), "binary", 400, 50, (0.7, 0.8))
    c = paired_difference("log_loss", old, new)
    lost = [-np.log(np.where(o.truth == 1, o.score, 1 - o.score)) for o in (old, new)]
    units = (lost[0] - lost[1]).reshape(8, 50).mean(axis=1)
    error = units.std(ddof=1) / math.sqrt(8)
    assert (c.high - c.low) / 2 >= 0.999 * t.ppf(0.975, 7) * error


@pytest.mark.parametrize(
    ("name", "per", "method"),
    [
        ("roc_auc", 1, "DeLong; 90% interval"),
        ("roc_auc", 4, "DeLong, 400 clusters; 90% interval"),
        ("log_loss", 1, "paired influence values; 90% interval"),
        ("accuracy", 4, "paired influence values, 400 clusters; 90% interval"),
        ("accuracy", 1, "McNemar exact, interval of Bonett and Price; 90% interval"),
    ],
)
def test_the_method_is_named(name: str, per: int, method: str) -> None:
    old, new = pair(np.random.default_rng(3), "binary", 400 * per, per, (0.7, 1.0))
    assert paired_difference(name, old, new, 0.9).method == method


def test_identical_predictions_are_named_and_bound_by_the_rule_of_three() -> None:
    old, _ = pair(np.random.default_rng(20), "binary", 60)
    c = paired_difference("accuracy", old, old.take(np.arange(60)))
    assert c.method == "identical predictions; 95% interval"
    assert c.smallest_detectable == pytest.approx(1 - 0.05 ** (1 / 60))


def test_clusters_are_what_the_rule_of_three_counts() -> None:
    old, _ = pair(np.random.default_rng(20), "binary", 400, 20)
    c = paired_difference("log_loss", old, old.take(np.arange(400)))
    assert old.units == 20
    scale = estimate("log_loss", old).scale
    assert c.smallest_detectable == pytest.approx(scale * (1 - 0.05 ** (1 / 20)))


def test_the_model_with_the_fewest_answers_bounds_what_both_can_show() -> None:
    """Precision of 3 positives and of 30, all right: 3 rows prove little."""
    truth = np.ones(60, int)
    truth[40:] = 0

    def model(positives: int) -> Outcome:
        said = np.zeros(60, int)
        said[:positives] = 1
        return Outcome("binary", truth, said, said.astype(float), ("no", "yes"))

    few, many = model(3), model(30)
    for old, new in ((few, many), (many, few)):
        c = paired_difference("precision", old, new)
        assert (c.champion, c.challenger, c.difference) == (1, 1, 0)
        assert c.smallest_detectable == pytest.approx(1 - 0.025 ** (1 / 3))
        assert (c.low, c.high) == (-c.smallest_detectable, c.smallest_detectable)


def test_what_is_too_small_to_be_seen_has_the_unit_of_the_target() -> None:
    truth = np.linspace(0, 1000, 60)
    old = Outcome("regression", truth, truth + 300, truth + 300)
    c = paired_difference("mae", old, old.take(np.arange(60)))
    scale = estimate("mae", old).scale
    assert scale > 100
    assert c.smallest_detectable == pytest.approx(scale * (1 - 0.05 ** (1 / 60)))


def test_rounding_of_large_numbers_is_no_spread() -> None:
    truth = np.random.default_rng(1).uniform(1e9, 2e9, 60)
    old, new = (
        Outcome("regression", truth, truth + off, truth + off) for off in (2e8, 1e8)
    )
    c = paired_difference("mae", old, new)
    assert c.difference == pytest.approx(1e8)
    assert "no spread to be seen" in c.method
    assert c.p_value == pytest.approx(2 * 0.5**60), "every row is better"
    unseen = 1 - 0.025 ** (1 / 60)
    reach = unseen * estimate("mae", old).scale
    assert c.low == pytest.approx(1e8 * (1 - unseen) - reach)


@pytest.mark.parametrize("unit", [1e-15, 1e9])
def test_the_unit_of_the_target_changes_no_answer(unit: float) -> None:
    """Nanometres or kilometres: what is a spread is judged beside the target."""
    rng = np.random.default_rng(5)
    truth = rng.normal(size=60)
    noise = rng.normal(size=(2, 60))

    def compare(factor: float):
        old, new = (
            Outcome("regression", truth * factor, said * factor, said * factor)
            for said in (truth + noise[0], truth + noise[1] / 3)
        )
        return paired_difference("mae", old, new)

    usual = compare(1.0)
    other = compare(unit)
    assert usual.p_value < 0.01
    assert other.method == usual.method
    assert other.p_value == pytest.approx(usual.p_value)
    for name in ("difference", "low", "high", "smallest_detectable"):
        assert getattr(other, name) == pytest.approx(getattr(usual, name) * unit)


def test_one_cluster_shows_no_spread_and_proves_nothing() -> None:
    old, new = pair(np.random.default_rng(2), "binary", 60, 60, (0.2, 3.0))
    c = paired_difference("log_loss", old, new)
    bound = "no spread to be seen: exact bound"
    assert c.method == f"paired influence values, 1 clusters, {bound}; 95% interval"
    assert c.p_value == 1
    scale = estimate("log_loss", old).scale
    assert c.smallest_detectable == pytest.approx(0.975 * scale)
    assert c.high == pytest.approx(0.025 * c.difference + 0.975 * scale)


def test_the_same_ranking_is_no_proof_in_a_few_rows() -> None:
    """Another scale of the scores: the AUC cannot differ; few rows prove little."""
    old, _ = pair(np.random.default_rng(2), rows=30)
    new = Outcome("binary", old.truth, old.decision, old.score**2, old.classes)
    c = paired_difference("roc_auc", old, new)
    assert (c.difference, c.p_value) == (0, 1)
    assert c.low < -0.1
    assert c.high > 0.1


def _through_time(seed: int, blocks: bool) -> bool:
    """Return whether two equally good models, each wrong for a while, differ."""
    rng, n = np.random.default_rng([9, seed]), 1_000
    hours = pd.Series(np.arange(n), name="hour")
    latent = rng.normal(size=n)
    truth = pd.Series(
        np.where(rng.random(n) < 1 / (1 + np.exp(-1.5 * latent)), "yes", "no")
    )
    signature = Signature(task="binary", target="y", features=(), classes=("no", "yes"))
    both = []
    for _ in range(2):
        off = lfilter([np.sqrt(1 - 0.9**2)], [1, -0.9], rng.normal(size=n))
        score = 1 / (1 + np.exp(-1.2 * (latent + 0.9 * off)))
        said = pd.DataFrame(
            {"prediction": np.where(score < 0.5, "no", "yes"), "score": score}
        )
        about = signature.model_copy(update={"positive": "yes"})
        both.append(outcome(about, truth, said, time_blocks(hours) if blocks else None))
    seen = paired_difference("roc_auc", *both)
    return not seen.low <= 0 <= seen.high


def test_stretches_of_time_keep_the_error_rate_where_neighbours_are_alike() -> None:
    """500 worlds: 5 %; 1 of 1,000 tests exceeds 8.2 %; rows alone would double it."""
    assert np.mean([_through_time(i, blocks=True) for i in range(500)]) <= 0.082
    assert np.mean([_through_time(i, blocks=False) for i in range(500)]) > 0.082


def test_equal_times_are_in_one_stretch_and_one_time_is_none() -> None:
    months = pd.Series(np.repeat(np.arange(12), 50), name="month")
    blocks = time_blocks(months)
    assert blocks is not None and blocks.nunique() == 12
    assert (blocks.groupby(months).nunique() == 1).all()
    halves = time_blocks(months // 6)
    assert halves is not None and halves.nunique() == 2
    assert time_blocks(months * 0) is None
    assert time_blocks(pd.Series(np.arange(1_000))).value_counts().tolist() == [50] * 20
