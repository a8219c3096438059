"""Feature importance: what matters is found, at the cost of one prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.config.project import Project
from mlops.evaluation.importance import importance
from mlops.evaluation.outcome import EvaluationContext
from mlops.evaluation.slices import slice_differences, slices
from mlops.results.evaluation import Evaluation, Importance
from mlops.training.model import Model

from .conftest import Trained, spec_of, train_in


def measured(world: Trained, model: Model | None = None) -> Importance:
    context = EvaluationContext(world.spec, world.dataset)
    return importance(context, model or world.model)


class Counting(Model):
    """The trained model, which counts the rows that it is asked about."""

    def __init__(self, model: Model) -> None:
        super().__init__(
            model.name, model.signature, model.pipeline, model.features_source
        )
        self.asked: list[int] = []

    def predict(self, raw: pd.DataFrame) -> pd.DataFrame:
        self.asked.append(len(raw))
        return super().predict(raw)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_feature_that_decides_comes_first_and_noise_comes_to_nothing(
    make_project: Callable[..., Project], task: str
) -> None:
    """The target of these customers depends on tenure most and on spend not at all."""
    found = measured(train_in(make_project(task)))
    names = [one.feature for one in found.features]
    assert names[0] == "tenure"
    assert set(names) == {"tenure", "spend", "plan"}
    known = {one.feature: one for one in found.features}
    assert known["tenure"].low > 0
    assert known["spend"].low <= 0 <= known["spend"].high
    assert [one.loss for one in found.features] == sorted(
        (one.loss for one in found.features), reverse=True
    )


def test_it_is_the_same_each_time(trained: Trained) -> None:
    assert measured(trained) == measured(trained)


def test_one_prediction_of_a_bounded_number_of_rows_measures_all_features(
    make_project: Callable[..., Project],
) -> None:
    world = train_in(make_project(n=9_000))
    model = Counting(world.model)
    context = EvaluationContext(world.spec, world.dataset)
    context.outcome(model)
    model.asked.clear()
    found = importance(context, model)
    assert found.rows == 1_000 < len(context.test)
    assert model.asked == [3 * found.rows]


def test_what_cannot_be_measured_says_why(trained: Trained) -> None:
    class Brittle(Model):
        def predict(self, raw: pd.DataFrame) -> pd.DataFrame:
            if raw.duplicated().any():
                raise ZeroDivisionError("rows that never were")
            return super().predict(raw)

    model = trained.model
    brittle = Brittle(
        model.name, model.signature, model.pipeline, model.features_source
    )
    found = measured(trained, brittle)
    assert (found.features, found.problem) == ((), "ZeroDivisionError")
    many = dict.fromkeys((f"x{i}" for i in range(200)), "number")
    wide = trained._replace(spec=trained.spec.model_copy(update={"features": many}))
    found = measured(wide)
    assert (found.features, found.problem) == ((), "too many features")


def test_an_evaluation_of_an_older_engine_is_read_without_it() -> None:
    stored: dict[str, Any] = {"ok": True, "rows": 1, "metrics": []}
    assert Evaluation.model_validate(stored).importance is None


def test_slices_are_compared_with_production_on_the_same_rows(
    make_project: Callable[..., Project],
) -> None:
    spec = spec_of(slices={"columns": ["plan"], "min_rows": 20})
    world = train_in(make_project(n=2_000, slices=spec["slices"]))
    context = EvaluationContext(world.spec, world.dataset)
    same = slice_differences(context, world.model, world.model)
    assert {one.value for one in same} == {"basic", "plus", "pro"}
    assert all(one.comparison.identical for one in same)

    class Worse(Model):
        """Guesses where the plan is basic, and is the trained model elsewhere."""

        def predict(self, raw: pd.DataFrame) -> pd.DataFrame:
            out = super().predict(raw)
            guess = np.random.default_rng(0).random(len(raw))
            basic = (raw["plan"] == "basic").to_numpy()
            out["score"] = np.where(basic, guess, out["score"])
            return out

    model = world.model
    worse = Worse(model.name, model.signature, model.pipeline, model.features_source)
    known = {one.value: one for one in slice_differences(context, model, worse)}
    assert known["basic"].comparison.low > 0
    assert known["pro"].comparison.difference == 0
    shown = {part.value: part.metric for part in slices(context, model)}
    for value, one in known.items():
        metric = shown[value]
        assert metric is not None
        assert one.comparison.challenger == metric.value
