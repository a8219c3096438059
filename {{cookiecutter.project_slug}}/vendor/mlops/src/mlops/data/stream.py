"""The rows of a file, some at a time: files that do not fit into memory."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.data.csv_format import ReadOptions, read_header
from mlops.data.json_lines import read_json_lines, refuse_nested
from mlops.data.read import (
    conversion,
    declared_names,
    declared_text,
    table_errors,
)
from mlops.data.sources import form_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_BLOCK = 1 << 23  # bytes of a text file that are parsed at once


def blocks_of(
    path: Path,
    shown: str,
    columns: Collection[str],
    text: set[str],
    how: tuple[ReadOptions, int],
) -> Iterator[pd.DataFrame]:
    """Yield some columns of one file, block by block, as `read_table` reads them.

    The same file has the same blocks each time.

    Parameters
    ----------
    path : Path
    shown : str
        What errors call the file.
    columns : collection of str
    text : set of str
        Columns that are text.
    how : tuple of ReadOptions and int
        How text files are written, and how many rows a block has at most.

    Raises
    ------
    UsageError
        When the file is not a table, at the block where that shows.
    EnvironmentFailure
        When it cannot be read.
    """
    options, rows = how
    form = form_of(path)
    with table_errors(path, shown, options):
        if form == "parquet":
            yield from _of_parquet(path, columns, text, rows)
        elif form == "json":
            yield from _of_json(path, shown, columns, text, rows)
        else:
            yield from _of_csv(path, shown, columns, text, how)


def _of_parquet(
    path: Path, columns: Collection[str], text: set[str], rows: int
) -> Iterator[pd.DataFrame]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = declared_names(file.schema_arrow.names, columns)
        wanted = [name for name in names if names[name] in columns]
        for batch in file.iter_batches(batch_size=rows, columns=wanted):
            frame = pa.Table.from_batches([batch]).to_pandas(ignore_metadata=True)
            yield declared_text(frame, names, text)


def _of_json(
    path: Path, shown: str, columns: Collection[str], text: set[str], rows: int
) -> Iterator[pd.DataFrame]:
    import pyarrow as pa

    with pa.input_stream(path, compression="detect") as stream:
        lines = io.BufferedReader(stream)
        while block := list(islice(lines, rows)):
            if not any(line.strip() for line in block):
                continue
            table = read_json_lines(io.BytesIO(b"".join(block)))
            names = declared_names(table.schema.names, columns)
            chosen = table.select([name for name in names if names[name] in columns])
            refuse_nested(chosen, shown)
            yield declared_text(chosen.to_pandas(), names, text)


def _of_csv(
    path: Path,
    shown: str,
    columns: Collection[str],
    text: set[str],
    how: tuple[ReadOptions, int],
) -> Iterator[pd.DataFrame]:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    options, rows = how
    written, delimiter = read_header(path, shown, options)
    names = declared_names(written, columns)
    wanted = [name for name in written if names[name] in columns]
    # All as text: a type would be inferred from the first block alone.
    read = wanted or written[:1]
    with arrow_csv.open_csv(
        path,
        read_options=arrow_csv.ReadOptions(
            encoding=options.encoding, block_size=_BLOCK
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True
        ),
        convert_options=conversion(read, read, options),
    ) as reader:
        for batch in reader:
            table = pa.Table.from_batches([batch])
            for name in wanted:
                if names[name] not in text:
                    at = table.schema.get_field_index(name)
                    numbers = _numbers(table.column(name), options.decimal)
                    table = table.set_column(at, name, numbers)
            for start in range(0, table.num_rows, rows):
                frame = table.slice(start, rows).to_pandas()[wanted]
                yield declared_text(frame, names, text)


def _numbers(column: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    """Return texts as numbers, as Arrow reads them; as they are where one is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.utf8_trim_whitespace(column)
    if decimal != ".":
        plain = pc.replace_substring(plain, decimal, ".")
    try:
        return pc.cast(plain, pa.float64())
    except pa.ArrowInvalid:
        return column
