"""What the model sees of a row. Training and serving both call `features`."""

from __future__ import annotations

import numpy as np
import pandas as pd

# Numbers that the source writes as text, and whether their decimal sign is a comma.
NUMBERS: dict[str, bool] = {}

# Dates and the format that they are written in; empty for those that are of kind `date`.
DATES: dict[str, str] = {}


def features(raw: pd.DataFrame) -> pd.DataFrame:
    """Return the features of each row.

    A row's features depend on that row alone: whatever is learnt from many rows (means,
    categories) belongs in estimator.py, or a row would be scored differently in a batch.

    Parameters
    ----------
    raw : DataFrame, shape (n_rows, n_columns)
        The columns under `features` in model.yaml: numbers and booleans as float64, categories as
        str, dates as datetime64. Any value may be missing.

    Returns
    -------
    DataFrame, shape (n_rows, n_features)
    """
    made = {name: number(raw[name], comma) for name, comma in NUMBERS.items()}
    for name, written in DATES.items():
        day = raw[name]
        if written:
            day = pd.to_datetime(day, format=written, errors="coerce")
        made[f"{name}: year"] = day.dt.year.astype("float64")
        made[f"{name}: month"] = day.dt.month.astype("float64")
        made[f"{name}: weekday"] = day.dt.weekday.astype("float64")
        made[f"{name}: days since 2000"] = (
            day - pd.Timestamp(2000, 1, 1)
        ) / pd.Timedelta(days=1)
    out = raw.drop(columns=[*NUMBERS, *DATES]).assign(**made)
    numbers = list(out.select_dtypes("number"))
    out[numbers] = seven_digits(out[numbers].to_numpy(dtype="float64"))
    return out


def number(text: pd.Series, comma: bool) -> pd.Series:
    """Return text as numbers; signs of currency and per cent go, what is no number is missing."""
    text = text.str.replace(r"[\s%€$£]", "", regex=True)
    # The other sign of the two parts thousands.
    text = text.str.replace("." if comma else ",", "").str.replace(",", ".")
    values = pd.to_numeric(text, errors="coerce").astype("float64")
    return values.where(np.isfinite(values))


def seven_digits(values: np.ndarray) -> np.ndarray:
    """Round to seven significant digits, so that 170.1 and 170.10000001 are scored alike."""
    size = np.clip(np.abs(np.nan_to_num(values)), 1e-200, None)
    step = 10 ** (np.floor(np.log10(size)) - 6)
    rounded: np.ndarray = np.round(values / step) * step
    return rounded
