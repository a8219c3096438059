"""A sweep: every combination by cross-validation, recorded, without the test part."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from mlops.cli.main import app
from mlops.config.project import Project
from mlops.data.snapshot import Dataset, build
from mlops.errors import UsageError
from mlops.evaluation.sweep import combinations
from mlops.evaluation.trial import FOLDS, TrialData, divided
from mlops.results.runs import CombinationResult
from mlops.runlog.query import records
from mlops.training.code import ModelCode
from mlops.training.fit import fit
from mlops.training.model import Model

from .conftest import rows_of

Make = Callable[..., Project]


def sweep(monkeypatch: pytest.MonkeyPatch, project: Project, *options: str) -> Result:
    monkeypatch.chdir(project.root)
    done = CliRunner().invoke(app, ["sweep", "churn", *options], prog_name="mlops")
    assert "defect of mlops" not in done.output, done.output
    return done


def test_each_combination_is_recorded_and_the_test_part_is_not_asked(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(n=300)
    part, asked = Dataset.part, set[str]()
    monkeypatch.setattr(
        Dataset, "part", lambda self, name: asked.add(name) or part(self, name)
    )
    options = [
        "-p",
        "C=0.0001,1",
        "-p",
        "learner=logistic,boosting,nothing",
        "--group",
        "first",
    ]
    done = sweep(monkeypatch, project, *options, "--json")
    assert done.exit_code == 0 and asked == {"train"}
    said = json.loads(done.stdout)
    assert said["group"] == "first" and len(said["tried"]) == 6
    good, bad = said["tried"][:4], said["tried"][4:]
    values = [row["roc_auc"] for row in good]
    assert values == sorted(values, reverse=True)
    assert {row["learner"] for row in bad} == {"nothing"} and "KeyError" in bad[0][
        "failed"
    ]
    kept = records(project, "churn", group="first")
    assert {r.id for r in kept} == {row["run"] for row in good}
    assert {r.measured_on for r in kept} == {"cross-validation"}
    assert {r.outcome for r in kept} == {"cross-validated"}
    assert {
        (p["C"], p["learner"]) for r in kept if r.training for p in [r.training.params]
    } == {(c, learner) for c in (0.0001, 1) for learner in ("logistic", "boosting")}
    left = {path.name for path in project.build("churn").iterdir()}
    assert not {"record.json", "training.json", "model.skops", "evaluation.json"} & left


def test_the_best_is_first_and_what_was_tried_is_readable(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(n=300)
    done = sweep(monkeypatch, project, "-p", "C=0.00001,1")
    head, first, second, *_ = done.stdout.splitlines()
    assert head.split() == ["C", "roc_auc", "LOW", "HIGH", "RUN"]
    assert (first.split()[0], second.split()[0]) == ("1", "1e-05")
    assert "the best of many looks better than it is" in done.stdout
    (group,) = {r.group for r in records(project)}
    assert group is not None and f"--group {group}" in done.stdout


def test_a_record_names_the_model_that_a_run_would_train(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(n=300)
    sweep(monkeypatch, project, "-p", "learner=boosting")
    path = project.folder("churn") / "model.yaml"
    path.write_text(path.read_text().replace("learner: logistic", "learner: boosting"))
    CliRunner().invoke(app, ["run", "churn"], prog_name="mlops")
    swept, ran = (r.training for r in records(project))
    assert swept and ran and swept.model_sha256 == ran.model_sha256


def test_the_best_of_none_is_a_no(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(n=300)
    assert sweep(monkeypatch, project, "-p", "learner=nothing").exit_code == 1
    assert records(project) == []


def test_data_that_break_the_contract_are_not_tried(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(frame=rows_of(n=300).assign(tenure=500))
    done = sweep(monkeypatch, project, "-p", "C=1")
    assert (
        done.exit_code == 1
        and "data validation failed" in done.output
        and records(project) == []
    )


def test_combinations() -> None:
    found = combinations(["learner=logistic,boosting", "C=0.1,10", "flag=true"], 4)
    assert found[0] == {"learner": "logistic", "C": 0.1, "flag": True}
    assert [row["C"] for row in found] == [0.1, 10, 0.1, 10]
    assert combinations(["x=null,[1"], 9) == [{"x": None}, {"x": "[1"}]


@pytest.mark.parametrize(
    "options",
    [
        ["C"],
        ["C="],
        ["=1"],
        ["C=1", "C=2"],
        ["C=1,2,3,4,5"],
        ["C=1,-Infinity"],
        ["C=1e999"],
    ],
)
def test_what_cannot_be_tried_is_refused_before_anything_runs(
    make_project: Make, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    with pytest.raises(UsageError):
        combinations(options, 4)
    project = make_project(n=300)
    arguments = [part for option in options for part in ("-p", option)]
    assert sweep(monkeypatch, project, *arguments, "--max", "4").exit_code == 2
    assert not project.build("churn").exists()


def dataset_of(project: Project) -> Dataset:
    dataset, _ = build(project.model("churn"), project.folder("churn"))
    assert dataset is not None
    return dataset


def cross_validate(project: Project, dataset: Dataset) -> CombinationResult:
    code = ModelCode.read(project.folder("churn"), "churn")
    data = TrialData.of("churn", code, dataset)
    return data.measure(dataset.spec.train.params)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_task(make_project: Make, task: str) -> None:
    project = make_project(task, n=300)
    dataset = dataset_of(project)
    first = cross_validate(project, dataset)
    again = cross_validate(project, dataset)
    assert first.metrics == again.metrics
    assert first.rows == len(dataset.part("train"))
    fitted = fit(project, "churn", dataset.spec, dataset.part("train"), "digest")
    assert first.signature == fitted.training.signature
    assert first.estimator == fitted.training.estimator


def test_a_class_that_a_fold_never_saw_has_no_chance_there(
    make_project: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = rows_of("multiclass", n=240).assign(day=range(240))
    frame["churn"] = frame["churn"].astype("str").mask(frame["day"] > 150, "new")
    data = {"source": "data/*.csv", "id": "customer", "target": "churn", "time": "day"}
    split = {"by": "time", "test": 0.2}
    project = make_project("multiclass", frame=frame, data=data, split=split)
    dataset = dataset_of(project)
    (loss,) = cross_validate(project, dataset).metrics
    assert loss.value > 2  # those who are sure of the wrong class pay for it
    outputs = Model.outputs
    unsure = {"p_new": float("nan")}
    monkeypatch.setattr(
        Model, "outputs", lambda self, *of: outputs(self, *of).assign(**unsure)
    )
    with pytest.raises(UsageError, match="not finite"):
        cross_validate(project, dataset)


def split_by(
    make_project: Make, by: str, column: str, values: Any
) -> tuple[Any, pd.DataFrame]:
    frame = rows_of(n=240)
    frame[column] = values(frame)
    split = {"by": by, "test": 0.3, "seed": 1} | (
        {"column": column} if by == "group" else {}
    )
    data = {
        "source": "data/*.csv",
        "id": "customer",
        "target": "churn",
        "positive": "yes",
    }
    data |= {"time": column} if by == "time" else {}
    dataset = dataset_of(make_project(frame=frame, split=split, data=data))
    return dataset.spec, dataset.part("train")


def test_a_group_is_on_one_side_only(make_project: Make) -> None:
    spec, rows = split_by(
        make_project, "group", "home", lambda f: [f"h{i % 60}" for i in f.index]
    )
    folds = [(set(rows["home"].iloc[a]), list(b)) for a, b in divided(spec, rows)]
    assert not any(learnt & set(rows["home"].iloc[asked]) for learnt, asked in folds)
    assert sorted(at for _, asked in folds for at in asked) == list(range(len(rows)))


def test_the_past_predicts_the_future(make_project: Make) -> None:
    spec, rows = split_by(
        make_project, "time", "day", lambda f: [(i * 7) % 240 for i in f.index]
    )
    folds = list(divided(spec, rows))
    assert len(folds) == FOLDS
    assert all(rows["day"].iloc[a].max() <= rows["day"].iloc[b].min() for a, b in folds)


def test_too_few_groups_to_part_are_said(make_project: Make) -> None:
    spec, rows = split_by(
        make_project, "group", "home", lambda f: [f"h{i % 4}" for i in f.index]
    )
    few = rows[rows["home"].isin(sorted(rows["home"].unique())[:2])]
    with pytest.raises(ValueError, match="n_splits"):
        list(divided(spec, few))
