"""Parts of the prediction log: Parquet files that are written once, and as a whole."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops.serving.log_rows import LONGEST_ID, STAMP, is_prediction, is_stamp

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_FEATURES = "features"

_TEXTS = ("id", "at", "version", "unit")
_ANY = ("prediction", "row_id")

# Parts are written with far fewer rows and bytes: more is not a part.
_MOST_ROWS = 1_000_000
_MOST_BYTES = 1 << 30  # uncompressed
_MOST_COLUMNS = 20_000


class PartRows(NamedTuple):
    """The rows of a part, its two frames aligned, and how many were left out."""

    features: pd.DataFrame
    log: pd.DataFrame
    damaged: int


def part_of(features: pd.DataFrame, log: pd.DataFrame) -> bytes:
    """Return rows as a part.

    Parameters
    ----------
    features : DataFrame, shape (n_rows, n_features)
    log : DataFrame, shape (n_rows, n_columns)
        ``id``, ``at``, ``version``, the outputs, and ``row_id`` and ``unit`` where
        there are.

    Returns
    -------
    bytes
        Parquet, the same for the same rows.
    """
    import pyarrow as pa

    table = pa.Table.from_pandas(log, preserve_index=False)
    sent = pa.Table.from_pandas(features, preserve_index=False)
    struct = sent.to_struct_array()
    table = table.append_column(_FEATURES, struct).replace_schema_metadata(None)
    return _written(table)


def part_of_lines(lines: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Return the lines of a log as a part; None where no table holds them.

    Parameters
    ----------
    lines : sequence of mapping
        For which `is_prediction` is true.

    Returns
    -------
    bytes or None
        None without lines, without features, and where a column would hold texts and
        numbers.
    """
    import pyarrow as pa

    names = dict.fromkeys(name for line in lines for name in line)
    try:
        columns = {name: pa.array([line.get(name) for line in lines]) for name in names}
        columns.pop("model", None)
        table = pa.table(columns)
        return _written(table) if _is_part(table.schema) else None
    except (pa.ArrowException, OverflowError):
        return None


def parquet(frame: pd.DataFrame) -> bytes:
    """Return a table as Parquet, the same bytes for the same rows."""
    import pyarrow as pa

    table = pa.Table.from_pandas(frame, preserve_index=False)
    return _written(table.replace_schema_metadata(None))


def _written(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def line_of_part(path: Path, key: str) -> dict[str, Any] | None:
    """Return the row of an id in a part, as a line of a log has it; None without it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        table = _table(path)
        if table is None:
            return None
        rows = table.filter(pc.equal(table.column("id"), key)).to_pylist()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None
    sound = [row for row in rows if is_prediction(row)]
    return sound[0] if sound else None


def rows_of_part(path: Path) -> PartRows | None:
    """Return the rows of a part; None for a file that is not one.

    Nothing in the file is executed: only columns of plain types are read.
    """
    import pyarrow as pa

    try:
        table = _table(path)
        if table is None:
            return None
        return _rows(table)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        # There is no list of what a damaged or hostile file can raise.
        return None


def _table(path: Path) -> pa.Table | None:
    """Return the table of a file, None where it cannot be a part."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, arrow_extensions_enabled=False) as file:
        about = file.metadata
        groups = range(about.num_row_groups)
        size = sum(about.row_group(at).total_byte_size for at in groups)
        if about.num_rows > _MOST_ROWS or about.num_columns > _MOST_COLUMNS:
            return None
        if size > _MOST_BYTES or not _is_part(file.schema_arrow):
            return None
        return file.read()


def _is_part(schema: pa.Schema) -> bool:
    """Return whether columns are those of a part."""
    import pyarrow as pa

    names = list(schema.names)
    if len(set(names)) != len(names) or _FEATURES not in names:
        return False
    if not {"id", "at", "version"} <= set(names):
        return False
    features = schema.field(_FEATURES).type
    if not pa.types.is_struct(features):
        return False
    if not all(_is_plain(inner.type) for inner in features):
        return False
    return all(_is_sound(field) for field in schema if field.name != _FEATURES)


def _is_sound(field: pa.Field) -> bool:
    """Return whether a column is of the type that its name has."""
    import pyarrow as pa

    if field.name in _TEXTS:
        return _is_text(field.type) or pa.types.is_null(field.type)
    if field.name in _ANY:
        return _is_plain(field.type)
    return _is_plain(field.type) and not _is_text(field.type)


def _is_plain(kind: pa.DataType) -> bool:
    import pyarrow as pa

    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    is_other = pa.types.is_boolean(kind) or pa.types.is_null(kind)
    return bool(is_number or is_other or _is_text(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _rows(table: pa.Table) -> PartRows:
    """Return the sound rows of a table, and how many are not."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    log = table.drop_columns([_FEATURES]).to_pandas(ignore_metadata=True)
    structs = table.column(_FEATURES).combine_chunks()
    names = [field.name for field in structs.type]
    sent = pa.table(structs.flatten(), names=names)
    features = sent.to_pandas(ignore_metadata=True)
    features.index = pd.RangeIndex(table.num_rows)
    stamped = pc.match_substring_regex(table.column("at"), f"^{STAMP}$")
    sound = np.asarray(stamped.fill_null(False).to_numpy(), dtype=bool)
    # A part has few moments: those that the form lets pass are looked at one by one.
    moments = log["at"].where(sound)
    wrong = [moment for moment in moments.dropna().unique() if not is_stamp(moment)]
    sound &= ~moments.isin(wrong).to_numpy()
    ids = log["id"].astype("str")
    sound &= log["id"].notna().to_numpy() & (ids.str.len() <= LONGEST_ID).to_numpy()
    sound &= log["version"].notna().to_numpy() & structs.is_valid().to_numpy(False)
    log["position"] = np.arange(1, len(log) + 1)
    return PartRows(features[sound], log[sound], int((~sound).sum()))
