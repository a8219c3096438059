"""Columns: their declared types, cast one way for training and serving, and what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlops.errors import Problem, UsageError, did_you_mean, listed
from mlops.results import ColumnSummary, Expectation, Snapshot
from mlops.spec import ModelSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.data.dataset import Rows

_TRUE = ("true", "t", "yes", "y", "1", "1.0")
_FALSE = ("false", "f", "no", "n", "0", "0.0")


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


def as_number(column: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """Return a column as float64 and which rows held something that is no finite number."""
    import numpy as np
    import pandas as pd

    if column.dtype.kind in "mM":  # pandas would count the microseconds of a time
        column = column.astype("string")
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


def columns_match(missing: tuple[str, ...], extra: tuple[str, ...]) -> Expectation:
    """Return whether the files have the declared columns and no others."""
    parts = []
    for name in missing:
        hint = did_you_mean(name, extra)
        parts.append(f"`{name}` is missing" + (f" ({hint})" if hint else ""))
    for name in extra:
        parts.append(f"`{name}` is not declared (add it to features, or to data.ignore)")
    found = "; ".join(parts) or "they are"
    return Expectation(
        name="expect_table_columns_to_match_model_yaml",
        ok=not parts,
        message=f"The columns should be those that model.yaml declares; {found}.",
    )


def misfit(kind: str, column: pd.Series, wrong: np.ndarray, secret: bool) -> Expectation:
    """Return that some values of a column are not of its kind."""
    kind = "finite number" if kind == "number" else kind
    found = f"{wrong.sum():,} of {len(wrong):,} are not"
    return Expectation(
        name="expect_column_values_to_be_of_declared_type",
        column=str(column.name),
        ok=False,
        failed_rows=int(wrong.sum()),
        failed_share=float(wrong.mean()),
        examples=() if secret else tuple(v[:80] for v in as_text(column[wrong]).unique()[:3]),
        message=f"Values of `{column.name}` should each be a {kind}; {found}.",
    )


def summarise(spec: ModelSpec, rows: Rows, test: np.ndarray, digest: str) -> Snapshot:
    """Return the facts of a snapshot."""
    frame = rows.frame
    labelled = frame[spec.data.target].notna().to_numpy()
    period = None
    if spec.data.time and frame[spec.data.time].notna().any():
        times = frame[spec.data.time].agg(["min", "max"])
        first, last = (f"{t:g}" if isinstance(t, float) else t.isoformat() for t in times)
        period = (first, last)
    return Snapshot(
        digest=digest,
        rows=len(frame),
        rows_read=len(rows.kept),
        duplicates_removed=len(rows.kept) - len(frame),
        unlabelled=int((~labelled).sum()),
        train_rows=int((labelled & ~test).sum()),
        test_rows=int((labelled & test).sum()),
        period=period,
        files=rows.files,
        columns=tuple(_column(frame[c], h, c in spec.sensitive) for c, h in rows.hashes.items()),
    )


def _column(column: pd.Series, hashes: np.ndarray, sensitive: bool) -> ColumnSummary:
    """Return what is in one column; the values themselves only where they may be shown."""
    import pandas as pd

    missing, unique = int(column.isna().sum()), int(pd.Series(hashes).nunique())
    kind = {"f": "number", "M": "date"}.get(column.dtype.kind, "text")
    facts: dict[str, Any] = {}
    if kind == "number" and missing < len(column):
        low, high = column.min(), column.max()
        # A sum can be beyond all numbers; the mean is between them still.
        facts = {"low": low, "mean": column.mean().clip(low, high), "high": high}
    if kind == "text" and not sensitive and unique <= 50:
        top = column.value_counts().head(10)
        facts = {"top": {str(value)[:80]: int(count) for value, count in top.items()}}
    unique -= missing > 0
    return ColumnSummary(name=str(column.name), kind=kind, missing=missing, unique=unique, **facts)


def unusable(
    spec: ModelSpec, target: pd.Series, test: np.ndarray, snapshot: Snapshot
) -> Iterator[Problem]:
    """Yield why nothing can be learnt or tested, the cause before what follows from it."""
    files, name = listed(f.path for f in snapshot.files), str(target.name)
    move = spec.split.remedy
    values = sorted(target.dropna().unique())
    if not values:
        yield Problem("no row has a target", files, name, do="add labels")
    if len(values) == 1:
        found = "one value" if name in spec.sensitive else repr(values[0])
        yield Problem("the target is constant: there is nothing to learn", files, name, found)
    if spec.task == "binary":
        if len(values) != 2:
            what = f"a binary target has two values, this one has {len(values)}"
            do = "set task: multiclass, or clean the target"
            yield Problem(what, files, name, found=listed(values), do=do)
        positive = positive_label(spec, values)
        if positive not in values:
            what, where = "the positive value is not in the data", f"{files}, model.yaml"
            yield Problem(what, where, "data.positive", positive, allowed=listed(values))
        for part, mask in (("train", ~test), ("test", test)):
            absent = sorted(set(values) - set(target[mask].unique()))
            if len(absent) == 1:
                what = f"the {part} part has no row of one class, so it cannot serve"
                yield Problem(what, files, name, f"no {absent[0]} among {part} rows", do=move)
    if min(snapshot.train_rows, snapshot.test_rows) < 2:
        what = "too few rows to train on some and test on others"
        found = f"{snapshot.train_rows} to train, {snapshot.test_rows} to test"
        yield Problem(what, files, "split", found, allowed="at least 2 in each part", do=move)


def positive_label(spec: ModelSpec, classes: Iterable[str]) -> str:
    """Return `data.positive` as the data writes it (true may be ``True``, 1 may be ``1``)."""
    text = str(spec.data.positive)
    same = [c for c in classes if c.lower() == text.lower()]
    return same[0] if isinstance(spec.data.positive, bool) and same else text
