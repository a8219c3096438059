"""Which values of a request training never saw, without a frame.

The same answer as `data.known.unseen_values`, for rows as a service has them: a frame
costs more than the prediction of a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops.data.known import spellings, without_point_zero
from mlops.results.training import Feature


@dataclass(frozen=True)
class Warned:
    """Values of one field that training never saw.

    Parameters
    ----------
    field : str
    problem : str
        ``unseen category`` or ``out of range``.
    rows : int
        In how many rows.
    """

    field: str
    problem: str
    rows: int


class Known:
    """The categories and ranges of training."""

    def __init__(self, features: Iterable[Feature]) -> None:
        self._categories: dict[str, frozenset[str]] = {}
        self._spellings: dict[str, dict[str, str]] = {}
        self._ranges: dict[str, tuple[float, float]] = {}
        for feature in features:
            if feature.categories:
                self._categories[feature.name] = frozenset(feature.categories)
                self._spellings[feature.name] = spellings(feature.categories)
            if feature.kind == "number" and feature.low is not None:
                high = feature.low if feature.high is None else feature.high
                self._ranges[feature.name] = (feature.low, high)

    def warnings(self, rows: Sequence[Mapping[str, Any]]) -> list[Warned]:
        """Return what in validated rows training never saw, by field."""
        warned = []
        for name in self._categories:
            count = sum(self._is_unseen(name, row[name]) for row in rows)
            if count:
                warned.append(Warned(name, "unseen category", count))
        for name, (low, high) in self._ranges.items():
            count = 0
            for row in rows:
                value = row[name]
                if value is not None and not low <= value <= high:
                    count += 1
            if count:
                warned.append(Warned(name, "out of range", count))
        return warned

    def _is_unseen(self, name: str, value: Any) -> bool:
        if value is None or value in self._categories[name]:
            return False
        return without_point_zero(value) not in self._spellings[name]
