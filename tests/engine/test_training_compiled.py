"""A compiled pipeline predicts what the pipeline does, or is not used."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.base import is_classifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import CategoricalNB
from sklearn.neighbors import RadiusNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from mlops.config.project import Project
from mlops.errors import Refused, UsageError
from mlops.evaluation.compiling import compiled
from mlops.results.training import Feature, Signature
from mlops.training.compiled import CompiledModel, CompiledPipeline, PipelineNeeded
from mlops.training.model import Model
from mlops.training.onnx_conversion import convert
from mlops.training.onnx_file import require_plain

from .conftest import ENGINE, Trained, train_in

Make = Callable[..., Project]
FEATURES = b"def features(raw):\n    return raw\n"
TOLERANCE = 1e-5


def rows(n: int = 300) -> pd.DataFrame:
    """Return numbers, and texts of which some are rare and some are missing."""
    rng = np.random.default_rng(0)
    colours = rng.choice(["red", "green", "blue", "rare"], n, p=[0.5, 0.3, 0.19, 0.01])
    frame = pd.DataFrame({"size": rng.normal(size=n), "colour": colours})
    frame["shape"] = rng.choice(["round", "square"], n)
    frame.loc[::17, "shape"] = None
    return frame.astype({"colour": "str", "shape": "str"})


def labels(frame: pd.DataFrame) -> Any:
    return np.where((frame["size"] + (frame["colour"] == "red")) > 0, "yes", "no")


def signature_of(frame: pd.DataFrame) -> Signature:
    """Return the signature of rows whose first column is the number."""
    features = []
    for name, kind in zip(frame, ("number", "category", "category"), strict=True):
        seen: dict[str, Any] = {}
        if kind == "number":
            seen = {"low": float(frame[name].min()), "high": float(frame[name].max())}
        features.append(Feature(name=name, kind=kind, missing=True, **seen))
    return Signature(
        task="binary",
        target="bought",
        features=tuple(features),
        classes=("no", "yes"),
        positive="yes",
    )


def model_of(pipeline: Any, frame: pd.DataFrame) -> Model:
    return Model("shop", signature_of(frame), pipeline, FEATURES)


def fitted(encoder: Any, frame: pd.DataFrame, learner: Any = None) -> Model:
    columns = make_column_transformer(
        (StandardScaler(), ["size"]), (encoder, ["colour", "shape"])
    )
    pipeline = make_pipeline(columns, learner or LogisticRegression())
    return model_of(pipeline.fit(frame, labels(frame)), frame)


# -- equal -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task, learner",
    [
        ("binary", "logistic"),
        ("binary", "boosting"),
        ("multiclass", "logistic"),
        ("multiclass", "boosting"),
        ("regression", "ridge"),
        ("regression", "boosting_regressor"),
    ],
)
def test_every_kind_of_model_of_the_example_is_compiled(
    make_project: Make, task: str, learner: str
) -> None:
    trained = train_in(make_project(task, train={"params": {"learner": learner}}))
    test = trained.dataset.part("test")
    facts, content = compiled(trained.model, test, TOLERANCE)
    assert facts.ok, facts.reason
    # Missing and far values of two numbers; missing and unseen ones of a category.
    assert facts.rows == len(test) + 20 * (3 + 3 + 2)
    assert facts.difference < 1e-6
    inputs = trained.model.features(test)
    fast = CompiledModel(trained.model, CompiledPipeline(content), TOLERANCE)
    expected = trained.model.values(inputs)
    assert np.allclose(fast.values(inputs), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"handle_unknown": "ignore"},
        {"handle_unknown": "ignore", "min_frequency": 10},
        {"handle_unknown": "infrequent_if_exist", "min_frequency": 10},
        {"handle_unknown": "infrequent_if_exist", "max_categories": 2},
        {"handle_unknown": "infrequent_if_exist"},
        {"handle_unknown": "ignore", "drop": "first"},
        {"handle_unknown": "ignore", "drop": "if_binary"},
        {
            "handle_unknown": "infrequent_if_exist",
            "min_frequency": 10,
            "drop": ["blue", "round"],
        },
        {"handle_unknown": "ignore", "categories": [["red", "blue"], ["round"]]},
    ],
)
def test_one_hot_encoding_knows_what_is_rare_unseen_missing_or_dropped(
    options: dict[str, Any],
) -> None:
    frame = rows()
    model = fitted(OneHotEncoder(sparse_output=False, **options), frame)
    pipeline = CompiledPipeline(convert(model, frame))
    odd = pd.DataFrame(
        {
            "size": 0.0,
            "colour": ["red", "green", "blue", "rare", "unseen", None, ""],
            "shape": ["round", "square", None, "unseen", "round", None, " "],
        }
    ).astype({"colour": "str", "shape": "str"})
    assert np.abs(pipeline.run(odd) - model.values(odd)).max() < 1e-6
    facts, _ = compiled(model, frame, TOLERANCE)
    assert facts.ok, facts.reason


@pytest.mark.parametrize(
    "learner",
    [
        DecisionTreeClassifier(max_depth=6, random_state=0),
        DecisionTreeRegressor(max_depth=6, random_state=0),
        ExtraTreesClassifier(5, max_depth=6, random_state=0),
        ExtraTreesRegressor(5, max_depth=6, random_state=0),
        GradientBoostingClassifier(n_estimators=5, random_state=0),
        GradientBoostingRegressor(n_estimators=5, random_state=0),
        HistGradientBoostingClassifier(max_iter=10, min_samples_leaf=2),
        HistGradientBoostingRegressor(max_iter=10, min_samples_leaf=2),
        RandomForestClassifier(5, max_depth=6, random_state=0),
        RandomForestRegressor(5, max_depth=6, random_state=0),
    ],
    ids=lambda learner: type(learner).__name__,
)
def test_trees_send_values_on_a_threshold_the_same_way(learner: Any) -> None:
    """Thresholds are values that occur, and float32 has none of these decimals."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.integers(0, 300, 2000) / 100})
    frame.loc[::9, "size"] = np.nan
    noise = rng.normal(size=len(frame))
    target: Any = np.sin(9 * frame["size"].fillna(1)) + 0.3 * noise
    task = "regression"
    if is_classifier(learner):
        task = "binary"
        target = np.where(target > 0, "yes", "no")
    preparing = (SimpleImputer(strategy="median"), StandardScaler())
    pipeline = make_pipeline(*preparing, learner).fit(frame, target)
    seen = {"low": 0.0, "high": 2.99}
    signature = Signature(
        task=task,  # type: ignore[arg-type]
        target="bought",
        features=(Feature(name="size", kind="number", missing=True, **seen),),
        classes=("no", "yes") if task == "binary" else (),
        positive="yes" if task == "binary" else None,
    )
    facts, _ = compiled(Model("shop", signature, pipeline, FEATURES), frame, TOLERANCE)
    assert facts.ok, facts.reason


@pytest.mark.parametrize(
    "names",
    [
        ("Monthly charges", "größe 😀", "z (m²)"),
        ("a b", "a_b", "a-b"),
        ("a_b1", "a b", "a_b"),
        ("1st", "_1st", "2nd"),
        ("variable", "probabilities", "label"),
        ("concat_result", "input", "N"),
    ],
)
def test_a_feature_may_have_any_name(names: tuple[str, str, str]) -> None:
    """The converter makes identifiers of names, and has names of its own."""
    frame = rows()
    old = ("size", "colour", "shape")
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), [names[2], names[1]]),
        (StandardScaler(), [names[0]]),
    )
    named = frame.rename(columns=dict(zip(old, names, strict=True)))
    pipeline = make_pipeline(columns, LogisticRegression())
    pipeline.fit(named, labels(frame))
    model = Model("shop", signature_of(named), pipeline, FEATURES)
    facts, content = compiled(model, named, TOLERANCE)
    assert facts.ok, facts.reason
    assert [node.name for node in onnx.load_from_string(content).graph.input] == [
        *names
    ]
    values = CompiledPipeline(content).run(named)
    assert np.abs(values - pipeline.predict_proba(named)).max() < TOLERANCE


def test_one_column_with_rare_categories_is_compiled() -> None:
    frame = rows()
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=10, sparse_output=False
    )
    columns = make_column_transformer((encoder, ["colour"]))
    pipeline = make_pipeline(columns, LogisticRegression()).fit(frame, labels(frame))
    facts, _ = compiled(model_of(pipeline, frame), frame, TOLERANCE)
    assert facts.ok, facts.reason


def test_compiling_twice_gives_the_same_bytes_in_every_process(
    trained: Trained, cold_python: str
) -> None:
    rows = trained.dataset.part("test")
    inputs = trained.model.features(rows)
    here = convert(trained.model, inputs)
    assert convert(trained.model, inputs) == here
    domains = [opset.domain for opset in onnx.load_from_string(here).opset_import]
    assert domains == sorted(domains)  # skl2onnx takes them from a set
    code = (
        "import sys; from pathlib import Path; "
        "from mlops.pipeline.compile_again import main; "
        "main(Path(sys.argv[1]), 'churn')"
    )
    root = trained.project.root
    env = {**os.environ, "PYTHONHASHSEED": "3"}
    env["PYTHONPATH"] = str(ENGINE / "vendor/mlops/src")
    subprocess.run([cold_python, "-c", code, str(root)], check=True, env=env)
    made = trained.project.build("churn") / "model.onnx"
    assert made.read_bytes() == here


# -- not used --------------------------------------------------------------------------


def test_an_estimator_that_onnx_does_not_have_is_not_compiled() -> None:
    frame = rows()
    learner = RadiusNeighborsClassifier(radius=5.0, weights=lambda d: np.exp(-d))
    model = fitted(
        OneHotEncoder(handle_unknown="ignore", sparse_output=False), frame, learner
    )
    facts, content = compiled(model, frame, TOLERANCE)
    assert not facts.ok and not content
    assert facts.reason and "\n" not in facts.reason


def test_a_setting_that_no_converter_writes_is_the_reason() -> None:
    frame = rows()
    frame.loc[::7, "size"] = np.nan
    columns = make_column_transformer((SimpleImputer(add_indicator=True), ["size"]))
    pipeline = make_pipeline(columns, LogisticRegression())
    model = model_of(pipeline.fit(frame, labels(frame)), frame)
    facts, content = compiled(model, frame, TOLERANCE)
    assert not facts.ok and not content
    assert facts.reason == "NotConvertible: SimpleImputer(add_indicator=True)"


def test_a_larger_difference_than_the_tolerance_is_a_reason() -> None:
    frame = rows()
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    model = fitted(encoder, frame, HistGradientBoostingClassifier(max_iter=5))
    facts, content = compiled(model, frame, 1e-12)
    assert not content
    assert facts.reason.startswith("predictions differ by ")
    assert facts.reason.endswith(", more than serving.tolerance (1e-12)")


def test_no_value_is_shown_where_none_may_be() -> None:
    frame = rows()
    learner = CategoricalNB()
    model = fitted(OneHotEncoder(sparse_output=False), frame, LogisticRegression())
    model.pipeline.steps[-1] = ("learner", learner)
    facts, _ = compiled(model, frame, TOLERANCE, secret=True)
    assert not facts.ok and facts.reason.isidentifier()


def test_a_pipeline_that_fails_for_missing_numbers_fails_when_it_is_compiled() -> None:
    frame = rows()
    model = fitted(OneHotEncoder(handle_unknown="ignore", sparse_output=False), frame)
    facts, content = compiled(model, frame, TOLERANCE)
    assert facts.ok, facts.reason
    pipeline = CompiledPipeline(content)
    with pytest.raises(PipelineNeeded):
        pipeline.run(frame.head(3).assign(size=np.nan))


def test_a_compiled_pipeline_may_not_predict_where_the_pipeline_fails() -> None:
    frame = rows()
    frame["shape"] = frame["shape"].fillna("round")
    columns = make_column_transformer(
        (OrdinalEncoder(), ["shape"]), ("passthrough", ["size"])
    )
    forest = RandomForestClassifier(5, random_state=0)
    pipeline = make_pipeline(columns, forest).fit(frame, labels(frame))
    model = model_of(pipeline, frame)
    odd = frame.head(3).assign(shape="unseen")
    with pytest.raises(UsageError, match="unknown categories"):
        model.values(model.features(odd))
    assert len(CompiledPipeline(convert(model, frame)).run(odd)) == 3, "it predicts"
    facts, content = compiled(model, frame, TOLERANCE)
    assert not facts.ok and not content
    assert facts.reason == "it predicts rows for which the pipeline fails"


# -- when it is asked ------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop() -> tuple[Model, CompiledPipeline, pd.DataFrame]:
    frame = rows()
    model = fitted(OneHotEncoder(handle_unknown="ignore", sparse_output=False), frame)
    return model, CompiledPipeline(convert(model, frame)), frame


@pytest.mark.parametrize(
    "column, value, why",
    [
        ("size", -np.inf, "not finite"),
        ("size", np.inf, "not finite"),
        ("colour", "nan", "the text nan"),
    ],
)
def test_what_means_something_else_when_compiled_goes_to_the_pipeline(
    shop: tuple[Model, CompiledPipeline, pd.DataFrame],
    column: str,
    value: Any,
    why: str,
) -> None:
    _, pipeline, frame = shop
    odd = frame.head(4).copy()
    odd.loc[odd.index[1], column] = value
    with pytest.raises(PipelineNeeded, match=why):
        pipeline.run(odd)


def test_the_pipeline_decides_where_a_class_hangs_on_the_last_digits(
    shop: tuple[Model, CompiledPipeline, pd.DataFrame],
) -> None:
    model, pipeline, frame = shop
    scores = model.values(frame)[:, 1]
    at_score = model.signature.model_copy(update={"threshold": float(scores[7])})
    close = Model("shop", at_score, model.pipeline, FEATURES)
    values = CompiledModel(close, pipeline, TOLERANCE).values(frame)
    assert values[7, 1] == scores[7]  # to the last bit: the pipeline's own
    expected = close.outputs(model.values(frame), frame.index)["prediction"]
    assert close.outputs(values, frame.index)["prediction"].equals(expected)


def test_of_several_classes_a_near_tie_is_close() -> None:
    frame = rows()
    signature = Signature(
        task="multiclass", target="x", features=(), classes=("a", "b", "c")
    )
    model = Model("shop", signature, None, FEATURES)
    values = np.array([[0.4, 0.4, 0.2], [0.5, 0.3, 0.2], [0.1, 0.45, 0.4500001]])
    assert model.is_close(values, 1e-5).tolist() == [True, False, True]
    assert len(frame)


# -- hostile files ---------------------------------------------------------------------


def graph(*nodes: Any, initializer: Any = ()) -> Any:
    one = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])
    two = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    return helper.make_graph(list(nodes), "g", [one], [two], list(initializer))


def file_of(inner: Any, **parts: Any) -> bytes:
    return bytes(helper.make_model(inner, **parts).SerializeToString())


def external() -> Any:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


IDENTITY = helper.make_node("Identity", ["x"], ["y"])
LOOP = helper.make_node("Loop", ["", "", "x"], ["y"], body=graph(IDENTITY))
CUSTOM = helper.make_node("Run", ["x"], ["y"], domain="com.example")
OWN = helper.make_function(
    "own", "f", ["x"], ["y"], [IDENTITY], [helper.make_opsetid("", 17)]
)
HIDDEN = helper.make_node(
    "If", ["x"], ["y"], then_branch=graph(CUSTOM), else_branch=graph(IDENTITY)
)
CONSTANT = helper.make_node("Constant", [], ["y"], value=external())


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"", "no graph"),
        (b"\xff\xff not a file", "cannot be read"),
        (file_of(graph(IDENTITY, initializer=[external()])), "data outside"),
        (file_of(graph(CONSTANT)), "data outside"),
        (file_of(graph(CUSTOM)), "com.example Run"),
        (file_of(graph(HIDDEN)), "com.example Run"),
        (file_of(graph(LOOP)), "Loop"),
        (file_of(graph(IDENTITY), functions=[OWN]), "functions of its own"),
        (
            file_of(
                graph(IDENTITY), opset_imports=[helper.make_opsetid("com.microsoft", 1)]
            ),
            "operators of com.microsoft",
        ),
    ],
)
def test_a_file_that_reads_or_runs_anything_else_is_refused(
    content: bytes, problem: str
) -> None:
    with pytest.raises(Refused, match=problem):
        CompiledPipeline(content)


def test_a_plain_file_is_let_through() -> None:
    require_plain(file_of(graph(IDENTITY)))


def test_onnxruntime_reports_nothing_and_leaves_nothing(
    tmp_path: Path, cold_python: str
) -> None:
    """It has an id for this machine in the home folder, unless it is told not to."""
    file = tmp_path / "model.onnx"
    file.write_bytes(
        file_of(graph(IDENTITY), opset_imports=[helper.make_opsetid("", 17)])
    )
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys; from pathlib import Path; "
        "from mlops.training.compiled import CompiledPipeline; "
        "CompiledPipeline(Path(sys.argv[1]).read_bytes())"
    )
    env = {**os.environ, "HOME": str(home), "ORT_DISABLE_TELEMETRY": "0"}
    env["PYTHONPATH"] = str(ENGINE / "vendor/mlops/src")
    env.pop("XDG_CACHE_HOME", None)
    subprocess.run([cold_python, "-c", code, str(file)], check=True, env=env)
    assert list(home.iterdir()) == []
