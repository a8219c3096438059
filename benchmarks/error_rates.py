"""How often the verdict and the alarms are wrong, over many seeded worlds.

Usage: python benchmarks/error_rates.py [--worlds SHARE] [--processes N] [--write]

The worlds are those of `tests/rates`, which runs a few of them each time; here there
are more. SHARE (default 1.0) of the worlds are run, in N processes (default 2). With
--write the table and the picture in docs are replaced; it is refused for a part of the
worlds. The same seeds give the same figures on every machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "{{cookiecutter.project_slug}}" / "vendor" / "mlops" / "src"
TABLE = ROOT / "docs" / "explanation" / "error-rates.md"
PICTURES = ROOT / "docs" / "images"

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one world, one thread
sys.path[:0] = [str(ENGINE), str(ROOT / "tests"), str(ROOT / "scripts")]

import numpy as np  # noqa: E402
from rates import test_anchor_rates as anchor  # noqa: E402
from rates import test_comparison_rates as comparison  # noqa: E402
from rates import test_drift_over_a_year as drift  # noqa: E402
from rates import test_fairness_rates as fairness  # noqa: E402
from rates import test_interval_coverage as coverage  # noqa: E402
from rates import test_ledger_rates as ledger  # noqa: E402
from rates import test_performance_over_a_year as performance  # noqa: E402
from rates import test_slice_rates as slices  # noqa: E402
from scipy.stats import beta  # noqa: E402

CONFIDENCE = 0.95  # of the intervals around the rates

FIRST_SEED = 1_000  # the tests begin with 0: these are other worlds


@dataclass(frozen=True)
class Question:
    """Something that happens in a share of the worlds.

    Parameters
    ----------
    group, what : str
        A few words for table and picture.
    goal : float
        What the share is to be at most, or at least.
    happens : callable
        Whether it happens in the world of a seed.
    worlds : int
    plain : callable, optional
        Whether it happens there by the plain rule that the project does not follow.
    at_least : bool
        Whether the goal is a lower one: something that is to be found.
    """

    group: str
    what: str
    goal: float
    happens: Callable[[int], bool]
    worlds: int
    plain: Callable[[int], bool] | None = None
    at_least: bool = False


@dataclass(frozen=True)
class Rate:
    """The answer to a question: how often of how many, and by the plain rule."""

    hits: int
    worlds: int
    plain: float | None

    @property
    def share(self) -> float:
        """The share of the worlds."""
        return self.hits / self.worlds

    def interval(self) -> tuple[float, float]:
        """Return the exact interval of the share (Clopper and Pearson 1934)."""
        tail = (1 - CONFIDENCE) / 2
        rest = self.worlds - self.hits
        low = float(beta.ppf(tail, self.hits, rest + 1)) if self.hits else 0.0
        high = float(beta.isf(tail, self.hits + 1, rest)) if rest else 1.0
        return low, high


# -- the worlds ------------------------------------------------------------------------


def false_drift(reference: int, per_check: int, seed: int) -> bool:
    """Return whether unchanged rows alarm in 520 checks."""
    return drift.year(seed, reference, per_check) <= drift.LEVEL


def found_shift(size: float, within: int, seed: int) -> bool:
    """Return whether a shift of one of ten numbers is found within some checks."""
    return drift.checks_until_found(seed, size, 500, 200, within) <= within


def by_unit(shift: float, is_by_unit: bool, seed: int) -> bool:
    """Return whether rows of customers alarm, who have ten rows each."""
    return drift.found_by_unit(seed, shift, by_unit=is_by_unit)


def new_level(share: float, seed: int) -> bool:
    """Return whether a level that is new in so many rows alarms at once."""
    return drift.chance_of_a_new_level(seed, 500, share) <= drift.LEVEL


def false_loss(per_day: int, seed: int) -> bool:
    """Return whether a model that holds alarms within a year of labels."""
    return performance.first_alarm(seed, per_day, 365) < 365


def found_loss(after: float, within: int, seed: int) -> bool:
    """Return whether a loss of 0.19 that rises is found within some days."""
    day = performance.first_alarm(seed, 300, 50 + within, after, at=50)
    return 50 <= day < 50 + within


def breach(groups: int, rows: int, gap: float, by_bound: bool, seed: int) -> bool:
    """Return whether a limit of 0.1 between groups is called exceeded."""
    found = fairness.world((seed,), groups, rows, gap)
    return (found.low if by_bound else found.difference) > fairness.LIMIT


def slice_rejects(number: int, harm: float, seed: int) -> bool:
    """Return whether the slices against production reject."""
    return not slices.judged(seed, number, 150 if not harm else 300, harm).ok


def through_periods(periods: int, alone: bool, seed: int) -> bool:
    """Return whether an equal model passes where rows of a period share a shock."""
    return comparison.through_periods(seed, periods, 1.0, alone)


def creeps(anchored: bool, seed: int) -> bool:
    """Return whether thirty refreshes lose more than the margin and one step."""
    lost = anchor.quality()[0] - anchor.life(seed, anchor.STEP, anchored)[-1]
    return bool(lost > anchor.MARGIN + anchor.STEP)


def misses(name: str, rows: int, is_told: bool, seed: int) -> bool:
    """Return whether an interval misses the truth, and says nothing if `is_told`."""
    metric, world = coverage.WORLD[name]
    outcome = world(np.random.default_rng([41, rows, seed]), rows)
    found = coverage.measure_metric(metric, outcome)
    truth = coverage.TRUTH[name]
    missed = not found.low <= truth <= found.high
    return missed and not (is_told and found.few)


def ten_questions(has_ledger: bool, seed: int) -> bool:
    """Return whether something worthless passes thirty questions to one part."""
    shares = ledger.SHARES if has_ledger else np.ones(30)
    questions = ledger.QUESTIONS if has_ledger else 30
    rng = np.random.default_rng([90, seed])
    champion = rng.normal()
    differences = (rng.normal(size=questions) - champion) / ledger.SPREAD
    limits = ledger.thresholds(shares)[:questions]
    return bool((differences > limits).any())


def hundred_pushes(has_ledger: bool, seed: int) -> bool:
    """Return whether an author who learns gets something worthless through."""
    if has_ledger:
        found = ledger.adaptive(100, ledger.SHARES, "validation", seed, rows=1)
    else:
        found = ledger.adaptive(100, np.ones(100), "test", seed, rows=1)
    return found > 0


QUESTIONS: tuple[Question, ...] = (
    Question(
        "Verdict",
        "something worthless passes, whatever is asked of one test part",
        0.025,
        partial(ten_questions, True),
        20_000,
        partial(ten_questions, False),
    ),
    Question(
        "Verdict",
        "an author who learns from 100 pushes gets something worthless through",
        0.05,
        partial(hundred_pushes, True),
        4_000,
        partial(hundred_pushes, False),
    ),
    Question(
        "Verdict",
        "30 refreshes lose more than the margin and one step",
        0.05,
        partial(creeps, True),
        40,
        partial(creeps, False),
    ),
    Question(
        "Verdict",
        "an equal model passes, 5 periods that share a shock",
        0.03,
        partial(through_periods, 5, False),
        2_000,
        partial(through_periods, 5, True),
    ),
    Question(
        "Verdict",
        "10 equal slices reject",
        0.05,
        partial(slice_rejects, 10, 0.0),
        1_000,
    ),
    Question(
        "Verdict",
        "a slice that lost much is found",
        0.80,
        partial(slice_rejects, 10, 0.8),
        400,
        at_least=True,
    ),
    Question(
        "Groups",
        "5 equal groups of 100 rows are called 0.1 apart",
        0.05,
        partial(breach, 5, 100, 0.0, True),
        4_000,
        partial(breach, 5, 100, 0.0, False),
    ),
    Question(
        "Groups",
        "10 groups of 100 rows, 0.1 apart, are called more",
        0.05,
        partial(breach, 10, 100, 0.1, True),
        4_000,
        partial(breach, 10, 100, 0.1, False),
    ),
    Question(
        "Groups",
        "a gap of 0.25 between 5 groups of 100 rows is found",
        0.60,
        partial(breach, 5, 100, 0.25, True),
        2_000,
        at_least=True,
    ),
    Question(
        "Intervals",
        "RMSE of heavy-tailed errors, 400 rows: misses without a word",
        0.07,
        partial(misses, "rmse, t(3)", 400, True),
        2_000,
        partial(misses, "rmse, t(3)", 400, False),
    ),
    Question(
        "Intervals",
        "RMSE of lognormal errors, 400 rows: misses without a word",
        0.07,
        partial(misses, "rmse, lognormal", 400, True),
        2_000,
        partial(misses, "rmse, lognormal", 400, False),
    ),
    Question(
        "Drift",
        "nothing changes: a false alarm in 520 checks of 30 rows",
        0.025,
        partial(false_drift, 200, 30),
        200,
    ),
    Question(
        "Drift",
        "nothing changes: a false alarm in 520 checks of 100 rows",
        0.025,
        partial(false_drift, 1000, 100),
        200,
    ),
    Question(
        "Drift",
        "nothing changes, 10 rows of each customer: a false alarm in 3 checks",
        0.025,
        partial(by_unit, 0.0, True),
        200,
        partial(by_unit, 0.0, False),
    ),
    Question(
        "Drift",
        "0.5 standard deviations, 10 rows of each customer: found in 3 checks",
        0.80,
        partial(by_unit, 0.5, True),
        100,
        at_least=True,
    ),
    Question(
        "Drift",
        "0.3 standard deviations in 1 of 10 columns: found in 10 checks of 200",
        0.80,
        partial(found_shift, 0.3, 10),
        200,
        at_least=True,
    ),
    Question(
        "Drift",
        "a new level in 1 of 10 rows: found by one check of 500",
        0.80,
        partial(new_level, 0.1),
        200,
        at_least=True,
    ),
    Question(
        "Performance",
        "the model holds: a false alarm in a year, 30 labels a day",
        0.025,
        partial(false_loss, 30),
        400,
    ),
    Question(
        "Performance",
        "the model holds: a false alarm in a year, 300 labels a day",
        0.025,
        partial(false_loss, 300),
        400,
    ),
    Question(
        "Performance",
        "the model holds: a false alarm in a year, 3,000 labels a day",
        0.025,
        partial(false_loss, 3000),
        400,
    ),
    Question(
        "Performance",
        "a loss of 0.19 that rises to 0.24: found in 5 days, 300 labels a day",
        0.50,
        partial(found_loss, 0.24, 5),
        400,
        at_least=True,
    ),
    Question(
        "Performance",
        "a loss of 0.19 that rises to 0.21: found in 45 days, 300 labels a day",
        0.50,
        partial(found_loss, 0.21, 45),
        400,
        at_least=True,
    ),
)


# -- the answers -----------------------------------------------------------------------


def count(happens: Callable[[int], bool], seeds: range) -> int:
    """Return in how many worlds something happens."""
    return sum(bool(happens(seed)) for seed in seeds)


def answer(pool: ProcessPoolExecutor, question: Question, share: float) -> Rate:
    """Return how often it happens, over a share of the worlds."""
    worlds = max(1, round(share * question.worlds))
    hits = spread(pool, question.happens, worlds)
    plain = None
    if question.plain is not None:
        few = max(1, worlds // 4)  # a rate that is far from the goal needs no more
        plain = spread(pool, question.plain, few) / few
    return Rate(hits, worlds, plain)


def spread(
    pool: ProcessPoolExecutor, happens: Callable[[int], bool], worlds: int
) -> int:
    """Return in how many worlds something happens, counted by several processes."""
    size = max(1, worlds // 20)
    end = FIRST_SEED + worlds
    seeds = [range(at, min(at + size, end)) for at in range(FIRST_SEED, end, size)]
    return sum(pool.map(partial(count, happens), seeds))


def percent(share: float) -> str:
    """Return a share as a percentage of one decimal."""
    return f"{100 * share:.1f} %"


def table(questions: Sequence[Question], rates: Sequence[Rate]) -> str:
    """Return the table of the docs."""
    lines = [
        "| | what happens | goal | rate | 95 % interval | worlds | plain rule |",
        "| --- | --- | --: | --: | --: | --: | --: |",
    ]
    for question, rate in zip(questions, rates, strict=True):
        low, high = rate.interval()
        sign = "at least" if question.at_least else "at most"
        plain = "" if rate.plain is None else percent(rate.plain)
        cells = (
            question.group,
            question.what,
            f"{sign} {percent(question.goal)}",
            percent(rate.share),
            f"{percent(low)} to {percent(high)}",
            f"{rate.worlds:,}",
            plain,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def page(questions: Sequence[Question], rates: Sequence[Rate]) -> str:
    """Return the page of the docs."""
    return f"""# Error rates

How often the verdict and the alarms are wrong, in worlds whose truth is known. Written
by `python benchmarks/error_rates.py --write`; the seeds are fixed. The worlds are those
of `tests/rates`, which holds the same limits at every run with fewer of them.

**Plain rule** is what people do without the method: a test part that is asked again and
again, a point difference against a limit, rows that count as independent. Where it is
empty, it was not simulated. Where the interval holds the goal, so many worlds do not
tell whether it is met.

![Rates and goals](../images/error-rates.png)

{table(questions, rates)}
"""


def draw(questions: Sequence[Question], rates: Sequence[Rate], path: Path) -> None:
    """Draw rates, goals and plain rules: errors on the left, what is found beside."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    both = list(zip(questions, rates, strict=True))
    errors = [pair for pair in both if not pair[0].at_least]
    powers = [pair for pair in both if pair[0].at_least]
    heights = [len(errors) + 1, len(powers) + 1]
    figure, panels = plt.subplots(
        2,
        1,
        figsize=(11, 0.36 * sum(heights) + 1.6),
        gridspec_kw={"height_ratios": heights},
        layout="constrained",
    )
    titles = ("Errors: at most the goal", "What is there is found: at least the goal")
    for panel, pairs, title in zip(panels, (errors, powers), titles, strict=True):
        for at, (question, rate) in enumerate(pairs):
            low, high = rate.interval()
            panel.plot([low, high], [at, at], color="#1f5fa8", linewidth=3)
            panel.plot(rate.share, at, "o", color="#1f5fa8", markersize=7)
            panel.plot(question.goal, at, "|", color="#b3261e", markersize=18, mew=2.5)
            if rate.plain is not None:
                panel.plot(rate.plain, at, "x", color="#6b6b6b", markersize=8, mew=2)
        panel.set_yticks(range(len(pairs)), [q.what for q, _ in pairs])
        panel.set_ylim(len(pairs) - 0.5, -0.5)
        panel.set_xlim(-0.01, 1.01)
        panel.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f} %")
        panel.set_title(title, loc="left", fontsize=12, fontweight="bold")
        panel.grid(axis="x", color="#dddddd")
        panel.set_axisbelow(True)
        for side in ("top", "right", "left"):
            panel.spines[side].set_visible(False)
        panel.tick_params(axis="y", length=0)
    marks = [
        plt.Line2D([], [], color="#1f5fa8", marker="o", linewidth=3),
        plt.Line2D([], [], color="#b3261e", marker="|", linestyle="", mew=2.5, ms=14),
        plt.Line2D([], [], color="#6b6b6b", marker="x", linestyle="", mew=2),
    ]
    names = ["rate, with its 95 % interval", "goal", "plain rule"]
    figure.legend(marks, names, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Run the worlds, print the table, and write the docs where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=float, default=1.0, help="share of them")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="replace page and picture")
    parser.add_argument("--json", action="store_true", help="print the rates as JSON")
    options = parser.parse_args()
    if options.write and options.worlds != 1.0:
        parser.error("--write needs all worlds: leave out --worlds")
    rates = []
    with ProcessPoolExecutor(options.processes) as pool:
        for question in QUESTIONS:
            begun = time.monotonic()
            rates.append(answer(pool, question, options.worlds))
            took = time.monotonic() - begun
            share = percent(rates[-1].share)
            print(f"{share:>7}  {question.what} ({took:.0f} s)", file=sys.stderr)
    if options.write:
        TABLE.write_text(page(QUESTIONS, rates), encoding="utf-8")
        draw(QUESTIONS, rates, PICTURES / "error-rates.png")
    if options.json:
        facts = [[r.hits, r.worlds, r.plain] for r in rates]
        print(json.dumps(facts))
    else:
        print(table(QUESTIONS, rates))


if __name__ == "__main__":
    main()
