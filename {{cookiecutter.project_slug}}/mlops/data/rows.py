"""Rows as hashes: the content digest, duplicates, and which part of the split a row belongs to."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlops.spec import ModelSpec, Split

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def column_hashes(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return a 64-bit hash of every value, by column; the same on every machine."""
    return {str(name): _hashes(frame[name]) for name in frame.columns}


def _hashes(column: pd.Series) -> np.ndarray:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    if column.dtype.kind in "fM":
        return np.asarray(pd.util.hash_array(column.to_numpy(), categorize=False))
    coded = pa.array(column, type=pa.large_string())
    if isinstance(coded, pa.ChunkedArray):  # as a string column arrives that was read from a file
        coded = coded.combine_chunks()
    coded = coded.dictionary_encode()
    values = coded.dictionary.to_numpy(zero_copy_only=False).astype(object)
    # The last place is for missing values: a constant that no hash of a text can be made into.
    table = np.append(pd.util.hash_array(values, categorize=False), np.uint64(2**64 - 1))
    codes = coded.indices.fill_null(len(values)).to_numpy()
    return np.asarray(table[codes])


def content_digest(frame: pd.DataFrame, hashes: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 over names, types and values, in row order."""
    digest = hashlib.sha256()
    for name, values in hashes.items():
        digest.update(f"{name}\0{frame[name].dtype}\0{len(values)}\0".encode())
        digest.update(values.astype("<u8").tobytes())
    return digest.hexdigest()


def _row_hash(hashes: dict[str, np.ndarray]) -> np.ndarray:
    """Mix the hashes of a row's values into one (multiply and add, modulo 2**64)."""
    import numpy as np

    total = np.zeros(len(next(iter(hashes.values()))), dtype=np.uint64)
    for values in hashes.values():
        total = total * np.uint64(0x9E3779B97F4A7C15) + values
        total ^= total >> np.uint64(29)
    return total


def duplicated(frame: pd.DataFrame, hashes: dict[str, np.ndarray], key: str | None) -> np.ndarray:
    """Return which rows repeat an earlier one in every column.

    Hashes find the candidates, the values decide.
    """
    import numpy as np
    import pandas as pd

    quick = pd.Series(hashes[key] if key else _row_hash(hashes)).duplicated(keep=False)
    candidates = np.flatnonzero(quick.to_numpy())
    out = np.zeros(len(frame), dtype=bool)
    if len(candidates):
        out[candidates] = frame.iloc[candidates].duplicated().to_numpy()
    return out


def in_test(spec: ModelSpec, frame: pd.DataFrame, hashes: dict[str, np.ndarray]) -> np.ndarray:
    """Return which rows belong to the test part.

    By group or at random a row's part is decided by a hash of its group or id alone, so it never
    changes when rows are added; by time the latest rows are the test, equal times together.
    """
    import numpy as np
    import pandas as pd

    split = spec.split
    if split.by == "time":
        column = frame[spec.data.time]
        ordered = column.sort_values(ignore_index=True)
        known = int(column.notna().sum())
        cut = ordered.iloc[min(max(known - 1, 0), round(known * (1 - split.test)))]
        return np.asarray(column >= cut)
    if split.by == "group":
        values = hashes[str(split.column)]
    else:
        values = hashes[spec.data.id] if spec.data.id else _row_hash(hashes)
        if not spec.data.id and not spec.data.drop_duplicates:
            # Equal rows that are kept are rows of their own: the first, the second, ...
            values = values + pd.Series(values).groupby(values).cumcount().to_numpy(np.uint64)
    return hash_part(values, split)


def hash_part(values: np.ndarray, split: Split) -> np.ndarray:
    """Return which of some 64-bit hashes fall into the test part, for the seed of the split."""
    import numpy as np

    mixed = values ^ np.uint64((split.seed * 0x9E3779B97F4A7C15) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray(mixed < np.uint64(int(split.test * 2.0**64)))
