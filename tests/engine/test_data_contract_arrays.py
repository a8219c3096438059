"""What is computed on arrays is what Great Expectations says, word for word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
import pytest

from mlops.config.model_spec import ModelSpec
from mlops.config.yaml import parse
from mlops.data import contract
from mlops.data.contract import _evaluate, check, quiet
from mlops.data.contract_arrays import quick_result
from mlops.data.contract_wording import answered

from .conftest import spec_of

NUMBERS = {
    "all known": [1.0, 2.0, 50.0, -3.5, 0.0, 60.0] * 5,
    "some missing": [np.nan, 2.0, 50.0, np.nan, 0.0, 60.0] * 5,
    "all missing": [np.nan] * 30,
    "one value": [7.0] * 30,
    "booleans": [1.0, 0.0, np.nan] * 10,
}
TEXTS = {
    "words": ["a", "b", "", "z", None, "q"] * 5,
    "no words": [None] * 30,
    "one word": ["a"] * 30,
}
MOSTLY = (1.0, 0.9, 0.5, 2 / 3, 0.0)
RANGES: list[dict[str, Any]] = [
    {"min_value": 0, "max_value": 10},
    {"min_value": 0.0},
    {"max_value": 50},
    {"max_value": 50, "strict_max": True},
    {"min_value": 7, "max_value": 7},
    {"min_value": 0, "max_value": 60, "strict_min": True, "strict_max": True},
    {"min_value": 10, "max_value": 60, "strict_min": True},
]


def table(rows: int = 30) -> pd.DataFrame:
    """Return the columns as a Dataset holds them."""
    numbers = pd.DataFrame(NUMBERS, dtype="float64")
    texts = pd.DataFrame(TEXTS, dtype="str")
    return pd.concat([numbers, texts], axis=1).head(rows)


def asked_of(mostly: float) -> list[Any]:
    """Return expectations of every kind that is computed on arrays."""
    found: list[Any] = []
    for name in (*NUMBERS, *TEXTS):
        found.append(gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=mostly))
    for name in NUMBERS:
        for limits in RANGES:
            found.append(
                gxe.ExpectColumnValuesToBeBetween(column=name, mostly=mostly, **limits)
            )
        found.append(
            gxe.ExpectColumnValuesToBeInSet(
                column=name, value_set=[0, 1, 2.0, 7], mostly=mostly
            )
        )
    for name in TEXTS:
        found.append(
            gxe.ExpectColumnValuesToBeInSet(
                column=name, value_set=["a", "b", ""], mostly=mostly
            )
        )
    return found


@pytest.mark.parametrize("mostly", MOSTLY)
def test_answers_are_those_of_great_expectations(mostly: float) -> None:
    frame = table()
    expectations = asked_of(mostly)
    with quiet():
        theirs = _evaluate(dict(enumerate(expectations)), frame)
    for position, expectation in enumerate(expectations):
        ours = quick_result(expectation, frame)
        assert ours is not None
        one = answered(expectation, ours, ())
        other = answered(expectation, theirs[position], ())
        assert one == other, expectation


class OfTheirOwn(gxe.ExpectColumnValuesToBeBetween):
    """A class of the user's, which may ask something else."""


LEFT: dict[str, Any] = {
    "another kind": gxe.ExpectColumnValuesToBeUnique(column="words"),
    "of a table": gxe.ExpectTableRowCountToBeBetween(min_value=1),
    "a class of the user's": OfTheirOwn(column="one value", min_value=0),
    "a condition": gxe.ExpectColumnValuesToBeBetween(
        column="one value",
        min_value=0,
        row_condition="booleans == 1",
        condition_parser="pandas",
    ),
    "numbers of a text": gxe.ExpectColumnValuesToBeBetween(
        column="words", min_value=0, max_value=1
    ),
    "texts of a number": gxe.ExpectColumnValuesToBeInSet(
        column="one value", value_set=["7"]
    ),
    "a column that is not there": gxe.ExpectColumnValuesToNotBeNull(column="gone"),
}


@pytest.mark.parametrize("case", LEFT)
def test_anything_unusual_is_left_to_great_expectations(case: str) -> None:
    assert quick_result(LEFT[case], table()) is None


def test_a_contract_of_a_thousand_columns_asks_no_graph_of_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({f"c{number}": [1.0, np.nan] for number in range(1000)})
    file = tmp_path / "contract.py"
    file.write_text(
        "def expectations(gxe):\n"
        "    return [\n"
        "        gxe.ExpectColumnValuesToBeBetween(\n"
        "            column=f'c{number}', min_value=0, max_value=1\n"
        "        )\n"
        "        for number in range(1000)\n"
        "    ]\n"
    )
    graphs: list[Any] = []
    monkeypatch.setattr(contract, "_evaluate", lambda *given: graphs.append(given))
    found = check(parse(ModelSpec, spec_of(), "model.yaml"), file, frame)
    assert len(found) == 1000 and all(expectation.ok for expectation in found)
    assert graphs == []
