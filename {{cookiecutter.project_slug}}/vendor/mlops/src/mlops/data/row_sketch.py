"""Which rows a test part has, as a sketch that is kept and compared.

Of all units the ones with the smallest hashes are a random sample that every part draws
in the same way (bottom-k; Broder 1997). So the share of rows that two parts have in
common is estimated from two samples. 24 bits of each hash are stored: enough to find it
in the other part. They hide no id from somebody who can guess it: whoever has a list of
possible ids can test which of them are probably in the sample.
"""

from __future__ import annotations

import numpy as np

from mlops.config.model_spec import ModelSpec
from mlops.data.hashing import hash_values
from mlops.data.snapshot import Dataset
from mlops.data.split import mix_hashes, scramble
from mlops.results.ledger import RowSketch

_MOST_CODES = 512

_FEWEST_SEEN = 50  # units within reach: fewer say too little of the share

# Any two numbers: the order of units and what is stored of them must not be related.
_ORDER = 1
_CODE = 2

_CODE_BITS = np.uint64(0xFFFFFF)


def units_of(spec: ModelSpec, dataset: Dataset) -> np.ndarray:
    """Return a hash of each unit of the test part, without repetition, sorted.

    Returns
    -------
    ndarray of uint64, shape (n_units,)
    """
    columns = list(recognised_by(spec))
    rows = dataset.part("test")
    hashes = mix_hashes(hash_values(rows[columns]))
    return np.unique(scramble(hashes, _ORDER))


def recognised_by(spec: ModelSpec) -> tuple[str, ...]:
    """Return the columns by which a row is found again."""
    if spec.split.by == "group":
        return (str(spec.split.column),)
    if spec.data.id:
        return (spec.data.id,)
    return tuple(spec.columns)


def sketch(spec: ModelSpec, units: np.ndarray) -> RowSketch:
    """Return the sketch of a test part.

    Parameters
    ----------
    units : ndarray of uint64, shape (n_units,)
        Of `units_of`.
    """
    reach = 1.0
    chosen = units
    if len(units) > _MOST_CODES:
        chosen = units[:_MOST_CODES]
        reach = float(chosen[-1]) / 2.0**64
    codes = sorted(f"{code:06x}" for code in _codes(chosen))
    return RowSketch(
        units=len(units), by=recognised_by(spec), reach=reach, codes=tuple(codes)
    )


def share_in(units: np.ndarray, by: tuple[str, ...], before: RowSketch) -> float:
    """Return the share of the units of a test part that an earlier one had.

    Parameters
    ----------
    units : ndarray of uint64, shape (n_units,)
        Of the part as it is now.
    by : tuple of str
        The columns that they are recognised by.
    before : RowSketch
        The earlier part.

    Returns
    -------
    float
        0 to 1. Where nothing tells, the largest that it can be: all that the earlier
        part had.
    """
    if not len(units):
        return 1.0
    most = min(1.0, before.units / len(units))
    if by != before.by:
        return most
    seen = units
    if before.reach < 1:
        seen = units[units.astype(np.float64) <= before.reach * 2.0**64]
        if len(seen) < min(_FEWEST_SEEN, len(units)):
            return most
    known = np.array([int(code, 16) for code in before.codes], dtype=np.uint64)
    return float(np.isin(_codes(seen), known).mean())


def _codes(units: np.ndarray) -> np.ndarray:
    """Return 24 bits of each unit."""
    return scramble(units, _CODE) & _CODE_BITS
