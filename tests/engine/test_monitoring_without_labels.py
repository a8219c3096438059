"""What is estimated of a period without labels, for each kind of model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.monitoring.baseline import baseline_of_columns
from mlops.monitoring.without_labels import estimates
from mlops.results.evaluation import Metric
from mlops.results.monitoring import ColumnDrift
from mlops.results.training import Feature, Signature

ROWS = 3000

KINDS: dict[str, Any] = {"a": "number", "plan": "category"}


def features(rng: np.random.Generator, shift: float = 0.0) -> pd.DataFrame:
    plan = rng.choice(["basic", "pro"], ROWS)
    return pd.DataFrame({"a": rng.normal(shift, 1, ROWS), "plan": plan})


def of_numbers(rng: np.random.Generator, shift: float = 0.0) -> pd.DataFrame:
    """Return rows of a model that is right on average; its error grows with `a`."""
    rows = features(rng, shift)
    noise = rng.normal(size=ROWS) * np.exp(0.5 * rows["a"])
    return rows.assign(prediction=2 * rows["a"], y=2 * rows["a"] + noise)


def of_classes(rng: np.random.Generator, shift: float = 0.0) -> pd.DataFrame:
    """Return rows of a model that knows the chances; it is surer of a large `a`."""
    rows = features(rng, shift)
    first = 1 / (1 + np.exp(-rows["a"]))
    chances = np.column_stack([first, (1 - first) * 0.6, (1 - first) * 0.4])
    drawn = (chances.cumsum(axis=1) < rng.random((ROWS, 1))).sum(axis=1)
    names = np.array(["1", "2", "3"])
    shown = {f"p_{name}": chances[:, at] for at, name in enumerate(names)}
    return rows.assign(
        prediction=names[chances.argmax(axis=1)], y=names[drawn.clip(0, 2)], **shown
    )


def estimated(
    task: str,
    reference: pd.DataFrame,
    recent: pd.DataFrame,
    metric: str,
    was: float,
    kinds: dict[str, Any] = KINDS,
) -> Any:
    signature = Signature(
        task=task,
        target="y",
        features=tuple(
            Feature(name=n, kind=k, missing=False) for n, k in kinds.items()
        ),
        classes=("1", "2", "3") if task == "multiclass" else (),
    )
    known = {feature.name: feature for feature in signature.features}
    baseline = baseline_of_columns(reference, reference, kinds, known)
    registered = Metric(name=metric, value=was, low=was, high=was)
    manifest: Any = SimpleNamespace(signature=signature, metrics=(registered,))
    changed = ColumnDrift(
        name="a",
        kind="number",
        p_value=0.001,
        q_value=0.001,
        effect=0.3,
        alarm=True,
        missing=0,
        reference_missing=0,
        unseen=0,
    )
    return estimates(manifest, baseline, reference, recent, [changed])


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_error_of_a_regression_is_estimated_and_what_explains_it(
    shift: float,
) -> None:
    rng = np.random.default_rng(0)
    reference = of_numbers(rng)
    recent = of_numbers(rng, shift)
    was = float((reference["prediction"] - reference["y"]).abs().mean())
    (found,) = estimated("regression", reference, recent, "mae", was)

    truth = float((recent["prediction"] - recent["y"]).abs().mean())
    assert (found.metric, found.method, found.rows) == ("mae", "DLE", ROWS)
    assert found.registered == was
    assert found.value == pytest.approx(truth, rel=0.06)
    (undone,) = found.undone
    assert undone.column == "a"
    assert undone.value == pytest.approx(was, rel=0.06)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_accuracy_of_several_classes_is_estimated(shift: float) -> None:
    rng = np.random.default_rng(1)
    reference = of_classes(rng)
    recent = of_classes(rng, shift)
    was = float((reference["prediction"] == reference["y"]).mean())
    (found,) = estimated("multiclass", reference, recent, "accuracy", was)

    truth = float((recent["prediction"] == recent["y"]).mean())
    assert (found.metric, found.rows) == ("accuracy", ROWS)
    assert found.method in ("CBPE", "M-CBPE")
    assert found.value == pytest.approx(truth, abs=0.025)
    if shift:
        assert abs(truth - was) > 0.04, "the estimate has something to see"


def test_labels_are_read_as_training_wrote_them() -> None:
    """A sample may have 1.0 where the classes are 1: none would be right."""
    rng = np.random.default_rng(1)
    reference = of_classes(rng)
    pointed = reference.assign(y=reference["y"] + ".0")
    recent = of_classes(rng)
    (found,) = estimated("multiclass", pointed, recent, "accuracy", 0.6)
    assert found.value > 0.5


@pytest.mark.parametrize(
    ("task", "draw"), [("regression", of_numbers), ("multiclass", of_classes)]
)
def test_a_sample_without_labels_or_outputs_gives_no_estimate(
    task: str, draw: Any
) -> None:
    rng = np.random.default_rng(2)
    reference = draw(rng)
    recent = draw(rng)
    without = reference.drop(columns="y")
    assert estimated(task, without, recent, "mae", 1) == ()
    few = reference.assign(y=reference["y"].where(np.arange(ROWS) < 50))
    if task == "regression":
        assert estimated(task, few, recent, "mae", 1) == ()
    older = reference.drop(columns=[c for c in reference if c.startswith("p_")])
    if task == "multiclass":
        assert estimated(task, older, recent, "accuracy", 1) == ()


@pytest.mark.parametrize(
    ("task", "draw", "method"),
    [("regression", of_numbers, "DLE"), ("multiclass", of_classes, "CBPE")],
)
def test_a_model_whose_every_feature_is_hidden_has_an_estimate_by_its_outputs(
    task: str, draw: Any, method: str
) -> None:
    """Sensitive columns are neither logged nor in the sample."""
    rng = np.random.default_rng(3)
    (found,) = estimated(task, draw(rng), draw(rng), "accuracy", 0.6, {})
    assert found.method == method
    assert found.undone == ()
