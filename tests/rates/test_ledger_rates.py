"""How often a test part that is asked many times lets something worthless through.

Models are reduced to their errors. On any part, a model's figure is its quality plus an
error of its own (one standard deviation), so that the difference of two models has an
error of the root of two. Worthless models are exactly as good as the champion. What is
under test is how the ledger counts and what a question may spend: `share_of_alpha`,
`Ledger`, `inherited`, `sketch` and `share_in` of the engine.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from engine.conftest import spec_of
from mlops.config.model_spec import ModelSpec
from mlops.data.row_sketch import recognised_by, share_in, sketch
from mlops.gate.findings import decision_of, finding_of
from mlops.gate.ledger import QUESTIONS, Ledger, inherited, share_of_alpha
from mlops.gate.rules import Rule
from mlops.results.verdict import Comparison

ALPHA = 0.05  # gate.alpha: a useless change passes with a chance of half of it
WORLDS = 40_000
SPREAD = np.sqrt(2.0)  # of the difference of two models
EIGHTY = norm.isf(ALPHA / 2) + norm.ppf(0.8)  # found by one question in 80 of 100
SHARES = np.array([share_of_alpha(number) for number in range(1, QUESTIONS + 2)])


def thresholds(shares: np.ndarray) -> np.ndarray:
    """Return what the difference, in its own error, has to exceed."""
    return np.asarray(norm.isf(ALPHA / 2 * shares))


def test_ten_questions_have_the_whole_alpha_and_the_eleventh_nothing() -> None:
    assert SHARES[:QUESTIONS].sum() == pytest.approx(1)
    assert SHARES[QUESTIONS] == 0
    assert Ledger(0).spent == 0
    assert Ledger(3).spent == pytest.approx(0.297)
    assert Ledger(25).spent == pytest.approx(1)


def worthless(questions: int, shares: np.ndarray, seed: int) -> float:
    """Return how often one of many worthless models, made in ignorance, passes."""
    rng = np.random.default_rng(seed)
    champion = rng.normal(size=WORLDS)
    passed = np.zeros(WORLDS, dtype=bool)
    for limit in thresholds(shares)[:questions]:
        passed |= (rng.normal(size=WORLDS) - champion) / SPREAD > limit
    return float(passed.mean())


def test_something_worthless_passes_ten_questions_with_at_most_alpha() -> None:
    """Seen: 0.020. The limit is half of `gate.alpha`, as for one comparison."""
    assert worthless(QUESTIONS, SHARES, 70) <= ALPHA / 2


def test_without_the_ledger_thirty_questions_let_something_worthless_through() -> None:
    """Seen: 0.257."""
    assert worthless(30, np.ones(30), 71) > 0.2


def test_the_tenth_question_finds_half_of_what_one_question_finds_in_eighty() -> None:
    """Seen: 0.509 at the tenth, 0.496 at the nine before."""
    rng = np.random.default_rng(72)
    found = rng.normal(size=10 * WORLDS) + EIGHTY
    limits = thresholds(SHARES[:QUESTIONS])
    assert (found > limits[-1]).mean() >= 0.5
    assert all((found > limit).mean() > 0.49 for limit in limits)


# -- an author who learns from what is shown -------------------------------------------


def adaptive(
    pushes: int,
    shares: np.ndarray,
    shown: str,
    seed: int,
    rows: int = WORLDS // 4,
) -> float:
    """Return how often an author who climbs gets something worthless promoted.

    Each push is a variation of the best model so far, by the figures that are shown:
    all of the validation part, or all of the test part. What validation promotes is put
    to the test part, and one that fails is left behind: the next variation begins from
    a fresh model.
    """
    rng = np.random.default_rng(seed)
    own = 0.3
    champion_seen, champion = rng.normal(size=(2, rows))
    seen, hidden = rng.normal(size=(2, rows))
    count = np.zeros(rows, dtype=int)
    passed = np.zeros(rows, dtype=bool)
    limits = np.append(thresholds(shares), np.inf)
    for _ in range(pushes):
        new_seen = np.sqrt(1 - own**2) * seen + own * rng.normal(size=rows)
        new_hidden = np.sqrt(1 - own**2) * hidden + own * rng.normal(size=rows)
        climbs = new_seen > seen if shown == "validation" else new_hidden > hidden
        promoted = (new_seen - champion_seen) / SPREAD > norm.isf(ALPHA / 2)
        if shown == "test":
            promoted[:] = True
        asks = promoted & ~passed
        limit = limits[np.minimum(count, len(limits) - 1)]
        passed |= asks & ((new_hidden - champion) / SPREAD > limit)
        count += asks
        fresh = asks & ~passed & (shown == "validation")
        seen = np.where(climbs, new_seen, seen)
        hidden = np.where(climbs, new_hidden, hidden)
        seen = np.where(fresh, rng.normal(size=rows), seen)
        hidden = np.where(fresh, rng.normal(size=rows), hidden)
    return float(passed.mean())


def test_a_hundred_pushes_of_an_author_who_learns_stay_within_twice_alpha() -> None:
    """Seen: 0.0075. Twice the alpha of one comparison is 0.05."""
    assert adaptive(100, SHARES, "validation", 73) <= 2 * ALPHA / 2


def test_the_same_author_gets_through_where_the_test_part_is_shown() -> None:
    """Every push asks the test part, shows its figures and spends a whole alpha.

    Seen: 0.994.
    """
    assert adaptive(100, np.ones(100), "test", 74) > 0.9


# -- the account belongs to the rows ---------------------------------------------------


SPEC = ModelSpec.model_validate(spec_of())
BY = recognised_by(SPEC)


def part(rng: np.random.Generator, units: int) -> np.ndarray:
    """Return the hashes of a test part."""
    return np.unique(rng.integers(0, 2**64, size=units, dtype=np.uint64))


def changed(
    rng: np.random.Generator, units: np.ndarray, rows: int, added: bool
) -> np.ndarray:
    """Return a test part in which some rows are new, or that has some more."""
    kept = units if added else rng.permutation(units)[rows:]
    return np.unique(np.concatenate([kept, part(rng, rows)]))


@pytest.mark.parametrize("units", [300, 2_000, 50_000])
@pytest.mark.parametrize("added", [True, False])
def test_one_changed_row_before_each_question_buys_nothing(
    units: int, added: bool
) -> None:
    """Of a hundred pushes each with a new row, ten are asked and no more."""
    rng = np.random.default_rng([75, units])
    present = part(rng, units)
    sketches = []
    numbers = []
    for _ in range(100):
        present = changed(rng, present, 1, added)
        shares = [share_in(present, BY, before) for before in sketches]
        number = Ledger(inherited(shares)).number
        numbers.append(number)
        if number <= QUESTIONS:
            sketches.append(sketch(SPEC, present))
    # 100 new rows of 300 are a quarter of a part, and may buy a quarter of an account.
    new = 100 / (units + 100) if added else 100 / units
    assert len(sketches) <= np.ceil(QUESTIONS / (1 - new)) + 1
    assert numbers[:QUESTIONS] == list(range(1, QUESTIONS + 1))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("units", [400, 20_000])
def test_a_part_keeps_its_questions_by_the_share_of_rows_that_it_keeps(
    units: int, share: float
) -> None:
    rng = np.random.default_rng([76, units, int(100 * share)])
    before = part(rng, units)
    kept = rng.permutation(before)[: int(share * units)]
    now = np.unique(np.concatenate([kept, part(rng, units - len(kept))]))
    found = share_in(now, BY, sketch(SPEC, before))
    assert found == pytest.approx(share, abs=0.08)
    if share in (0.0, 1.0):
        assert found == share
    count = inherited([found] * QUESTIONS)
    assert abs(count - QUESTIONS * share) <= 1


def test_more_than_twice_the_rows_leave_less_than_half_of_the_questions() -> None:
    rng = np.random.default_rng(77)
    before = part(rng, 5_000)
    now = np.unique(np.concatenate([before, part(rng, 7_000)]))
    assert inherited([share_in(now, BY, sketch(SPEC, before))] * QUESTIONS) in (4, 5)


def test_rows_that_cannot_be_recognised_count_as_the_same() -> None:
    """Where the columns of the split change, nobody can tell which rows they are."""
    rng = np.random.default_rng(78)
    before = sketch(SPEC, part(rng, 1_000))
    assert share_in(part(rng, 1_000), ("another",), before) == 1.0
    assert share_in(part(rng, 4_000), ("another",), before) == pytest.approx(0.25)
    assert share_in(part(rng, 0), BY, before) == 1.0


def test_a_sketch_names_no_row() -> None:
    """24 bits of a hash are shared by many ids: none can be read from them."""
    stored = sketch(SPEC, part(np.random.default_rng(79), 100_000))
    assert len(stored.codes) == 512
    assert all(len(code) == 6 for code in stored.codes)
    assert len(stored.model_dump_json()) < 8_000


# -- refreshes spend nothing -----------------------------------------------------------


MARGIN = 0.01
REFRESH = Rule("non-inferiority", ("roc_auc",), ALPHA, MARGIN)
DAYS = 365


def is_not_worse(difference: float, error: float) -> bool:
    """Return whether the gate's rule promotes on this difference."""
    reach = norm.isf((1 - REFRESH.confidence) / 2) * error
    comparison = Comparison(
        metric="roc_auc",
        champion=0.8,
        challenger=0.8 + difference,
        difference=difference,
        low=difference - reach,
        high=difference + reach,
        confidence=REFRESH.confidence,
        smallest_detectable=reach,
        method="DeLong",
    )
    return decision_of(finding_of(comparison, REFRESH), REFRESH) == "promote"


def lived(
    seed: int, spread: float, decay: float = 0.0, lives: int = 2_000
) -> np.ndarray:
    """Return the true difference to the anchor in production, by life and day.

    Each day's model has a quality of its own around that of the anchor, less what has
    decayed since. It is compared with production and with the anchor on 10,000 rows, of
    which a day replaces few: the error of a model's figure stays with it.
    """
    rng = np.random.default_rng(seed)
    error = 0.0025  # of one model's own part: a difference has 0.0035
    present = np.zeros(lives)
    present_error = np.zeros(lives)
    days = np.empty((lives, DAYS))
    reach = norm.isf(ALPHA) * error * SPREAD
    for day in range(DAYS):
        quality = rng.normal(0, spread, lives) - decay * day / DAYS
        own = rng.normal(0, error, lives)
        shown = quality + own
        better = shown - (present + present_error) - reach > -MARGIN
        anchored = shown - reach > -MARGIN
        passes = better & anchored
        present = np.where(passes, quality, present)
        present_error = np.where(passes, own, present_error)
        days[:, day] = present
    return days


@pytest.mark.parametrize(
    ("spread", "decay"),
    [
        (0.0, 0.0),
        (0.003, 0.0),
        (0.01, 0.0),
        (0.03, 0.0),
        (0.003, 0.01),
        (0.003, 0.02),
        (0.003, 0.04),
    ],
)
def test_a_year_of_daily_refreshes_is_beyond_the_margin_on_few_days(
    spread: float, decay: float
) -> None:
    """Seen: at most 0.020 of all days, where quality decays by four margins.

    Where each day's model is exactly a little worse than the last, by two margins in
    the year, it is 0.060: production stays within 0.004 of the margin, on most days
    within 0.001.
    """
    days = lived(80, spread, decay)
    assert (days < -MARGIN).mean() <= ALPHA


def test_the_rule_of_the_simulation_is_that_of_the_gate() -> None:
    error = 0.0025 * SPREAD
    reach = norm.isf(ALPHA) * error
    for difference in (-0.02, -MARGIN, -0.005, -0.004, 0.0, 0.01):
        assert is_not_worse(difference, error) == (difference - reach > -MARGIN)
