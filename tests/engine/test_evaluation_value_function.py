"""What predictions are worth by a function of the model's own file value.py."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mlops.cli.main import app
from mlops.config.model_spec import Value
from mlops.config.project import Project
from mlops.errors import MlopsError, UsageError
from mlops.evaluation.compare import paired_difference
from mlops.evaluation.intervals import measure_metric
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import WORTH, Outcome
from mlops.evaluation.value import worth
from mlops.evaluation.value_function import worth_function
from mlops.monitoring.losses import losses_of
from mlops.pipeline.handed_over import read_predictions
from mlops.results.training import Signature
from mlops.training.code import ModelCode

from .conftest import spec_of, train_in
from .serving_world import release

FUNCTION = """\
import numpy as np


def worth(rows, label, predicted):
    calls = predicted["prediction"] == "yes"
    stays = label == "yes"
    return np.where(calls, np.where(stays, rows["spend"].fillna(0), -20.0), 0.0)
"""

VALUE = {"unit": "EUR", "function": "worth"}

METRICS: dict[str, Any] = {"primary": "value", "value": VALUE}


def code(body: str) -> ModelCode:
    return ModelCode("churn", {"features.py": b"", "value.py": body.encode()})


def call(body: str, n: int = 4) -> Any:
    rows = pd.DataFrame({"x": np.arange(n)}, index=np.arange(n) + 7)
    label = pd.Series(["a"] * n, index=rows.index)
    predicted = pd.DataFrame({"prediction": ["a"] * n}, index=rows.index)
    return worth_function(lambda: code(body), "worth")(rows, label, predicted)


def test_the_function_has_rows_labels_and_predictions_side_by_side() -> None:
    body = """
def worth(rows, label, predicted):
    assert rows.index.equals(label.index) and label.index.equals(predicted.index)
    return rows["x"] * (label == predicted["prediction"])
"""
    assert call(body).tolist() == [0, 1, 2, 3]


WRONG = {
    "raises": ("    raise ValueError('no price of plan x')", "no price of plan x"),
    "is missing in a row": ("    return rows['x'].where(rows['x'] > 0)", "1 of 4"),
    "is infinite": ("    return [1, 2, 3, float('inf')]", "1 of 4 values"),
    "is too short": ("    return [1, 2, 3]", "3 values"),
    "is a number": ("    return 1.0", "no list of values"),
    "is a table": ("    return rows[['x', 'x']]", "no list of values"),
    "is text": ("    return ['a'] * 4", "no list of numbers"),
    "is nothing": ("    return None", "no list of values"),
    "is in another order": (
        "    return rows['x'].sort_index(ascending=False)",
        "index",
    ),
    "is of some rows": ("    return rows['x'][rows['x'] > 0]", "3 values"),
    "ends the process": ("    raise SystemExit(0)", "ends the process"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_worth_of_each_row_is_one_error_that_names_the_file(
    case: str,
) -> None:
    body, expected = WRONG[case]
    with pytest.raises(MlopsError) as raised:
        call(f"def worth(rows, label, predicted):\n{body}\n")
    (problem,) = raised.value.problems
    assert problem.file == "models/churn/value.py"
    assert expected in f"{problem.what} {problem.found}"


def test_a_missing_file_or_function_says_what_to_write() -> None:
    with pytest.raises(UsageError, match="must define `def worth"):
        call("def other(rows, label, predicted):\n    return rows['x']\n")
    none = worth_function(lambda: ModelCode("churn", {"features.py": b""}), "worth")
    frame = pd.DataFrame({"x": [1]})
    with pytest.raises(UsageError, match="this file is missing") as raised:
        none(frame, frame["x"], frame)
    assert "def worth(rows, label, predicted)" in raised.value.problems[0].do


def outcome(rng: np.random.Generator, skill: float, truth: Any, price: Any) -> Outcome:
    score = np.where(rng.random(len(truth)) < skill, truth, 1 - truth).astype(float)
    decision = score.astype(int)
    worths = np.where(decision == truth, price, -price)
    amounts = Value(function="worth")
    names = ("no", "yes")
    return Outcome("binary", truth, decision, score, names, None, amounts, worths)


def test_the_interval_covers_and_equal_models_rarely_differ() -> None:
    covered = 0
    differ = 0
    worlds = 300
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 2, 400)
        price = rng.gamma(2.0, 10.0, 400)
        one = outcome(rng, 0.8, truth, price)
        metric = measure_metric("value", one)
        covered += metric.low <= 20.0 * 0.6 <= metric.high
        other = outcome(rng, 0.8, truth, price)
        found = paired_difference("value", one, other)
        differ += not found.low <= 0 <= found.high
    assert covered / worlds >= 0.92
    assert differ / worlds <= 0.08


def test_a_better_model_is_shown_to_be_better_row_by_row() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 2000)
    price = rng.gamma(2.0, 10.0, 2000)
    found = paired_difference(
        "value", outcome(rng, 0.7, truth, price), outcome(rng, 0.8, truth, price)
    )
    assert found.low > 0
    assert found.difference == pytest.approx(20 * 0.2, abs=1.5)


def test_without_raw_rows_the_value_is_not_defined_and_no_loss_is_watched() -> None:
    truth = np.array([0, 1])
    amounts = Value(function="worth")
    names = ("no", "yes")
    o = Outcome("binary", truth, truth, truth * 1.0, names, None, amounts)
    assert "raw rows" in undefined("value", o)
    assert list(losses_of(o)) == ["Brier score"]


def run(project: Project, monkeypatch: pytest.MonkeyPatch, *options: str) -> Any:
    monkeypatch.chdir(project.root)
    return CliRunner().invoke(app, ["run", "churn", *options], prog_name="mlops")


def test_a_model_is_judged_by_its_function_in_the_process_for_its_code(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(n=900)
    release(train_in(project))
    folder = project.folder("churn")
    changed = spec_of(metrics=METRICS, slices={"columns": ["plan"]})
    (folder / "model.yaml").write_text(json.dumps(changed))
    seen = project.root.parent / "seen"
    notes = f"import os\n\nopen({str(seen)!r}, 'a').write(f'{{os.getpid()}} ')\n"
    (folder / "value.py").write_text(notes + FUNCTION)
    monkeypatch.setattr("mlops.pipeline.run.APART", True)

    result = run(project, monkeypatch)

    assert result.exit_code in (0, 1), result.output
    assert str(os.getpid()) not in seen.read_text().split()
    build = project.build("churn")
    frame = pd.read_parquet(build / "predictions.parquet")
    (metric, *_) = json.loads((build / "evaluation.json").read_text())["metrics"]
    assert metric["name"] == "value"
    assert metric["value"] == pytest.approx(frame[WORTH].mean())
    comparison = json.loads((build / "verdict.json").read_text())["comparison"]
    assert comparison["metric"] == "value"
    assert comparison["challenger"] == pytest.approx(frame[WORTH].mean())
    champion = pd.read_parquet(build / "champion.parquet")
    assert comparison["champion"] == pytest.approx(champion[WORTH].mean())


def test_a_function_that_raises_fails_the_test_step_with_one_error(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(metrics=METRICS)
    body = "def worth(rows, label, predicted):\n    return rows['price']\n"
    (project.folder("churn") / "value.py").write_text(body)
    result = run(project, monkeypatch)
    assert result.exit_code == 2, result.output
    assert result.output.count("error:") == 1
    assert "models/churn/value.py" in result.output and "line 2" in result.output
    assert not (project.build("churn") / "verdict.json").exists()


def test_a_worth_that_is_not_finite_is_not_taken_from_another_process(
    tmp_path: Path,
) -> None:
    signature = Signature(task="regression", target="y", features=())
    frame = pd.DataFrame({"prediction": [1.0, 2.0], WORTH: [1.0, np.nan]})
    frame.to_parquet(tmp_path / "p.parquet")
    with pytest.raises(MlopsError, match="does not contain the predictions"):
        read_predictions(tmp_path / "p.parquet", signature, with_worth=True)


def test_the_worth_of_some_rows_is_theirs() -> None:
    rng = np.random.default_rng(0)
    o = outcome(rng, 0.8, np.array([0, 1, 1, 0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert worth(o.take(np.array([2, 0]))).tolist() == worth(o)[[2, 0]].tolist()


def test_a_sweep_tries_combinations_by_the_function(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(metrics=METRICS)
    (project.folder("churn") / "value.py").write_text(FUNCTION)
    monkeypatch.chdir(project.root)
    options = ["sweep", "churn", "-p", "C=0.1,1.0", "--json"]
    result = CliRunner().invoke(app, options, prog_name="mlops")
    assert result.exit_code == 0, result.output
    tried = json.loads(result.stdout)["tried"]
    assert {one["C"] for one in tried} == {"0.1", "1.0"}
    assert all(one["low"] < one["value"] < one["high"] for one in tried)
    assert all(one["value"] > 1 for one in tried), "in the unit of the function"
