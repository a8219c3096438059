"""Evidently's report on a window."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mlops.io.files import replacing

_MOST_CATEGORIES = 50

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
    kinds: Mapping[str, str],
    threshold: float,
    path: Path,
) -> str:
    """Do as `draw`; return a note where that fails: an alarm does not wait for it."""
    try:
        draw(reference, window, kinds, threshold, path)
    except _UNDRAWABLE as error:
        path.unlink(missing_ok=True)
        reason = (str(error).splitlines() or [""])[0][:200]
        return f"the charts could not be drawn ({type(error).__name__}: {reason})"
    return ""


def draw(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    kinds: Mapping[str, str],
    threshold: float,
    path: Path,
) -> None:
    """Write Evidently's report of two samples to one self-contained HTML file (4 MB).

    Its scores are Jensen-Shannon distances for every column, by its own binning; its
    verdicts are not ours. Nothing is written where no column has values on both sides.
    """
    # Evidently fails on a column without values.
    drawn = {
        name: kind
        for name, kind in kinds.items()
        if reference[name].count() and window[name].count()
    }
    path.unlink(missing_ok=True)
    if not drawn:
        return
    both = _harmless(pd.concat([reference, window], ignore_index=True), drawn)
    old = both[: len(reference)]
    new = both[len(reference) :].reset_index(drop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _draw(old, new, threshold, path)


def _draw(old: pd.DataFrame, new: pd.DataFrame, threshold: float, path: Path) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    shape = DataDefinition(
        numerical_columns=list(old.select_dtypes("number")),
        categorical_columns=list(old.select_dtypes(exclude="number")),
    )
    metrics = [
        ValueDrift(column=name, method="jensenshannon", threshold=threshold)
        for name in old
    ]
    current = Dataset.from_pandas(new, data_definition=shape)
    reference = Dataset.from_pandas(old, data_definition=shape)
    result = Report(metrics).run(current, reference)
    with replacing(path) as temporary:
        result.save_html(str(temporary))


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
