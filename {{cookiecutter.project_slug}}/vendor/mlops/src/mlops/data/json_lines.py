"""Files with one JSON object a line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlops.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 1 << 24  # bytes; one line has to fit


def read_json_lines(path: Path | BinaryIO) -> pa.Table:
    """Read a file of JSON objects, one a line.

    Parameters
    ----------
    path : Path or binary file
        May be compressed, as its name says. A file is read from its begin.

    Returns
    -------
    Table, shape (n_rows, n_keys)
        A key that a line lacks is missing there. Texts stay texts: JSON has no dates.

    Raises
    ------
    ArrowInvalid
        For a line that is no JSON object, and where a key is a number here and a text
        there.
    """
    import pyarrow as pa

    table = _read(path, None)
    dates = [field for field in table.schema if pa.types.is_timestamp(field.type)]
    if dates:  # Arrow reads texts that look like dates as such
        if not isinstance(path, Path):
            path.seek(0)
        table = _read(path, pa.schema([(field.name, pa.string()) for field in dates]))
    return table


def refuse_nested(table: pa.Table, shown: str) -> None:
    """Raise UsageError where a column holds objects or lists."""
    import pyarrow as pa

    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    if nested:
        raise UsageError(
            "this key holds objects or lists",
            file=shown,
            key=nested[0],
            allowed="numbers, texts, true, false and null",
            do="write its parts as keys of their own",
        )


def _read(path: Path | BinaryIO, types: pa.Schema | None) -> pa.Table:
    import pyarrow.json as arrow_json

    return arrow_json.read_json(
        path,
        read_options=arrow_json.ReadOptions(block_size=_BLOCK),
        parse_options=arrow_json.ParseOptions(explicit_schema=types),
    )
