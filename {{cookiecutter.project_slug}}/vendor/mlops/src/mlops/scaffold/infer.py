"""What to make of an unknown table: task, roles, how a first model learns."""

from __future__ import annotations

import glob
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from mlops.config.model_spec import ModelSpec, Task, outputs
from mlops.config.yaml import parse
from mlops.data.snapshot import Dataset, Rows, clean, split
from mlops.data.split import in_test
from mlops.data.types import as_number, as_text
from mlops.errors import Problem, UsageError, did_you_mean, listed
from mlops.results.base import Result
from mlops.scaffold.inspect import NESTED, Column, Columns, look, open_table
from mlops.scaffold.roles import leaks, roles

Spec = dict[str, Any]  # model.yaml as data

FEWEST_ROWS, _MOST_CLASSES = 20, 100

_SEEDS = 25

# Rows from which boosted trees beat a linear model even where there is little to learn: simulated
# with 12 columns, two of them at work; with 1,000 rows they were worse than a constant.
_TREES = 3000

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


class Inference(Result):
    """What was found out about a file, and the specification that follows from it."""

    path: str
    rows: int  # without those that repeat earlier ones
    spec: Spec  # data.source is the file as given
    columns: tuple[Column, ...]  # all of them, in the order of the file
    notes: tuple[str, ...]  # what a person should check, each with what to do
    summary: tuple[
        tuple[str, str, str], ...
    ]  # each column, what it is taken for, and why


def infer(
    path: Path,
    target: str | None,
    task: Task | None = None,
    delimiter: str | None = None,
) -> Inference:
    """Look at a CSV or Parquet file and decide what a model of the column `target` would be.

    Raises
    ------
    UsageError
        When the file is no table, or `target` cannot be learnt from it; says what would do.
    """
    frame, form = open_table(path, delimiter)
    names = list(frame.columns)
    if target is None or target not in names:
        what = (
            "there is no such column" if target else "which column is to be predicted?"
        )
        found, wanted = target or "", (target or "").strip().lower()
        same = [
            f"did you mean `{name}`?"
            for name in names
            if name.strip().lower() == wanted
        ]
        do = (
            same[0]
            if same
            else did_you_mean(found, names) or "name a column with --target"
        )
        raise UsageError(
            Problem(what, path.name, "--target", found, listed(names, 40), do)
        )
    columns = {name: look(name, frame[name], form.get("delimiter")) for name in names}
    plain = pd.DataFrame(
        {n: as_text(frame[n]) for n, c in columns.items() if c.reason != NESTED}
    )
    known = plain[target].dropna() if target in plain else pd.Series(dtype="str")
    task = task_of(path, columns[target], known, task)
    distinct = plain[~plain.duplicated()]
    answers = outputs(task, known.unique())
    notes = [
        *roles(columns, target, distinct, answers),
        *leaks(columns, target, task, distinct),
    ]
    data = {"source": glob.escape(str(path.resolve())), **form}
    spec = plan(data, columns, target, task, known)
    if not spec["features"]:
        found = listed(
            f"`{c.name}` {c.reason or f'is {c.role}'}" for c in columns.values()
        )
        do = "add columns that tell rows apart and are known before the target is"
        raise UsageError(
            "no column is left to learn from", file=path.name, found=found, do=do
        )
    # Accidents are few; where many rows are alike, that is how the data is.
    alike = int(plain.drop(columns=data["ignore"], errors="ignore").duplicated().sum())
    if "id" not in data and alike > 0.05 * len(plain):
        data["drop_duplicates"] = False
        what = "are equal in all columns that are used, and are kept, as nothing names a row"
        do = "If they are accidents, set data.drop_duplicates: true."
        notes.append(f"{alike:,} rows {what}. {do}")
    rows, _ = clean(parse(ModelSpec, spec, path.name), path.resolve().parent)
    assert rows  # every column of the specification was read from the file
    spec["split"]["seed"] = best_seed(spec, rows)
    dataset = split(parse(ModelSpec, spec, path.name), rows)
    return Inference(
        path=str(path),
        rows=dataset.snapshot.rows,
        spec=spec,
        columns=tuple(columns.values()),
        notes=(*_advice(path, spec, columns, dataset), *notes),
        summary=tuple(_summary(spec, columns, dataset)),
    )


def task_of(path: Path, column: Column, known: pd.Series, asked: Task | None) -> Task:
    """Return the task that the target stands for, or raise UsageError."""
    numbers = as_number(known)
    bad = numbers.isna()
    words, unique = list(known[bad].unique()), column.unique
    classes = words or (unique <= 10 and (numbers == numbers.round()).all())
    task = asked or (
        "binary" if unique == 2 else "multiclass" if classes else "regression"
    )
    mixed = (
        task == "multiclass"
        and not asked
        and words
        and (column.written or bad.mean() < 0.5)
    )
    many = task == "multiclass" and unique > min(_MOST_CLASSES, len(known) / 2)
    few = f"{len(known)} rows with a target; at least {FEWEST_ROWS} are needed"
    other = "join values, or leave --task to be found out"
    mix = "the target mixes numbers and words"
    if column.written and bad.mean() > 0.5:
        mix = f"the target is text that stands for {column.stands_for}"
    classes_found = f"{unique:,} in {len(known):,} rows"
    numeric = "write numbers like 1234.5, and leave what is none empty"
    for wrong, what, found, do in (
        (
            column.reason == NESTED,
            f"the target {NESTED}",
            "",
            "make it one value per row",
        ),
        (known.empty, "the target is missing in every row", "", "add labels"),
        (
            unique == 1,
            "the target has one value only: nothing to learn",
            "",
            "add other rows",
        ),
        (
            len(known) < FEWEST_ROWS,
            "too few rows to train on some and test on others",
            few,
            "",
        ),
        (
            column.kind == "date",
            "the target is a date",
            "",
            "make it a number: days until it, say",
        ),
        (
            task == "binary" and unique != 2,
            "a binary target has two values",
            f"{unique}",
            other,
        ),
        (
            task == "regression" and words,
            "the target is no number",
            listed(words, 3),
            numeric,
        ),
        (mixed, mix, listed(words, 3), numeric),
        (many, "the target has too many classes", classes_found, "join some"),
    ):
        if wrong:
            raise UsageError(what, file=path.name, key=column.name, found=found, do=do)
    return task


def plan(
    data: dict[str, Any], columns: Columns, target: str, task: Task, known: pd.Series
) -> Spec:
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
        spread = as_number(known).std()
        drop, margin = float(f"{3 * spread:.3g}"), float(f"{spread / 50:.2g}")
        metric, others = "rmse", ["mae", "r2"]
        learners, trees = ("ridge", "boosting_regression"), len(known) >= _TREES
    few = [n for n in of["feature"] if columns[n].kind in {"category", "boolean"}]
    group = (
        {"by": "group", "column": of["group"][0]} if "group" in of else {"by": "random"}
    )
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
        "slices": {
            "columns": [n for n in few if columns[n].values][:3],
            "max_drop": drop,
        },
    }


def _positive(known: pd.Series) -> str:
    """Return the class that a model is asked for: by its name, else the rarer one."""
    counts = known.value_counts().sort_index()
    for value, other in (counts.index, counts.index[::-1]):
        if value.strip().lower() in _POSITIVE or other.strip().lower() in _NEGATIVE:
            return str(value)
    return str(counts.idxmin())


def best_seed(spec: Spec, rows: Rows) -> int:
    """Return the first seed that puts every class on both sides of the split, or most of them."""
    target = rows.frame[spec["data"]["target"]]
    classes = 1 if spec["task"] == "regression" else target.nunique()
    scores = {}
    for seed in range(_SEEDS):
        seeded = parse(
            ModelSpec, {**spec, "split": {**spec["split"], "seed": seed}}, ""
        )
        test = in_test(seeded, rows.frame, rows.hashes)
        train, held = (min(target[side].nunique(), classes) for side in (~test, test))
        scores[seed] = (train, held, target[test].count() >= 0.15 * target.count())
        if scores[seed] == (classes, classes, True):
            break
    return max(scores, key=lambda seed: scores[seed])


def _advice(
    path: Path, spec: Spec, columns: Columns, dataset: Dataset
) -> Iterator[str]:
    """Yield what a person should know about file, target, features and split."""
    data, facts, task = spec["data"], dataset.snapshot, spec["task"]
    target, encoding = columns[data["target"]], data.get("encoding", "utf-8")
    form = (
        f"CSV with {data['delimiter']!r}, {encoding}"
        if "delimiter" in data
        else "Parquet"
    )
    yield f"{path.name} was read as {form}: {facts.rows_read:,} rows."
    if encoding not in {"utf-8", "utf-16"}:
        yield f"The file is not UTF-8; it was read as {encoding}. Look at its accents."
    if path.stat().st_size > 1 << 20:
        do = "keep it outside of git and let data.source point there."
        yield f"The file is larger than 1 MB, which pre-commit refuses: {do}"
    if n := facts.duplicates_removed:
        do = "If they are no accidents, set data.drop_duplicates: false."
        yield f"{n:,} rows repeat earlier ones and are removed. {do}"
    if n := facts.unlabelled:
        yield f"{n:,} rows have no `{target.name}`: they are not trained or tested on."
    if task == "binary":
        do = "For the other class, change data.positive."
        yield f"Scores are the probability of {data['positive']!r}. {do}"
    counts = dataset.frame[target.name].value_counts()
    if task != "regression" and (
        rare := [repr(value) for value, n in counts.items() if n < 10]
    ):
        yield f"Fewer than 10 rows each have {listed(rare)}: join such classes, or add rows."
    if task == "multiclass" and target.kind == "number":
        what = f"has {target.unique} whole numbers, taken for classes"
        do = "remove the folder and make the model again with --task regression"
        yield f"`{target.name}` {what}. If it is an amount, {do}."
    if not spec["checks"]["better_than"]:
        yield "So few rows hardly tell a model from a guess: gather more before you rely on it."
    if "id" not in data and spec["split"]["by"] == "random":
        yield "Rows have no id, so other columns split them anew: set data.id if you can."
    if "time" in data:
        do = "If the model will predict later rows than it learnt from, set split.by: time."
        yield f"Rows have a date (`{data['time']}`). {do}"
    for column in (columns[name] for name in spec["features"]):
        if column.written:
            what = "features.py converts it, and what it cannot convert is missing"
            yield f"`{column.name}` is text that stands for {column.stands_for}: {what}."
        if (share := column.missing / column.rows) > 0.5:
            yield f"`{column.name}` is missing in {share:.0%} of the rows: why?"


def _summary(
    spec: Spec, columns: Columns, dataset: Dataset
) -> Iterator[tuple[str, str, str]]:
    """Yield each column, what it is taken for, and why; the target first."""
    target, task = spec["data"]["target"], spec["task"]
    what = columns[target].told()
    if task == "binary":
        positive, known = spec["data"]["positive"], dataset.frame[target].dropna()
        what = f"{positive!r} in {(known == positive).mean():.1%} of the rows"
    yield target, "target", f"{task}: {what}"
    for column in columns.values():
        if column.role != "target":
            kind = column.kind if column.role == "feature" else column.role
            yield column.name, kind, column.reason or column.told()
