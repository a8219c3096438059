"""What to make of an unknown table: from a file to a specification and its reasons."""

from __future__ import annotations

import glob
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mlops.config.model_spec import ModelSpec, Task, outputs
from mlops.config.yaml import parse
from mlops.data.csv_format import ReadOptions
from mlops.data.known import plain_whole_numbers
from mlops.data.read import read_table
from mlops.data.snapshot import Dataset, prepare, split
from mlops.data.sources import Source
from mlops.data.types import as_text
from mlops.errors import UsageError, did_you_mean, listed
from mlops.results.base import Result
from mlops.results.data import SourceFile
from mlops.scaffold.advice import advice
from mlops.scaffold.inspect import NESTED, Column, Columns, decimal_commas, look
from mlops.scaffold.leaks import leaks
from mlops.scaffold.plan import Spec, best_seed, planned_spec, validates
from mlops.scaffold.roles import roles
from mlops.scaffold.table import TableSample, open_table, words_for_missing
from mlops.scaffold.task import task_of

_ALIKE = 0.05  # share of equal rows from which they are no accidents


class Inference(Result):
    """What was inferred from a file, and the specification that follows from it."""

    path: str
    rows: int  # without those that repeat earlier ones
    spec: Spec  # data.source is the file as given
    columns: tuple[Column, ...]  # all of them, in the order of the file
    notes: tuple[str, ...]  # what a person should check, each with what to do
    # Each column, what it is taken for, and why.
    summary: tuple[tuple[str, str, str], ...]


def infer(
    path: Path,
    target: str | None,
    task: Task | None = None,
    delimiter: str | None = None,
) -> Inference:
    """Look at a file of rows and decide what a model of a column would be.

    Parameters
    ----------
    path : Path
    target : str or None
        The column to predict.
    task : Task, optional
        Inferred from the target where it is not given.
    delimiter : str, optional
        Inferred from the file where it is not given.

    Raises
    ------
    UsageError
        When the file is not a table, or `target` cannot be learned from it; says what
        to do.
    """
    table = _as_read_for_training(open_table(path, delimiter))
    target = _find_target(path, list(table.frame.columns), target)
    separator = table.options.delimiter if table.options else None
    columns = {n: look(n, table.frame[n], separator) for n in table.frame}
    plain = pd.DataFrame(
        {
            name: as_text(table.frame[name])
            for name, column in columns.items()
            if column.reason != NESTED
        }
    )
    known = pd.Series(dtype="str")
    if target in plain:
        known = plain[target].dropna()
    task = task_of(path, columns[target], known, task)
    distinct = plain[~plain.duplicated()]
    notes = list(roles(columns, target, distinct, outputs(task, known.unique())))
    notes += _check_id(path, table, columns)
    notes += leaks(columns, target, task, distinct)

    data = {"source": glob.escape(str(path.resolve())), **table.form}
    spec = planned_spec(data, columns, target, task, known)
    if not spec["features"]:
        raise _no_features(path, columns)
    notes += _keep_equal_rows(data, plain)
    notes += _words_for_missing(path, table, columns)
    dataset = _dataset(path, table, spec)
    return Inference(
        path=str(path),
        rows=round(dataset.snapshot.rows * table.rows / len(table.frame)),
        spec=spec,
        columns=tuple(columns.values()),
        notes=(*advice(path, table, spec, columns, dataset), *notes),
        summary=tuple(_summary(spec, columns, dataset)),
    )


def _as_read_for_training(table: TableSample) -> TableSample:
    """Return a table of text with the decimal points and the codes that a run reads."""
    options = table.options
    if options is None:
        return table
    frame = table.frame
    commas = [] if options.delimiter == "," else decimal_commas(frame)
    if commas:
        frame = frame.assign(**{n: frame[n].str.replace(",", ".") for n in commas})
        options = replace(options, decimal=",")
    frame = frame.assign(**{n: plain_whole_numbers(frame[n]) for n in frame})
    return replace(table, frame=frame, options=options)


def _find_target(path: Path, names: list[str], target: str | None) -> str:
    """Return the target as the file spells it; UsageError where there is none."""
    wanted = unicodedata.normalize("NFC", target or "")
    if wanted in names:
        return wanted
    do = did_you_mean(wanted, names)
    for name in names:
        if name.strip().lower() == wanted.strip().lower():
            do = f"did you mean `{name}`?"
    message = (
        "there is no such column" if target else "which column is to be predicted?"
    )
    raise UsageError(
        message,
        file=path.name,
        key="--target",
        found=wanted,
        allowed=listed(names, 40),
        do=do or "name a column with --target",
    )


def _check_id(path: Path, table: TableSample, columns: Columns) -> Iterator[str]:
    """Look at all rows where a sample decided that a column names each row."""
    if not table.sampled:
        return
    for name, column in list(columns.items()):
        if column.role != "id":
            continue
        options = table.options or ReadOptions()
        frame, _ = read_table(path, path.name, {name}, {name}, options)
        if frame[name].is_unique and frame[name].notna().all():
            continue
        reason = "is an identifier that several rows share"
        columns[name] = column.model_copy(update={"role": "ignored", "reason": reason})
        yield (
            f"`{name}` is left out: it {reason}. If rows of one belong together, set "
            "split.by: group and split.column."
        )


def _words_for_missing(
    path: Path, table: TableSample, columns: Columns
) -> Iterator[str]:
    """Name words that were read as missing values, where they could be values."""
    texts = {
        column.name
        for column in columns.values()
        if column.kind in ("category", "text")
        and column.missing
        and column.role in ("feature", "target")
        and not column.written
    }
    if table.options is None or not texts:
        return
    for name, words in words_for_missing(path, table.options, texts).items():
        quoted = listed([repr(word) for word in words])
        yield (
            f"`{name}` is missing where the file says {quoted}. If that is a value, "
            "write it as another word in the file."
        )


def _no_features(path: Path, columns: Columns) -> UsageError:
    """Return the error for a table without a column to learn from."""
    reasons = [f"`{c.name}` {c.reason or f'is {c.role}'}" for c in columns.values()]
    return UsageError(
        "no column is left to learn from",
        file=path.name,
        found=listed(reasons),
        do="add columns that tell rows apart and are known before the target is",
    )


def _keep_equal_rows(data: dict[str, Any], plain: pd.DataFrame) -> Iterator[str]:
    """Keep rows that are equal where there are many: that is how the data is."""
    used = plain.drop(columns=data["ignore"], errors="ignore")
    alike = int(used.duplicated().sum())
    if "id" in data or alike <= _ALIKE * len(plain):
        return
    data["drop_duplicates"] = False
    yield (
        f"{alike:,} rows are equal in all columns that are used, and are kept, as "
        "nothing names a row. Equal rows are in one part of the split. If they are "
        "accidents, set data.drop_duplicates: true."
    )


def _dataset(path: Path, table: TableSample, spec: Spec) -> Dataset:
    """Return the rows as a run would have them, and give the split its seed."""
    formed = parse(ModelSpec, spec, path.name)
    frame = table.frame
    if table.options:
        frame = _with_numbers(frame, spec)
    file = SourceFile(path=path.name, sha256="", rows=len(frame))
    source = Source(frame[list(formed.columns)], (file,), missing=(), extra=())
    rows, _ = prepare(formed, source, None)
    assert rows  # every column of the specification was read from the file
    spec["split"]["seed"] = best_seed(spec, rows)
    if not validates(spec, rows):
        del spec["split"]["validation"]
        spec["split"]["seed"] = best_seed(spec, rows)
    return split(parse(ModelSpec, spec, path.name), rows)


def _with_numbers(frame: pd.DataFrame, spec: Spec) -> pd.DataFrame:
    """Return text in which numbers are to the last bit what a run reads.

    `pandas.to_numeric` is not exact, and where nothing names a row, the bits of its
    values decide the part of the split.
    """
    names = [name for name, kind in spec["features"].items() if kind == "number"]
    if spec["task"] == "regression":
        names.append(spec["data"]["target"])
    return frame.assign(**{name: frame[name].astype("float64") for name in names})


def _summary(
    spec: Spec, columns: Columns, dataset: Dataset
) -> Iterator[tuple[str, str, str]]:
    """Yield each column, what it is taken for, and why; the target first."""
    target = spec["data"]["target"]
    described = columns[target].described()
    if spec["task"] == "binary":
        positive = spec["data"]["positive"]
        known = dataset.frame[target].dropna()
        described = f"{positive!r} in {(known == positive).mean():.1%} of the rows"
    yield target, "target", f"{spec['task']}: {described}"
    for column in columns.values():
        if column.role == "target":
            continue
        kind = column.kind if column.role == "feature" else column.role
        yield column.name, kind, column.reason or column.described()
