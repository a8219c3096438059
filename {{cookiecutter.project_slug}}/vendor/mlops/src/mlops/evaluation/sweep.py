"""Combinations of parameters, compared by cross-validation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import isfinite
from typing import Any

import pandas as pd

from mlops.config.fields import Scalar
from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.data.snapshot import Dataset
from mlops.errors import UsageError
from mlops.evaluation.intervals import measure_metric
from mlops.evaluation.outcome import EvaluationContext
from mlops.io.user_code import blaming
from mlops.results.evaluation import Metric
from mlops.results.training import Training
from mlops.training.fit import fit

FOLDS = 3


def combinations(options: Sequence[str], most: int) -> list[dict[str, Scalar]]:
    """Return every combination of ``name=value,value``, the last changing fastest."""
    grid: dict[str, list[Scalar]] = {}
    for option in options:
        name, _, values = option.partition("=")
        if not name or not values or name in grid:
            raise UsageError(
                "not a list of values for a parameter",
                key="-p",
                found=option,
                allowed="NAME=VALUE,VALUE,..., each name once",
            )
        grid[name] = [_scalar(value) for value in values.split(",")]
    every = [dict(zip(grid, chosen, strict=True)) for chosen in product(*grid.values())]
    if len(every) > most:
        raise UsageError(
            "too many combinations",
            found=str(len(every)),
            allowed=str(most),
            do="leave some out, or raise --max",
        )
    return every


def _scalar(text: str) -> Scalar:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, float) and not isfinite(value):
        raise UsageError("a parameter that is not finite", key="-p", found=text)
    return text if isinstance(value, dict | list) else value


def cross_validate(
    project: Project, name: str, spec: ModelSpec, dataset: Dataset
) -> tuple[Training, tuple[Metric, ...]]:
    """Return a training on the training part, and how good it is there.

    Each row is predicted by a model that has not seen it, nor its group (by time: nor
    anything later); all predictions are measured together. Nothing is written.
    """
    context = EvaluationContext(spec, dataset)
    digest = dataset.snapshot.digest
    rows = context.train
    with blaming(f"models/{name}/model.yaml"):  # too few groups for the folds, say
        folds = list(_folds(spec, rows))
    fitted = fit(project, name, spec, rows, digest)
    columns = list(fitted.model.predict(rows.head(1)))
    parts = []
    for learn, ask in folds:
        known = rows.iloc[learn].reset_index(drop=True)
        part = fit(project, name, spec, known, digest).model
        # A class that a fold's model never saw has no column there: its probability is
        # zero.
        answered = part.predict(rows.iloc[ask])
        parts.append(answered.reindex(columns=columns, fill_value=0.0))
    predicted = pd.concat(parts).sort_index()
    outcome = context.outcome_of(fitted.model, rows.loc[predicted.index], predicted)
    metrics = tuple(measure_metric(metric, outcome) for metric in spec.metric_names)
    return fitted.training, metrics


def _folds(spec: ModelSpec, rows: pd.DataFrame) -> Iterator[Iterable[Any]]:
    """Yield positions to learn from and to predict, separated as `split` does."""
    from sklearn.model_selection import (
        GroupKFold,
        KFold,
        StratifiedKFold,
        TimeSeriesSplit,
    )

    if spec.split.by == "time":
        order = rows[spec.data.time].argsort(kind="stable").to_numpy()
        for learn, ask in TimeSeriesSplit(FOLDS).split(order):
            yield order[learn], order[ask]
    elif spec.split.by == "group":
        groups, _ = rows[spec.split.column].factorize()
        yield from GroupKFold(FOLDS).split(rows, groups=groups)
    else:
        kind = KFold if spec.task == "regression" else StratifiedKFold
        shuffled = kind(FOLDS, shuffle=True, random_state=spec.split.seed)
        yield from shuffled.split(rows, rows[spec.data.target])
