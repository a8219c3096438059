"""From the columns of a table to `model.yaml` as data: the task, and how a first model learns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.data.columns import as_number
from mlops.data.dataset import Rows, in_test
from mlops.errors import UsageError, listed
from mlops.scaffold.columns import NESTED, Column
from mlops.spec import ModelSpec, Task
from mlops.specfile import parse

if TYPE_CHECKING:
    import pandas as pd

FEWEST_ROWS, _MOST_CLASSES = 20, 100
_SEEDS = 25
# Rows from which boosted trees beat a linear model even where there is little to learn: simulated
# with 12 columns, two of them at work; with 1,000 rows they were worse than a constant.
_TREES = 3000
_POSITIVE = ("yes", "true", "y", "t", "1", "positive", "pos", "ja", "oui", "si", "sim", "tak", "да")
_NEGATIVE = ("no", "false", "n", "f", "0", "negative", "neg", "nein", "non", "não", "nie", "нет")


def task_of(path: Path, column: Column, known: pd.Series, asked: Task | None) -> Task:
    """Return the task that the target stands for, or raise UsageError."""
    numbers, bad = as_number(known)
    words, unique = list(known[bad].unique()), column.unique
    classes = words or (unique <= 10 and (numbers == numbers.round()).all())
    task = asked or ("binary" if unique == 2 else "multiclass" if classes else "regression")
    mixed = task == "multiclass" and not asked and words and (column.written or bad.mean() < 0.5)
    many = task == "multiclass" and unique > min(_MOST_CLASSES, len(known) / 2)
    few = f"{len(known)} rows with a target; at least {FEWEST_ROWS} are needed"
    other = "join values, or leave --task to be found out"
    mix = "the target mixes numbers and words"
    if column.written and bad.mean() > 0.5:
        mix = f"the target is text that stands for {column.stands_for}"
    numeric = "write numbers like 1234.5, and leave what is none empty"
    for wrong, what, found, do in (
        (column.reason == NESTED, f"the target {NESTED}", "", "make it one value per row"),
        (known.empty, "the target is missing in every row", "", "add labels"),
        (unique == 1, "the target has one value only: nothing to learn", "", "add other rows"),
        (len(known) < FEWEST_ROWS, "too few rows to train on some and test on others", few, ""),
        (column.kind == "date", "the target is a date", "", "make it a number: days until it, say"),
        (task == "binary" and unique != 2, "a binary target has two values", f"{unique}", other),
        (task == "regression" and words, "the target is no number", listed(words, 3), numeric),
        (mixed, mix, listed(words, 3), numeric),
        (
            many,
            "the target has too many classes",
            f"{unique:,} in {len(known):,} rows",
            "join some",
        ),
    ):
        if wrong:
            raise UsageError(what, file=path.name, key=column.name, found=found, do=do)
    return task


def plan(
    data: dict[str, Any], columns: dict[str, Column], target: str, task: Task, known: pd.Series
) -> dict[str, Any]:
    """Return model.yaml as data, and complete `data`; `known` are the target's values as text.

    A sound first model passes and one that has learnt nothing does not; what only the user can
    know (floors, limits) stays wide or empty. Trees need rows: with few, lines do better.
    """
    of: dict[str, list[str]] = {"ignored": [], "feature": [], "sensitive": []}
    for column in columns.values():
        of.setdefault(column.role, []).append(column.name)
    data |= {"target": target, "ignore": of["ignored"]}
    if "id" in of:
        data["id"] = of["id"][0]
    dates = [c for c in columns.values() if c.kind == "date" and not c.missing]
    if len(dates) == 1 and dates[0].role == "feature":
        data["time"] = dates[0].name
    metric, drop, margin = "roc_auc", 0.5, 0.01
    others = ["average_precision", "log_loss", "brier", "accuracy"]
    learners = ("logistic", "boosting")
    trees = len(known) >= max(_TREES, 500 * known.nunique()) and known.nunique() <= 10
    if task == "binary":
        data["positive"] = _positive(known)
    elif task == "multiclass":
        shares = known.value_counts(normalize=True)
        drop = round(-3 * sum(p * math.log(p) for p in shares), 2)
        metric, others = "log_loss", ["accuracy", "balanced_accuracy", "macro_f1"]
    else:
        spread = as_number(known)[0].std()
        drop, margin = float(f"{3 * spread:.3g}"), float(f"{spread / 50:.2g}")
        metric, others = "rmse", ["mae", "r2"]
        learners, trees = ("ridge", "boosting_regression"), len(known) >= _TREES
    few = [n for n in of["feature"] if columns[n].kind in {"category", "boolean"}]
    group = {"by": "group", "column": of["group"][0]} if "group" in of else {"by": "random"}
    return {
        "task": task,
        "owner": "nobody yet",
        "intended_use": "not said yet",
        "data": data,
        "features": {name: columns[name].kind for name in of["feature"]},
        "sensitive": of["sensitive"],
        "split": {**group, "test": 0.25, "seed": 0},
        "train": {"params": {"learner": learners[trees]}, "seed": 0},
        "metrics": {"primary": metric, "others": others},
        "gate": {"margin": margin},
        "checks": {"better_than": ["dummy"] if len(known) >= 100 else []},
        "slices": {"columns": [n for n in few if columns[n].values][:3], "max_drop": drop},
    }


def _positive(known: pd.Series) -> str:
    """Return the class that a model is asked for: by its name, else the rarer one."""
    counts = known.value_counts().sort_index()
    for value, other in (counts.index, counts.index[::-1]):
        if value.strip().lower() in _POSITIVE or other.strip().lower() in _NEGATIVE:
            return str(value)
    return str(counts.idxmin())


def best_seed(spec: dict[str, Any], rows: Rows) -> int:
    """Return the first seed that puts every class on both sides of the split, or most of them."""
    target = rows.frame[spec["data"]["target"]]
    classes = 1 if spec["task"] == "regression" else target.nunique()
    scores = {}
    for seed in range(_SEEDS):
        seeded = parse(ModelSpec, {**spec, "split": {**spec["split"], "seed": seed}}, "")
        test = in_test(seeded, rows.frame, rows.hashes)
        train, held = (min(target[side].nunique(), classes) for side in (~test, test))
        scores[seed] = (train, held, target[test].count() >= 0.15 * target.count())
        if scores[seed] == (classes, classes, True):
            break
    return max(scores, key=lambda seed: scores[seed])
