"""What each row's prediction is worth, by `metrics.value`."""

from __future__ import annotations

import numpy as np

from mlops.config.model_spec import Value
from mlops.data.known import class_named
from mlops.errors import UsageError, did_you_mean, listed
from mlops.evaluation.outcome import Floats, Outcome


def worth(o: Outcome) -> Floats:
    """Return what each prediction is worth.

    Parameters
    ----------
    o : Outcome, n_rows

    Returns
    -------
    ndarray of float, shape (n_rows,)
        In the unit of `metrics.value`; 0 where the specification has no amounts.
    """
    if o.worths is not None:
        return o.worths
    amounts = o.amounts or Value()
    if o.task == "regression":
        error = o.decision - o.truth
        by_error = np.where(error > 0, amounts.too_high, -amounts.too_low)
        return np.asarray(amounts.right + by_error * error, dtype=np.float64)
    return np.asarray(table(o)[o.truth, o.decision], dtype=np.float64)


def table(o: Outcome) -> Floats:
    """Return what each decision is worth, by the class that is true.

    Returns
    -------
    ndarray of float, shape (n_classes, n_classes)
        The true classes are the rows, the predicted ones the columns.
    """
    amounts = o.amounts or Value()
    if o.task == "binary":
        return np.array(
            [
                [amounts.true_negative, amounts.false_positive],
                [amounts.false_negative, amounts.true_positive],
            ],
            dtype=np.float64,
        )
    count = len(o.classes)
    found = np.full((count, count), amounts.wrong, dtype=np.float64)
    np.fill_diagonal(found, amounts.right)
    position = {name: number for number, name in enumerate(o.classes)}
    for pair in amounts.pairs:
        actual = class_named(pair.actual, o.classes)
        predicted = class_named(pair.predicted, o.classes)
        if actual is not None and predicted is not None:
            found[position[actual], position[predicted]] = pair.worth
    return found


def span(o: Outcome) -> float:
    """Return the largest change of a row's worth that another decision could stand for.

    Of a number that is an error as large as the range of the target. Of a function
    nothing is known but what it returned: the distance between its ends, and 0.
    """
    if o.worths is not None:
        return float(max(o.worths.max(), 0) - min(o.worths.min(), 0)) or 1.0
    if o.task == "regression":
        largest = dearest(o.amounts or Value())
        return largest * (float(np.ptp(o.truth)) or 1.0)
    return float(np.ptp(table(o)))


def dearest(amounts: Value) -> float:
    """Return what one unit of error costs of a number, the dearer of both ways."""
    return max(-amounts.too_high, -amounts.too_low)


def require_known_classes(o: Outcome) -> None:
    """Raise UsageError where `metrics.value.pairs` names a class that no row has."""
    amounts = o.amounts or Value()
    names = [n for pair in amounts.pairs for n in (pair.actual, pair.predicted)]
    for name in names:
        if class_named(name, o.classes) is None:
            raise UsageError(
                "no class of this name",
                file="model.yaml",
                key="metrics.value.pairs",
                found=str(name),
                allowed=listed(o.classes, 20),
                do=did_you_mean(str(name), o.classes) or "write it as the data has it",
            )
