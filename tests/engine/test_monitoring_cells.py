"""A row's cell is that of its value's text, whatever the column's type."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.monitoring.cells import cells_of, code, tally

LEVELS = 25
COLUMNS = {
    "text": pd.Series(["b", "a", None, "nan", "None", ""] * 3, dtype="str"),
    "objects": pd.Series(
        [1, True, "1", "True", 1.0, 2, None, np.nan, "x"], dtype=object
    ),
    "category": pd.Series(["b", "a", None, "a"]).astype("category"),
    "yes or no": pd.Series([True, False, None, True], dtype="boolean"),
    "codes": pd.Series([3, 1, None, 3], dtype="Int64"),
    "numbers": pd.Series([0.5, 0.5, np.nan, -1.0]),
    "nothing": pd.Series([], dtype=object),
    "missing": pd.Series([None, None], dtype=object),
}


def texts_of(column: pd.Series) -> list[str | None]:
    return [None if pd.isna(value) else str(value) for value in column.astype(object)]


def expected(training: pd.Series, column: pd.Series) -> list[int]:
    """Return each row's cell, by the words of the definition."""
    counts = Counter(text for text in texts_of(training) if text is not None)
    order = sorted(counts, key=lambda text: (-counts[text], text))
    levels = order[:LEVELS]
    cells = []
    for text in texts_of(column):
        if text is None:
            cells.append(len(levels) + 2)
        elif text in levels:
            cells.append(levels.index(text))
        else:
            cells.append(len(levels) + (text not in order))
    return cells


@pytest.mark.parametrize("training", COLUMNS)
@pytest.mark.parametrize("column", COLUMNS)
def test_the_cell_of_a_row_is_that_of_its_text(training: str, column: str) -> None:
    cells, codes = cells_of(COLUMNS[training].rename("x"), "category")
    assert codes.tolist() == expected(COLUMNS[training], COLUMNS[training])
    found = code(cells, COLUMNS[column])
    assert found.tolist() == expected(COLUMNS[training], COLUMNS[column])
    assert sum(tally(cells, found)) == len(found)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(0, 40), st.floats(0, 3), st.text(max_size=2)
)


@given(st.lists(VALUES, max_size=60), st.lists(VALUES, max_size=20))
def test_values_of_any_type_beside_each_other(
    training: list[object], column: list[object]
) -> None:
    seen = pd.Series(training, dtype=object, name="x")
    later = pd.Series(column, dtype=object, name="x")
    cells, codes = cells_of(seen, "category")
    assert codes.tolist() == expected(seen, seen)
    assert code(cells, later).tolist() == expected(seen, later)
