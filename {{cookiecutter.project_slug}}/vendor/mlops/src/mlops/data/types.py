"""Columns cast to their declared type, one way for everything that reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlops.errors import Problem, UsageError, listed
from mlops.results.data import Expectation

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


_TRUE = ("true", "t", "yes", "y", "1", "1.0")

_FALSE = ("false", "f", "no", "n", "0", "0.0")

# -- types ----------------------------------------------------------------------------------------


def as_text(column: pd.Series) -> pd.Series:
    """Return a column as pandas ``str``; whole numbers without a decimal point, missing as NaN.

    What becomes of a value depends on no other: files are read one by one, and joined by it.
    """
    import pandas as pd

    if pd.api.types.infer_dtype(column) == "boolean":
        return column.astype("object").map({True: "true", False: "false"}).astype("str")
    if pd.api.types.is_float_dtype(column.dtype):
        whole = column.where((column == column.round()) & (column.abs() < 2**53))
        column = whole.astype("Int64").astype("string").fillna(column.astype("string"))
    return column.astype("string").astype("str")


def as_number(column: pd.Series) -> pd.Series:
    """Return a column as float64; what is no finite number is missing."""
    import numpy as np
    import pandas as pd

    if column.dtype.kind in "mM":  # pandas would count the microseconds of a time
        column = column.astype("string")
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers.to_numpy()))


def as_boolean(column: pd.Series) -> pd.Series:
    """Return yes/no, true/false and 1/0 as 1.0 and 0.0; anything else is missing."""
    words = column.astype("string").str.strip().str.lower()
    return words.map(
        {**dict.fromkeys(_TRUE, 1.0), **dict.fromkeys(_FALSE, 0.0)}
    ).astype("float64")


def as_date(column: pd.Series) -> pd.Series:
    """Return a column as UTC datetime64 without zone; what is no date is missing."""
    import pandas as pd

    out = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
    if (out.isna() & column.notna()).any():
        out = pd.to_datetime(column, errors="coerce", format="mixed", utc=True)
    return out.dt.tz_localize(None).astype("datetime64[us]")


def cast_all(
    frame: pd.DataFrame, kinds: Mapping[str, str]
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return the columns of `kinds`, in that order and with those types.

    A value that does not fit becomes missing. Beside the frame stand the rows (ndarray of bool,
    shape (n_rows,)) that did not fit, for the columns that have any.
    """
    import pandas as pd

    convert = {"number": as_number, "boolean": as_boolean, "date": as_date}
    out, bad = {}, {}
    for name, kind in kinds.items():
        column = frame[name]
        out[name] = convert.get(kind, as_text)(column)
        if kind in convert:  # any value is a text
            wrong = out[name].isna().to_numpy() & column.notna().to_numpy()
            if wrong.any():
                bad[name] = wrong
    return pd.DataFrame(out, index=frame.index, columns=list(kinds)), bad


def cast(frame: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Give columns their declared types; UsageError names whatever does not fit."""
    if missing := [name for name in kinds if name not in frame.columns]:
        what = f"columns are missing: {listed(missing)}"
        raise UsageError(what, found=listed(frame.columns), do="add them")
    out, bad = cast_all(frame, kinds)
    problems = []
    for name, wrong in bad.items():
        kind = "finite number" if kinds[name] == "number" else kinds[name]
        what = f"{int(wrong.sum())} values are no {kind} (first: row {wrong.argmax()})"
        problems.append(Problem(what, key=name, allowed=f"a {kind}"))
    if problems:
        raise UsageError(*problems)
    return out


def misfit(
    kind: str, column: pd.Series, wrong: np.ndarray, secret: bool
) -> Expectation:
    """Return that some values of a column are not of its kind."""
    kind = "finite number" if kind == "number" else kind
    found = f"{wrong.sum():,} of {len(wrong):,} are not"
    return Expectation(
        name="expect_column_values_to_be_of_declared_type",
        column=str(column.name),
        ok=False,
        failed_rows=int(wrong.sum()),
        failed_share=float(wrong.mean()),
        examples=()
        if secret
        else tuple(v[:80] for v in as_text(column[wrong]).unique()[:3]),
        message=f"Values of `{column.name}` should each be a {kind}; {found}.",
    )
