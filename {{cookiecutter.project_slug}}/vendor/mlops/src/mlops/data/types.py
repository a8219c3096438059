"""Columns cast to their declared type, in one way for everything that reads rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops.errors import Problem, UsageError, listed
from mlops.results.data import Expectation

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


TRUE = ("true", "t", "yes", "y", "1", "1.0")
FALSE = ("false", "f", "no", "n", "0", "0.0", "-0.0")
# What pandas calls columns of Python's own dates and times.
_DATE_OBJECTS = ("date", "datetime", "datetime64")
BOOLEANS = dict.fromkeys(TRUE, 1.0) | dict.fromkeys(FALSE, 0.0)

# What a value of each kind must be, as the end of "should be ...".
_NOUNS = {
    "number": "a finite number",
    "boolean": "a boolean (yes/no, true/false or 1/0)",
    "date": "an ISO 8601 date, such as 2020-04-13 or 2020-04-13T08:30",
}


# -- one column -----------------------------------------------------------------------


def as_text(column: pd.Series) -> pd.Series:
    """Return a column as pandas ``str``; missing values as NaN.

    Whole numbers are written without a decimal point and booleans as ``true`` and
    ``false``. The result for a value does not depend on any other value, because files
    are read one by one and joined by this text.
    """
    import pandas as pd

    if isinstance(column.dtype, pd.StringDtype):
        return column.astype("str")
    if pd.api.types.infer_dtype(column) == "boolean":
        return column.astype("object").map({True: "true", False: "false"}).astype("str")
    if pd.api.types.is_float_dtype(column.dtype):
        whole = column.where((column == column.round()) & (column.abs() < 2**53))
        column = whole.astype("Int64").astype("string").fillna(column.astype("string"))
    return column.astype("string").astype("str")


def as_number(column: pd.Series) -> pd.Series:
    """Return a column as float64; what is not a finite number is missing."""
    import numpy as np
    import pandas as pd

    if column.dtype.kind in "mM":  # pandas would count the microseconds of a time
        column = column.astype("string")
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers.to_numpy()))


def as_boolean(column: pd.Series) -> pd.Series:
    """Return yes/no, true/false and 1/0 as 1.0 and 0.0; anything else is missing.

    Of text, each different value is looked at once.
    """
    import numpy as np
    import pandas as pd

    if not isinstance(column.dtype, pd.StringDtype):
        words = column.astype("string").str.strip().str.lower()
        return words.map(BOOLEANS).astype("float64")
    codes, words = column.array.factorize()
    meanings = [BOOLEANS.get(str(word).strip().lower(), np.nan) for word in words]
    values = np.array([*meanings, np.nan])[codes]  # the code of a missing value is -1
    return pd.Series(values, index=column.index, name=column.name)


def as_date(column: pd.Series, written: str | None = None) -> pd.Series:
    """Return a column as datetime64[us] in UTC, without a zone.

    Parameters
    ----------
    column : Series
        Text, or dates and times as Parquet has them.
    written : str, optional
        The format of text in the directives of `datetime.strptime`, as `data.formats`
        declares it. ISO 8601 where there is none: no other way to write a date is
        guessed, because a guess reads 03.04.2020 as March.

    Returns
    -------
    Series
        Missing where a value is not a date in this format. A number is never a date.
    """
    import pandas as pd

    if column.dtype.kind in "iufb":
        return pd.Series(pd.NaT, index=column.index, dtype="datetime64[us]")
    if column.dtype == object and pd.api.types.infer_dtype(column) in _DATE_OBJECTS:
        column = pd.to_datetime(column, errors="coerce", utc=True)
    if column.dtype.kind != "M":
        column = as_text(column)
        if written is None:  # pandas reads `now` and `today` as dates
            column = column.where(column.str.match(r"\s*[0-9]{4}", na=False))
    out = pd.to_datetime(column, errors="coerce", format=written or "ISO8601", utc=True)
    out = out.dt.tz_localize(None).astype("datetime64[us]")
    return out.where(out.dt.year >= 1)  # numpy knows a year 0, Python does not


# Rows from which on each column that is not a number is cast alone: for one row what
# counts is the cost of a column, for many the copy of its values.
_MOST_STACKED = 500

# -- many columns ---------------------------------------------------------------------


def cast_all(
    frame: pd.DataFrame,
    kinds: Mapping[str, str],
    formats: Mapping[str, str] | None = None,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Give columns their declared types; a value that does not fit becomes missing.

    Columns that are numbers already are cast together, as one array: a row of a
    thousand columns costs little more than a row of ten.

    Parameters
    ----------
    frame : DataFrame, shape (n_rows, n_columns)
        Has every column of `kinds`.
    kinds : dict of str to str
        Column name to number, boolean, date, category or text.
    formats : dict of str to str, optional
        Date columns that are not ISO 8601, and their formats.

    Returns
    -------
    DataFrame, shape (n_rows, n_kinds)
        The columns of `kinds`, in that order.
    dict of str to ndarray of bool, shape (n_rows,)
        Which rows did not fit, for the columns that have any.
    """
    import pandas as pd

    # Looping over the labels of a frame, or choosing columns by name, takes pandas
    # longer than casting them: names and places are looked up once.
    names = frame.columns.tolist()
    held = dict(zip(names, frame.dtypes.tolist(), strict=True))
    position = {name: number for number, name in enumerate(names)}
    labels = frame.columns.take([position[name] for name in kinds])
    plain = _numeric_columns(held, kinds)
    columns: dict[str, Any] = {}
    bad: dict[str, np.ndarray] = {}
    if plain:
        block = frame
        if plain != names:
            block = frame.iloc[:, [position[name] for name in plain]]
        values, misfits = _cast_numeric(block, [kinds[name] for name in plain])
        bad = {plain[number]: wrong for number, wrong in misfits.items()}
        if len(plain) == len(kinds):
            return pd.DataFrame(values, index=frame.index, columns=labels), bad
        columns = dict(zip(plain, values.T, strict=True))
    for alike in _alike(frame, held, kinds, formats or {}, set(plain)):
        kind = kinds[alike[0]]
        written = (formats or {}).get(alike[0])
        block = frame.iloc[:, [position[name] for name in alike]]
        cast_columns, wrong_columns = _cast_alike(block, alike, kind, written)
        columns |= cast_columns
        bad |= wrong_columns
    in_order = {number: columns[name] for number, name in enumerate(kinds)}
    out = pd.DataFrame(in_order, index=frame.index)
    out.columns = labels
    return out, {name: bad[name] for name in kinds if name in bad}


def _alike(
    frame: pd.DataFrame,
    held: Mapping[str, Any],
    kinds: Mapping[str, str],
    formats: Mapping[str, str],
    done: Collection[str],
) -> list[list[str]]:
    """Return the columns that are left, in groups that can be cast as one column.

    Alike are columns of one kind that pandas holds in the same way. Of dates the unit
    depends on all values of a column, and of many rows the copy costs more than it
    saves: these stay alone.
    """
    import pandas as pd

    groups: dict[Any, list[str]] = {}
    for name, kind in kinds.items():
        if name in done:
            continue
        dtype = held[name]
        key: Any = (kind, dtype, formats.get(name))
        if kind == "date" or len(frame) > _MOST_STACKED:
            key = name
        elif pd.api.types.is_object_dtype(dtype):
            key = (*key, pd.api.types.infer_dtype(frame[name]))
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def _cast_alike(
    block: pd.DataFrame, names: Sequence[str], kind: str, written: str | None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Cast columns that are alike, one below the other as a single long column.

    Returns the values of each, and which of them did not fit.
    """
    import numpy as np

    rows = len(block)
    joined = block.iloc[:, 0]
    if len(names) > 1:
        joined = _joined(block, joined.dtype)
    cast_column = _cast_column(joined, kind, written)
    bad = {}
    if kind in _NOUNS:  # any value is a text
        wrong = cast_column.isna().to_numpy() & joined.notna().to_numpy()
        if wrong.any():
            by_column = wrong.reshape(len(names), rows)
            for position in np.flatnonzero(by_column.any(axis=1)).tolist():
                bad[names[position]] = by_column[position]
    if isinstance(cast_column.dtype, np.dtype) and cast_column.dtype.kind == "f":
        table = cast_column.to_numpy().reshape(len(names), rows)
        return dict(zip(names, table, strict=True)), bad
    values = cast_column.array
    parts = {
        name: values[position * rows : (position + 1) * rows]
        for position, name in enumerate(names)
    }
    return parts, bad


def _joined(block: pd.DataFrame, dtype: Any) -> pd.Series:
    """Return the columns of a block one below the other; all are of one dtype.

    Joining a thousand series takes pandas longer than casting them, so what numpy can
    hold goes by way of one array.
    """
    import numpy as np
    import pandas as pd

    if isinstance(dtype, np.dtype):
        return pd.Series(block.to_numpy().ravel(order="F"), dtype=dtype)
    if isinstance(dtype, pd.StringDtype):
        values = block.to_numpy(dtype=object).ravel(order="F")
        return pd.Series(values, dtype=dtype)
    return pd.concat([column for _, column in block.items()], ignore_index=True)


def _numeric_columns(held: Mapping[str, Any], kinds: Mapping[str, str]) -> list[str]:
    """Return the number and boolean columns that numpy holds as numbers, in order."""
    import numpy as np

    return [
        name
        for name, kind in kinds.items()
        if kind in ("number", "boolean")
        and isinstance(held[name], np.dtype)
        and held[name].kind in "iufb"
    ]


def _cast_numeric(
    block: pd.DataFrame, kinds: Sequence[str]
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Cast number and boolean columns that are numbers already, as one array.

    Returns the values, and by the position of its column which of them did not fit.
    """
    import numpy as np

    values = block.to_numpy(dtype="float64", copy=True)
    known = ~np.isnan(values)
    fits = np.isfinite(values)
    yes_or_no = np.array([kind == "boolean" for kind in kinds])
    if yes_or_no.any():
        fits &= ~yes_or_no | (values == 0) | (values == 1)
    wrong = known & ~fits
    bad = {}
    if wrong.any():
        values[wrong] = np.nan
        for number in np.flatnonzero(wrong.any(axis=0)).tolist():
            bad[number] = wrong[:, number]
    return values, bad


def _cast_column(column: pd.Series, kind: str, written: str | None) -> pd.Series:
    """Give one column its declared type."""
    if kind == "number":
        return as_number(column)
    if kind == "boolean":
        return as_boolean(column)
    if kind == "date":
        return as_date(column, written)
    return as_text(column)


def cast(
    frame: pd.DataFrame,
    kinds: Mapping[str, str],
    formats: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Give columns their declared types, as `cast_all` does.

    Raises
    ------
    UsageError
        When a column is missing or a value does not fit, with all problems.
    """
    present = set(frame.columns.tolist())
    missing = [name for name in kinds if name not in present]
    if missing:
        raise UsageError(
            f"columns are missing: {listed(missing)}",
            found=listed(frame.columns),
            do="add them",
        )
    out, bad = cast_all(frame, kinds, formats)
    problems = []
    for name, wrong in bad.items():
        allowed = demanded(kinds[name], (formats or {}).get(name))
        first = int(wrong.argmax())
        message = f"{int(wrong.sum())} values are not {allowed} (first: row {first})"
        problems.append(Problem(message, key=name, allowed=allowed))
    if problems:
        raise UsageError(*problems)
    return out


def demanded(kind: str, written: str | None = None) -> str:
    """Return what a value of this kind must be, in words."""
    if kind == "date" and written:
        return f"a date written as {written} (data.formats)"
    return _NOUNS[kind]


def misfit(
    kind: str,
    column: pd.Series,
    wrong: np.ndarray,
    secret: bool,
    written: str | None = None,
) -> Expectation:
    """Return the failed expectation that all values of a column are of its kind.

    Parameters
    ----------
    kind : str
        The declared kind.
    column : Series, shape (n_rows,)
        As it was read.
    wrong : ndarray of bool, shape (n_rows,)
        The values that do not fit.
    secret : bool
        Whether no value may be shown.
    written : str, optional
        The declared format of a date.
    """
    count = f"{wrong.sum():,} of {len(wrong):,} are not"
    message = (
        f"Values of `{column.name}` should each be {demanded(kind, written)}; {count}."
    )
    if kind == "date":
        message += " Another format is declared under data.formats in model.yaml."
    examples: Sequence[Any] = ()
    if not secret:
        examples = as_text(column[wrong]).unique()[:3]
    return Expectation(
        name="expect_column_values_to_be_of_declared_type",
        column=str(column.name),
        ok=False,
        failed_rows=int(wrong.sum()),
        failed_share=float(wrong.mean()),
        examples=tuple(value[:80] for value in examples),
        message=message,
    )
