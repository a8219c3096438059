"""The specification of a first model: model.yaml as data."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from mlops.config.model_spec import ModelSpec, Task
from mlops.config.yaml import parse
from mlops.data.snapshot import parts_of
from mlops.data.split import keeps_equal_rows
from mlops.data.summary import CleanRows
from mlops.data.types import as_number
from mlops.scaffold.inspect import Column, Columns

Spec = dict[str, Any]  # model.yaml as data

_SEEDS = 25

# Rows from which boosted trees beat a linear model even where there is little to learn:
# simulated with 12 columns, two of them at work; with 1,000 rows they were worse than a
# constant.
_TREES = 3000
_TREES_PER_CLASS = 500
_MOST_CLASSES_OF_TREES = 10

_FEWEST_TO_COMPARE = 100  # rows

_TEST = 0.25  # share of the rows
_VALIDATION = 0.2
_LEAST_VALIDATION = 0.1
_FEWEST_TO_VALIDATE = 2_000  # rows: of fewer, training and test need them all
_LEAST_TEST = 0.15
_NEAR = 0.05  # where equal rows stay together, the share is a matter of luck

_POSITIVE = (
    "yes",
    "true",
    "y",
    "t",
    "1",
    "positive",
    "pos",
    "ja",
    "oui",
    "si",
    "sim",
    "tak",
    "да",
)

_NEGATIVE = (
    "no",
    "false",
    "n",
    "f",
    "0",
    "negative",
    "neg",
    "nein",
    "non",
    "não",
    "nie",
    "нет",
)


def planned_spec(
    data: dict[str, Any], columns: Columns, target: str, task: Task, known: pd.Series
) -> Spec:
    """Return model.yaml as data, and complete `data`.

    A sound first model passes and one that has learned nothing does not; what only the
    user can know (floors, limits) stays wide or empty.

    Parameters
    ----------
    data : dict
        The part `data`, with what the file itself says.
    columns : Columns
        With their roles.
    target : str
    task : Task
    known : Series of str, shape (n_known,)
        The target's values.
    """
    _complete(data, columns, target)
    if task == "binary":
        data["positive"] = positive_class(known)
    features = _with_role(columns, "feature")
    groups = _with_role(columns, "group")
    split: dict[str, Any] = {"by": "random"}
    if groups:
        split = {"by": "group", "column": groups[0].name}
    measured = _measures(task, known)
    return {
        "task": task,
        "owner": "nobody yet",
        "intended_use": "not said yet",
        "data": data,
        "features": {column.name: column.kind for column in features},
        "sensitive": [column.name for column in _with_role(columns, "sensitive")],
        "split": {**split, **_held_out(len(known)), "seed": 0},
        "train": {"params": {"learner": _learner(task, features, known)}, "seed": 0},
        "metrics": measured["metrics"],
        "gate": {"margin": measured["margin"]},
        "checks": {
            "better_than": ["dummy"] if len(known) >= _FEWEST_TO_COMPARE else []
        },
        "slices": {"columns": _sliced(features), "max_drop": measured["max_drop"]},
    }


def _held_out(rows: int) -> dict[str, Any]:
    """Return the shares that are held out of so many rows with a target."""
    if rows < _FEWEST_TO_VALIDATE:
        return {"test": _TEST}
    return {"test": _TEST, "validation": _VALIDATION}


def _with_role(columns: Columns, role: str) -> list[Column]:
    return [column for column in columns.values() if column.role == role]


def _complete(data: dict[str, Any], columns: Columns, target: str) -> None:
    """Add what the columns say to the part `data`."""
    data["target"] = target
    data["ignore"] = [column.name for column in _with_role(columns, "ignored")]
    ids = _with_role(columns, "id")
    if ids:
        data["id"] = ids[0].name
    dates = [c for c in columns.values() if c.kind == "date"]
    formats = {c.name: c.written for c in dates if c.role == "feature" and c.written}
    if formats:
        data["formats"] = formats
    complete = [column for column in dates if not column.missing]
    if len(complete) == 1 and complete[0].role == "feature":
        data["time"] = complete[0].name


def _measures(task: Task, known: pd.Series) -> dict[str, Any]:
    """Return the metrics of a task, and what may be lost of the first of them."""
    if task == "binary":
        return {
            "metrics": {
                "primary": "roc_auc",
                "others": ["average_precision", "log_loss", "brier", "accuracy"],
            },
            "margin": 0.01,
            "max_drop": 0.5,
        }
    if task == "multiclass":
        shares = known.value_counts(normalize=True)
        entropy = -sum(share * math.log(share) for share in shares)
        return {
            "metrics": {
                "primary": "log_loss",
                "others": ["accuracy", "balanced_accuracy", "macro_f1"],
            },
            "margin": 0.01,
            "max_drop": round(3 * entropy, 2),
        }
    spread = as_number(known).std()
    return {
        "metrics": {"primary": "rmse", "others": ["mae", "r2"]},
        "margin": float(f"{spread / 50:.2g}"),
        "max_drop": float(f"{3 * spread:.3g}"),
    }


def _learner(task: Task, features: list[Column], known: pd.Series) -> str:
    """Return a learner of estimator.py: trees need rows, and cannot use text."""
    linear = "ridge" if task == "regression" else "logistic"
    if any(column.kind == "text" for column in features):
        return linear
    if task == "regression":
        return "boosting_regression" if len(known) >= _TREES else linear
    classes = known.nunique()
    enough = len(known) >= max(_TREES, _TREES_PER_CLASS * classes)
    return "boosting" if enough and classes <= _MOST_CLASSES_OF_TREES else linear


def _sliced(features: list[Column]) -> list[str]:
    """Return the first three features of few values, to show the quality for each."""
    names = []
    for column in features:
        if column.kind in ("category", "boolean") and column.values:
            names.append(column.name)
    return names[:3]


def positive_class(known: pd.Series) -> str:
    """Return the class that a model is asked for: by its name, else the rarer one."""
    counts = known.value_counts().sort_index()
    for value, other in (counts.index, counts.index[::-1]):
        if value.strip().lower() in _POSITIVE or other.strip().lower() in _NEGATIVE:
            return str(value)
    return str(counts.idxmin())


def validates(spec: Spec, rows: CleanRows) -> bool:
    """Return whether the validation part can carry a verdict, where there is one.

    Rows that are alike by nature stay together: it may have come out empty.
    """
    if "validation" not in spec["split"]:
        return True
    parts = parts_of(parse(ModelSpec, spec, ""), rows.frame, rows.hashes)
    target = rows.frame[spec["data"]["target"]]
    held = target[parts.validation]
    if held.count() < _LEAST_VALIDATION * target.count():
        return False
    return bool(spec["task"] == "regression" or held.nunique() == target.nunique())


def best_seed(spec: Spec, rows: CleanRows) -> int:
    """Return the first seed that puts every class into every part of the split."""
    target = rows.frame[spec["data"]["target"]]
    classes = 1 if spec["task"] == "regression" else target.nunique()
    scores = {}
    for seed in range(_SEEDS):
        split = {**spec["split"], "seed": seed}
        seeded = parse(ModelSpec, {**spec, "split": split}, "")
        parts = parts_of(seeded, rows.frame, rows.hashes)
        test = parts.test
        in_train = min(target[parts.train].nunique(), classes)
        counts = [target[mask].nunique() for mask in parts.held_out().values()]
        held = min(*counts, classes)
        share = target[test].count() / max(target.count(), 1)
        missed = float(share < _LEAST_TEST)
        if keeps_equal_rows(seeded):
            missed = max(0.0, abs(share - _TEST) - _NEAR)
        scores[seed] = (in_train, held, -missed)
        if scores[seed] == (classes, classes, 0):
            break
    return max(scores, key=lambda seed: scores[seed])
