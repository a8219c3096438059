"""Labels as an estimator can take them, and back.

In the data and in everything that is said about a model, a class is a text. Most
estimators take texts. But scikit-learn takes texts that read as numbers, ``"0"`` and
``"1"``, for numbers in some places and not in others, so that
``class_weight="balanced"`` fails; and XGBoost wants positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops.data.known import class_named
from mlops.errors import UsageError, listed

# What estimators call weights by class: scikit-learn and LightGBM, and CatBoost.
_WEIGHTS = ("class_weight", "class_weights")

# What scikit-learn's searches call the values to try, by parameter.
_GRIDS = ("param_grid", "param_distributions")

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

    @property
    def in_order(self) -> tuple[str, ...]:
        """The texts of all classes, as scikit-learn orders what it is given."""
        return tuple(self.names[label] for label in sorted(self.names))


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


def translate_weights(estimator: Any, labels: Labels) -> None:
    """Give every weight by class the label that the estimator is given for the class.

    In model.yaml a class is a text, as everywhere: ``class_weight: {"0": 1, "1": 5}``.
    The estimator may be given the numbers 0 and 1.

    Parameters
    ----------
    estimator : object
        Not fitted; changed in place, with all estimators inside of it.
    labels : Labels

    Raises
    ------
    UsageError
        When a weight is for a class that training has no row of.
    """
    if not hasattr(estimator, "get_params"):
        return
    changed = {}
    for name, value in estimator.get_params().items():
        last = name.rpartition("__")[2]
        if last in _WEIGHTS and isinstance(value, Mapping):
            changed[name] = _by_label(name, value, labels)
        elif last in _GRIDS:
            changed[name] = _grid_by_label(name, value, labels)
    if changed:
        estimator.set_params(**changed)


def _grid_by_label(name: str, grid: Any, labels: Labels) -> Any:
    """Return the values that a search tries, its weights by label.

    A grid is a mapping or a list of mappings; its values are lists, or distributions,
    which hold no weights by class.
    """
    if isinstance(grid, list | tuple):
        return [_grid_by_label(name, each, labels) for each in grid]
    if not isinstance(grid, Mapping):
        return grid
    return {
        key: _values_by_label(f"{name}: {key}", key, values, labels)
        for key, values in grid.items()
    }


def _values_by_label(name: str, key: object, values: Any, labels: Labels) -> Any:
    """Return the values of one parameter of a grid; weights by class by label."""
    if str(key).rpartition("__")[2] not in _WEIGHTS:
        return values
    if not isinstance(values, list | tuple):
        return values
    return [
        _by_label(name, value, labels) if isinstance(value, Mapping) else value
        for value in values
    ]


def _by_label(name: str, weights: Mapping[Any, Any], labels: Labels) -> dict[Any, Any]:
    """Return weights by label, where they are by class or by label already."""
    by_text = {text: label for label, text in labels.names.items()}
    texts = {key: class_named(key, by_text) for key in weights}
    if None not in texts.values():
        return {by_text[str(texts[key])]: value for key, value in weights.items()}
    if all(key in labels.names for key in weights):
        return dict(weights)
    unknown = [str(key) for key, text in texts.items() if text is None]
    raise UsageError(
        "a weight is for a class that no training row has",
        file="estimator.py",
        key=name,
        found=listed(unknown),
        allowed=listed(sorted(by_text)),
        do="write the classes as the data has them",
    )


def _reads_as_number(text: str) -> bool:
    """Return whether Python, and so scikit-learn, would take a text for a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
