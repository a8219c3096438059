"""Giving every column the type that the model declares; one way for training and serving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops.errors import Problem, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_TRUE = ("true", "t", "yes", "y", "1", "1.0")
_FALSE = ("false", "f", "no", "n", "0", "0.0")


def as_text(column: pd.Series) -> pd.Series:
    """Return a column as pandas ``str``; whole numbers without a decimal point, missing as NaN."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype):
        return column.astype("object").map({True: "true", False: "false"}).astype("str")
    if pd.api.types.is_float_dtype(column.dtype):
        known = column.dropna()
        if (known == known.round()).all() and (known.abs() < 2**53).all():
            column = column.astype("Int64")
    return column.astype("string").astype("str")


def as_number(column: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """Return a column as float64 and which rows held something that is no finite number."""
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    bad = (numbers.isna() & column.notna()).to_numpy() | np.isinf(numbers.to_numpy())
    return numbers.where(~bad), bad


def as_boolean(column: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """Return yes/no, true/false and 1/0 as 1.0 and 0.0, and which rows held anything else."""
    words = column.astype("string").str.strip().str.lower()
    out = words.map({**dict.fromkeys(_TRUE, 1.0), **dict.fromkeys(_FALSE, 0.0)}).astype("float64")
    return out, (out.isna() & column.notna()).to_numpy(dtype=bool)


def as_date(column: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """Return a column as UTC datetime64 without zone, and which rows held no date."""
    import pandas as pd

    out = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
    if (out.isna() & column.notna()).any():
        out = pd.to_datetime(column, errors="coerce", format="mixed", utc=True)
    bad = (out.isna() & column.notna()).to_numpy()
    return out.dt.tz_localize(None).astype("datetime64[us]"), bad


def cast_all(
    frame: pd.DataFrame, kinds: Mapping[str, str]
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return the columns of `kinds`, in that order and with those types.

    A value that does not fit becomes missing. Beside the frame stand the rows (ndarray of bool,
    shape (n_rows,)) that did not fit, for the columns that have any.
    """
    import pandas as pd

    convert: dict[str, Any] = {"number": as_number, "boolean": as_boolean, "date": as_date}
    out, bad = {}, {}
    for name, kind in kinds.items():
        if kind in convert:
            out[name], wrong = convert[kind](frame[name])
            if wrong.any():
                bad[name] = wrong
        else:
            out[name] = as_text(frame[name])
    return pd.DataFrame(out, index=frame.index, columns=list(kinds)), bad


def cast(frame: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Give columns their declared types; UsageError names whatever does not fit."""
    missing = [name for name in kinds if name not in frame.columns]
    do = "add the column"
    if missing:
        raise UsageError(*(Problem("this column is missing", key=c, do=do) for c in missing))
    out, bad = cast_all(frame, kinds)
    problems = []
    for name, wrong in bad.items():
        kind = "finite number" if kinds[name] == "number" else kinds[name]
        what = f"{int(wrong.sum())} values are no {kind} (first: row {wrong.argmax()})"
        problems.append(Problem(what, key=name, allowed=f"a {kind}"))
    if problems:
        raise UsageError(*problems)
    return out
