"""The page of error rates: what it tells is what the benchmark asks, and holds."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "error-rates.md"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = ROOT / "benchmarks" / "error_rates.py"
    spec = importlib.util.spec_from_file_location("error_rates", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["error_rates"] = module
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def table() -> list[list[str]]:
    """Return the cells of the page's table, without its head."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if "|" in line]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def shares(cell: str) -> list[float]:
    return [float(number) / 100 for number in re.findall(r"([\d.]+) %", cell)]


def test_the_page_has_each_question_with_its_goal_and_worlds(
    benchmark: ModuleType,
) -> None:
    told = [(row[0], row[1], shares(row[2]), row[5]) for row in table()]
    asked = [
        (q.group, q.what, [pytest.approx(q.goal)], f"{q.worlds:,}")
        for q in benchmark.QUESTIONS
    ]
    assert told == asked
    assert [bool(row[6]) for row in table()] == [
        q.plain is not None for q in benchmark.QUESTIONS
    ]


def test_no_rate_of_the_page_is_shown_to_miss_its_goal() -> None:
    for _, what, goal, rate, interval, _, _ in table():
        (limit,) = shares(goal)
        low, high = shares(interval)
        assert low <= shares(rate)[0] <= high, what
        if goal.startswith("at most"):
            assert low <= limit, what
        else:
            assert high >= limit, what


def test_a_rate_is_counted_over_all_worlds_whoever_runs_them(
    benchmark: ModuleType,
) -> None:
    class Here:
        def map(self, work: Any, parts: list[range]) -> list[int]:
            seeds = [seed for part in parts for seed in part]
            assert seeds == list(range(1_000, 1_043))
            return [work(part) for part in parts]

    assert benchmark.spread(Here(), lambda seed: seed % 10 == 0, 43) == 5


@pytest.mark.parametrize(
    ("hits", "low", "high"), [(0, 0.0, 0.0362), (5, 0.0164, 0.1128), (100, 0.9638, 1.0)]
)
def test_the_interval_of_a_rate_is_exact(
    benchmark: ModuleType, hits: int, low: float, high: float
) -> None:
    rate = benchmark.Rate(hits, 100, None)
    assert rate.interval() == pytest.approx((low, high), abs=1e-4)
