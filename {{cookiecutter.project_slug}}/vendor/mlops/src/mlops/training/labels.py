"""Labels as an estimator can take them, and back.

In the data and in everything that is said about a model, a class is a text. Most
estimators take texts. But scikit-learn takes texts that read as numbers, ``"0"`` and
``"1"``, for numbers in some places and not in others, so that
``class_weight="balanced"`` fails; and XGBoost wants positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Labels:
    """One way of handing labels to an estimator.

    Parameters
    ----------
    values : ndarray, shape (n_rows,)
        What `fit` gets.
    names : dict
        What the estimator calls a class: its text.
    """

    values: NDArray[Any]
    names: dict[Any, str]

    def classes(self, estimator: object) -> tuple[str, ...]:
        """Return the texts of a fitted classifier's `classes_`, in its order."""
        classes: Iterable[Any] = getattr(estimator, "classes_", ())
        return tuple(self.names.get(label, str(label)) for label in classes)


def as_they_are(target: pd.Series) -> Labels:
    """Return labels as texts; as whole numbers where every text is one.

    Parameters
    ----------
    target : Series of str, shape (n_rows,)
    """
    texts = target.to_numpy(dtype=object)
    names = sorted(set(texts))
    if all(_WHOLE.fullmatch(name) for name in names):
        return Labels(texts.astype(np.int64), {int(name): name for name in names})
    if any(_reads_as_number(name) for name in names):
        return as_positions(target)
    return Labels(texts, {name: name for name in names})


def as_positions(target: pd.Series) -> Labels:
    """Return labels as positions in the sorted classes, from 0 on."""
    codes, names = pd.factorize(target, sort=True)
    texts = {number: str(name) for number, name in enumerate(names)}
    return Labels(codes.astype(np.int64), texts)


def _reads_as_number(text: str) -> bool:
    """Return whether Python, and so scikit-learn, would take a text for a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
