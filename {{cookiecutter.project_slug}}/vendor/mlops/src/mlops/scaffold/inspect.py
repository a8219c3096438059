"""How an unknown file is written and what each column is."""

from __future__ import annotations

import codecs
import contextlib
import datetime
import decimal
import re
import unicodedata
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from mlops.config.model_spec import Kind
from mlops.data.read import read_header, read_table
from mlops.data.sources import PARQUET
from mlops.data.types import as_date, as_number, as_text
from mlops.errors import UsageError
from mlops.io.files import reaching
from mlops.results.base import Result
from mlops.scaffold.templates.features import number

FEW = 20  # distinct values that can be listed

NESTED = "holds lists or other values that are not plain"

_PLAIN = (str, bool, int, float, datetime.date, decimal.Decimal)

_BOOLEANS = (
    {"true", "false"},
    {"t", "f"},
    {"yes", "no"},
    {"y", "n"},
    {"1", "0"},
    {"1.0", "0.0"},
)

_DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d")

_SHORT_DAYS = ("%d.%m.%y", "%d/%m/%y", "%m/%d/%y")

_DATES = tuple(
    d + t for d in (*_DAYS, *_SHORT_DAYS) for t in ("", " %H:%M", " %H:%M:%S")
)

_DECIMAL_COMMA = r"\s*[-+]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?\s*[%€$£]?\s*"

_THOUSANDS = r"\s*[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?\s*"

_ID = (
    r"(?i:(?:^|[\W_])(?:id|uuid|guid|key|nr|no))\s*$|[a-z](?:ID|Id|UUID|Key|Nr|No)\s*$"
)

# Words for what the law of many countries protects, without accents.
_SENSITIVE = (
    r"\b(?:sex|sexe|sexo|sesso|gender|genero|geschlecht|geslacht|race|raza|raca|rasse|razza|hautfarbe"
    r"|ethnic\w*|ethnie|etnia|religi\w*|konfession|creed|caste|disab\w*|handicap|\w*behinder\w*"
    r"|discapac\w*|deficiencia|national\w*|nacional\w*|nazional\w*|citizenship|herkunft"
    r"|staatsangeh\w*|pregnan\w*|schwanger\w*|orientation|transgender)\b"
)


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
    earliest: str = Field("", description="Of dates.")
    values: tuple[str, ...] = Field(
        (), description="All, where there are few and none is secret."
    )
    written: str = Field("", description="How text stands for numbers or dates.")

    @property
    def looks_like_id(self) -> bool:
        """Whether the name is that of an identifier."""
        return bool(re.search(_ID, self.name))

    @property
    def looks_sensitive(self) -> bool:
        """Whether the name is that of something that the law of many countries protects."""
        plain = unicodedata.normalize(
            "NFKD", re.sub(r"([a-z])([A-Z])", r"\1 \2", self.name)
        )
        plain = "".join(c for c in plain if not unicodedata.combining(c)).lower()
        return bool(re.search(_SENSITIVE, plain.replace("_", " ")))

    def told(self) -> str:
        """Return the column in a few words, without its values."""
        missing = f", {self.missing / self.rows:.1%} missing" if self.missing else ""
        if self.low is not None:
            return f"{self.low:g} to {self.high:g}{missing}"
        written = f" of text that stands for {self.stands_for}" if self.written else ""
        return f"{self.unique:,} values{written}{missing}"

    @property
    def stands_for(self) -> str:
        """What text stands for, where it does."""
        return (
            f"dates ({self.written})"
            if "%" in self.written
            else f"numbers ({self.written})"
        )


Columns = dict[str, Column]  # by their names, in the order of the file


def open_table(
    path: Path, delimiter: str | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a CSV or Parquet file of unknown form.

    Returns
    -------
    frame : DataFrame, shape (n_rows, n_columns)
        All columns: text from CSV, any type from Parquet.
    form : dict
        Delimiter and encoding, as model.yaml has them; empty for Parquet.
    """
    form: dict[str, Any] = {}
    text: set[str] = set()
    if not path.exists():
        raise UsageError("there is no such file", file=str(path))
    if path.suffix not in PARQUET:
        encoding = _encoding(path)
        header, delimiter = read_header(path, path.name, delimiter, encoding)
        text, form = set(header), {"delimiter": delimiter, "encoding": encoding}
    frame, header = read_table(
        path, path.name, None, text, delimiter, form.get("encoding", "")
    )
    if len(header) < 2:
        what, do = (
            "only one column was found",
            "say how columns are parted with --delimiter",
        )
        raise UsageError(what, file=path.name, found=f"`{header[0][:80]}`", do=do)
    if frame.empty:
        raise UsageError(
            "this file has a header and no rows", file=path.name, do="add rows"
        )
    return frame, form


def _encoding(path: Path) -> str:
    """Return the first encoding in which all of a file can be read; Latin-1 reads anything."""
    with reaching("read", path):
        with path.open("rb") as binary:
            marked = binary.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}
        for encoding in ("utf-16",) if marked else ("utf-8", "cp1252"):
            with (
                contextlib.suppress(UnicodeError),
                path.open(encoding=encoding) as file,
            ):
                while file.read(1 << 20):
                    pass
                return encoding
    return "latin-1"


def look(name: str, series: pd.Series, delimiter: str | None) -> Column:
    """Return what is in a column, text or of any type.

    Where a file's delimiter is no comma, a comma in a number is its decimal sign.
    """
    known = series.dropna()
    facts: dict[str, Any] = {
        "name": name,
        "rows": len(series),
        "missing": int(series.isna().sum()),
    }
    if (
        series.dtype == object
        and not known.map(lambda value: isinstance(value, _PLAIN)).all()
    ):
        return Column(**facts, role="ignored", reason=NESTED)
    values = as_text(known).drop_duplicates()
    facts["unique"] = len(values)
    if len(values) <= FEW:
        facts["values"] = tuple(sorted(values))
    if len(values) < 2:
        reason = "has one value only" if len(values) else "is empty"
        return Column(**facts, role="ignored", reason=reason)
    if series.dtype.kind == "M":
        return Column(**facts, kind="date", earliest=as_date(known).min().isoformat())
    return Column(**facts, **_kind(values, delimiter))


def _kind(values: pd.Series, delimiter: str | None) -> dict[str, Any]:
    """Return the kind of a column that has these different values, and what goes with it."""
    if set(values.str.strip().str.lower()) in _BOOLEANS:
        return {"kind": "boolean"}
    if values.str.fullmatch(r"0\d+").any():  # a code such as a postal one
        return {}
    numbers = as_number(values)
    if numbers.notna().all():
        whole = bool((numbers == numbers.round()).all())
        return {
            "kind": "number",
            "low": numbers.min(),
            "high": numbers.max(),
            "whole": whole,
        }
    dates = pd.to_datetime(values, format="ISO8601", errors="coerce", utc=True)
    if dates.notna().all():
        return {"kind": "date", "earliest": as_date(values).min().isoformat()}
    return {"written": _written(values, delimiter)}


def _written(values: pd.Series, delimiter: str | None) -> str:
    """Return how text stands for dates or numbers, where nearly all of it does."""
    some = values.sample(min(len(values), 1000), random_state=0)
    for written in _DATES:
        if pd.to_datetime(some, format=written, errors="coerce").notna().mean() > 0.9:
            return written
    thousands = delimiter == "," and some.str.fullmatch(_THOUSANDS).mean() > 0.5
    comma = (
        some.str.contains(",").any() and some.str.fullmatch(_DECIMAL_COMMA).mean() > 0.9
    )
    comma = bool(comma and not thousands)
    numbers = number(some, comma)
    if numbers.notna().mean() > 0.9 and numbers.nunique() > FEW // 2:
        return "decimal comma" if comma else "decimal point"
    return ""
