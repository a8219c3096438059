"""What predictions are worth by a function of the model's own, `value.py`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from mlops.errors import UsageError
from mlops.evaluation.outcome import Floats, WorthOf
from mlops.io.user_code import blaming
from mlops.training.code import ModelCode

VALUE = "value"  # the module


def worth_function(read: Callable[[], ModelCode], name: str) -> WorthOf:
    """Return what calls a function of `value.py`, which is loaded at its first call.

    Parameters
    ----------
    read : callable
        Returns the model's code. It is called where rows are judged, which is in a
        process for the model's code.
    name : str
        The function: `metrics.value.function`.
    """

    def worths(rows: pd.DataFrame, label: pd.Series, predicted: pd.DataFrame) -> Floats:
        code = read()
        if VALUE not in code.modules:
            raise UsageError(
                "this file is missing",
                file=f"models/{code.model}/{VALUE}.py",
                do=f"write `def {name}(rows, label, predicted)` in it, or remove "
                "`metrics.value.function` from model.yaml",
            )
        function = code.function(VALUE, name)
        with blaming(code.shown(VALUE)):
            found = function(
                rows.reset_index(drop=True),
                label.reset_index(drop=True),
                predicted.reset_index(drop=True),
            )
        return _numbers(found, len(rows), code.shown(VALUE), name)

    return worths


def _numbers(found: object, rows: int, shown: str, name: str) -> Floats:
    """Return what the function gave as numbers, one of each row.

    Raises
    ------
    UsageError
        For anything else.
    """
    problem = ""
    values = np.zeros(0)
    if isinstance(found, pd.Series) and not found.index.equals(pd.RangeIndex(rows)):
        problem = "its index is not that of the rows"
        if len(found) != rows:
            problem = f"{len(found):,} values"
    else:
        try:
            values = np.asarray(found, dtype=np.float64)
        except (TypeError, ValueError):
            problem = f"{type(found).__name__}, which is no list of numbers"
    if not problem and values.shape != (rows,):
        problem = f"{len(values):,} values" if values.ndim == 1 else "no list of values"
    if not problem and not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        problem = f"{bad:,} of {rows:,} values are missing or infinite"
    if problem:
        raise UsageError(
            f"`{name}` must return one finite number for each row",
            file=shown,
            found=problem,
            allowed=f"{rows:,} numbers, in the order of the rows",
            do="fix the function and run again",
        )
    return values
