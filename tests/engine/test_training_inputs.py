"""What reaches an estimator: labels, parameters, packages, names of columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import uniform
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops.config.model_spec import ModelSpec, Train
from mlops.config.project import Project
from mlops.config.yaml import parse
from mlops.errors import MlopsError, UsageError
from mlops.results.training import Training
from mlops.serving.prediction_log import records
from mlops.training import labels
from mlops.training.code import ModelCode
from mlops.training.model import Model
from mlops.training.packages import require_locked

from .conftest import rows_of, spec_of, train_in

Make = Callable[..., Project]

ROWS = np.random.default_rng(0).normal(size=(60, 3))


def target(*names: str) -> pd.Series:
    return pd.Series(np.where(ROWS[:, 0] > 0, *names), dtype="str")


# -- labels ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names", [("no", "yes"), ("0", "1"), ("1", "2"), ("1.5", "2.5")]
)
@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(3, class_weight="balanced"),
        ExtraTreesClassifier(3, class_weight="balanced"),
        LogisticRegressionCV(Cs=2, cv=2, class_weight="balanced"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_balanced_classes_work_whatever_the_labels_look_like(
    estimator: Any, names: tuple[str, str]
) -> None:
    given = labels.as_they_are(target(*names))
    assert given.classes(estimator.fit(ROWS, given.values)) == names


def test_whole_numbers_are_numbers_to_the_estimator_and_texts_to_everybody_else() -> (
    None
):
    given = labels.as_they_are(target("1", "10"))
    assert given.values.dtype == np.int64 and set(given.values) == {1, 10}
    forest = RandomForestClassifier(2, class_weight={1: 1.0, 10: 5.0})
    assert given.classes(forest.fit(ROWS, given.values)) == ("1", "10")


# Classes as the data has them, and the ways in which model.yaml and estimator.py may
# name them. A column that pandas reads as true and false is "True" and "False" here.
NAMED = {
    "whole numbers": (("0", "1"), [("0", "1"), (0, 1), ("0.0", "1.0"), (0.0, 1.0)]),
    "whole floats": (("1.0", "2.0"), [("1.0", "2.0"), ("1", "2"), (1, 2)]),
    "booleans": (("False", "True"), [("False", "True"), ("false", "true")]),
    "booleans of YAML": (("false", "true"), [("false", "true"), (False, True)]),
    "words": (("no", "yes"), [("no", "yes")]),
    "floats": (("0.5", "1.5"), [("0.5", "1.5"), (0.5, 1.5)]),
    "codes": (("01", "1"), [("01", "1")]),
}


@pytest.mark.parametrize(
    ("classes", "keys"),
    [(classes, keys) for classes, ways in NAMED.values() for keys in ways],
    ids=str,
)
def test_a_weight_by_class_is_that_weight_for_each_of_its_rows(
    classes: tuple[str, str], keys: tuple[Any, Any]
) -> None:
    weights = {keys[0]: 1.0, keys[1]: 5.0}
    column = target(*classes)
    given = labels.as_they_are(column)
    steps = [("scale", StandardScaler()), ("learn", LogisticRegression())]
    by_class = Pipeline(steps).set_params(learn__class_weight=weights)
    labels.translate_weights(by_class, given)
    by_class.fit(ROWS, given.values)
    by_row = clone(Pipeline(steps)).set_params(learn__class_weight=None)
    by_row.fit(
        ROWS,
        column.to_numpy(dtype=object),
        learn__sample_weight=np.where(column == classes[1], 5.0, 1.0),
    )
    assert given.classes(by_class) == classes
    np.testing.assert_allclose(
        by_class.predict_proba(ROWS), by_row.predict_proba(ROWS), rtol=1e-6
    )


def as_one_grid(values: list[Any]) -> dict[str, Any]:
    return {"class_weight": values}


def as_grids(values: list[Any]) -> list[dict[str, Any]]:
    return [{"C": [1.0]}, {"C": [2.0], "class_weight": tuple(values)}]


@pytest.mark.parametrize(
    ("classes", "keys"),
    [(classes, keys) for classes, ways in NAMED.values() for keys in ways],
    ids=str,
)
@pytest.mark.parametrize("form", [as_one_grid, as_grids])
@pytest.mark.parametrize(
    ("search", "grid"),
    [(GridSearchCV, "param_grid"), (RandomizedSearchCV, "param_distributions")],
)
def test_the_weights_that_a_search_tries_are_by_class_too(
    search: Any, grid: str, form: Any, classes: tuple[str, str], keys: tuple[Any, Any]
) -> None:
    given = labels.as_they_are(target(*classes))
    values = [{keys[0]: 1.0, keys[1]: 5.0}, "balanced", None]
    estimator = search(LogisticRegression(), form(values))
    pipeline = Pipeline([("learn", estimator)])
    labels.translate_weights(pipeline, given)
    asked = getattr(pipeline["learn"], grid)
    tried = (asked if isinstance(asked, dict) else asked[1])["class_weight"]
    by_text = {text: label for label, text in given.names.items()}
    expected = {by_text[classes[0]]: 1.0, by_text[classes[1]]: 5.0}
    assert list(tried) == [expected, "balanced", None]


def test_a_search_over_weights_by_class_fits_with_labels_that_are_numbers() -> None:
    given = labels.as_they_are(target("0", "1"))
    grid = {"class_weight": [{"0": 1, "1": 5}], "C": [1.0]}
    search = GridSearchCV(LogisticRegression(), grid, cv=2, error_score="raise")
    labels.translate_weights(search, given)
    assert given.classes(search.fit(ROWS, given.values)) == ("0", "1")


def test_a_distribution_in_a_search_is_left_as_it_is() -> None:
    distributions = {"C": uniform(0, 1), "class_weight": uniform(0, 1)}
    search = RandomizedSearchCV(LogisticRegression(), distributions)
    labels.translate_weights(search, labels.as_they_are(target("0", "1")))
    assert search.param_distributions == distributions


def test_a_weight_in_a_search_for_a_class_that_is_not_there_names_its_place() -> None:
    search = GridSearchCV(LogisticRegression(), {"class_weight": [{"2": 1}]})
    with pytest.raises(UsageError) as caught:
        labels.translate_weights(search, labels.as_they_are(target("0", "1")))
    (problem,) = caught.value.problems
    assert (problem.key, problem.found) == ("param_grid: class_weight", "2")


@pytest.mark.parametrize("names", [("no", "yes"), ("0.5", "1.5")])
def test_weights_by_the_numbers_that_an_estimator_is_given_stay(
    names: tuple[str, str],
) -> None:
    forest = RandomForestClassifier(class_weight={0: 1, 1: 5})
    labels.translate_weights(forest, labels.as_positions(target(*names)))
    assert forest.class_weight == {0: 1, 1: 5}


@pytest.mark.parametrize("weights", [{"2": 1}, {"0": 1, "maybe": 5}, {None: 1}])
def test_a_weight_for_a_class_that_is_not_there_is_one_clear_error(
    weights: dict[Any, int],
) -> None:
    estimator = make_pipeline(LogisticRegression(class_weight=weights))
    with pytest.raises(UsageError) as caught:
        labels.translate_weights(estimator, labels.as_they_are(target("0", "1")))
    (problem,) = caught.value.problems
    assert problem.key == "logisticregression__class_weight"
    assert problem.found in ("2", "maybe", "None")
    assert problem.allowed == "0, 1"


def test_weights_of_whole_number_labels_reach_the_estimator_from_model_yaml(
    make_project: Make,
) -> None:
    rows = rows_of().assign(churn=lambda frame: (frame["churn"] == "yes").astype(int))
    weights = {"0": 1, "1": 50}
    project = make_project(
        frame=rows,
        train={"params": {"learner": "logistic", "weights": weights}},
        data={**spec_of()["data"], "positive": 1},
    )
    path = project.folder("churn") / "estimator.py"
    text = path.read_text().replace(
        "LogisticRegression(C", "LogisticRegression(class_weight=params['weights'], C"
    )
    path.write_text(text)
    done = train_in(project)
    assert done.model.pipeline.steps[-1][1].class_weight == {0: 1, 1: 50}
    assert done.training.params["weights"] == weights
    again = Model.load(project.build("churn"), "churn")
    rows = done.dataset.part("test")
    share = (rows["churn"] == "1").mean()
    scores = again.predict(rows)["score"]
    assert scores.mean() > share + 0.2, "the weight of 50 pulls every score up"


def test_words_reach_the_estimator_as_words() -> None:
    given = labels.as_they_are(target("no", "yes"))
    assert given.values.dtype == object and set(given.values) == {"no", "yes"}


@pytest.mark.parametrize("names", [("01", "1"), ("1", "one"), ("nan", "inf")])
def test_texts_that_only_look_like_numbers_stay_apart(names: tuple[str, str]) -> None:
    given = labels.as_they_are(target(*names))
    assert set(given.names.values()) == set(names)
    assert len(set(given.values)) == 2


POSITIONS = """\
from sklearn.dummy import DummyClassifier


class Strict(DummyClassifier):
    def fit(self, X, y, sample_weight=None):
        if set(y) != set(range(len(set(y)))):
            raise ValueError("classes must be 0, 1, ...")
        return super().fit(X, y)


def build(params):
    return Strict()
"""


def test_an_estimator_that_wants_positions_gets_them(make_project: Make) -> None:
    project = make_project("multiclass")
    (project.folder("churn") / "estimator.py").write_text(POSITIONS)
    done = train_in(project)
    assert done.training.signature.classes == ("go", "maybe", "stay")
    predicted = done.model.predict(done.dataset.part("test"))["prediction"]
    most = done.dataset.part("train")["churn"].mode()[0]
    assert set(predicted) == {most}


# -- parameters ------------------------------------------------------------------------

VALUES = [
    [1, 2, [3]],
    {"no": 1, "yes": 2.5},
    {"deep": [{"er": None}]},
    None,
    True,
    "text",
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_any_json_value_is_a_parameter(value: Any) -> None:
    spec = parse(ModelSpec, spec_of(train={"params": {"x": value}}), "model.yaml")
    assert spec.train.params == {"x": value}
    assert ModelSpec.model_validate(spec.model_dump()).train.params == {"x": value}


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [float("nan"), [float("inf")], {"a": {1, 2}}, object(), {(1, 2): 3}, deep(1000)],
    ids=["nan", "inf inside", "a set", "an object", "a key", "deep"],
)
def test_what_is_not_json_is_one_clear_error(value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        parse(ModelSpec, spec_of(train={"params": {"x": value}}), "model.yaml")
    (problem,) = caught.value.problems
    assert problem.key.startswith("train.params.x") and problem.file == "model.yaml"
    assert len(str(problem)) < 500


def test_parameters_of_older_versions_read_as_before() -> None:
    params = {"C": 1.0, "n": 3, "on": True, "name": "x", "none": None}
    assert Train(params=params).params == params


def test_a_mapping_reaches_the_estimator(make_project: Make) -> None:
    project = make_project(
        train={"params": {"learner": "logistic", "weights": {"no": 1, "yes": 3}}}
    )
    path = project.folder("churn") / "estimator.py"
    text = path.read_text().replace(
        "LogisticRegression(C", "LogisticRegression(class_weight=params['weights'], C"
    )
    path.write_text(text)
    done = train_in(project)
    assert done.model.pipeline.steps[-1][1].class_weight == {"no": 1, "yes": 3}
    again = Training.load(project.build("churn"))
    assert again.params["weights"] == {"no": 1, "yes": 3}


# -- packages --------------------------------------------------------------------------


def code(**files: str) -> ModelCode:
    sources = {"features": "import pandas\n", "estimator": "import sklearn\n", **files}
    texts = {f"{name}.py": text.encode() for name, text in sources.items()}
    return ModelCode("churn", texts)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "train.txt"
    path.write_text(
        "scikit-learn==1.9.1\nPy.Yaml==6.0\nPillow==12.0 ; os_name == 'x'\n"
    )
    return path


def test_a_package_that_the_lock_does_not_install_is_refused(lock: Path) -> None:
    estimator = "import sklearn\n\n\ndef build(params):\n    import pytest\n"
    with pytest.raises(UsageError, match="the lock does not install") as caught:
        require_locked(code(estimator=estimator), [], lock)
    (problem,) = caught.value.problems
    assert (problem.file, problem.key) == ("models/churn/estimator.py", "line 5")
    assert problem.found == "pytest"
    assert "add pytest to `models`" in problem.do and "make lock" in problem.do


def test_the_type_of_an_absent_package_is_refused_too(lock: Path) -> None:
    with pytest.raises(UsageError, match="the lock does not install") as caught:
        require_locked(code(), ["numpy.dtype", "elsewhere.forest.Tree"], lock)
    (problem,) = caught.value.problems
    assert problem.found == "elsewhere"


def test_what_a_helper_imports_counts_and_what_nobody_imports_does_not(
    lock: Path,
) -> None:
    helper = "import pytest\n"
    require_locked(code(helper=helper), [], lock)
    with pytest.raises(UsageError, match=r"models/churn/helper\.py: line 1"):
        require_locked(code(helper=helper, estimator="import helper\n"), [], lock)


def test_the_standard_library_own_modules_and_the_engine_need_no_lock(
    lock: Path,
) -> None:
    text = "import os, json, numpy, scipy.stats, joblib\nfrom helper import x\n"
    text += "from models.churn.helper import x\nfrom . import helper\n"
    require_locked(code(estimator=text, helper="x = 1\n"), ["models.churn.x"], lock)


def test_a_locked_package_is_found_by_the_names_that_it_installs(lock: Path) -> None:
    lock.write_text(lock.read_text() + "pytest==9.2\n")
    require_locked(code(estimator="import pytest\nimport _pytest.mark\n"), [], lock)


def test_without_a_lock_nothing_is_refused(tmp_path: Path) -> None:
    require_locked(code(estimator="import pytest\n"), [], tmp_path / "none.txt")


def test_training_refuses_what_the_lock_lacks_and_leaves_no_model(
    make_project: Make,
) -> None:
    project = make_project()
    path = project.folder("churn") / "estimator.py"
    path.write_text("import pytest\n" + path.read_text())
    with pytest.raises(UsageError, match=r"estimator\.py: line 1: the lock does not"):
        train_in(project)
    assert not (project.build("churn") / "model.skops").exists()


# -- names -----------------------------------------------------------------------------


def test_a_feature_named_like_a_probability_is_refused_before_anything_is_fitted(
    make_project: Make,
) -> None:
    rows = rows_of("multiclass").rename(columns={"spend": "p_stay"})
    features = {"tenure": "number", "p_stay": "number", "plan": "category"}
    project = make_project("multiclass", frame=rows, features=features)
    (project.folder("churn") / "estimator.py").write_text(
        "def build(params):\n    1 / 0"
    )
    with pytest.raises(MlopsError, match="named like an output") as caught:
        train_in(project)
    (problem,) = caught.value.problems
    assert (problem.key, problem.found) == ("features", "p_stay")


def test_an_infinite_score_is_null_in_the_log() -> None:
    frame = pd.DataFrame(
        {"score": [0.5, np.inf, -np.inf, np.nan], "word": list("abcd")}
    )
    rows = records(frame)
    assert [row["score"] for row in rows] == [0.5, None, None, None]
    assert [row["word"] for row in rows] == list("abcd")
    json.dumps(rows, allow_nan=False)
