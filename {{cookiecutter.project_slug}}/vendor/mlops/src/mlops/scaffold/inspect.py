"""What each column of an unknown table is."""

from __future__ import annotations

import datetime
import decimal
import re
import unicodedata
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from mlops.config.model_spec import Kind
from mlops.data.types import as_date, as_number, as_text
from mlops.errors import counted
from mlops.results.base import Result

FEW = 20  # distinct values that can be listed

NESTED = "holds lists or other values that are not plain"
DURATIONS = "holds durations: make them a number, of seconds, say"

_PLAIN = (str, bool, int, float, datetime.date, decimal.Decimal)

_BOOLEANS = (
    {"true", "false"},
    {"t", "f"},
    {"yes", "no"},
    {"y", "n"},
    {"1", "0"},
    {"1.0", "0.0"},
)

# Day first before month first: where both fit all values, a note says which was taken.
_DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d")
_SHORT_DAYS = ("%d.%m.%y", "%d/%m/%y", "%m/%d/%y")
_TIMES = ("", " %H:%M", " %H:%M:%S")
_DATES = tuple(day + time for day in (*_DAYS, *_SHORT_DAYS) for time in _TIMES)

_DECIMAL_COMMA = r"\s*[-+]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?\s*[%€$£]?\s*"
_THOUSANDS = r"\s*[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?\s*"
_PLAIN_COMMA = r"[-+]?\d+(?:,\d+)?"

_LARGEST_WHOLE = 2**53  # that a float of 64 bits tells from the next
_FEW_ALIKE = 3

_NEARLY_ALL = 0.9  # of the values, where some stand for nothing ("unknown")

# Free text has that many words on average and more values than a category would.
_PROSE_WORDS = 4
_PROSE_VALUES = 50

_ID = (
    r"(?i:(?:^|[\W_])(?:id|uuid|guid|key|nr|no))\s*$|[a-z](?:ID|Id|UUID|Key|Nr|No)\s*$"
)

# Words for what the law of many countries protects, without accents.
_SENSITIVE_WORDS = (
    "sex",
    "sexe",
    "sexo",
    "sesso",
    "gender",
    "genero",
    "geschlecht",
    "geslacht",
    "race",
    "raza",
    "raca",
    "rasse",
    "razza",
    "hautfarbe",
    r"ethnic\w*",
    "ethnie",
    "etnia",
    r"religi\w*",
    "konfession",
    "creed",
    "caste",
    r"disab\w*",
    "handicap",
    r"\w*behinder\w*",
    r"discapac\w*",
    "deficiencia",
    r"national\w*",
    r"nacional\w*",
    r"nazional\w*",
    "citizenship",
    "herkunft",
    r"staatsangeh\w*",
    r"pregnan\w*",
    r"schwanger\w*",
    "orientation",
    "transgender",
)
_SENSITIVE = re.compile(rf"\b(?:{'|'.join(_SENSITIVE_WORDS)})\b")


class Column(Result):
    """One column."""

    name: str
    kind: Kind = "category"
    role: str = Field(
        "feature", description="Or target, id, group, sensitive, ignored."
    )
    reason: str = Field("", description="Why it is ignored.")
    rows: int
    missing: int
    unique: int = 0
    low: float | None = Field(
        None, description="Of numbers; never of a sensitive column."
    )
    high: float | None = None
    whole: bool = Field(False, description="Whether numbers have no decimals.")
    too_large: bool = Field(
        False, description="Whether some whole numbers are above 2^53."
    )
    earliest: str = Field("", description="Of dates.")
    values: tuple[str, ...] = Field(
        (), description="All, where there are few and none is secret."
    )
    written: str = Field("", description="How text stands for numbers or dates.")
    alike: tuple[str, ...] = Field(
        (), description="Values that differ in case and spaces alone, a few of them."
    )
    ambiguous: bool = Field(
        False, description="Whether day and month of all dates could be swapped."
    )
    prose: bool = Field(False, description="Whether the values read like sentences.")

    @property
    def looks_like_id(self) -> bool:
        """Whether the name is that of an identifier."""
        return bool(re.search(_ID, self.name))

    @property
    def looks_sensitive(self) -> bool:
        """Whether the law of many countries protects what the name says."""
        words = re.sub(r"([a-z])([A-Z])", r"\1 \2", self.name)
        letters = unicodedata.normalize("NFKD", words)
        plain = "".join(c for c in letters if not unicodedata.combining(c)).lower()
        return bool(_SENSITIVE.search(plain.replace("_", " ")))

    @property
    def converted(self) -> bool:
        """Whether features.py has to make numbers or dates of text."""
        return bool(self.written) and self.kind != "date"

    @property
    def stands_for(self) -> str:
        """What text stands for, where it does."""
        if "%" in self.written:
            return f"dates ({self.written})"
        return f"numbers ({self.written})"

    def described(self) -> str:
        """Return the column in a few words, without its values."""
        missing = f", {self.missing / self.rows:.1%} missing" if self.missing else ""
        if self.low is not None:
            return f"{self.low:g} to {self.high:g}{missing}"
        written = ""
        if self.converted:
            written = f" of text that stands for {self.stands_for}"
        elif self.written:
            written = f" written as {self.written}"
        return f"{counted(self.unique, 'value')}{written}{missing}"


Columns = dict[str, Column]  # by their names, in the order of the file


def look(name: str, series: pd.Series, delimiter: str | None) -> Column:
    """Return what is in a column.

    Parameters
    ----------
    name : str
    series : Series, shape (n_rows,)
        Text or values of any type.
    delimiter : str or None
        Where that of the file is not a comma, a comma in a number is its decimal sign.
    """
    known = series.dropna()
    facts: dict[str, Any] = {
        "name": name,
        "rows": len(series),
        "missing": int(series.isna().sum()),
    }
    if series.dtype == object:
        plain = known.map(lambda value: isinstance(value, _PLAIN))
        if not plain.all():
            return Column(**facts, role="ignored", reason=NESTED)
    values = as_text(known).drop_duplicates()
    facts["unique"] = len(values)
    if len(values) <= FEW:
        facts["values"] = tuple(sorted(values))
    if series.dtype.kind == "m":
        return Column(**facts, role="ignored", reason=DURATIONS)
    if len(values) < 2:
        reason = "has one value only" if len(values) else "is empty"
        return Column(**facts, role="ignored", reason=reason)
    if series.dtype.kind == "M":
        return Column(**facts, kind="date", earliest=as_date(known).min().isoformat())
    return Column(**facts, **_kind(values, delimiter))


def _kind(values: pd.Series, delimiter: str | None) -> dict[str, Any]:
    """Return the kind of a column that has these different values, and its facts."""
    if set(values.str.strip().str.lower()) in _BOOLEANS:
        return {"kind": "boolean", "alike": _alike(values)}
    if values.str.fullmatch(r"0\d+").any():  # a code such as a postal one
        return {"alike": _alike(values)}
    numbers = as_number(values)
    if numbers.notna().all():
        return {
            "kind": "number",
            "low": numbers.min(),
            "high": numbers.max(),
            "whole": bool((numbers == numbers.round()).all()),
            "too_large": _too_large(values, numbers),
        }
    dates = as_date(values)
    if dates.notna().all():
        return {"kind": "date", "earliest": dates.min().isoformat()}
    some = values.sample(min(len(values), 1000), random_state=0)
    written = _date_format(some)
    if written:
        return _date_facts(values, written)
    prose = len(values) > _PROSE_VALUES and _words(some) >= _PROSE_WORDS
    written = _number_format(some, delimiter)
    alike = () if prose or written else _alike(values)
    return {"written": written, "prose": prose, "alike": alike}


def _too_large(values: pd.Series, numbers: pd.Series) -> bool:
    """Return whether whole numbers are too large for a float to tell them apart."""
    large = values[numbers.abs() > _LARGEST_WHOLE]
    return bool(large.str.fullmatch(r"\s*[-+]?\d+\s*").any())


def _alike(values: pd.Series) -> tuple[str, ...]:
    """Return the first different values that case and spaces alone tell apart."""
    plain = values.str.split().str.join(" ").str.casefold()
    repeated = plain[plain.duplicated()]
    if repeated.empty:
        return ()
    return tuple(sorted(values[plain == repeated.iloc[0]])[:_FEW_ALIKE])


def _words(values: pd.Series) -> float:
    """Return how many words a value has on average."""
    return float(values.str.count(r"[^\W\d_]{2,}").mean())


def _date_format(some: pd.Series) -> str:
    """Return the format of dates that nearly all values have, or an empty text."""
    if some.str.contains(r"\d").mean() <= _NEARLY_ALL:  # every date has a digit
        return ""
    for written in _DATES:
        if as_date(some, written).notna().mean() > _NEARLY_ALL:
            return written
    return ""


def _date_facts(values: pd.Series, written: str) -> dict[str, Any]:
    """Return the facts of a column of dates in a format that is not ISO 8601.

    Where some values are not dates, it stays text, and features.py converts it.
    """
    dates = as_date(values, written)
    if not dates.notna().all():
        return {"written": written}
    swapped = written.replace("%d", "%?").replace("%m", "%d").replace("%?", "%m")
    ambiguous = swapped in _DATES and bool(as_date(values, swapped).notna().all())
    return {
        "kind": "date",
        "written": written,
        "earliest": dates.min().isoformat(),
        "ambiguous": ambiguous,
    }


def _number_format(some: pd.Series, delimiter: str | None) -> str:
    """Return how text stands for numbers, where nearly all of it does."""
    comma = False
    if some.str.contains(",").any():
        comma = some.str.fullmatch(_DECIMAL_COMMA).mean() > _NEARLY_ALL
        if delimiter == "," and some.str.fullmatch(_THOUSANDS).mean() > 0.5:
            comma = False
    numbers = text_as_number(some, comma)
    if numbers.notna().mean() > _NEARLY_ALL and numbers.nunique() > FEW // 2:
        return "decimal comma" if comma else "decimal point"
    return ""


def text_as_number(text: pd.Series, comma: bool) -> pd.Series:
    """Return what `number` of a new model's features.py returns."""
    text = text.str.replace(r"[\s%€$£]", "", regex=True)
    thousands = "." if comma else ","
    text = text.str.replace(thousands, "").str.replace(",", ".")
    values = pd.to_numeric(text, errors="coerce").astype("float64")
    return values.where(np.isfinite(values))


def decimal_commas(frame: pd.DataFrame) -> list[str]:
    """Return the text columns of numbers with a decimal comma; none if one has a point.

    The decimal sign is one for the whole file: where columns differ, features.py
    converts those that have a comma.
    """
    names = []
    for name in frame:
        values = frame[name].dropna().drop_duplicates()
        if as_number(values).notna().all():
            if values.str.contains(".", regex=False).any():
                return []
        elif (
            values.str.contains(",").any() and values.str.fullmatch(_PLAIN_COMMA).all()
        ):
            names.append(str(name))
    return names
