"""Combinations of parameters, as a command line lists their values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from math import isfinite

from mlops.config.fields import Scalar
from mlops.errors import UsageError


def combinations(options: Sequence[str], most: int) -> list[dict[str, Scalar]]:
    """Return every combination of ``name=value,value``, the last changing fastest."""
    grid: dict[str, list[Scalar]] = {}
    for option in options:
        name, _, values = option.partition("=")
        if not name or not values or name in grid:
            raise UsageError(
                "not a list of values for a parameter",
                key="-p",
                found=option,
                allowed="NAME=VALUE,VALUE,..., each name once",
            )
        grid[name] = [_scalar(value) for value in values.split(",")]
    every = [dict(zip(grid, chosen, strict=True)) for chosen in product(*grid.values())]
    if len(every) > most:
        raise UsageError(
            "too many combinations",
            found=str(len(every)),
            allowed=str(most),
            do="leave some out, or raise --max",
        )
    return every


def _scalar(text: str) -> Scalar:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, float) and not isfinite(value):
        raise UsageError("a parameter that is not finite", key="-p", found=text)
    return text if isinstance(value, dict | list) else value
