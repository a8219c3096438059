"""The declared columns of CSV, Parquet and JSON files: one reader for all of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.config.model_spec import ModelSpec
from mlops.data.csv_format import ReadOptions, read_header
from mlops.data.json_lines import read_json_lines, refuse_nested
from mlops.data.known import plain_whole_numbers
from mlops.data.sources import (
    COMPRESSED,
    DataFile,
    Source,
    form_of,
    refuse_other_content,
    source_files,
)
from mlops.data.types import as_text
from mlops.errors import UsageError, did_you_mean, listed, out_of_memory
from mlops.io.digests import sha256_file
from mlops.io.files import cannot
from mlops.results.data import Expectation, SourceFile

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


# What stands for a missing value in a text file (pandas' list).
MISSING = (
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
    "#N/A",
    "#N/A N/A",
    "#NA",
    "1.#IND",
    "-1.#IND",
    "1.#QNAN",
    "-1.#QNAN",
)


# Kinds that are read as text and whose values are not codes.
_NO_CODES = ("boolean", "date", "text")


# -- all files of a source ------------------------------------------------------------


def read_source(spec: ModelSpec, folder: Path) -> Source:
    """Read all files of `data.source`, in the order of their names.

    Parameters
    ----------
    spec : ModelSpec
    folder : Path
        Of the model.

    Raises
    ------
    UsageError
        When a file is missing, empty or not a table.
    """
    text = text_of_rows(spec)
    paths = source_files(spec.data.source, folder)
    source = _read_files(spec, paths, spec.columns, text)
    codes = text - {c for c, kind in spec.features.items() if kind in _NO_CODES}
    return _with_plain_codes(source, codes)


def text_of_rows(spec: ModelSpec) -> set[str]:
    """Return the columns of `data.source` that are read as text, as written."""
    text = {column for column, kind in spec.features.items() if kind != "number"}
    text.update(spec.sensitive)
    for key in (spec.data.id, spec.split.column):
        if key and key != spec.data.time:
            text.add(key)
    if spec.data.time in spec.data.formats:
        text.add(spec.data.time)
    if spec.task != "regression":
        text.add(spec.data.target)
    return text


def text_of_labels(spec: ModelSpec) -> set[str]:
    """Return the columns of `data.labels` that are read as text, as written."""
    text = {str(spec.data.id)}
    if spec.task != "regression":
        text.add(spec.data.target)
    return text


def read_labels(spec: ModelSpec, folder: Path, key: str = "data.labels") -> Source:
    """Read `data.labels`: id and target, where labels arrive apart from the features.

    Parameters
    ----------
    key : str
        Whose lock names the copies, where the labels lie elsewhere.

    Raises
    ------
    UsageError
        As `read`, and when a file lacks one of the two columns.
    """
    assert spec.data.labels and spec.data.id
    columns = (spec.data.id, spec.data.target)
    text = text_of_labels(spec)
    paths = source_files(spec.data.labels, folder, key)
    source = _read_files(spec, paths, columns, text)
    if source.missing:
        raise UsageError(
            "label files must have the columns of data.id and data.target",
            file=listed(file.path for file in source.files),
            found=listed(source.extra),
            allowed=" and ".join(columns),
        )
    # The ids stay as written: they are matched with those of the rows.
    return _with_plain_codes(source, text - {spec.data.id})


def _read_files(
    spec: ModelSpec,
    data_files: list[DataFile],
    columns: tuple[str, ...],
    text: set[str],
) -> Source:
    """Read `columns` of some files into one frame; those in `text` are text."""
    import pandas as pd

    options = ReadOptions.of(spec.data)
    frames = []
    files = []
    headers = []
    for file in data_files:
        path = file.path
        file.require_intact()
        frame, header = read_table(path, file.shown, columns, text, options)
        if len(frame) == 0:  # a frame without columns is empty, but may have rows
            raise no_rows(file.shown)
        frames.append(frame)
        headers.append(header)
        facts = {"path": file.shown, "sha256": sha256_file(path), "rows": len(frame)}
        files.append(SourceFile.model_validate(facts | file.record))
    whole = frames[0]
    if len(frames) > 1:
        whole = pd.concat(frames, ignore_index=True)
    union = dict.fromkeys(name for header in headers for name in header)
    return Source(
        frame=whole,
        files=tuple(files),
        missing=tuple(c for c in columns if any(c not in header for header in headers)),
        extra=tuple(c for c in union if c not in columns and c not in spec.data.ignore),
    )


def _with_plain_codes(source: Source, columns: set[str]) -> Source:
    """Return a source in which codes that became floats are whole numbers again."""
    changed = {}
    for name in columns.intersection(source.frame.columns):
        changed[name] = plain_whole_numbers(source.frame[name])
    return replace(source, frame=source.frame.assign(**changed))


def no_rows(shown: str) -> UsageError:
    """Return the error for a file that has a header only."""
    return UsageError("this file has a header and no rows", file=shown, do="add rows")


# -- one file -------------------------------------------------------------------------


def text_columns(kinds: Mapping[str, str]) -> set[str]:
    """Return which columns a reader must not interpret: all that are not numbers."""
    return {name for name, kind in kinds.items() if kind != "number"}


def read_table(
    path: Path,
    shown: str,
    columns: Collection[str] | None,
    text: set[str] | None,
    options: ReadOptions,
) -> tuple[pd.DataFrame, list[str]]:
    """Read some columns of one file: Parquet, JSON lines or CSV, as its name says.

    Parameters
    ----------
    path : Path
    shown : str
        What errors call the file.
    columns : collection of str, optional
        All where None. A name is found in whatever normal form of Unicode the file has.
    text : set of str, optional
        Columns that are text: in a CSV file as written, else what `as_text` makes of
        them. All where None.
    options : ReadOptions
        How text files are written.

    Returns
    -------
    DataFrame, shape (n_rows, n_columns)
        In the order of the file.
    list of str
        All names in the file's header, as `columns` spells them.

    Raises
    ------
    UsageError
        When the file is not a table.
    EnvironmentFailure
        When it cannot be read.
    """
    with table_errors(path, shown, options):
        form = form_of(path)
        if form == "parquet":
            return _read_parquet(path, columns, text)
        if form == "json":
            return _read_json(path, shown, columns, text)
        return _read_csv(path, shown, columns, text, options)


@contextmanager
def table_errors(path: Path, shown: str, options: ReadOptions) -> Iterator[None]:
    """Turn what goes wrong in reading a table into an error that says what to do."""
    import pyarrow as pa

    try:
        refuse_other_content(path, shown)
        yield
    except MemoryError as error:  # Arrow's is also an ArrowException
        raise out_of_memory(shown) from error
    except (UnicodeError, LookupError, pa.ArrowException) as error:
        raise _not_a_table(path, shown, options, error) from error
    except OSError as error:
        if path.suffix in COMPRESSED and error.errno is None:
            raise _not_compressed(path, shown, error) from error
        raise cannot("read", path, error) from error


def _read_parquet(
    path: Path, columns: Collection[str] | None, text: set[str] | None
) -> tuple[pd.DataFrame, list[str]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        written = list(file.schema_arrow.names)
        names = declared_names(written, columns)
        wanted = [n for n in written if columns is None or names[n] in columns]
        # Without pandas' own metadata, by which a column would become the index.
        frame = file.read(columns=wanted).to_pandas(ignore_metadata=True)
    return declared_text(frame, names, text), list(names.values())


def _read_json(
    path: Path, shown: str, columns: Collection[str] | None, text: set[str] | None
) -> tuple[pd.DataFrame, list[str]]:
    table = read_json_lines(path)
    names = declared_names(table.schema.names, columns)
    wanted = [n for n in names if columns is None or names[n] in columns]
    chosen = table.select(wanted)
    refuse_nested(chosen, shown)
    frame = chosen.to_pandas()
    return declared_text(frame, names, text), list(names.values())


def declared_text(
    frame: pd.DataFrame, names: Mapping[str, str], text: set[str] | None
) -> pd.DataFrame:
    """Return typed columns by their declared names; those in `text` as text."""
    renamed = frame.set_axis([names[name] for name in frame.columns], axis="columns")
    chosen = renamed.columns if text is None else text.intersection(renamed.columns)
    for name in chosen:
        renamed[name] = as_text(renamed[name])
    return renamed


def _read_csv(
    path: Path,
    shown: str,
    columns: Collection[str] | None,
    text: set[str] | None,
    options: ReadOptions,
) -> tuple[pd.DataFrame, list[str]]:
    import pyarrow.csv as arrow_csv

    written, delimiter = read_header(path, shown, options)
    names = declared_names(written, columns)
    wanted = [n for n in written if columns is None or names[n] in columns]
    as_written = [n for n in wanted if text is None or names[n] in text]
    table = arrow_csv.read_csv(
        path,
        read_options=arrow_csv.ReadOptions(encoding=options.encoding),
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True
        ),
        # One column at least: Arrow counts no rows without any.
        convert_options=conversion(wanted or written[:1], as_written, options),
    )
    frame = table.to_pandas()[wanted]
    frame.columns = [names[name] for name in wanted]
    return frame, list(names.values())


def conversion(
    wanted: list[str], as_written: list[str], options: ReadOptions
) -> pa.csv.ConvertOptions:
    """Return which columns of a CSV file are read, and how."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    return arrow_csv.ConvertOptions(
        include_columns=wanted,
        column_types=dict.fromkeys(as_written, pa.string()),
        null_values=list(MISSING),
        strings_can_be_null=True,
        decimal_point=options.decimal,
    )


def declared_names(
    written: Iterable[str], columns: Collection[str] | None
) -> dict[str, str]:
    """Return the name by which each column of a file is declared.

    macOS may write `ö` as two characters (NFD) where a keyboard writes one (NFC): they
    look the same, and are one name. Names that nobody declared are given in NFC.
    """
    declared = {unicodedata.normalize("NFC", name): name for name in columns or ()}
    names = {}
    for name in written:
        composed = unicodedata.normalize("NFC", name)
        names[name] = declared.get(composed, composed)
    return names


def _not_compressed(path: Path, shown: str, error: OSError) -> UsageError:
    """Return the error for a file that its name calls compressed, and that is not."""
    return UsageError(
        f"cannot be decompressed: {error}",
        file=shown,
        do=f"compress it again, or let its name not end in {path.suffix}",
    )


def _not_a_table(
    path: Path, shown: str, options: ReadOptions, error: Exception
) -> UsageError:
    """Return the error for a file that cannot be parsed."""
    import pyarrow as pa

    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    form = form_of(path)
    if form == "parquet":
        message = "not a Parquet file"
        do = "write it again, or let its name end in .csv"
    elif form == "json":
        message = "not one JSON object a line"
        do = 'write each row as one line: {"age": 30, "city": "Rome"}'
    elif not isinstance(error, pa.ArrowException) or "invalid UTF8" in reason:
        message = f"not {options.encoding}"
        do = "save it as UTF-8, or set data.encoding (cp1252 or utf-16, say)"
    else:
        message = "not a table"
        do = "quote values that hold the delimiter, or set data.delimiter in model.yaml"
        if options.delimiter:
            reason += f" (delimiter {options.delimiter!r})"
    return UsageError(f"{message}: {reason}", file=shown, do=do)


def columns_match(missing: tuple[str, ...], extra: tuple[str, ...]) -> Expectation:
    """Return whether the files have the declared columns and no others."""
    parts = []
    for name in missing:
        hint = did_you_mean(name, extra)
        parts.append(f"`{name}` is missing" + (f" ({hint})" if hint else ""))
    for name in extra:
        advice = "add it to features, or to data.ignore"
        parts.append(f"`{name}` is not declared ({advice})")
    difference = "; ".join(parts) or "they are"
    return Expectation(
        name="expect_table_columns_to_match_model_yaml",
        ok=not parts,
        message=f"The columns should be those that model.yaml declares; {difference}.",
    )
