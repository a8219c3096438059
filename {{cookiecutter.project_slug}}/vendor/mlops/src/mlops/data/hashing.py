"""Rows as hashes: the digest of a snapshot, and which rows are equal."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from pandas.util import hash_array

_MISSING = np.uint64(2**64 - 1)


def hash_values(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return a hash of every value, by column; the same on every machine.

    Parameters
    ----------
    frame : DataFrame, shape (n_rows, n_columns)
        Numbers, dates and text.

    Returns
    -------
    dict of str to ndarray of uint64, shape (n_rows,)
    """
    out = {}
    for name, column in frame.items():
        if column.dtype.kind in "fM":
            out[str(name)] = hash_array(column.to_numpy(), categorize=False)
            continue
        codes, words = column.factorize()
        hashes = hash_array(words.to_numpy(dtype=object), categorize=False)
        # The code of a missing value is -1, the last place.
        out[str(name)] = np.append(hashes, _MISSING)[codes]
    return out


def digest_of(frame: pd.DataFrame, hashes: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 over names, types and values, in row order."""
    digest = hashlib.sha256()
    for name, values in hashes.items():
        digest.update(f"{name}\0{frame[name].dtype}\0{len(values)}\0".encode())
        digest.update(values.astype("<u8").tobytes())
    return digest.hexdigest()


def duplicated(frame: pd.DataFrame, quick: np.ndarray) -> np.ndarray:
    """Return which rows repeat an earlier one.

    Parameters
    ----------
    frame : DataFrame, shape (n_rows, n_columns)
    quick : ndarray of uint64, shape (n_rows,)
        Equal for equal rows: finds the candidates, and the values decide.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
    """
    candidates = frame[pd.Series(quick).duplicated(keep=False).to_numpy()]
    return np.asarray(frame.index.isin(candidates.index[candidates.duplicated()]))
