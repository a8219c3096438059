"""A third part of the split: validation, carved out of training and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops.config.model_spec import ModelSpec, Split
from mlops.config.project import Project
from mlops.config.yaml import parse
from mlops.data.hashing import hash_values
from mlops.data.snapshot import Dataset, build, parts_of
from mlops.errors import UsageError
from mlops.results.training import Training

from .conftest import rows_of, spec_of, train_in

SPLITS = {
    "id": {"by": "random"},
    "group": {"by": "group", "column": "home"},
    "time": {"by": "time"},
    "no id": {"by": "random"},
}


def world(kind: str, **split: float) -> tuple[ModelSpec, pd.DataFrame]:
    data = {"source": "data/*.csv", "target": "churn", "positive": "yes"}
    if kind != "no id":
        data["id"] = "customer"
    if kind == "time":
        data["time"] = "day"
    spec = spec_of(data=data, split={**SPLITS[kind], "test": 0.2, **split})
    frame = rows_of(n=3000)
    frame["home"] = [f"h{number // 3}" for number in range(len(frame))]
    frame["day"] = np.arange(len(frame), dtype=float) // 10
    return ModelSpec.model_validate(spec), frame


@pytest.mark.parametrize("kind", SPLITS)
def test_rows_that_were_test_stay_test_and_validation_comes_out_of_training(
    kind: str,
) -> None:
    before, frame = world(kind)
    now, _ = world(kind, validation=0.25)
    hashes = hash_values(frame)
    old = parts_of(before, frame, hashes)
    new = parts_of(now, frame, hashes)
    assert (new.test == old.test).all()
    assert not old.validation.any()
    assert not (new.validation & new.test).any()
    assert new.validation.mean() == pytest.approx(0.25, abs=0.03)
    assert (new.train == ~(new.test | new.validation)).all()


def test_a_group_is_in_one_part() -> None:
    spec, frame = world("group", validation=0.25)
    parts = parts_of(spec, frame, hash_values(frame))
    part = np.select([parts.test, parts.validation], ["test", "validation"], "train")
    assert (frame.assign(part=part).groupby("home")["part"].nunique() == 1).all()


def test_by_time_validation_is_the_period_before_the_test() -> None:
    spec, frame = world("time", validation=0.25)
    parts = parts_of(spec, frame, hash_values(frame))
    day = frame["day"]
    assert day[parts.train].max() < day[parts.validation].min()
    assert day[parts.validation].max() < day[parts.test].min()


def test_rows_stay_in_their_part_when_rows_are_added() -> None:
    spec, frame = world("id", validation=0.25)
    few = frame[:2000]
    early = parts_of(spec, few, hash_values(few))
    later = parts_of(spec, frame, hash_values(frame))
    assert (early.validation == later.validation[:2000]).all()


def test_a_specification_without_the_key_is_stored_as_it_was() -> None:
    """Else every existing model would count as changed code."""
    plain = Split(test=0.2)
    assert plain.model_dump() == {
        "by": "random",
        "column": None,
        "test": 0.2,
        "seed": 0,
    }
    assert json.loads(plain.model_dump_json()) == plain.model_dump()
    assert Split(validation=0.1).model_dump()["validation"] == 0.1
    assert Split.model_validate(plain.model_dump()) == plain


@pytest.mark.parametrize(("test", "validation"), [(0.5, 0.5), (0.4, 0.7)])
def test_parts_that_leave_no_row_for_training_are_refused(
    test: float, validation: float
) -> None:
    split = {"by": "random", "test": test, "validation": validation}
    with pytest.raises(UsageError) as caught:
        parse(ModelSpec, spec_of(split=split), "model.yaml")
    (problem,) = caught.value.problems
    assert problem.key == "split.validation"
    assert "leave no row for training" in str(problem)


def test_too_few_rows_for_validation_are_named(
    make_project: Callable[..., Project],
) -> None:
    split = {"by": "random", "test": 0.3, "validation": 0.001}
    project = make_project(n=60, split=split)
    with pytest.raises(UsageError) as caught:
        build(project.model("churn"), project.folder("churn"))
    assert "a training, a validation and a test part" in str(caught.value)
    assert "0 for validation" in str(caught.value)


def test_a_snapshot_remembers_the_parts(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    split = {"by": "random", "test": 0.3, "validation": 0.2, "seed": 1}
    project = make_project(n=600, split=split)
    spec = project.model("churn")
    dataset, _ = build(spec, project.folder("churn"))
    assert dataset is not None
    dataset.save(tmp_path)
    back = Dataset.load(tmp_path, spec)
    assert (back.parts.validation == dataset.parts.validation).all()
    counts = back.snapshot
    assert counts.validation_rows == len(back.part("validation")) > 0
    assert counts.train_rows == len(back.part("train"))
    total = counts.train_rows + counts.validation_rows + counts.test_rows
    assert total == counts.rows


def test_a_version_from_before_may_have_learned_all_of_validation(
    make_project: Callable[..., Project],
) -> None:
    t = train_in(make_project(n=600))
    split = {**t.spec.split.model_dump(), "validation": 0.3}
    spec = ModelSpec.model_validate({**t.spec.model_dump(), "split": split})
    dataset, _ = build(spec, t.project.folder("churn"))
    assert dataset is not None
    old = Training.load(t.project.build("churn"))
    assert dataset.learned_by(old, "validation") == dataset.snapshot.validation_rows
    assert dataset.learned_by(old, "test") == 0
    own = old.model_copy(update={"split": spec.split})
    assert dataset.learned_by(own, "validation") == 0
