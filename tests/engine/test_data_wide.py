"""Many columns are cast together, and each comes out as it would alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest

from mlops.data.summary import Numbers, numbers_in
from mlops.data.types import cast_all
from mlops.evaluation.checks import CheckContext, missing_values

COLUMNS = 1000

TEXTS = [" Yes", "no", "1", "0.0", "2", "2.0", "1e3", "007", "", "ä", "inf", None]
MIXED = [True, "true", 1, 2.0, None, 3.5, "x", np.nan]
COLUMN_TYPES: dict[str, Callable[[int], pd.Series]] = {
    "text": lambda n: pd.Series(np.resize(TEXTS, 24), dtype="str").shift(n % 3),
    "text of python": lambda n: pd.Series((TEXTS * 2)[n % 3 :] + [None] * (n % 3)),
    "booleans with gaps": lambda n: pd.Series([True, None, False] * 8).shift(n % 2),
    "anything": lambda n: pd.Series((MIXED * 3), dtype="object").shift(n % 4),
    "whole numbers": lambda n: pd.Series(range(n, n + 24)),
    "nullable": lambda n: pd.Series([1, None, n] * 8, dtype="Int64"),
    "decimals": lambda n: pd.Series([n + 0.5, n, np.nan] * 8),
    "booleans": lambda n: pd.Series([True, False, n % 2 == 0] * 8),
    "categories": lambda n: pd.Series(["a", str(n), "b"] * 8, dtype="category"),
    "dates": lambda n: pd.Series(pd.date_range("2020-01-01", periods=24)),
}


@pytest.mark.parametrize("kind", ["number", "boolean", "category", "text", "date"])
def test_columns_are_cast_together_as_each_alone(kind: str) -> None:
    """Of every way that pandas holds a column, beside columns of every other."""
    frame = pd.DataFrame(
        {
            f"{name} {copy}": make(copy)
            for copy in range(3)
            for name, make in COLUMN_TYPES.items()
        }
    )
    frame.index = pd.Index(range(100, 124))
    kinds = dict.fromkeys(frame.columns, kind)
    together, wrong = cast_all(frame, kinds)
    assert list(together.columns) == list(frame.columns)
    for name in frame.columns:
        alone, wrong_alone = cast_all(frame[[name]], {name: kind})
        pd.testing.assert_series_equal(together[name], alone[name])
        np.testing.assert_array_equal(
            wrong.get(name, np.zeros(24, bool)),
            wrong_alone.get(name, np.zeros(24, bool)),
        )


def test_columns_come_back_in_their_declared_order() -> None:
    frame = pd.DataFrame({"a": ["x"], "b": [1.5], "c": ["yes"], "d": ["y"]})
    kinds = {"d": "category", "c": "boolean", "b": "number", "a": "category"}
    out, wrong = cast_all(frame, kinds)
    assert list(out.columns) == ["d", "c", "b", "a"]
    assert out.iloc[0].tolist() == ["y", 1.0, 1.5, "x"]
    assert not wrong


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", "3"),
        ("number", None),
        ("boolean", "yes"),
        ("boolean", None),
        ("boolean", True),
        ("category", "a"),
        ("category", 3),
    ],
)
def test_a_thousand_columns_are_cast_together_and_not_one_by_one(
    kind: str, value: object
) -> None:
    names = [f"c{number}" for number in range(COLUMNS)]
    frame = pd.DataFrame([[value] * COLUMNS], columns=names)
    kinds = dict.fromkeys(names, kind)
    together = seconds_of(lambda: cast_all(frame, kinds)) / COLUMNS
    single = {names[0]: kind}
    alone = seconds_of(lambda: cast_all(frame[names[:1]], single))
    assert together < alone / 2


def seconds_of(do: Callable[[], object]) -> float:
    """Return the least processor time that a call took."""
    times = []
    for _ in range(5):
        begun = time.process_time()
        do()
        times.append(time.process_time() - begun)
    return min(times)


def test_the_facts_of_numbers_are_those_of_each_column_alone() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(501, 40)) * 10.0 ** rng.integers(-9, 9, 40)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[:, 0] = np.nan
    values[:, 1] = 1e308
    frame = pd.DataFrame(values, columns=[f"c{number}" for number in range(40)])
    frame["word"] = pd.Series(["x"] * 501, dtype="str")
    found = numbers_in(frame)
    assert list(found) == [f"c{number}" for number in range(40)]
    assert found["c0"] == Numbers(missing=501)
    assert found["c1"].mean == 1e308, "the sum is beyond all numbers"
    for name in list(found)[2:]:
        column = frame[name]
        assert found[name] == Numbers(
            missing=int(column.isna().sum()),
            low=column.min(),
            mean=pytest.approx(column.mean(), rel=1e-12),
            high=column.max(),
        )


@pytest.mark.parametrize("columns", [3, 300])
def test_checks_ask_a_model_as_often_for_many_columns_as_for_few(columns: int) -> None:
    """And every column keeps its type: a table of objects takes ten times as long."""
    names = [f"c{number}" for number in range(columns)]
    frame = pd.DataFrame({name: [1.0, 2.0] for name in names})
    frame["word"] = pd.Series(["a", "b"], dtype="str")
    frame["day"] = pd.Series(pd.to_datetime(["2020-01-01", "2021-01-01"]))
    asked: list[pd.DataFrame] = []

    def scored(rows: pd.DataFrame) -> np.ndarray:
        asked.append(rows)
        return np.zeros((len(rows), 1))

    s = SimpleNamespace(
        some=lambda most: frame.head(most),
        scored=scored,
        spec=SimpleNamespace(features=dict.fromkeys(frame.columns, "number")),
    )
    assert list(missing_values(cast(CheckContext, s))) == [("", True, "")]
    (rows,) = asked
    assert rows.dtypes.equals(frame.dtypes)
    missing = rows.isna()
    each = len(rows) // (len(frame.columns) + 1)
    for position, name in enumerate(frame.columns):
        only = missing.iloc[position * each : (position + 1) * each]
        assert only[name].all() and only.drop(columns=name).sum().sum() == 0
    assert missing.iloc[-each:].all().all(), "and all of them together"
