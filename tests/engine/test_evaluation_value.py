"""What predictions are worth, of each kind of model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlops.config.model_spec import ModelSpec, Pair, Value
from mlops.errors import UsageError
from mlops.evaluation.metrics import estimate
from mlops.evaluation.outcome import Outcome
from mlops.evaluation.value import require_known_classes, table, worth
from mlops.monitoring.losses import baselines_of, losses_of


def numbers(amounts: Value, errors: list[float]) -> Outcome:
    truth = np.arange(len(errors), dtype=np.float64)
    guess = truth + np.array(errors)
    return Outcome("regression", truth, guess, guess, amounts=amounts)


def classes(amounts: Value, names: tuple[str, ...] = ("1", "2", "yes")) -> Outcome:
    truth = np.array([0, 0, 1, 2, 2])
    decision = np.array([0, 1, 0, 2, 1])
    score = np.eye(len(names))[decision]
    return Outcome("multiclass", truth, decision, score, names, amounts=amounts)


def spec(task: str, value: dict[str, Any], **data: Any) -> ModelSpec:
    primary = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "mae"}
    return ModelSpec.model_validate(
        {
            "task": task,
            "owner": "team",
            "intended_use": "tests",
            "data": {"source": "data.csv", "target": "y", **data},
            "features": {"x": "number"},
            "metrics": {"primary": primary[task], "value": value},
        }
    )


def test_an_error_of_a_number_costs_by_its_size_and_its_side() -> None:
    o = numbers(Value(right=10, too_high=-1, too_low=-4), [0, 2, -2, 0.5])

    assert worth(o).tolist() == [10, 8, 2, 9.5]
    assert estimate("value", o).value == 7.375


def test_a_confusion_may_be_worth_something_else_than_the_others() -> None:
    pairs = (
        Pair(actual=1, predicted="2", worth=-7),  # 1 of YAML is "1" of the data
        Pair(actual=True, predicted=2, worth=3),
    )
    o = classes(Value(right=1, wrong=-1, pairs=pairs), ("1", "2", "true"))

    assert table(o).tolist() == [[1, -7, -1], [-1, 1, -1], [-1, 3, 1]]
    assert worth(o).tolist() == [1, -7, -1, 1, 3]


def test_a_class_that_no_row_is_of_is_named_and_a_version_that_lacks_it_goes_on() -> (
    None
):
    o = classes(Value(right=1, pairs=(Pair(actual="yess", predicted=1, worth=-9),)))

    with pytest.raises(UsageError) as error:
        require_known_classes(o)
    (problem,) = error.value.problems
    assert (problem.file, problem.key) == ("model.yaml", "metrics.value.pairs")
    assert problem.found == "yess"
    assert problem.allowed == "1, 2, yes"
    assert problem.do == "did you mean `yes`?"
    assert worth(o).tolist() == [1, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("task", "value", "key", "found"),
    [
        ("binary", {"right": 1, "true_positive": 1}, "right", 1),
        ("multiclass", {"right": 1, "true_positive": 2}, "true_positive", 2),
        ("regression", {"too_low": -1, "wrong": -2}, "wrong", -2),
    ],
)
def test_an_amount_of_another_task_is_refused(
    task: str, value: dict[str, Any], key: str, found: float
) -> None:
    more = {"positive": "1"} if task == "binary" else {}
    with pytest.raises(UsageError) as error:
        spec(task, value, **more)
    (problem,) = error.value.problems
    assert problem.key == f"metrics.value.{key}"
    assert float(problem.found) == found
    assert problem.do == f"remove `{key}`"


@pytest.mark.parametrize("value", [{}, {"unit": "EUR"}, {"right": 0, "wrong": 0}])
def test_a_value_without_amounts_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        spec("multiclass", value)
    (problem,) = error.value.problems
    assert problem.key == "metrics.value"
    assert problem.what == "no prediction is worth anything"


def test_a_confusion_that_is_named_twice_is_refused() -> None:
    pair = {"actual": "a", "predicted": "b", "worth": -1}
    with pytest.raises(UsageError) as error:
        spec("multiclass", {"right": 1, "pairs": [pair, {**pair, "worth": -2}]})
    (problem,) = error.value.problems
    assert problem.key == "metrics.value.pairs"
    assert problem.found == "actual a, predicted b: 2 times"


def test_an_error_that_is_off_is_never_worth_more_than_an_exact_one() -> None:
    with pytest.raises(ValueError, match="too_high"):
        spec("regression", {"too_high": 1})


def test_the_monitor_bets_on_what_decisions_are_worth() -> None:
    of_classes = losses_of(
        classes(Value(right=2, pairs=(Pair(actual=1, predicted=2, worth=-2),)))
    )
    assert of_classes["value"].tolist() == [0, 1, 0.5, 0, 0.5]

    amounts = Value(right=5, too_high=-1, too_low=-4)
    of_numbers = losses_of(numbers(amounts, [0, 4, -2, -8, np.inf]), scale=4)
    assert of_numbers["value"].tolist() == [0, 0.25, 0.5, 1, 1]
    assert of_numbers["absolute error"].tolist() == [0, 1, 0.5, 1, 1]

    named = {loss.name for loss in baselines_of(numbers(amounts, [0, 1, -2]))}
    assert named == {"absolute error", "value"}
    nothing_by_error = losses_of(numbers(Value(right=5), [0, 1]))
    assert set(nothing_by_error) == {"absolute error"}
