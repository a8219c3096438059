"""Which rows are for validation and test: decided by a hash, and for good."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlops.config.model_spec import ModelSpec

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio
_SPLITMIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))

# Stands in `split_by` of models whose equal rows are kept, on one side of the split.
EQUAL_ROWS = "equal rows together"


def mix_hashes(hashes: dict[str, np.ndarray]) -> np.ndarray:
    """Mix the hashes of a row's values into one.

    Parameters
    ----------
    hashes : dict of str to ndarray of uint64, shape (n_rows,)
        Of every value, by column.

    Returns
    -------
    ndarray of uint64, shape (n_rows,)
        By multiplication and addition, modulo 2**64.
    """
    total = np.zeros(len(next(iter(hashes.values()))), dtype=np.uint64)
    for values in hashes.values():
        total = total * np.uint64(_GOLDEN) + values
        total ^= total >> np.uint64(29)
    return total


def key_column(spec: ModelSpec) -> str | None:
    """Return the column whose value alone decides the part of a row, or None."""
    if spec.split.by == "time":
        return spec.data.time
    if spec.split.by == "group":
        return spec.split.column
    return spec.data.id


def split_by(spec: ModelSpec) -> tuple[str, ...]:
    """Return the columns whose values decide the part of a row, with their kinds."""
    kinds = {str(spec.data.time): "date"} | spec.features
    key = key_column(spec)
    columns = [key] if key else spec.columns
    out = [f"{column}: {kinds.get(column, 'category')}" for column in columns]
    if keeps_equal_rows(spec):
        out.append(EQUAL_ROWS)
    return tuple(out)


def keeps_equal_rows(spec: ModelSpec) -> bool:
    """Return whether rows that are equal in all columns are kept, without an id."""
    return key_column(spec) is None and not spec.data.drop_duplicates


def in_test(
    spec: ModelSpec,
    frame: pd.DataFrame,
    hashes: dict[str, np.ndarray],
    equal_rows_apart: bool = False,
) -> np.ndarray:
    """Return which rows belong to the test part.

    By group or at random the part is decided by a hash of the group or id alone, so it
    never changes when rows are added. Without an id it is decided by all values of the
    row: equal rows are in one part, or the test would ask what training has seen. By
    time the latest rows are the test, equal times together; their share is of the rows
    with a label, because those are trained and tested on.

    Parameters
    ----------
    spec : ModelSpec
    frame : DataFrame, shape (n_rows, n_columns)
    hashes : dict of str to ndarray of uint64, shape (n_rows,)
    equal_rows_apart : bool
        Split as engines before 0.2 did, where the second of two equal rows was a row of
        its own: which rows such a version has learned.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
    """
    share = spec.split.test
    if spec.split.by == "time":
        return _latest(spec, frame, share)
    limit = np.uint64(int(share * 2.0**64))
    return np.asarray(_places(spec, hashes, equal_rows_apart) < limit)


def in_validation(
    spec: ModelSpec,
    frame: pd.DataFrame,
    hashes: dict[str, np.ndarray],
    equal_rows_apart: bool = False,
) -> np.ndarray:
    """Return which rows belong to the validation part; none where there is none.

    They are those whose hashes follow on the ones of the test part, which stays as it
    is whether there is a validation part or not. By time they are the period before the
    test.

    Parameters
    ----------
    spec, frame, hashes, equal_rows_apart
        As `in_test` takes them.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
    """
    if spec.split.validation is None:
        return np.zeros(len(frame), dtype=bool)
    share = spec.split.test + spec.split.validation
    test = in_test(spec, frame, hashes, equal_rows_apart)
    if spec.split.by == "time":
        return np.asarray(_latest(spec, frame, share) & ~test)
    limit = np.uint64(int(share * 2.0**64))
    held_out = _places(spec, hashes, equal_rows_apart) < limit
    return np.asarray(held_out & ~test)


def _places(
    spec: ModelSpec, hashes: dict[str, np.ndarray], equal_rows_apart: bool
) -> np.ndarray:
    """Return where each row stands among all hashes; low ones are held out."""
    key = key_column(spec)
    values = hashes[key] if key else mix_hashes(hashes)
    if equal_rows_apart and keeps_equal_rows(spec):
        occurrence = pd.Series(values).groupby(values).cumcount()
        values = values + occurrence.to_numpy(np.uint64)
    return scramble(values, spec.split.seed)


def _latest(spec: ModelSpec, frame: pd.DataFrame, share: float) -> np.ndarray:
    """Return which rows are not before the first time of a latest share."""
    column = frame[spec.data.time]
    labelled = frame[spec.data.target].notna()
    times = column[labelled].dropna().sort_values()
    cut = round(len(times) * (1 - share))
    cut = min(max(len(times) - 1, 0), cut)
    # The least of no times is missing, and no row is at or after it.
    return np.asarray(column >= times.iloc[cut:].min())


def scramble(values: np.ndarray, seed: int) -> np.ndarray:
    """Return well-mixed hashes (the finaliser of splitmix64), others for each seed."""
    values = values ^ np.uint64((seed * _GOLDEN) % 2**64)
    for shift, factor in _SPLITMIX:
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))
