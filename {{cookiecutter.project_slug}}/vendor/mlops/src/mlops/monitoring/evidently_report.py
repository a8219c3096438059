"""Evidently's report on a window: the appendix of our page."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mlops.io.files import replacing
from mlops.results.monitoring import ColumnDrift

_MOST_CATEGORIES = 50

# What Evidently calls the method by which a column was judged.
_METHOD = "Jensen-Shannon distance and alarm of mlops monitor"

# Between these a column is drawn as it is; beyond, in a power of ten of its own.
_SMALLEST = 1e-100
_LARGEST = 1e12

# Evidently makes ten bins of whatever range a sample has, and fails where floats are
# too coarse for that. So numbers are rounded to this share of the largest of them.
_GRID = 2.0**-40

_US_PER_DAY = 86_400_000_000

# What drawing may fail with, however odd the numbers: Evidently is not our code.
_UNDRAWABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)


def draw_or_note(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    columns: Sequence[ColumnDrift],
    path: Path,
) -> str:
    """Do as `draw`; return a note where that fails: an alarm does not wait for it."""
    try:
        draw(reference, window, columns, path)
    except _UNDRAWABLE as error:
        path.unlink(missing_ok=True)
        reason = (str(error).splitlines() or [""])[0][:200]
        return (
            f"Evidently's report could not be drawn ({type(error).__name__}: {reason})"
        )
    return ""


def draw(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    columns: Sequence[ColumnDrift],
    path: Path,
) -> None:
    """Write Evidently's report of two samples to one self-contained HTML file (4 MB).

    It draws the samples with bins of its own. Scores and verdicts in it are ours, so
    that it does not contradict the alarm. Nothing is written where no column has values
    on both sides.

    Parameters
    ----------
    columns : sequence of ColumnDrift
        What the check found; they are drawn in this order.
    """
    # Evidently fails on a column without values.
    drawn = {
        column.name: column
        for column in columns
        if reference[column.name].count() and window[column.name].count()
    }
    path.unlink(missing_ok=True)
    if not drawn:
        return
    kinds = {name: column.kind for name, column in drawn.items()}
    both = _harmless(pd.concat([reference, window], ignore_index=True), kinds)
    judged = dict(zip(both.columns, drawn.values(), strict=True))
    old = both[: len(reference)]
    new = both[len(reference) :].reset_index(drop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _draw(old, new, judged, path)


def _draw(
    old: pd.DataFrame,
    new: pd.DataFrame,
    judged: Mapping[str, ColumnDrift],
    path: Path,
) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    shape = DataDefinition(
        numerical_columns=list(old.select_dtypes("number")),
        categorical_columns=list(old.select_dtypes(exclude="number")),
    )
    method = _as_judged(judged)
    metrics = [ValueDrift(column=name, method=method) for name in old]
    current = Dataset.from_pandas(new, data_definition=shape)
    reference = Dataset.from_pandas(old, data_definition=shape)
    result = Report(metrics).run(current, reference)
    with replacing(path) as temporary:
        result.save_html(str(temporary))


def _as_judged(judged: Mapping[str, ColumnDrift]) -> str:
    """Register a method that gives each column the score and the verdict of our check.

    Evidently's own Jensen-Shannon has natural logarithms, other bins, and no
    correction for chance, and it knows one sample alone. Return the method's name.
    """
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    def score(
        _old: pd.Series, new: pd.Series, _kind: ColumnType, _threshold: float
    ) -> tuple[float, bool]:
        column = judged[str(new.name)]
        return column.effect, column.alarm

    method = StatTest(
        name=_METHOD,
        display_name=_METHOD,
        allowed_feature_types=[ColumnType.Numerical, ColumnType.Categorical],
    )
    register_stattest(method, score)
    return _METHOD


def _harmless(frame: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return the columns of `kinds` as Evidently can take them: numbers and texts.

    It writes texts into a script element as they are, so their angle brackets are
    replaced. It draws no dates, so they become days since 1970. Of many categories the
    rare ones become one.
    """
    safe = str.maketrans("<>", "‹›")  # noqa: RUF001
    out = {}
    for name, kind in kinds.items():
        column = frame[name]
        shown = name
        if kind == "date":
            column = _days(column)
        elif kind == "number":
            column, unit = _drawable(column)
            shown = f"{name} {unit}".rstrip()
        else:
            common = column.value_counts().index[:_MOST_CATEGORIES]
            known = column.isin(common) | column.isna()
            text = column.where(known, "(other)").astype("str")
            column = text.fillna("(missing)").str.translate(safe)
        out[shown.translate(safe)] = column
    return pd.DataFrame(out)


def _days(column: pd.Series) -> pd.Series:
    """Return dates as days since 1970, also those that nanoseconds cannot reach."""
    moments = column.astype("datetime64[us]")
    days = moments.astype("int64") / _US_PER_DAY
    return days.where(moments.notna())


def _drawable(column: pd.Series) -> tuple[pd.Series, str]:
    """Return numbers that a histogram can be made of, and what was done to them.

    Parameters
    ----------
    column : Series of float64
        Finite or missing, of any size.

    Returns
    -------
    Series
        The numbers, rounded to twelve digits; in a unit of their own where they are
        huge or tiny, and less the smallest where they hardly differ.
    str
        The unit and the shift, as the page names the column; empty for most.
    """
    values = column.astype("float64")
    unit = ""
    top = float(values.abs().max())
    if top >= _LARGEST:
        exponent = int(np.floor(np.log10(top)))
        values = values / 10.0**exponent
        unit = f"(in units of 1e{exponent})"
    elif 0 < top <= _SMALLEST:
        values = values * 1e300
        unit = "(in units of 1e-300)"
    least = float(values.min())
    span = float(values.max()) - least
    top = float(values.abs().max())
    if 0 < span < 1000 * _GRID * top:
        values = values - least
        unit = f"{unit} (less {least:g})".lstrip()
        top = span
    step = top * _GRID
    if step:
        values = (values / step).round() * step
    return values, unit
