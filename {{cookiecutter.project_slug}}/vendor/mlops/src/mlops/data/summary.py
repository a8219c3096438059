"""What is in a snapshot, and whether a model can be learned from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops.config.model_spec import ModelSpec
from mlops.data.known import spellings, without_point_zero
from mlops.errors import Problem, listed
from mlops.results.data import ColumnSummary, Snapshot, SourceFile

_MOST_LISTED = 50  # distinct values of a column whose counts are shown


@dataclass(frozen=True)
class CleanRows:
    """Rows that are clean and in order, and not split yet.

    Parameters
    ----------
    frame : DataFrame, shape (n_rows, n_columns)
        As in `Dataset`.
    hashes : dict of str to ndarray of uint64, shape (n_rows,)
        Of every value, by column; the same on every machine.
    selected : ndarray of bool, shape (n_rows_read,)
        For each row that was read; the others were duplicates.
    files : tuple of SourceFile
    """

    frame: pd.DataFrame
    hashes: dict[str, np.ndarray]
    selected: np.ndarray
    files: tuple[SourceFile, ...]


@dataclass(frozen=True)
class Parts:
    """Which rows are held out.

    Parameters
    ----------
    test, validation : ndarray of bool, shape (n_rows,)
        No row is in both; all that are in neither are for training.
    """

    test: np.ndarray
    validation: np.ndarray

    @property
    def train(self) -> np.ndarray:
        """Which rows are for training."""
        return np.asarray(~self.test & ~self.validation)

    def held_out(self) -> dict[str, np.ndarray]:
        """Return the parts that judge, by name; a part without a row is none."""
        parts = {"test": self.test}
        if self.validation.any():
            parts["validation"] = self.validation
        return parts


def summarise(spec: ModelSpec, rows: CleanRows, parts: Parts, digest: str) -> Snapshot:
    """Return the facts of a snapshot.

    Parameters
    ----------
    spec : ModelSpec
    rows : CleanRows
    parts : Parts
        Which rows are held out.
    digest : str
        Of the rows.
    """
    frame = rows.frame
    rows_read = len(rows.selected)
    labelled = frame[spec.data.target].notna().to_numpy()
    numbers = numbers_in(frame)
    columns = []
    for name, values in rows.hashes.items():
        if name in numbers:
            columns.append(_number_column(name, values, numbers[name]))
        else:
            columns.append(_column(frame[name], values, name in spec.sensitive))
    return Snapshot(
        digest=digest,
        rows=len(frame),
        rows_read=rows_read,
        duplicates_removed=rows_read - len(frame),
        unlabelled=int((~labelled).sum()),
        train_rows=int((labelled & parts.train).sum()),
        test_rows=int((labelled & parts.test).sum()),
        validation_rows=int((labelled & parts.validation).sum()),
        period=_period(frame[spec.data.time]) if spec.data.time else None,
        files=rows.files,
        columns=tuple(columns),
    )


def _period(times: pd.Series) -> tuple[str, str] | None:
    """Return the first and the last time, of a date or a number."""
    if not times.notna().any():
        return None
    first, last = times.min(), times.max()
    if isinstance(first, float):
        return f"{first:g}", f"{last:g}"
    return first.isoformat(), last.isoformat()


@dataclass(frozen=True)
class Numbers:
    """What is known of a column of numbers; ends and mean are None without any."""

    missing: int
    low: float | None = None
    mean: float | None = None
    high: float | None = None


def numbers_in(frame: pd.DataFrame) -> dict[str, Numbers]:
    """Return the facts of all columns of numbers, computed together.

    A thousand columns cost one pass over their values, not a thousand times what pandas
    needs to begin with one.
    """
    names = [str(name) for name, dtype in frame.dtypes.items() if dtype.kind == "f"]
    if not names or not len(frame):
        return {}
    # A row for each column: a sum of it is that of the column alone, to the last bit.
    table = np.ascontiguousarray(frame[names].to_numpy(dtype="float64").T)
    known = ~np.isnan(table)
    counts = known.sum(axis=1)
    low = np.where(known, table, np.inf).min(axis=1)
    high = np.where(known, table, -np.inf).max(axis=1)
    with np.errstate(over="ignore"):
        # A sum can be beyond all numbers; the mean is between them still.
        total = np.where(known, table, 0.0).sum(axis=1)
        mean = np.clip(total / np.maximum(counts, 1), low, high)
    found = {}
    for position, name in enumerate(names):
        missing = len(frame) - int(counts[position])
        if counts[position]:
            found[name] = Numbers(
                missing,
                float(low[position]),
                float(mean[position]),
                float(high[position]),
            )
        else:
            found[name] = Numbers(missing)
    return found


def _number_column(name: str, hashes: np.ndarray, numbers: Numbers) -> ColumnSummary:
    """Return what is in a column of numbers."""
    return ColumnSummary(
        name=name,
        kind="number",
        missing=numbers.missing,
        unique=len(pd.unique(hashes)) - (numbers.missing > 0),
        low=numbers.low,
        mean=numbers.mean,
        high=numbers.high,
    )


def _column(column: pd.Series, hashes: np.ndarray, sensitive: bool) -> ColumnSummary:
    """Return what is in a column of dates or text; values where they may be shown."""
    missing = int(column.isna().sum())
    unique = len(pd.unique(hashes))
    kind = "date" if column.dtype.kind == "M" else "text"
    facts: dict[str, Any] = {}
    if kind == "text" and not sensitive and unique <= _MOST_LISTED:
        top = column.value_counts().head(10)
        facts = {"top": {str(value)[:80]: int(count) for value, count in top.items()}}
    return ColumnSummary(
        name=str(column.name),
        kind=kind,
        missing=missing,
        unique=unique - (missing > 0),
        **facts,
    )


# -- whether a model can be learned ---------------------------------------------------


def unusable(
    spec: ModelSpec, target: pd.Series, parts: Parts, snapshot: Snapshot
) -> Iterator[Problem]:
    """Yield why nothing can be learned or tested, causes before their effects."""
    files = listed(file.path for file in snapshot.files)
    values = sorted(target.dropna().unique())
    yield from _target_problems(spec, str(target.name), values, files)
    if spec.task == "binary":
        yield from _one_class_problems(spec, target, parts, values, files)
    rows = [snapshot.train_rows, snapshot.test_rows]
    found = f"{snapshot.train_rows} to train, {snapshot.test_rows} to test"
    wanted = "a training part and a test part"
    if spec.split.validation is not None:
        rows.append(snapshot.validation_rows)
        found += f", {snapshot.validation_rows} for validation"
        wanted = "a training, a validation and a test part"
    if min(rows) < 2:
        yield Problem(
            f"too few rows for {wanted}",
            file=files,
            key="split",
            found=found,
            allowed="at least 2 in each part",
            do=spec.split.remedy,
        )


def _target_problems(
    spec: ModelSpec, name: str, values: list[Any], files: str
) -> Iterator[Problem]:
    """Yield what is wrong with the distinct values of the target."""
    if not values:
        yield Problem("no row has a target", files, name, do="add labels")
    if len(values) == 1:
        shown = "one value" if name in spec.sensitive else repr(values[0])
        yield Problem(
            "the target is constant: there is nothing to learn", files, name, shown
        )
    if spec.task != "binary":
        return
    if len(values) != 2:
        yield Problem(
            f"a binary target has two values, this one has {len(values)}",
            files,
            name,
            found=listed(values),
            do="set task: multiclass, or clean the target",
        )
    positive = positive_label(spec, values)
    if positive not in values:
        yield Problem(
            "the positive value is not in the data",
            f"{files}, model.yaml",
            "data.positive",
            found=positive,
            allowed=listed(values),
        )


def _one_class_problems(
    spec: ModelSpec, target: pd.Series, parts: Parts, values: list[Any], files: str
) -> Iterator[Problem]:
    """Yield which part of the split lacks one of the two classes."""
    masks = {"train": parts.train} | parts.held_out()
    for part, mask in masks.items():
        absent = sorted(set(values) - set(target[mask].unique()))
        if len(absent) == 1:
            yield Problem(
                f"the {part} part has no row of one class, so it cannot serve",
                files,
                str(target.name),
                found=f"no {absent[0]} among {part} rows",
                do=spec.split.remedy,
            )


def positive_label(spec: ModelSpec, classes: Iterable[str]) -> str:
    """Return `data.positive` as the data writes it.

    True may be written ``True``, and 1 may be ``1``, or ``1.0`` where all classes are
    whole numbers.
    """
    known = list(classes)
    text = str(spec.data.positive)
    if isinstance(spec.data.positive, bool):
        for name in known:
            if name.lower() == text.lower():
                return name
    return spellings(known).get(without_point_zero(text), text)
