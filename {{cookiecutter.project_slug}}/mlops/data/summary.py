"""What a snapshot holds, and whether anything can be learnt from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mlops.data.rows import content_digest
from mlops.errors import Problem, UsageError, listed
from mlops.results import ColumnSummary, Snapshot, SourceFile
from mlops.spec import ModelSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def summarise(
    spec: ModelSpec,
    frame: pd.DataFrame,
    test: np.ndarray,
    hashes: dict[str, np.ndarray],
    rows_read: int,
    files: tuple[SourceFile, ...],
) -> Snapshot:
    """Return the facts of a snapshot."""
    import numpy as np

    labelled = frame[spec.data.target].notna().to_numpy()
    period = None
    if spec.data.time and frame[spec.data.time].notna().any():
        times = frame[spec.data.time].agg(["min", "max"])
        first, last = (f"{t:g}" if isinstance(t, float) else t.isoformat() for t in times)
        period = (first, last)
    return Snapshot(
        digest=content_digest(frame, hashes),
        rows=len(frame),
        rows_read=rows_read,
        duplicates_removed=rows_read - len(frame),
        unlabelled=int(np.sum(~labelled)),
        train_rows=int(np.sum(labelled & ~test)),
        test_rows=int(np.sum(labelled & test)),
        period=period,
        files=files,
        columns=tuple(
            _summary(frame[name], str(name), str(name) in spec.sensitive, hashes[str(name)])
            for name in frame.columns
        ),
    )


def _summary(column: pd.Series, name: str, sensitive: bool, hashes: np.ndarray) -> ColumnSummary:
    """Return what is in one column; the values themselves only where they may be shown."""
    import pandas as pd

    missing = int(column.isna().sum())
    facts: dict[str, Any] = {}
    if column.dtype.kind == "f" and missing < len(column):
        facts = {"low": column.min(), "mean": column.mean(), "high": column.max()}
    counts = pd.Series(hashes).value_counts()
    if column.dtype.kind not in "fM" and not sensitive and len(counts) <= 50:
        top = column.value_counts().head(10)
        facts["top"] = {str(value)[:80]: int(count) for value, count in top.items()}
    kind = {"f": "number", "M": "date"}.get(column.dtype.kind, "text")
    unique = len(counts) - (missing > 0)
    return ColumnSummary(name=name, kind=kind, missing=missing, unique=unique, **facts)


def require_usable(
    spec: ModelSpec, frame: pd.DataFrame, test: np.ndarray, snapshot: Snapshot
) -> None:
    """Raise UsageError where nothing can be learnt or tested."""
    target, files = spec.data.target, listed(f.path for f in snapshot.files)
    values = frame[target].dropna()
    problems: list[Problem] = []
    if values.empty:
        problems.append(Problem("no row has a target", files, target, do="add labels"))
    elif values.nunique() == 1:
        only = "one value" if target in spec.sensitive else repr(values.iloc[0])
        problems.append(
            Problem("the target is constant: there is nothing to learn", files, target, only)
        )
    elif spec.task == "binary":
        problems += _binary(spec, frame[target], test, files)
    counts = snapshot
    if not problems and min(counts.train_rows, counts.test_rows) < 2:
        problems.append(
            Problem(
                "too few rows to train on some and test on others",
                files,
                "split",
                found=f"{counts.train_rows} to train, {counts.test_rows} to test",
                allowed="at least 2 in each part",
                do="add rows, or change split.test or split.seed",
            )
        )
    if problems:
        raise UsageError(*problems)


def _binary(spec: ModelSpec, column: pd.Series, test: np.ndarray, files: str) -> list[Problem]:
    """Return what keeps a two-class target from being learnt and tested."""
    target = spec.data.target
    classes = sorted(column.dropna().unique())
    positive = positive_label(spec, classes)
    if len(classes) != 2:
        return [
            Problem(
                f"a binary target has two values, this one has {len(classes)}",
                files,
                target,
                found=listed(classes),
                do="set task: multiclass, or clean the target",
            )
        ]
    if positive not in classes:
        return [
            Problem(
                "the positive value is not in the data",
                f"{files}, model.yaml",
                "data.positive",
                found=positive,
                allowed=listed(classes),
            )
        ]
    out = []
    for name, mask in (("train", ~test), ("test", test)):
        have = set(column[mask].dropna().unique())
        absent = [c for c in classes if c not in have]
        if have and absent:
            out.append(
                Problem(
                    f"the {name} part has no row of one class, so it cannot serve",
                    files,
                    target,
                    found=f"no {listed(absent)} among {name} rows",
                    do="add rows, or change split.test or split.seed",
                )
            )
    return out


def positive_label(spec: ModelSpec, classes: Iterable[str]) -> str:
    """Return `data.positive` as the data writes it (true may be ``True``, 1 may be ``1``)."""
    value = spec.data.positive
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    same = [c for c in classes if c.lower() == text.lower()]
    return same[0] if isinstance(value, bool) and same else text
