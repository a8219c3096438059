"""Drift: p-values that are what they say, alarms for what matters, few for nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from mlops.config.model_spec import Monitor
from mlops.monitoring.cells import cells_of, code, tally
from mlops.monitoring.drift import distance, p_value
from mlops.results.training import Feature

from .monitoring_rows import compare

RULE = Monitor()
KINDS = {
    **{f"n{i}": "number" for i in range(7)},
    **{f"c{i}": "category" for i in range(5)},
    "b": "boolean",
    "d": "date",
    "score": "number",
}


def rows(rng: np.random.Generator, n: int = 1000) -> pd.DataFrame:
    """Return fifteen columns: skewed, tied, with gaps, rare and many categories."""
    columns: dict[str, object] = {f"n{i}": rng.normal(0, 1, n) for i in range(5)}
    columns["n5"] = rng.integers(0, 4, n) * 1.0
    columns["n6"] = np.where(rng.random(n) < 0.1, np.nan, rng.exponential(1, n))
    for i, k in enumerate((2, 5, 20, 80, 3)):
        weights = 1 / np.arange(1, k + 1)
        text = pd.Series(
            rng.choice([f"v{j}" for j in range(k)], n, p=weights / weights.sum())
        )
        columns[f"c{i}"] = text.astype("str")
    columns["c4"] = pd.Series(columns["c4"]).where(rng.random(n) > 0.05)
    columns["b"] = (rng.random(n) < 0.02) * 1.0
    columns["d"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(
        rng.integers(0, 300, n), "D"
    )
    columns["score"] = rng.beta(2, 5, n)
    return pd.DataFrame(columns)


def alarms(old: pd.DataFrame, new: pd.DataFrame) -> set[str]:
    rng = np.random.default_rng(99)
    found = compare(old, new, KINDS, training=rows(rng))
    return {c.name for c in found if c.alarm}


def test_without_drift_an_alarm_is_rare_even_without_the_effect_floor() -> None:
    rng = np.random.default_rng(1)
    checks = [
        compare(rows(rng), rows(rng), KINDS, training=rows(rng)) for _ in range(150)
    ]
    found = [
        (any(c.alarm for c in check), any(c.q_value <= RULE.alpha for c in check))
        for check in checks
    ]
    with_floor, without = (sum(column) for column in zip(*found, strict=True))
    assert with_floor <= 0.05 * 150
    # Benjamini-Hochberg alone keeps to alpha: 14 of 150 is the 99 % quantile of
    # Binomial(150, 5 %).
    assert without <= 14


def test_every_planted_shift_is_found_and_nothing_else() -> None:
    rng = np.random.default_rng(2)
    hits = extra = 0
    for _ in range(60):
        old, new = rows(rng), rows(rng)
        new["n0"] += 0.6
        new["c1"] = new["c1"].where(rng.random(len(new)) > 0.25, "never seen")
        new.loc[rng.random(len(new)) < 0.2, "n1"] = np.nan
        found = alarms(old, new)
        hits += {"n0", "c1", "n1"} <= found
        extra += bool(found - {"n0", "c1", "n1"})
    assert hits >= 57
    assert extra <= 3


def test_a_significant_difference_that_is_small_is_no_alarm() -> None:
    rng = np.random.default_rng(3)
    old = pd.DataFrame({"n0": rng.normal(0, 1, 20_000)})
    new = pd.DataFrame({"n0": rng.normal(0.06, 1, 20_000)})
    (column,) = compare(old, new, {"n0": "number"})
    assert column.p_value < 1e-4
    assert 0 < column.effect < 0.1
    assert not column.alarm


@pytest.mark.parametrize("sizes", [(300, 300), (2000, 100)])
def test_p_values_of_sparse_tables_are_not_too_small(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    weights = np.r_[0.5, 0.3, np.full(40, 0.005)]
    tables = [
        np.array([rng.multinomial(n, weights) for n in sizes]) for _ in range(150)
    ]
    found = np.array([p_value(t) for t in tables])
    assert kstest(found, "uniform").pvalue > 0.001
    assert (found <= 0.05).mean() <= 0.1


def test_rare_cells_hardly_change_a_p_value() -> None:
    asymptotic = p_value(np.array([[60, 120, 20], [90, 100, 10]]))
    rare = np.array([[60, 120, 20, 1, 0], [90, 100, 10, 1, 0]])
    assert asymptotic == pytest.approx(p_value(rare), abs=0.01)
    assert p_value(np.array([[0, 0], [4, 5]])) == 1
    assert p_value(np.array([[3, 0], [0, 3]])) == 1


def test_distance_has_its_limits_and_no_bias() -> None:
    assert distance(np.array([[500, 0], [0, 500]])) == pytest.approx(1, abs=0.001)
    assert distance(np.array([[500, 500], [500, 500]])) == 0
    rng = np.random.default_rng(5)
    k = 50
    squares = [
        distance(np.array([rng.multinomial(n, np.full(k, 1 / k)) for n in (500, 500)]))
        ** 2
        for _ in range(200)
    ]
    uncorrected = (k - 1) * (2 / 500) / (8 * np.log(2))
    assert np.mean(squares) < uncorrected / 5


def test_repeated_values_and_constants_are_told_apart() -> None:
    old = pd.DataFrame({"n0": np.full(500, 5.0)})
    assert alarms_of(old, old, "number") == (1.0, 0.0)
    p, effect = alarms_of(old, old + 1, "number")
    assert p < 1e-6 and effect > 0.9


def alarms_of(old: pd.DataFrame, new: pd.DataFrame, kind: str) -> tuple[float, float]:
    (column,) = compare(old, new, {"n0": kind})
    return column.p_value, column.effect


def test_missing_values_count_as_a_difference() -> None:
    rng = np.random.default_rng(6)
    old = pd.DataFrame({"n0": rng.normal(size=800)})
    for kind, new in (
        ("number", old.where(rng.random((800, 1)) > 0.2)),
        ("category", old.round().astype("str").where(rng.random((800, 1)) > 0.2)),
    ):
        before = old if kind == "number" else old.round().astype("str")
        (column,) = compare(before, new, {"n0": kind})
        assert column.alarm
        assert column.reference_missing == 0 and column.missing == pytest.approx(
            0.2, abs=0.05
        )


def test_a_column_that_is_gone_alarms() -> None:
    rng = np.random.default_rng(7)
    old = pd.DataFrame({"n0": rng.normal(size=800), "c0": ["x", "y"] * 400})
    new = pd.DataFrame(
        {"n0": np.full(300, np.nan), "c0": pd.Series([None] * 300, dtype="str")}
    )
    found = compare(old, new, {"n0": "number", "c0": "category"})
    assert [c.alarm for c in found] == [True, True]


def test_unseen_values_are_counted() -> None:
    features = {
        "c0": Feature(name="c0", kind="category", missing=False, categories=("x", "y")),
        "n0": Feature(name="n0", kind="number", missing=False, low=0, high=10),
        "c1": Feature(name="c1", kind="category", missing=False, categories=None),
    }
    frame = pd.DataFrame(
        {
            "c0": ["x", "new", None],
            "n0": [-1.0, np.nan, 11.0],
            "c1": ["a", "b", "c"],
            "o": [1.0] * 3,
        }
    )
    kinds = {"c0": "category", "n0": "number", "c1": "category", "o": "number"}
    training = frame.assign(c0=["x", "y", "x"], n0=[0.0, 5.0, 10.0])
    found = compare(frame, frame, kinds, features, training=training)
    assert [(c.unseen, c.output) for c in found] == [
        (1, False),
        (2, False),
        (0, False),
        (0, True),
    ]


def test_many_categories_are_pooled_and_the_answer_is_the_same_again() -> None:
    rng = np.random.default_rng(8)
    before, old, new = (
        pd.Series([f"u{i}" for i in rng.integers(0, 100_000, 3000)]) for _ in range(3)
    )
    cells, _ = cells_of(old.rename("c0"), "category")
    assert cells.size == 28
    assert sum(tally(cells, code(cells, new))) == 3000
    frames = old.to_frame("c0"), new.to_frame("c0")
    training = before.to_frame("c0")
    first, second = (
        compare(*frames, {"c0": "category"}, training=training) for _ in range(2)
    )
    assert first == second
    assert not first[0].alarm


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(-1e300, 1e300)), min_size=1, max_size=30),
    st.lists(st.one_of(st.none(), st.floats(-1e300, 1e300)), min_size=1, max_size=30),
)
def test_any_two_columns_have_an_answer(
    old: list[float | None], new: list[float | None]
) -> None:
    for kind in ("number", "category"):
        frames = [
            pd.DataFrame({"x": pd.Series(v, dtype="float64")}) for v in (old, new)
        ]
        if kind == "category":
            frames = [f.astype("string").astype("str") for f in frames]
        (column,) = compare(*frames, {"x": kind})
        assert 0 < column.p_value <= 1 and 0 <= column.effect <= 1
        assert column.p_value <= column.q_value <= 1
