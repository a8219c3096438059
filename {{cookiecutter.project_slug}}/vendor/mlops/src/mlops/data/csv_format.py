"""How a text file is written: encoding, delimiter, decimal sign and header."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from mlops.config.model_spec import Data
from mlops.data.sources import COMPRESSED
from mlops.errors import UsageError, listed

DELIMITERS = ",;\t|"

_LINES_TO_LOOK_AT = 20


@dataclass(frozen=True)
class ReadOptions:
    """How the text files of one model are written: source, labels and rows to predict.

    Parameters
    ----------
    delimiter : str or None
        Inferred from the first lines where it is None.
    encoding : str
    decimal : {".", ","}
        The decimal sign of numbers.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"
    decimal: str = "."

    @classmethod
    def of(cls, data: Data) -> ReadOptions:
        """Return what `data` in model.yaml declares."""
        return cls(data.delimiter, data.encoding, data.decimal)


def open_text(path: Path, encoding: str) -> TextIO:
    """Open a text file that may be compressed, as its name says."""
    if path.suffix not in COMPRESSED:
        return path.open(encoding=encoding, newline="")
    import pyarrow as pa

    stream = pa.input_stream(path, compression="detect")
    return io.TextIOWrapper(stream, encoding=encoding, newline="")


def read_header(path: Path, shown: str, options: ReadOptions) -> tuple[list[str], str]:
    """Return the column names of a CSV file and the delimiter that separates them.

    Raises
    ------
    UsageError
        For an empty or binary file, and for a name that stands twice or is empty.
    """
    with open_text(path, options.encoding) as file:
        lines = list(islice(file, _LINES_TO_LOOK_AT))
    start = "".join(lines)
    if not start.strip():
        raise UsageError("this file is empty", file=shown, do="add a header and rows")
    if "\0" in start:
        raise UsageError(
            "this is a binary file",
            file=shown,
            allowed="CSV (text), or Parquet with a name that ends in .parquet",
            do="save it as CSV, or set data.encoding where the text is UTF-16",
        )
    if options.delimiter and len(options.delimiter.encode()) != 1:
        raise UsageError(
            "this is not a delimiter",
            file=shown,
            found=options.delimiter,
            allowed="one character of ASCII: , ; | or a tab",
        )
    lines[0] = lines[0].removeprefix("\ufeff")
    delimiter = options.delimiter or infer_delimiter(lines)
    header = next(csv.reader(lines, delimiter=delimiter))
    if header[0] == "":  # the index that pandas writes
        header = header[1:]
    _refuse_bad_names(header, shown)
    return header, delimiter


def _refuse_bad_names(header: list[str], shown: str) -> None:
    """Raise UsageError where a column has no name, or two have the same."""
    counts = Counter(unicodedata.normalize("NFC", name) for name in header)
    twice = sorted(name for name, count in counts.items() if count > 1)
    problem = ""
    if twice:
        problem = f"{listed(twice)} twice"
    elif "" in header:
        problem = "a column without a name"
    if problem:
        raise UsageError(
            "every column needs a name of its own",
            file=shown,
            key="header",
            found=problem,
            do="rename the columns in the file",
        )


def infer_delimiter(lines: list[str]) -> str:
    """Return the delimiter that splits most lines into the same number of fields."""

    def score(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        if widths[0] < 2:
            return 0, widths[0]
        return widths.count(widths[0]), widths[0]

    return max(DELIMITERS, key=score)
