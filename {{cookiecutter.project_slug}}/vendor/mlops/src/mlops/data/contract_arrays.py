"""The expectations that people write for each column, computed on arrays.

Great Expectations takes some milliseconds for every expectation, however few the rows,
and copies the table: it resolves a graph of metrics. A contract of a table with
thousands of columns has thousands of them. Those about missing values, ranges and sets
of one column are answered here as it answers them (test_data_contract_arrays.py asks
both). All others, and these with a condition or with anything unusual, are left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_CORE = "great_expectations.expectations.core."

_MOST_SHOWN = 20  # of the values that break an expectation

# Parameters that change what an expectation asks, beside those that are read here.
_UNUSUAL = ("row_condition", "condition_parser", "windows")

Result = dict[str, Any]


def quick_result(expectation: Any, frame: pd.DataFrame) -> Result | None:
    """Return the result of an expectation, None where Great Expectations is to say.

    Parameters
    ----------
    expectation : great_expectations.expectations.Expectation
    frame : DataFrame, shape (n_rows, n_columns)
        Of a `Dataset`: numbers as float64, text as ``str``.

    Returns
    -------
    dict or None
        As `to_json_dict()` of a result: success, and below ``result`` how many rows
        there are, how many break it, and some of their values.
    """
    if not type(expectation).__module__.startswith(_CORE):
        return None  # a class of the user's own, whatever it inherits
    compute = _COMPUTED.get(expectation.expectation_type)
    if compute is None or expectation.column not in frame.columns:
        return None
    if any(getattr(expectation, name, None) is not None for name in _UNUSUAL):
        return None
    if not isinstance(expectation.mostly, int | float):
        return None
    return compute(expectation, frame[expectation.column])


def _not_null(expectation: Any, column: pd.Series) -> Result | None:
    missing = int(column.isna().sum())
    shown = [None] * min(missing, _MOST_SHOWN)
    return _result(expectation.mostly, len(column), len(column), missing, shown)


def _between(expectation: Any, column: pd.Series) -> Result | None:
    low = expectation.min_value
    high = expectation.max_value
    if column.dtype.kind != "f" or not (_is_limit(low) and _is_limit(high)):
        return None
    if low is None and high is None:
        return None
    values = column.to_numpy()
    fits = np.ones(len(values), dtype=bool)
    if low is not None:
        fits &= values > low if expectation.strict_min else values >= low
    if high is not None:
        fits &= values < high if expectation.strict_max else values <= high
    return _of_known(expectation.mostly, column, fits)


def _in_set(expectation: Any, column: pd.Series) -> Result | None:
    allowed = expectation.value_set
    if not isinstance(allowed, list | tuple | set):
        return None
    kind = float if column.dtype.kind == "f" else str
    if column.dtype != "str" and kind is str:
        return None
    if not _all_are(allowed, kind):
        return None
    fits = column.isin(list(allowed)).to_numpy()
    return _of_known(expectation.mostly, column, fits)


def _is_limit(value: object) -> bool:
    """Return whether a number, or none, can be compared with numbers."""
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool)


def _all_are(values: Collection[object], kind: type) -> bool:
    if kind is str:
        return all(isinstance(value, str) for value in values)
    return all(_is_limit(value) and value is not None for value in values)


def _of_known(mostly: float, column: pd.Series, fits: np.ndarray) -> Result:
    """Return the answer where missing values neither keep nor break an expectation."""
    known = column.notna().to_numpy()
    wrong = known & ~fits
    shown = column[wrong].head(_MOST_SHOWN).tolist() if wrong.any() else []
    return _result(mostly, len(column), int(known.sum()), int(wrong.sum()), shown)


def _result(
    mostly: float, rows: int, counted: int, wrong: int, shown: list[Any]
) -> Result:
    """Return an answer.

    Parameters
    ----------
    rows : int
        In all.
    counted : int
        That the expectation is about.
    wrong : int
        Of them, that break it.
    """
    ok = counted == 0 or (counted - wrong) / counted >= mostly
    return {
        "success": ok,
        "result": {
            "element_count": rows,
            "unexpected_count": wrong,
            "partial_unexpected_list": shown,
        },
    }


_COMPUTED: dict[str, Callable[[Any, pd.Series], Result | None]] = {
    "expect_column_values_to_not_be_null": _not_null,
    "expect_column_values_to_be_between": _between,
    "expect_column_values_to_be_in_set": _in_set,
}
