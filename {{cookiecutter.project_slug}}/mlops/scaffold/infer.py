"""What to make of a table that was never seen before: task, roles, how a first model learns."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.data.columns import as_number, as_text
from mlops.data.dataset import Dataset, clean, split
from mlops.errors import UsageError, did_you_mean, listed
from mlops.results import Result
from mlops.scaffold.columns import FEW, NESTED, Column, look, open_table
from mlops.scaffold.plan import best_seed, plan, task_of
from mlops.spec import ModelSpec, Task, outputs
from mlops.specfile import parse

if TYPE_CHECKING:
    import pandas as pd

_MOST_VALUES = 1000


class Inference(Result):
    """What was found out about a file, and the specification that follows from it."""

    path: str
    rows: int  # without those that repeat earlier ones
    spec: dict[str, Any]  # model.yaml as data; data.source is the file as given
    columns: tuple[Column, ...]  # all of them, in the order of the file
    notes: tuple[str, ...]  # what a person should check, each with what to do
    summary: tuple[tuple[str, str, str], ...]  # each column, what it is taken for, and why


def infer(
    path: Path, target: str | None, task: Task | None = None, delimiter: str | None = None
) -> Inference:
    """Look at a CSV or Parquet file and decide what a model of the column `target` would be.

    Raises
    ------
    UsageError
        When the file is no table, or `target` cannot be learnt from it; says what would do.
    """
    import pandas as pd

    frame, form = open_table(path, delimiter)
    names = list(frame.columns)
    if target is None or target not in names:
        what = "there is no such column" if target else "which column is to be predicted?"
        found, wanted = target or "", (target or "").strip().lower()
        same = [f"did you mean `{name}`?" for name in names if name.strip().lower() == wanted]
        do = same[0] if same else did_you_mean(found, names) or "name a column with --target"
        raise UsageError(
            what, file=path.name, key="--target", found=found, allowed=listed(names, 40), do=do
        )
    columns = {name: look(name, frame[name], form.get("delimiter")) for name in names}
    plain = pd.DataFrame({n: as_text(frame[n]) for n, c in columns.items() if c.reason != NESTED})
    known = plain[target].dropna() if target in plain else pd.Series(dtype="str")
    task = task_of(path, columns[target], known, task)
    distinct = plain[~plain.duplicated()]
    answers = outputs(task, known.unique())
    notes = [*_roles(columns, target, distinct, answers), *_leaks(columns, target, task, distinct)]
    data = {"source": glob.escape(str(path.resolve())), **form}
    spec = plan(data, columns, target, task, known)
    if not spec["features"]:
        found = listed(f"`{c.name}` {c.reason or f'is {c.role}'}" for c in columns.values())
        do = "add columns that tell rows apart and are known before the target is"
        raise UsageError("no column is left to learn from", file=path.name, found=found, do=do)
    # Accidents are few; where many rows are alike, that is how the data is.
    alike = int(plain.drop(columns=data["ignore"], errors="ignore").duplicated().sum())
    if "id" not in data and alike > 0.05 * len(plain):
        data["drop_duplicates"] = False
        notes.append(
            f"{alike:,} rows are equal in all columns that are used, and are kept, as nothing "
            "names a row. If they are accidents, set data.drop_duplicates: true."
        )
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


def _roles(
    columns: dict[str, Column], target: str, rows: pd.DataFrame, answers: set[str]
) -> Iterator[str]:
    """Give every column of `columns` a role; yield what to check about it."""
    columns[target] = columns[target].model_copy(update={"role": "target"})
    for name, column in list(columns.items()):
        if column.role != "feature":
            continue
        known, taken = rows[name].dropna(), {c.role for c in columns.values()}
        text = column.kind == "category" and not column.written
        differs = (text or column.whole) and not column.missing and known.is_unique
        named = column.looks_like_id and column.unique > FEW and (text or column.whole)
        several = named and not differs and len(known) <= FEW * column.unique
        role, reason = "ignored", ""
        if name in answers:
            reason = "is named like an answer of the model"
            yield f"`{name}` is left out: it {reason}. If it is of use, rename it."
        elif differs and column.looks_like_id:
            role, reason = ("ignored", "is one more identifier") if "id" in taken else ("id", "")
        elif differs and column.whole and (name.startswith("__index_") or _counts(known)):
            reason = "counts the rows"
        elif several and "group" not in taken:
            role = "group"
            yield (
                f"Several rows have the same `{name}`: rows of one never stand on both sides of "
                "the split (split.by: group). If that does not matter, set split.by: random."
            )
        elif column.looks_sensitive:
            role = "sensitive"
            yield (
                f"`{name}` sounds like what the law protects: it is under sensitive, so it is no "
                "feature and never shown. Check that, and add limits under fairness."
            )
        elif several:
            reason = "is an identifier"
        elif text and column.unique > min(_MOST_VALUES, max(FEW, len(known) / 2)):
            reason = f"is text with {column.unique:,} different values"
        else:
            role = "feature"
        hidden = {"values": (), "low": None, "high": None} if role == "sensitive" else {}
        columns[name] = column.model_copy(update={"role": role, "reason": reason, **hidden})


def _counts(known: pd.Series) -> bool:
    numbers = as_number(known)[0]
    return bool(numbers.is_monotonic_increasing and numbers.max() - numbers.min() < len(numbers))


def _leaks(
    columns: dict[str, Column], target: str, task: Task, rows: pd.DataFrame
) -> Iterator[str]:
    """Yield which features tell the target alone; one that is a copy of it is ignored."""
    rows = rows[rows[target].notna()]
    features = [c for c in columns.values() if c.role == "feature"]
    for column in features:
        copy, almost = _tells(column, rows[column.name], rows[target], task)
        if copy and len(features) > 1:
            reason = f"says the same as `{target}`, row by row"
            columns[column.name] = column.model_copy(update={"role": "ignored", "reason": reason})
            yield f"`{column.name}` is left out: it {reason}."
        elif almost:
            yield (
                f"`{column.name}` alone tells `{target}` almost without error. If it is not known "
                "before the target is, move it from features to data.ignore."
            )


def _tells(column: Column, values: pd.Series, truth: pd.Series, task: Task) -> tuple[bool, bool]:
    """Return whether a column is the target by another name, and whether it gives it away."""
    import pandas as pd

    if task == "regression":
        numbers, wanted = as_number(values)[0], as_number(truth)[0]
        if column.kind != "number" or numbers.nunique() < 3:
            return False, False
        return bool((numbers == wanted).all()), bool(abs(numbers.corr(wanted)) > 0.9999)
    if column.kind == "number" and column.unique > 100:
        values = pd.qcut(as_number(values)[0], 100, labels=False, duplicates="drop")
    counts = pd.crosstab(values.fillna("" if values.dtype == "str" else -1), truth)
    right, common = counts.max(axis=1).sum() / len(truth), counts.sum().max() / len(truth)
    copy = right == 1 and len(counts) == counts.shape[1] == column.unique
    return bool(copy), bool(right > 1 - 0.02 * (1 - common) and len(counts) < len(truth) / 5)


def _advice(
    path: Path, spec: dict[str, Any], columns: dict[str, Column], dataset: Dataset
) -> Iterator[str]:
    """Yield what a person should know about file, target, features and split."""
    data, facts, task = spec["data"], dataset.snapshot, spec["task"]
    target, encoding = columns[data["target"]], data.get("encoding", "utf-8")
    form = f"CSV with {data['delimiter']!r}, {encoding}" if "delimiter" in data else "Parquet"
    yield f"{path.name} was read as {form}: {facts.rows_read:,} rows."
    if encoding not in {"utf-8", "utf-16"}:
        yield f"The file is not UTF-8; it was read as {encoding}. Look at its accents."
    if path.stat().st_size > 1 << 20:
        yield (
            "The file is larger than 1 MB, which pre-commit refuses: keep it outside of git and "
            "let data.source point there."
        )
    if n := facts.duplicates_removed:
        do = "If they are no accidents, set data.drop_duplicates: false."
        yield f"{n:,} rows repeat earlier ones and are removed. {do}"
    if n := facts.unlabelled:
        yield f"{n:,} rows have no `{target.name}`: they are not trained or tested on."
    if task == "binary":
        do = "For the other class, change data.positive."
        yield f"Scores are the probability of {data['positive']!r}. {do}"
    counts = dataset.frame[target.name].value_counts()
    if task != "regression" and (rare := [repr(value) for value, n in counts.items() if n < 10]):
        yield f"Fewer than 10 rows each have {listed(rare)}: join such classes, or add rows."
    if task == "multiclass" and target.kind == "number":
        yield (
            f"`{target.name}` has {target.unique} whole numbers, taken for classes. If it is an "
            "amount, remove the folder and make the model again with --task regression."
        )
    if not spec["checks"]["better_than"]:
        yield "So few rows hardly tell a model from a guess: gather more before you rely on it."
    if "id" not in data and spec["split"]["by"] == "random":
        yield "Rows have no id, so other columns split them anew: set data.id if you can."
    if "time" in data:
        yield (
            f"Rows have a date (`{data['time']}`). If the model will predict later rows than it "
            "learnt from, set split.by: time."
        )
    for column in (columns[name] for name in spec["features"]):
        if column.written:
            yield (
                f"`{column.name}` is text that stands for {column.stands_for}: features.py "
                "converts it, and what it cannot convert is missing."
            )
        if (share := column.missing / column.rows) > 0.5:
            yield f"`{column.name}` is missing in {share:.0%} of the rows: why?"


def _summary(
    spec: dict[str, Any], columns: dict[str, Column], dataset: Dataset
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
