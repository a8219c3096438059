"""Reading the declared columns of CSV and Parquet files."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.errors import Problem, UsageError, listed
from mlops.files import cannot, sha256_file
from mlops.results import SourceFile
from mlops.spec import Data, ModelSpec

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = ",;\t|"
# What stands for a missing value in a text file (pandas' list).
MISSING = (
    *("", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "<NA>"),
    *("#N/A", "#N/A N/A", "#NA", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)


@dataclass(frozen=True)
class Source:
    """Rows as they were read.

    Parameters
    ----------
    frame : DataFrame
        Declared columns that are there; text columns as pandas ``str``.
    files : tuple of SourceFile
    missing, extra : tuple of str
        Declared columns that no file has; columns that nobody declared.
    """

    frame: pd.DataFrame
    files: tuple[SourceFile, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]


def source_files(pattern: str, folder: Path, key: str = "data.source") -> list[Path]:
    """Return the files that a path or glob names, sorted.

    Raises
    ------
    UsageError
        When there is none.
    """
    path = Path(pattern)
    base = Path(path.anchor) if path.is_absolute() else folder
    relative = path.relative_to(path.anchor) if path.is_absolute() else path
    found = sorted(p for p in base.glob(relative.as_posix()) if p.is_file())
    if not found:
        raise UsageError(
            Problem(
                "no file matches",
                file=f"models/{folder.name}/model.yaml",
                key=key,
                found=pattern,
                do=f"put the data there, or mend {key} (relative to models/{folder.name}/)",
            )
        )
    return found


def read(spec: ModelSpec, folder: Path) -> Source:
    """Read all files of `data.source`, in the order of their names.

    Raises
    ------
    UsageError
        When a file is missing, empty, not in its encoding or not a table.
    """
    text = {c for c, kind in spec.features.items() if kind != "number"} | set(spec.sensitive)
    text |= {c for c in (spec.data.id, spec.split.column) if c} - {spec.data.time}
    if spec.task != "regression":
        text.add(spec.data.target)
    return read_files(
        source_files(spec.data.source, folder), spec.columns, text, spec.data, folder.parent.parent
    )


def read_labels(spec: ModelSpec, folder: Path) -> Source:
    """Read `data.labels`: the id and the target, where labels arrive apart from the features."""
    assert spec.data.labels and spec.data.id
    columns = (spec.data.id, spec.data.target)
    text = {spec.data.id} | ({spec.data.target} if spec.task != "regression" else set())
    paths = source_files(spec.data.labels, folder, "data.labels")
    source = read_files(paths, columns, text, spec.data, folder.parent.parent)
    if source.missing:
        raise UsageError(
            Problem(
                "the label files must have the id and the target",
                file=listed(f.path for f in source.files),
                found=listed(source.extra),
                allowed=" and ".join(columns),
            )
        )
    return source


def read_files(
    paths: list[Path], columns: tuple[str, ...], text: set[str], data: Data, root: Path
) -> Source:
    """Read `columns` of some files into one frame; those in `text` are kept as written."""
    import pandas as pd

    frames, files, headers = [], [], []
    for path in paths:
        shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        frame, header = read_table(path, shown, columns, text, data.delimiter, data.encoding)
        if frame.empty:
            raise UsageError(
                Problem("this file has a header and no rows", file=shown, do="add the rows")
            )
        frames.append(frame)
        headers.append(header)
        files.append(SourceFile(path=shown, sha256=sha256_file(path), rows=len(frame)))
    union = list(dict.fromkeys(name for header in headers for name in header))
    frame = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    return Source(
        frame=frame,
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
    """Return some columns (None: all) of one CSV or Parquet file, and all names in its header."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        if path.suffix in {".parquet", ".pq"}:
            return _read_parquet(path, shown, columns)
        header, delimiter = read_header(path, shown, delimiter, encoding)
        wanted = [c for c in header if columns is None or c in columns]
        table = arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(encoding=encoding),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=wanted,
                column_types=dict.fromkeys((c for c in wanted if c in text), pa.string()),
                null_values=list(MISSING),
                strings_can_be_null=True,
            ),
        )
        return table.to_pandas(), header
    except UnicodeDecodeError as error:
        raise _not_encoded(shown, encoding, error) from error
    except LookupError as error:
        raise UsageError(Problem(str(error), file=shown, key="data.encoding")) from error
    except OSError as error:
        raise cannot("read", path, error) from error
    except pa.ArrowInvalid as error:
        raise UsageError(
            Problem(
                f"not a table: {str(error).splitlines()[0][:200]}",
                file=shown,
                found=f"delimiter {delimiter!r}",
                do="quote values that hold the delimiter, or set data.delimiter in model.yaml",
            )
        ) from error


def _not_encoded(shown: str, encoding: str, error: UnicodeDecodeError) -> UsageError:
    return UsageError(
        Problem(
            f"not {encoding}: byte 0x{error.object[error.start]:02x} cannot be read",
            file=shown,
            key="data.encoding",
            found=encoding,
            do="save the file as UTF-8, or set data.encoding in model.yaml (cp1252, say)",
        )
    )


def _read_parquet(
    path: Path, shown: str, columns: tuple[str, ...] | None
) -> tuple[pd.DataFrame, list[str]]:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        header = list(pq.read_schema(path).names)
        wanted = [c for c in header if columns is None or c in columns]
        return pd.read_parquet(path, columns=wanted), header
    except pa.ArrowException as error:
        first = str(error).splitlines()[0][:200]
        raise UsageError(Problem(f"not a Parquet file: {first}", file=shown)) from error


def read_header(
    path: Path, shown: str, delimiter: str | None, encoding: str
) -> tuple[list[str], str]:
    """Return the column names of a CSV file and the delimiter that parts them.

    Raises
    ------
    UsageError
        For an empty or binary file, and for a name that stands twice or is empty.
    """
    with path.open(encoding=encoding, newline="") as file:
        lines = [line for _, line in zip(range(20), file, strict=False)]
    if not "".join(lines).strip():
        raise UsageError(Problem("this file is empty", file=shown, do="put a header and rows in"))
    if "\0" in "".join(lines):
        raise UsageError(
            Problem("this is a binary file", file=shown, allowed="CSV (text) or .parquet")
        )
    delimiter = delimiter or guess_delimiter(lines)
    header = [name.removeprefix("\ufeff") for name in next(csv.reader(lines, delimiter=delimiter))]
    twice = sorted({name for name in header if header.count(name) > 1})
    if header[0] == "":  # the index that pandas writes
        header = header[1:]
    if twice or "" in header:
        raise UsageError(
            Problem(
                "column names must be there and differ",
                file=shown,
                key="header",
                found=f"{listed(twice)} twice" if twice else "a column without a name",
                do="rename the columns in the file",
            )
        )
    return header, delimiter


def guess_delimiter(lines: list[str]) -> str:
    """Return the delimiter that parts most of the given lines into the same number of fields."""

    def score(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        return (sum(w == widths[0] for w in widths) if widths[0] > 1 else 0, widths[0])

    return max(DELIMITERS, key=score)
