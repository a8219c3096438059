"""Every check can fail, own tests run as they are, slices and fairness are right."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import accuracy_score, mean_absolute_error, roc_auc_score

from engine.conftest import Trained, rows_of, train_in
from engine.evaluation_worlds import evaluate_in
from mlops.config.model_spec import ModelSpec
from mlops.config.project import Project
from mlops.data.summary import Parts
from mlops.errors import UsageError
from mlops.evaluation.baselines import BaselineComparison, _pipelines, baselines
from mlops.evaluation.checks import CheckContext, better_than, by_how_much
from mlops.evaluation.fairness import fairness
from mlops.evaluation.intervals import measure_metric
from mlops.evaluation.measurements import Measurements
from mlops.evaluation.outcome import EvaluationContext
from mlops.evaluation.slices import group, slices
from mlops.evaluation.user_tests import own_tests
from mlops.gate.conditions import conditions
from mlops.reporting.wording import condition, standing
from mlops.results.evaluation import Check, Evaluation, Importance
from mlops.results.verdict import Comparison
from mlops.training.model import Model

SETTINGS: dict[str, Any] = {
    "slices": {"columns": ["plan"], "min_rows": 20},
    "fairness": [{"column": "sex", "metric": "selection_rate", "max_difference": 0.4}],
    "checks": {
        "floor": {"roc_auc": 0.8},
        "directional": [
            {"column": "tenure", "low": 1, "high": 70, "expect": "decrease"}
        ],
    },
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    from engine import conftest

    make = conftest.make_project.__wrapped__  # type: ignore[attr-defined]
    return train_in(make(tmp_path_factory.mktemp("evaluation"))(**SETTINGS))


def respec(world: Trained, **changes: Any) -> ModelSpec:
    return ModelSpec.model_validate({**world.spec.model_dump(), **changes})


def judged(
    world: Trained, model: Any = None, spec: ModelSpec | None = None
) -> Evaluation:
    spec = spec or world.spec
    dataset = dataclasses.replace(world.dataset, spec=spec)
    return evaluate_in(world.project, "churn", spec, dataset, model or world.model)


def failed(evaluation: Evaluation) -> dict[str, str]:
    return {check.name: check.message for check in evaluation.checks if not check.ok}


class Altered(Model):
    """The trained model, except for what `change(raw, scores)` does to its scores."""

    def __init__(
        self, model: Model, change: Callable[[pd.DataFrame, np.ndarray], Any]
    ) -> None:
        super().__init__(
            model.name, model.signature, model.pipeline, model.features_source
        )
        self.change = change

    def predict(self, raw: pd.DataFrame) -> pd.DataFrame:
        out = super().predict(raw)
        score = np.asarray(self.change(raw, out["score"].to_numpy()), dtype=float)
        label = np.where(score >= 0.5, "yes", "no")
        return pd.DataFrame({"prediction": label, "score": score}, index=raw.index)


def test_a_sound_model_passes_and_its_answer_can_be_stored(
    world: Trained, tmp_path: Path
) -> None:
    evaluation = judged(world)
    assert failed(evaluation) == {}
    assert evaluation.ok
    evaluation.save(tmp_path)
    assert Evaluation.load(tmp_path) == evaluation
    assert evaluation.primary.name == "roc_auc"
    assert set(evaluation.baselines) == {"dummy", "simple"}
    assert evaluation.baselines["dummy"] == 0.5
    assert [c.name for c in evaluation.checks if not c.standard] == [
        "test_churn.py::test_scores_are_probabilities"
    ]
    names = {c.name for c in evaluation.checks if c.standard}
    assert names == {
        "floor[roc_auc]",
        "better_than[dummy]",
        "better_than[simple]",
        "slices[plan]",
        "fairness[sex: selection_rate]",
        "invariant",
        "directional[tenure]",
        "missing_values",
        "unseen_categories",
        "one_row_equals_batch",
        "numerically_stable",
        "latency",
        "size",
    }
    (absent,) = [c for c in evaluation.checks if c.name == "invariant"]
    assert absent.skipped
    assert absent.message == "model.yaml has no checks.invariant"


def _noise(raw: pd.DataFrame, score: np.ndarray) -> np.ndarray:
    return np.random.default_rng().random(len(score))


def _missing(raw: pd.DataFrame, score: np.ndarray) -> np.ndarray:
    if raw["plan"].isna().any():
        raise ValueError("no plan")
    return score


def _unseen(raw: pd.DataFrame, score: np.ndarray) -> np.ndarray:
    known = raw["plan"].isin(["basic", "plus", "pro"]) | raw["plan"].isna()
    return np.where(known, score, np.nan)


REPEATS = (
    "one_row_equals_batch"  # a model that answers differently every time fails it too
)
BREAKERS: dict[str, Callable[[pd.DataFrame, np.ndarray], Any]] = {
    "floor[roc_auc]": lambda raw, s: 1 - s,
    "better_than[dummy]": lambda raw, s: 1 - s,
    "better_than[simple]": lambda raw, s: np.where(raw["spend"] > 40, 0.6, s),
    "slices[plan]": lambda raw, s: np.where(raw["plan"] == "pro", 1 - s, s),
    "directional[tenure]": lambda raw, s: 1 - s,
    "missing_values": _missing,
    "unseen_categories": _unseen,
    "one_row_equals_batch": lambda raw, s: s * (1 if len(raw) > 1 else 0.999),
    "numerically_stable": lambda raw, s: (
        (np.sin(raw["spend"].fillna(0) * 1e12) + 1) / 2
    ),
}


@pytest.mark.parametrize(
    ("name", "change"), [*BREAKERS.items(), (REPEATS, _noise)], ids=[*BREAKERS, "noise"]
)
def test_every_check_of_behaviour_can_fail(
    world: Trained, name: str, change: Any
) -> None:
    found = failed(judged(world, Altered(world.model, change)))
    assert name in found
    assert found[name]
    assert "Traceback" not in found[name]


def test_every_check_of_a_limit_can_fail(world: Trained) -> None:
    spec = respec(
        world,
        checks={"invariant": ["plan"], "latency_ms": 0.001, "size_mb": 0.000001},
        fairness=[
            {"column": "tenure", "metric": "selection_rate", "max_difference": 0.2}
        ],
    )
    found = failed(judged(world, spec=spec))
    assert set(found) == {
        "invariant[plan]",
        "latency",
        "size",
        "fairness[tenure: selection_rate]",
    }
    assert "depend on `plan`" in found["invariant[plan]"]
    assert "the limit is 0.001 ms" in found["latency"]


def test_a_written_exception_is_accepted_and_shown(world: Trained) -> None:
    limit = {"column": "tenure", "metric": "selection_rate", "max_difference": 0.2}
    spec = respec(world, fairness=[{**limit, "exception": "Agreed with the council."}])
    evaluation = judged(world, spec=spec)
    assert evaluation.ok
    assert evaluation.fairness[0].difference > 0
    assert evaluation.fairness[0].exception == "Agreed with the council."
    (check,) = [c for c in evaluation.checks if c.name.startswith("fairness")]
    assert "accepted: Agreed with the council." in check.message


def test_a_limit_that_these_rows_do_not_decide_is_neither_passed_nor_failed(
    world: Trained,
) -> None:
    """The bounds of the gap lie on both sides of the limit: nobody is accused."""
    limit = {"column": "sex", "metric": "selection_rate", "max_difference": 0.01}
    evaluation = judged(world, spec=respec(world, fairness=[limit]))
    (result,) = evaluation.fairness
    assert result.low is not None and result.high is not None
    assert result.low <= 0.01 < result.high
    assert result.ok and result.inconclusive and not result.exceeds
    (check,) = [c for c in evaluation.checks if c.name.startswith("fairness")]
    assert check.ok and check.skipped and check.message.startswith("inconclusive")
    held = conditions(evaluation)[2]
    assert (held.ok, held.asked, held.answered, held.inconclusive) == (True, 1, 1, 1)
    assert standing(held) == ("unsure", "inconclusive")
    assert "1 limit between groups inconclusive on these rows" in condition(held)


@pytest.mark.parametrize(
    ("name", "worst", "ok"),
    [("roc_auc", "low", True), ("roc_auc", "value", False), ("log_loss", "high", True)],
)
def test_a_floor_is_met_where_the_worse_end_of_the_interval_meets_it(
    world: Trained, name: str, worst: str, ok: bool
) -> None:
    measured = measure_metric(
        name, EvaluationContext(world.spec, world.dataset).outcome(world.model)
    )
    limit = getattr(measured, worst)
    evaluation = judged(world, spec=respec(world, checks={"floor": {name: limit}}))
    (check,) = [c for c in evaluation.checks if c.name == f"floor[{name}]"]
    assert check.ok is ok
    if not ok:
        assert "inconclusive" in check.message and "add test rows" in check.message


def test_a_model_has_to_be_shown_to_be_better_than_a_constant(world: Trained) -> None:
    """Noise: better than the constant by luck, or worse; never shown to be better."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        noise = Altered(world.model, lambda raw, s, r=rng: r.random(len(s)))
        context = EvaluationContext(world.spec, world.dataset)
        compared = baselines(context, noise).by_name["dummy"]
        if compared.low <= 0 < compared.difference:
            break
    measured = Measurements(
        rows=len(context.test),
        metrics=(),
        baselines=BaselineComparison({"dummy": compared}, 9, 9, 9),
        slices=(),
        fairness=(),
        latency_ms=0.0,
        importance=Importance(metric="roc_auc"),
    )
    asked = respec(world, checks={"better_than": ["dummy"]})
    context = EvaluationContext(asked, world.dataset)
    ((_, ok, message),) = better_than(CheckContext(context, noise, measured, 0.1))
    assert compared.low <= 0 < compared.difference
    assert ok is False
    assert message.startswith("not shown to beat a constant: ")


def test_a_simple_baseline_says_on_how_many_rows(
    world: Trained, monkeypatch: Any
) -> None:
    monkeypatch.setattr("mlops.evaluation.baselines.MOST_ROWS", 100)
    evaluation = judged(world)
    (check,) = [c for c in evaluation.checks if c.name == "better_than[simple]"]
    rows = world.dataset.snapshot.train_rows
    assert f"trained on 100 of {rows} rows, compared on 100" in check.message


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks_are_judged_too(
    make_project: Callable[..., Project], task: str
) -> None:
    limit = {"multiclass": "accuracy", "regression": "mae"}[task]
    project = make_project(
        task,
        slices={"columns": ["plan", "tenure"], "min_rows": 20, "max_drop": 2},
        fairness=[{"column": "sex", "metric": limit, "max_difference": 0.9}],
    )
    t = train_in(project)
    evaluation = evaluate_in(project, "churn", t.spec, t.dataset, t.model)
    assert failed(evaluation) == {}
    assert len(evaluation.slices) == 3 + 4


# -- own tests -------------------------------------------------------------------------


@pytest.fixture
def own(world: Trained) -> Any:
    """A function that replaces the model's own tests and returns the checks."""
    folder = world.project.folder("churn") / "tests"
    before = (folder / "test_churn.py").read_text()

    def run(text: str, file: str = "test_churn.py") -> list[Check]:
        (folder / file).write_text(text)
        context = EvaluationContext(world.spec, world.dataset)
        return own_tests(world.project.root, folder, context, world.model, None)

    yield run
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*"):
        path.unlink()
    (folder / "test_churn.py").write_text(before)


def test_an_own_test_that_fails_gives_its_message_only(own: Any) -> None:
    (check,) = own(
        "def test_a(model):\n    assert model.name == 'x', 'the name should be x'\n"
    )
    assert not check.ok
    assert check.message == "the name should be x"


def test_changed_tests_are_read_again_in_the_same_process(own: Any) -> None:
    (first,) = own("def test_a():\n    assert 1 == 1\n")
    (second,) = own("def test_a():\n    assert 1 == 2\n")
    assert first.ok
    assert not second.ok
    assert second.message == "assert 1 == 2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import no_such_module_here\n", "No module named 'no_such_module_here'"),
        ("def test_a(:\n    pass\n", "SyntaxError"),
        ("def test_a(modle):\n    pass\n", "fixture 'modle' not found"),
        ("def test_a():\n    raise KeyError('gone')\n", "KeyError: 'gone'"),
        ("def test_a():\n    raise SystemExit(3)\n", "SystemExit: 3"),
        ("raise SystemExit(3)\n", "SystemExit"),
        ("import pytest\n\n\ndef test_a():\n    pytest.exit('enough')\n", "enough"),
    ],
)
def test_an_own_test_that_breaks_is_a_failed_check(
    own: Any, text: str, expected: str
) -> None:
    bad = [check for check in own(text) if not check.ok]
    assert len(bad) == 1
    assert expected in bad[0].message
    assert "Traceback" not in bad[0].message


def test_a_broken_conftest_is_a_failed_check(own: Any) -> None:
    bad = [
        check
        for check in own("import no_such_module_here\n", "conftest.py")
        if not check.ok
    ]
    assert len(bad) == 1
    assert "no_such_module_here" in bad[0].message


def test_a_failing_teardown_overrules_a_passing_test(own: Any) -> None:
    (check,) = own(
        "import pytest\n\n\n"
        "@pytest.fixture\ndef f():\n    yield\n    assert 0, 'left open'\n\n\n"
        "def test_a(f):\n    pass\n"
    )
    assert not check.ok
    assert check.message == "in teardown: left open"


def test_skips_and_expected_failures_are_shown_with_their_reason(own: Any) -> None:
    skipped, expected = own(
        "import pytest\n\n\n"
        "@pytest.mark.skip(reason='later')\ndef test_a():\n    pass\n\n\n"
        "@pytest.mark.xfail(reason='known')\ndef test_b():\n    assert 0\n"
    )
    assert (skipped.ok, skipped.skipped, skipped.message) == (True, True, "later")
    assert (expected.ok, expected.skipped, expected.message) == (
        True,
        True,
        "expected to fail: known",
    )


def test_ctrl_c_stops_the_command(own: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        own("def test_a():\n    raise KeyboardInterrupt\n")


def test_a_model_without_own_tests_is_judged_by_the_standard_ones(
    own: Any, world: Trained
) -> None:
    folder = world.project.folder("churn") / "tests"
    (folder / "test_churn.py").unlink()
    folder.rmdir()
    evaluation = judged(world)
    assert evaluation.ok
    assert all(check.standard for check in evaluation.checks)


def test_a_test_cannot_spoil_the_data_of_the_next(own: Any, world: Trained) -> None:
    checks = own(
        "def test_a(test_set, predict):\n"
        "    before = predict(test_set)['score'].mean()\n"
        "    test_set['tenure'] = 0.0\n"
        "    assert predict(test_set)['score'].mean() != before\n"
        "    predict(test_set)['score'] = 0\n\n\n"
        "def test_b(test_set, train_set, champion, spec):\n"
        "    assert test_set['tenure'].max() > 0\n"
        f"    assert len(train_set) == {world.dataset.snapshot.train_rows}\n"
        "    assert champion is None\n"
        "    assert spec.task == 'binary'\n"
    )
    assert [check.message for check in checks if not check.ok] == []
    assert len(checks) == 2


def test_pytest_leaves_nothing_behind(
    world: Trained, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    (world.project.root / "pytest.ini").write_text(
        "[pytest]\naddopts = --no-such-option-either\n"
    )
    before = (
        dict(os.environ),
        list(sys.path),
        {p for p in world.project.root.rglob("*")},
    )
    evaluation = judged(world)
    assert evaluation.ok
    assert capsys.readouterr() == ("", "")
    assert (dict(os.environ), list(sys.path)) == before[:2]
    assert {p for p in world.project.root.rglob("*")} - before[2] == set()
    assert not [
        m
        for m in sys.modules.values()
        if "test_churn.py" in str(getattr(m, "__file__", ""))
    ]
    (world.project.root / "pytest.ini").unlink()


# -- slices, fairness, tiny and odd data -----------------------------------------------


def test_slices_and_fairness_are_those_of_scikit_learn_and_fairlearn(
    world: Trained,
) -> None:
    rates = {
        "selection_rate": selection_rate,
        "true_positive_rate": true_positive_rate,
        "false_positive_rate": false_positive_rate,
        "accuracy": accuracy_score,
    }
    limits = [{"column": "sex", "metric": m, "max_difference": 1} for m in rates]
    spec = respec(world, fairness=limits, slices={"columns": ["plan"], "min_rows": 2})
    bench = EvaluationContext(spec, world.dataset)
    test, said = bench.test, bench.predicted(world.model)
    truth, label = (
        (test["churn"] == "yes").astype(int),
        (said["prediction"] == "yes").astype(int),
    )
    for result in fairness(bench, world.model):
        frame = MetricFrame(
            metrics=rates[result.metric],
            y_true=truth,
            y_pred=label,
            sensitive_features=test["sex"],
        )
        assert {g.name: g.value for g in result.groups} == pytest.approx(
            frame.by_group.to_dict()
        )
        assert result.difference == pytest.approx(frame.difference())
    for part in slices(bench, world.model):
        rows = test["plan"] == part.value
        assert part.metric is not None
        assert part.metric.value == pytest.approx(
            roc_auc_score(truth[rows], said["score"][rows])
        )


def test_baselines_take_dates_words_and_infinities() -> None:
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime(["2020-01-01", None, "2022-07-01", "2021-01-01"]),
            "plan": pd.Series(["a", None, "b", "a"], dtype="str"),
            "vip": [True, False, True, False],
            "ratio": [1.0, np.inf, np.nan, -np.inf],
        }
    )
    for task, target in (
        ("binary", np.array(["n", "y", "y", "n"])),
        ("regression", np.arange(4.0)),
    ):
        for pipeline in _pipelines(task, "mae").values():
            assert len(pipeline.fit(frame, target).predict(frame)) == 4


def test_mean_absolute_error_by_group(make_project: Callable[..., Project]) -> None:
    limit = {"column": "sex", "metric": "mae", "max_difference": 9}
    t = train_in(make_project("regression", fairness=[limit], slices={"min_rows": 2}))
    bench = EvaluationContext(t.spec, t.dataset)
    (result,) = fairness(bench, t.model)
    for g in result.groups:
        rows = bench.test["sex"] == g.name
        said = bench.predicted(t.model)["prediction"]
        assert g.value == pytest.approx(
            mean_absolute_error(bench.test["churn"][rows], said[rows])
        )


def test_small_groups_are_listed_and_not_compared(world: Trained) -> None:
    bench = EvaluationContext(
        respec(world, slices={"columns": ["sex"], "min_rows": 10_000}), world.dataset
    )
    (result,) = fairness(bench, world.model)
    assert (result.difference, result.ok, result.measured) == (0, True, False)
    assert [g.name for g in result.groups] == ["female", "male"]
    assert [s.metric for s in slices(bench, world.model)] == [None, None]


def held_out(test: np.ndarray) -> Parts:
    """Return a split with these test rows and without a validation part."""
    return Parts(test, np.zeros(len(test), dtype=bool))


def test_a_group_without_positives_has_no_true_positive_rate(world: Trained) -> None:
    limit = {"column": "sex", "metric": "true_positive_rate", "max_difference": 0.1}
    spec = respec(world, fairness=[limit], slices={"min_rows": 2})
    frame, test = world.dataset.frame, world.dataset.test
    kept = ~(test & (frame["sex"] == "male") & (frame["churn"] == "yes")).to_numpy()
    dataset = dataclasses.replace(
        world.dataset, frame=frame[kept], parts=held_out(test[kept])
    )
    (result,) = fairness(EvaluationContext(spec, dataset), world.model)
    female, male = result.groups
    assert (male.name, male.rows, male.value) == ("male", 0, None)
    assert female.value is not None
    assert (result.difference, result.measured) == (0, False)


def test_a_rate_of_another_task_is_refused(world: Trained) -> None:
    spec = respec(
        world, fairness=[{"column": "sex", "metric": "mae", "max_difference": 1}]
    )
    with pytest.raises(UsageError, match="does not exist for a binary model"):
        fairness(EvaluationContext(spec, world.dataset), world.model)


def test_groups_of_numbers_are_quartiles_and_of_many_texts_the_most_frequent() -> None:
    numbers = pd.Series([*range(100), np.nan], dtype=float)
    sizes = group(numbers).value_counts()
    assert sorted(sizes) == [1, 25, 25, 25, 25]
    assert sizes["(missing)"] == 1
    texts = pd.Series([f"v{i}" for i in range(80) for _ in range(80 - i)], dtype="str")
    names = group(texts).cat.categories
    assert len(names) == 51
    assert "(30 other values)" in names
    assert list(group(pd.Series([1.0, 2.0, 1.0]))) == ["1", "2", "1"]


def test_a_class_without_test_rows_is_named(world: Trained) -> None:
    frame = world.dataset.frame
    frame = frame[~(world.dataset.test & (frame["churn"] == "yes"))]
    dataset = dataclasses.replace(
        world.dataset,
        frame=frame,
        parts=held_out(world.dataset.test[frame.index.to_numpy()]),
    )
    with pytest.raises(UsageError) as error:
        EvaluationContext(world.spec, dataset).outcome(world.model)
    text = str(error.value)
    assert "no test row is of class yes" in text
    assert "no: " in text
    assert "split.seed" in text


def test_a_test_part_of_one_group_is_refused(world: Trained) -> None:
    spec = respec(world, split={"by": "group", "column": "sex", "test": 0.3})
    rows = (world.dataset.frame["sex"] == "male").to_numpy()
    with pytest.raises(UsageError, match="too few groups of `sex`"):
        _ = EvaluationContext(
            spec, dataclasses.replace(world.dataset, spec=spec, parts=held_out(rows))
        ).test


def test_a_handful_of_rows_is_judged_without_a_crash(
    make_project: Callable[..., Project],
) -> None:
    project = make_project(frame=rows_of(n=24, seed=3))
    t = train_in(project)
    evaluation = evaluate_in(project, "churn", t.spec, t.dataset, t.model)
    assert np.isfinite([evaluation.primary.low, evaluation.primary.high]).all()
    assert evaluation.primary.high - evaluation.primary.low > 0.2


def test_the_test_set_is_predicted_once(
    world: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = Model.predict

    def counting(self: Model, raw: pd.DataFrame) -> pd.DataFrame:
        if self is world.model and "churn" in raw:  # samples have only the features
            sizes.append(len(raw))
        return original(self, raw)

    monkeypatch.setattr(Model, "predict", counting)
    judged(world)
    assert sizes.count(world.dataset.snapshot.test_rows) == 1


def test_no_value_of_a_sensitive_column_is_in_a_message(
    make_project: Callable[..., Project],
) -> None:
    features = {
        "tenure": "number",
        "plan": "category",
        "sex": "category",
        "spend": "number",
    }
    t = train_in(make_project(features=features))

    def leak(raw: pd.DataFrame, score: np.ndarray) -> np.ndarray:
        if raw["plan"].isna().any():
            raise ValueError(f"cannot use {raw['sex'].iloc[0]}")
        return score

    evaluation = evaluate_in(
        t.project, "churn", t.spec, t.dataset, Altered(t.model, leak)
    )
    text = failed(evaluation)["missing_values"]
    assert "ValueError" in text
    assert "male" not in text


def test_a_path_with_spaces_works(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    t = train_in(make_project(root=tmp_path / "a folder [1]"))
    evaluation = evaluate_in(t.project, "churn", t.spec, t.dataset, t.model)
    assert [c.name for c in evaluation.checks if not c.standard]
    assert evaluation.ok


@pytest.mark.parametrize(
    ("difference", "words"), [(-0.037, "worse by 0.037"), (0.037, "better by 0.037")]
)
def test_a_difference_is_said_by_its_size_and_its_way(
    difference: float, words: str
) -> None:
    compared = Comparison(
        metric="roc_auc",
        champion=0.5,
        challenger=0.5 + difference,
        difference=difference,
        low=difference - 0.02,
        high=difference + 0.02,
        smallest_detectable=0.03,
        method="DeLong",
    )
    text = by_how_much(compared)
    assert text.startswith(f"{words} (difference ")
    assert "by -" not in text
