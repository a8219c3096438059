"""An unknown file as a table: how it is written, and its rows or a sample of them."""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops.data.csv_format import ReadOptions, open_text, read_header
from mlops.data.json_lines import read_json_lines
from mlops.data.read import (
    MISSING,
    conversion,
    declared_names,
    no_rows,
    table_errors,
)
from mlops.data.sources import form_of
from mlops.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv


SAMPLE = 200_000  # rows that decide; a file that has more is read once and sampled

_BATCH = 65_536  # rows of Parquet
_BLOCK = 1 << 24  # bytes of CSV

_MARKED = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class TableSample:
    """What was read of a file.

    Parameters
    ----------
    frame : DataFrame, shape (n_sample, n_columns)
        All columns: text from CSV, any type from Parquet and JSON.
    rows : int
        In the whole file.
    options : ReadOptions or None
        How the text of a CSV file is written; None for others.
    """

    frame: pd.DataFrame
    rows: int
    options: ReadOptions | None

    @property
    def sampled(self) -> bool:
        """Whether the frame is a sample of the rows."""
        return len(self.frame) < self.rows

    @property
    def form(self) -> dict[str, Any]:
        """The keys of `data` in model.yaml that say how the text is written."""
        if self.options is None:
            return {}
        form: dict[str, Any] = {
            "delimiter": self.options.delimiter,
            "encoding": self.options.encoding,
        }
        if self.options.decimal != ".":
            form["decimal"] = self.options.decimal
        return form


def open_table(
    path: Path, delimiter: str | None = None, most: int = SAMPLE
) -> TableSample:
    """Read a CSV, Parquet or JSON file of unknown form.

    Parameters
    ----------
    path : Path
    delimiter : str, optional
        Of a CSV file; inferred where it is not given.
    most : int
        Rows to keep. Of a file with more, a random sample with a fixed seed is kept, in
        the order of the file.

    Raises
    ------
    UsageError
        When the file is not a table.
    EnvironmentFailure
        When it cannot be read.
    """
    if not path.exists():
        raise UsageError("there is no such file", file=str(path))
    form = form_of(path)
    options = None
    with table_errors(path, path.name, ReadOptions(delimiter)):
        if form == "parquet":
            header, batches = _parquet_batches(path)
        elif form == "json":
            header, batches = _json_batches(path)
        else:
            options, header, batches = _csv_batches(path, delimiter)
        if len(header) < 2:
            raise UsageError(
                "only one column was found",
                file=path.name,
                found=f"`{header[0][:80]}`",
                do="set the delimiter with --delimiter",
            )
        table, rows = sample_rows(batches, most)
    if table is None or not rows:
        raise no_rows(path.name)
    # Without pandas' own metadata, by which a column would become the index.
    frame = table.to_pandas(ignore_metadata=True)
    names = declared_names(frame.columns, None)
    frame.columns = [names[name] for name in frame.columns]
    return TableSample(frame, rows, options)


def sample_rows(
    batches: Iterator[pa.RecordBatch], most: int
) -> tuple[pa.Table | None, int]:
    """Return at most `most` rows of a stream, in its order, and how many there were.

    Every row draws a random number, and those with the smallest are kept: each row has
    the same chance, and memory holds a few times `most` rows.
    """
    import pyarrow as pa

    rng = np.random.default_rng(0)
    chosen: list[pa.Table] = []
    draws: list[np.ndarray] = []
    rows = 0
    limit = 1.0

    def shrink() -> None:
        nonlocal limit
        drawn = np.concatenate(draws)
        if len(drawn) <= most:
            return
        limit = float(np.partition(drawn, most - 1)[most - 1])
        mask = drawn <= limit
        chosen[:] = [pa.concat_tables(chosen).filter(pa.array(mask)).combine_chunks()]
        draws[:] = [drawn[mask]]

    for batch in batches:
        rows += batch.num_rows
        drawn = rng.random(batch.num_rows)
        mask = drawn <= limit
        chosen.append(pa.Table.from_batches([batch]).filter(pa.array(mask)))
        draws.append(drawn[mask])
        if sum(map(len, draws)) > 2 * most:
            shrink()
    if not chosen:
        return None, rows
    shrink()
    return pa.concat_tables(chosen), rows


def words_for_missing(
    path: Path, options: ReadOptions, columns: Collection[str]
) -> dict[str, list[str]]:
    """Return the words that are read as missing values, of columns that have some.

    Parameters
    ----------
    path : Path
        A CSV file, of which as many rows are read as are kept of a large one.
    options : ReadOptions
    columns : collection of str
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    header, _ = read_header(path, path.name, options)
    names = declared_names(header, columns)
    wanted = [name for name in header if names[name] in columns]
    if not wanted:
        return {}
    words = pa.array([word for word in MISSING if word])
    found: dict[str, set[str]] = {name: set() for name in wanted}
    as_written = conversion(wanted, wanted, options)
    as_written.null_values = []
    rows = 0
    for batch in _csv_reader(path, options, as_written):
        for name in wanted:
            column = batch.column(name)
            known = column.filter(pc.is_in(column, words))
            found[name].update(pc.unique(known).to_pylist())
        rows += batch.num_rows
        if rows >= SAMPLE:
            break
    return {names[name]: sorted(some) for name, some in found.items() if some}


def _parquet_batches(path: Path) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    return list(file.schema_arrow.names), file.iter_batches(batch_size=_BATCH)


def _json_batches(path: Path) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    table = read_json_lines(path)
    return list(table.schema.names), iter(table.to_batches())


def _csv_batches(
    path: Path, given: str | None
) -> tuple[ReadOptions, list[str], Iterator[pa.RecordBatch]]:
    options = ReadOptions(given, _encoding(path))
    header, delimiter = read_header(path, path.name, options)
    options = replace(options, delimiter=delimiter)
    if len(header) < 2:
        return options, header, iter(())
    reader = _csv_reader(path, options, conversion(header, header, options))
    return options, header, iter(reader)


def _csv_reader(
    path: Path, options: ReadOptions, convert: arrow_csv.ConvertOptions
) -> arrow_csv.CSVStreamingReader:
    """Open a CSV file of known form, to be read block by block."""
    import pyarrow.csv as arrow_csv

    return arrow_csv.open_csv(
        path,
        read_options=arrow_csv.ReadOptions(
            encoding=options.encoding, block_size=_BLOCK
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=options.delimiter, newlines_in_values=True
        ),
        convert_options=convert,
    )


def _encoding(path: Path) -> str:
    """Return the first encoding in which a file can be read; Latin-1 reads any."""
    with open_text(path, "latin-1") as text:  # any two bytes are two characters
        marked = _MARKED.get(text.read(2).encode("latin-1"))
    if marked:
        return marked
    for encoding in ("utf-8", "cp1252"):
        if _can_be_read(path, encoding):
            return encoding
    return "latin-1"


def _can_be_read(path: Path, encoding: str) -> bool:
    with contextlib.suppress(UnicodeError), open_text(path, encoding) as file:
        while file.read(1 << 20):
            pass
        return True
    return False
