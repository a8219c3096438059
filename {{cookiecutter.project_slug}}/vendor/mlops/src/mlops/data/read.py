"""The declared columns of CSV and Parquet files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.config.model_spec import Data, ModelSpec
from mlops.data.sources import PARQUET, Source, source_files
from mlops.data.types import as_text
from mlops.errors import UsageError, did_you_mean, listed
from mlops.io.digests import sha256_file
from mlops.io.files import cannot
from mlops.results.data import Expectation, SourceFile

if TYPE_CHECKING:
    import pandas as pd


DELIMITERS = ",;\t|"

# What stands for a missing value in a text file (pandas' list).
MISSING = (
    *(
        "",
        "NA",
        "N/A",
        "n/a",
        "NaN",
        "nan",
        "-NaN",
        "-nan",
        "NULL",
        "null",
        "None",
        "<NA>",
    ),
    *("#N/A", "#N/A N/A", "#NA", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)


def read(spec: ModelSpec, folder: Path) -> Source:
    """Read all files of `data.source`, in the order of their names."""
    text = {c for c, kind in spec.features.items() if kind != "number"} | set(
        spec.sensitive
    )
    text |= {c for c in (spec.data.id, spec.split.column) if c} - {spec.data.time}
    if spec.task != "regression":
        text.add(spec.data.target)
    paths = source_files(spec.data.source, folder)
    return _read_files(paths, spec.columns, text, spec.data, folder.parent.parent)


def read_labels(spec: ModelSpec, folder: Path) -> Source:
    """Read `data.labels`: the id and the target, where labels arrive apart from the features."""
    assert spec.data.labels and spec.data.id
    columns = (spec.data.id, spec.data.target)
    text = set(columns[:1] if spec.task == "regression" else columns)
    paths = source_files(spec.data.labels, folder, "data.labels")
    source = _read_files(paths, columns, text, spec.data, folder.parent.parent)
    if source.missing:
        what, files = (
            "label files must have id and target",
            listed(f.path for f in source.files),
        )
        found, allowed = listed(source.extra), " and ".join(columns)
        raise UsageError(what, file=files, found=found, allowed=allowed)
    return source


def _read_files(
    paths: list[Path], columns: tuple[str, ...], text: set[str], data: Data, root: Path
) -> Source:
    """Read `columns` of some files into one frame; those in `text` are text."""
    import pandas as pd

    frames, files, headers = [], [], []
    for path in paths:
        shown = (
            path.relative_to(root) if path.is_relative_to(root) else path
        ).as_posix()
        frame, header = read_table(
            path, shown, columns, text, data.delimiter, data.encoding
        )
        if frame.empty:
            raise UsageError(
                "this file has a header and no rows", file=shown, do="add rows"
            )
        frames.append(frame)
        headers.append(header)
        files.append(SourceFile(path=shown, sha256=sha256_file(path), rows=len(frame)))
    union = dict.fromkeys(name for header in headers for name in header)
    return Source(
        frame=frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True),
        files=tuple(files),
        missing=tuple(c for c in columns if any(c not in header for header in headers)),
        extra=tuple(c for c in union if c not in columns and c not in data.ignore),
    )


def read_table(
    path: Path,
    shown: str,
    columns: tuple[str, ...] | None,
    text: set[str],
    delimiter: str | None,
    encoding: str,
) -> tuple[pd.DataFrame, list[str]]:
    """Return some columns (None: all) of one CSV or Parquet file, and all names in its header.

    Those in `text` are text: in a CSV file as written, else what `as_text` makes of them.
    """
    import pyarrow as pa
    import pyarrow.csv as arrow_csv
    import pyarrow.parquet as pq

    try:
        if path.suffix in PARQUET:
            with pq.ParquetFile(path) as file:
                header = list(file.schema_arrow.names)
                wanted = [c for c in header if columns is None or c in columns]
                # Without pandas' own metadata, by which a column would become the index.
                frame = file.read(columns=wanted).to_pandas(ignore_metadata=True)
                for name in text.intersection(wanted):
                    frame[name] = as_text(frame[name])
                return frame, header
        header, delimiter = read_header(path, shown, delimiter, encoding)
        wanted = [c for c in header if columns is None or c in columns]
        table = arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(encoding=encoding),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys(
                    (c for c in wanted if c in text), pa.string()
                ),
                null_values=list(MISSING),
                strings_can_be_null=True,
            ),
        )
        return table.to_pandas(), header
    except (UnicodeDecodeError, LookupError, pa.ArrowException) as error:
        what, said = "not a table", str(error).splitlines()[0][:200]
        do = "quote values that hold the delimiter, or set data.delimiter in model.yaml"
        if path.suffix in PARQUET:
            what, do = (
                "not a Parquet file",
                "write it again, or let its name end in .csv",
            )
        elif not isinstance(error, pa.ArrowException) or "invalid UTF8" in said:
            what, do = (
                f"not {encoding}",
                "save it as UTF-8, or set data.encoding (cp1252, say)",
            )
        elif delimiter:
            said += f" (delimiter {delimiter!r})"
        raise UsageError(f"{what}: {said}", file=shown, do=do) from error
    except OSError as error:
        raise cannot("read", path, error) from error


def read_header(
    path: Path, shown: str, delimiter: str | None, encoding: str
) -> tuple[list[str], str]:
    """Return the column names of a CSV file and the delimiter that parts them.

    UsageError for an empty or binary file, and for a name that stands twice or is empty.
    """
    with path.open(encoding=encoding, newline="") as file:
        lines = [line for _, line in zip(range(20), file, strict=False)]
    start = "".join(lines)
    if not start.strip():
        raise UsageError(
            "this file is empty", file=shown, do="put a header and rows in"
        )
    if "\0" in start:
        do = "save the sheet of an Excel workbook as CSV; unpack what is compressed (gzip, zip)"
        allowed = "CSV (text), or Parquet with a name that ends in .parquet"
        raise UsageError("this is a binary file", file=shown, allowed=allowed, do=do)
    if delimiter and len(delimiter.encode()) != 1:
        allowed = "one character of ASCII: , ; | or a tab"
        raise UsageError(
            "this cannot part columns", file=shown, found=delimiter, allowed=allowed
        )
    lines[0] = lines[0].removeprefix("\ufeff")
    delimiter = delimiter or guess_delimiter(lines)
    header = next(csv.reader(lines, delimiter=delimiter))
    twice = sorted({name for name in header if header.count(name) > 1})
    if header[0] == "":  # the index that pandas writes
        header = header[1:]
    if twice or "" in header:
        what, do = (
            "column names must be there and differ",
            "rename the columns in the file",
        )
        found = f"{listed(twice)} twice" if twice else "a column without a name"
        raise UsageError(what, file=shown, key="header", found=found, do=do)
    return header, delimiter


def guess_delimiter(lines: list[str]) -> str:
    """Return the delimiter that parts most of the given lines into the same number of fields."""

    def score(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        return (sum(w == widths[0] for w in widths) if widths[0] > 1 else 0, widths[0])

    return max(DELIMITERS, key=score)


def columns_match(missing: tuple[str, ...], extra: tuple[str, ...]) -> Expectation:
    """Return whether the files have the declared columns and no others."""
    near = {name: did_you_mean(name, extra) for name in missing}
    parts = [
        f"`{name}` is missing" + (f" ({hint})" if hint else "")
        for name, hint in near.items()
    ]
    parts += [
        f"`{name}` is not declared (add it to features, or to data.ignore)"
        for name in extra
    ]
    found = "; ".join(parts) or "they are"
    return Expectation(
        name="expect_table_columns_to_match_model_yaml",
        ok=not parts,
        message=f"The columns should be those that model.yaml declares; {found}.",
    )
