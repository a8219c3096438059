"""The task that a target stands for, and why a target cannot be learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from mlops.config.model_spec import Task
from mlops.data.types import as_number
from mlops.errors import Problem, UsageError, listed
from mlops.scaffold.inspect import NESTED, Column

FEWEST_ROWS = 20
MOST_CLASSES = 1000

_FEW_CLASSES = 10  # whole numbers that differ that little are taken for classes

_WRITE_NUMBERS = "write numbers like 1234.5, and leave what is missing empty"


@dataclass(frozen=True)
class Target:
    """The column to predict.

    Parameters
    ----------
    column : Column
    known : Series of str, shape (n_known,)
        The values that are not missing.
    words : tuple of str
        Distinct values that are not numbers.
    wordy : float
        Share of the known values that are not numbers.
    task : Task
    requested : Task or None
        The task that the user named.
    """

    column: Column
    known: pd.Series
    words: tuple[str, ...]
    wordy: float
    task: Task
    requested: Task | None


def task_of(
    path: Path, column: Column, known: pd.Series, requested: Task | None
) -> Task:
    """Return the task that the target stands for.

    Raises
    ------
    UsageError
        When the target cannot be learned; says why and what to do.
    """
    target = _target(column, known, requested)
    for check in CHECKS:
        problem = check(target)
        if problem:
            raise UsageError(replace(problem, file=path.name, key=column.name))
    return target.task


def _target(column: Column, known: pd.Series, requested: Task | None) -> Target:
    """Return a target with the task that was named, or else inferred."""
    numbers = as_number(known)
    not_numbers = numbers.isna()
    words = tuple(known[not_numbers].unique())
    wordy = float(not_numbers.mean()) if len(known) else 0.0
    task: Task = "regression"
    whole = bool((numbers == numbers.round()).all())
    if column.unique == 2:
        task = "binary"
    elif words or (column.unique <= _FEW_CLASSES and whole):
        task = "multiclass"
    return Target(column, known, words, wordy, requested or task, requested)


# -- why a target cannot be learned: the first reason is given ------------------------


def _is_nested(target: Target) -> Problem | None:
    if target.column.reason != NESTED:
        return None
    return Problem(f"the target {NESTED}", do="make it one value per row")


def _is_missing(target: Target) -> Problem | None:
    if len(target.known):
        return None
    return Problem("the target is missing in every row", do="add labels")


def _is_constant(target: Target) -> Problem | None:
    if target.column.unique != 1:
        return None
    return Problem(
        "the target has one value only: nothing to learn", do="add other rows"
    )


def _has_too_few_rows(target: Target) -> Problem | None:
    rows = len(target.known)
    if rows >= FEWEST_ROWS:
        return None
    return Problem(
        "too few rows for a training part and a test part",
        found=f"{rows} rows with a target; at least {FEWEST_ROWS} are needed",
    )


def _is_a_date(target: Target) -> Problem | None:
    if target.column.kind != "date":
        return None
    return Problem(
        "the target is a date", do="make it a number, such as the days until then"
    )


def _is_not_binary(target: Target) -> Problem | None:
    if target.task != "binary" or target.column.unique == 2:
        return None
    return Problem(
        "a binary target has two values",
        found=str(target.column.unique),
        do="join values, or leave out --task, so that it is inferred",
    )


def _is_not_numeric(target: Target) -> Problem | None:
    if target.task != "regression" or not target.words:
        return None
    return Problem(
        "the target is not numeric", found=listed(target.words, 3), do=_WRITE_NUMBERS
    )


def _is_mixed(target: Target) -> Problem | None:
    """Words among numbers are more likely a slip than a class."""
    if target.task != "multiclass" or target.requested or not target.words:
        return None
    mostly_words = target.wordy >= 0.5
    if mostly_words and not target.column.written:
        return None
    message = "the target mixes numbers and words"
    if target.column.written and target.wordy > 0.5:
        message = f"the target is text that stands for {target.column.stands_for}"
    return Problem(message, found=listed(target.words, 3), do=_WRITE_NUMBERS)


def _has_too_many_classes(target: Target) -> Problem | None:
    rows = len(target.known)
    if target.task != "multiclass":
        return None
    if target.column.unique <= min(MOST_CLASSES, rows / 2):
        return None
    return Problem(
        "the target has too many classes",
        found=f"{target.column.unique:,} in {rows:,} rows",
        allowed=f"at most {MOST_CLASSES:,}, with two rows each on average",
        do="join some",
    )


Check = Callable[[Target], Problem | None]

CHECKS: tuple[Check, ...] = (
    _is_nested,
    _is_missing,
    _is_constant,
    _has_too_few_rows,
    _is_a_date,
    _is_not_binary,
    _is_not_numeric,
    _is_mixed,
    _has_too_many_classes,
)
