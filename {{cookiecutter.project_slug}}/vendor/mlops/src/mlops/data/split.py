"""Which rows are the test part: decided by a hash, and for good."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlops.config.model_spec import ModelSpec


def mix_hashes(hashes: dict[str, np.ndarray]) -> np.ndarray:
    """Mix the hashes of a row's values into one (multiply and add, modulo 2**64)."""
    total = np.zeros(len(next(iter(hashes.values()))), dtype=np.uint64)
    for values in hashes.values():
        total = total * np.uint64(0x9E3779B97F4A7C15) + values
        total ^= total >> np.uint64(29)
    return total


def split_by(spec: ModelSpec) -> tuple[str, ...]:
    """Return the columns whose values decide in which part a row is, in their order, with kinds."""
    by = {"time": spec.data.time, "group": spec.split.column}.get(
        spec.split.by, spec.data.id
    )
    kinds = {str(spec.data.time): "date"} | spec.features
    return tuple(
        f"{c}: {kinds.get(c, 'category')}" for c in ([by] if by else spec.columns)
    )


def in_test(
    spec: ModelSpec, frame: pd.DataFrame, hashes: dict[str, np.ndarray]
) -> np.ndarray:
    """Return which rows belong to the test part.

    By group or at random a row's part is decided by a hash of its group or id alone, so it never
    changes when rows are added; by time the latest rows are the test, equal times together, and
    their share is of the rows with a label: those are trained and tested on.
    """
    if spec.split.by == "time":
        column = frame[spec.data.time]
        times = column[frame[spec.data.target].notna()].dropna().sort_values()
        cut = min(max(len(times) - 1, 0), round(len(times) * (1 - spec.split.test)))
        return np.asarray(
            column >= times.iloc[cut:].min()
        )  # of none: no time, and no row
    key = spec.split.column if spec.split.by == "group" else spec.data.id
    values = hashes[key] if key else mix_hashes(hashes)
    if not key and not spec.data.drop_duplicates:
        # Equal rows that are kept are rows of their own: the first, the second, ...
        values = values + pd.Series(values).groupby(values).cumcount().to_numpy(
            np.uint64
        )
    values = values ^ np.uint64((spec.split.seed * 0x9E3779B97F4A7C15) % 2**64)
    for shift, factor in (
        (30, 0xBF58476D1CE4E5B9),
        (27, 0x94D049BB133111EB),
    ):  # splitmix64
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    values ^= values >> np.uint64(31)
    return np.asarray(values < np.uint64(int(spec.split.test * 2.0**64)))
