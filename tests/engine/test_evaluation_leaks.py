"""A model that is too good to be true: the features that give the target away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.config.project import Project
from mlops.evaluation.leaks import leaks_of, too_good
from mlops.evaluation.outcome import EvaluationContext

from .conftest import rows_of, spec_of, train_in

Make = Callable[..., Project]

RNG = np.random.default_rng(3)


def nearly(target: pd.Series) -> pd.Series:
    """Return the target under other names, true for 97 % of the rows."""
    codes = target.astype("str").factorize(sort=True)[0]
    wrong = RNG.random(len(codes)) < 0.03
    other = np.where(wrong, (codes + 1) % (codes.max() + 1), codes)
    return pd.Series([f"state {code}" for code in other])


def found(make: Make, task: str, frame: pd.DataFrame, **more: str) -> tuple[str, ...]:
    """Return what is found of a model with more features than the quick one."""
    features = {**spec_of()["features"], **more}
    project = make(task, frame=frame, features=features)
    done = train_in(project)
    context = EvaluationContext(done.spec, done.dataset, project.folder("churn"))
    return leaks_of(context, done.model).names


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_the_target_under_another_name_is_named(make_project: Make, task: str) -> None:
    rows = rows_of(task, n=1500)
    rows["state"] = nearly(rows["churn"])
    assert found(make_project, task, rows, state="category") == ("state",)


def test_an_exact_copy_is_named(make_project: Make) -> None:
    rows = rows_of()
    rows["left"] = rows["churn"].map({"yes": 1, "no": 0})
    assert found(make_project, "binary", rows, left="boolean") == ("left",)


def test_two_columns_whose_sum_is_the_target_are_named(make_project: Make) -> None:
    rows = rows_of("regression", n=1500)
    rows["paid"] = RNG.normal(0, 3, len(rows)).round(3)
    rows["owed"] = rows["churn"] - rows["paid"]
    names = found(make_project, "regression", rows, paid="number", owed="number")
    assert set(names) == {"paid", "owed"}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_model_that_is_as_good_as_its_features_is_not_suspected(
    make_project: Make, task: str
) -> None:
    assert found(make_project, task, rows_of(task, n=1500)) == ()


def test_columns_are_looked_at_only_where_the_model_is_too_good(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand columns of an honest model cost nothing."""
    done = train_in(make_project())
    context = EvaluationContext(done.spec, done.dataset)
    asked: list[Any] = []
    monkeypatch.setattr("mlops.evaluation.leaks.find_leaks", asked.append)
    assert not too_good(context.outcome(done.model))
    assert leaks_of(context, done.model).names == ()
    assert asked == []
