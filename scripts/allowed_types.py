"""Write the types that a model file may contain (`python scripts/allowed_types.py`).

Every public estimator of scikit-learn is fitted on a small frame, and the types that
skops finds in its file, beyond those that skops itself knows to be safe, are collected.
The result, training/allowed_types.txt of the engine, is reviewed and committed: the
engine never derives it from the file that it loads.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn import (
    calibration,
    cluster,
    compose,
    covariance,
    decomposition,
    ensemble,
    feature_selection,
    gaussian_process,
    impute,
    kernel_approximation,
    linear_model,
    metrics,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.experimental import (  # noqa: F401  (makes them public)
    enable_halving_search_cv,
    enable_iterative_imputer,
)
from sklearn.utils import all_estimators

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "{{cookiecutter.project_slug}}/vendor/mlops/src"
TARGET = SOURCES / "mlops/training/allowed_types.txt"

HEAD = """\
# Types that a model file may contain, beside those that skops knows to be safe.
# Made by scripts/allowed_types.py of the template, from scikit-learn {version}.
# Reviewed like code: a type belongs here when loading and using it runs nothing but its
# own library's code on the numbers and texts in the file.
"""

# Pure functions that people give to FunctionTransformer; no estimator holds them by
# itself.
FUNCTIONS = (
    np.abs,
    np.clip,
    np.log1p,
    np.nan_to_num,
    np.round,
    np.sign,
    np.sqrt,
    pd.cut,
    pd.get_dummies,
    pd.to_datetime,
    pd.to_numeric,
)

# What files of earlier engines hold; those stay readable.
KEPT = frozenset({"sklearn.compose._column_transformer._RemainderColsList"})

# Estimators that cannot be in a model file, or not be fitted on a small frame; why.
NOT_POSSIBLE = {
    "Birch": "skops does not support it: its tree of clusters refers to itself",
}

# All values are positive: some estimators take no others.
ROWS = np.abs(np.random.default_rng(0).normal(size=(60, 4))) + 0.1
LABELS = np.where(ROWS[:, 0] > np.median(ROWS[:, 0]), "yes", "no").astype(object)
NUMBERS = ROWS @ np.array([1.0, 2.0, 3.0, 4.0])

# Arguments without which a class cannot be made, or would be slow on sixty rows.
_LOGISTIC = linear_model.LogisticRegression()
_RIDGE = linear_model.Ridge()
_GRID = {"C": [0.5, 1.0]}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "AdaBoostClassifier": {"n_estimators": 2},
    "AdaBoostRegressor": {"n_estimators": 2},
    "BaggingClassifier": {"n_estimators": 2},
    "BaggingRegressor": {"n_estimators": 2},
    "ClassifierChain": {"estimator": _LOGISTIC},
    "ColumnTransformer": {
        "transformers": [("a", preprocessing.StandardScaler(), [0, 1])],
        "remainder": "passthrough",
    },
    "CountVectorizer": {},
    "DictionaryLearning": {"n_components": 2, "max_iter": 2},
    "ExtraTreesClassifier": {"n_estimators": 2},
    "ExtraTreesRegressor": {"n_estimators": 2},
    "FeatureUnion": {"transformer_list": [("a", preprocessing.StandardScaler())]},
    "FixedThresholdClassifier": {"estimator": _LOGISTIC},
    "FrozenEstimator": {"estimator": _LOGISTIC.fit(ROWS, LABELS)},
    "GradientBoostingClassifier": {"n_estimators": 2},
    "GradientBoostingRegressor": {"n_estimators": 2},
    "GridSearchCV": {"estimator": _LOGISTIC, "param_grid": _GRID, "cv": 2},
    "HalvingGridSearchCV": {"estimator": _LOGISTIC, "param_grid": _GRID, "cv": 2},
    "HalvingRandomSearchCV": {
        "estimator": _LOGISTIC,
        "param_distributions": _GRID,
        "n_candidates": 2,
        "cv": 2,
    },
    "HistGradientBoostingClassifier": {"max_iter": 2},
    "HistGradientBoostingRegressor": {"max_iter": 2},
    "IsolationForest": {"n_estimators": 2},
    "MiniBatchDictionaryLearning": {"n_components": 2, "max_iter": 2},
    "MultiOutputClassifier": {"estimator": _LOGISTIC},
    "MultiOutputRegressor": {"estimator": _RIDGE},
    "OneVsOneClassifier": {"estimator": _LOGISTIC},
    "OneVsRestClassifier": {"estimator": _LOGISTIC},
    "OutputCodeClassifier": {"estimator": _LOGISTIC},
    "PatchExtractor": {"patch_size": (2, 2)},
    "Pipeline": {
        "steps": [("a", preprocessing.StandardScaler()), ("b", _LOGISTIC)],
    },
    "RANSACRegressor": {"min_samples": 10},
    "RFE": {"estimator": _LOGISTIC},
    "RFECV": {"estimator": _LOGISTIC, "cv": 2},
    "RandomForestClassifier": {"n_estimators": 2},
    "RandomForestRegressor": {"n_estimators": 2},
    "RandomTreesEmbedding": {"n_estimators": 2},
    "RandomizedSearchCV": {
        "estimator": _LOGISTIC,
        "param_distributions": _GRID,
        "n_iter": 2,
        "cv": 2,
    },
    "RegressorChain": {"estimator": _RIDGE},
    "SelectFromModel": {"estimator": _LOGISTIC},
    "SelfTrainingClassifier": {"estimator": _LOGISTIC},
    "SequentialFeatureSelector": {"estimator": _LOGISTIC, "cv": 2},
    "SparseCoder": {"dictionary": np.eye(4)},
    "SparseRandomProjection": {"n_components": 2},
    "GaussianRandomProjection": {"n_components": 2},
    "StackingClassifier": {"estimators": [("a", _LOGISTIC)], "cv": 2},
    "StackingRegressor": {"estimators": [("a", _RIDGE)], "cv": 2},
    "TunedThresholdClassifierCV": {
        "estimator": _LOGISTIC,
        "thresholds": 3,
        "cv": 2,
    },
    "VotingClassifier": {"estimators": [("a", _LOGISTIC)]},
    "VotingRegressor": {"estimators": [("a", _RIDGE)]},
    "CalibratedClassifierCV": {"cv": 2},
    "GraphicalLassoCV": {"alphas": 2, "n_refinements": 1, "cv": 2},
    "HuberRegressor": {"max_iter": 1000},
    "LassoCV": {"alphas": 3, "cv": 2},
    "LatentDirichletAllocation": {"n_components": 2, "max_iter": 2},
    "LogisticRegressionCV": {"Cs": 2, "cv": 2},
    "MLPClassifier": {"hidden_layer_sizes": (3,), "max_iter": 3},
    "MLPRegressor": {"hidden_layer_sizes": (3,), "max_iter": 3},
    "MeanShift": {"bandwidth": 2.0},
    "SpectralBiclustering": {"n_components": 3, "n_best": 2},
    "TSNE": {"perplexity": 5, "max_iter": 250, "n_iter_without_progress": 1},
    "TheilSenRegressor": {"max_subpopulation": 50, "n_subsamples": 10},
}

_TEXTS = ["one two three", "two three four", "three four five"] * 20


# What is not fitted on ROWS with LABELS (or NUMBERS, for a regressor).
INPUTS: dict[str, Any] = {
    "CountVectorizer": _TEXTS,
    "DictVectorizer": [{"a": 1.0, "b": "x"}, {"a": 2.0, "b": "y"}] * 30,
    "FeatureHasher": [{"a": 1.0}, {"b": 2.0}] * 30,
    "HashingVectorizer": _TEXTS,
    "IsotonicRegression": ROWS[:, 0],
    "KernelCenterer": ROWS @ ROWS.T,
    "LabelBinarizer": LABELS,
    "LabelEncoder": LABELS,
    "MultiLabelBinarizer": [("a", "b"), ("b",)] * 30,
    "PatchExtractor": ROWS.reshape(10, 6, 4),
    "TfidfVectorizer": _TEXTS,
}
_TWO = np.stack([NUMBERS, -NUMBERS], axis=1)
# What people have: columns with names, some of them texts, chosen by their type.
FRAME = pd.DataFrame(ROWS, columns=["a", "b", "c", "d"]).assign(
    word=np.where(ROWS[:, 1] > 1, "x", "y")
)
BY_TYPE = "a frame, columns by type"
BY_NAME = "a frame, columns by name"
BOOSTED = "a frame, categories from the dtype"
INPUTS |= {BY_TYPE: FRAME, BY_NAME: FRAME}
INPUTS[BOOSTED] = FRAME.astype({"word": "category"})
TARGETS: dict[str, Any] = {
    "CCA": _TWO,
    "ClassifierChain": np.stack([LABELS == "yes", LABELS == "no"], axis=1).astype(int),
    "MultiOutputClassifier": np.stack([LABELS, LABELS[::-1]], axis=1),
    "MultiOutputRegressor": _TWO,
    "MultiTaskElasticNet": _TWO,
    "MultiTaskElasticNetCV": _TWO,
    "MultiTaskLasso": _TWO,
    "MultiTaskLassoCV": _TWO,
    "PLSCanonical": _TWO,
    "PLSSVD": _TWO,
    "RegressorChain": _TWO,
    "SelfTrainingClassifier": np.where(np.arange(60) % 3, LABELS == "yes", -1),
    "LabelPropagation": np.where(np.arange(60) % 3, LABELS == "yes", -1),
    "LabelSpreading": np.where(np.arange(60) % 3, LABELS == "yes", -1),
}


@dataclass(frozen=True)
class Example:
    """One fitted estimator, and the input with which to ask it (None: not fitted)."""

    name: str
    estimator: Any
    inputs: Any


def examples() -> Iterator[Example]:
    """Yield every public estimator, fitted, and the variants that hold other types.

    Raises
    ------
    RuntimeError
        Naming an estimator that cannot be fitted and is not in `NOT_POSSIBLE`.
    """
    for name, cls in all_estimators():
        if name in NOT_POSSIBLE:
            continue
        estimator = cls(**ARGUMENTS.get(name, {}))
        yield _fitted(name, estimator, INPUTS.get(name, ROWS), _target(name, estimator))
    for number, estimator in enumerate(variants()):
        name = f"{type(estimator).__name__} ({number})"
        if isinstance(estimator, _Unfitted):
            yield Example(name, estimator.estimator, None)
            continue
        yield _fitted(name, estimator, ROWS, _target(name, estimator))
    for name, estimator in on_frames():
        yield _fitted(name, estimator, INPUTS[name], LABELS)


def on_frames() -> Iterator[tuple[str, Any]]:
    """Yield estimators of frames with texts, and the name of their input."""
    selector = compose.make_column_selector
    encoder = preprocessing.OneHotEncoder(handle_unknown="infrequent_if_exist")
    by_type = compose.make_column_transformer(
        (preprocessing.StandardScaler(), selector(dtype_include="number")),
        (encoder, selector(dtype_exclude="number")),
    )
    yield BY_TYPE, pipeline.make_pipeline(by_type, _LOGISTIC)
    by_name = compose.make_column_transformer(
        (preprocessing.TargetEncoder(), ["word"]),
        remainder="passthrough",
    )
    yield BY_NAME, pipeline.make_pipeline(by_name, _LOGISTIC)
    yield (
        BOOSTED,
        ensemble.HistGradientBoostingClassifier(
            max_iter=2, categorical_features="from_dtype"
        ),
    )


def _target(name: str, estimator: Any) -> Any:
    if name in TARGETS:
        return TARGETS[name]
    return NUMBERS if sklearn.base.is_regressor(estimator) else LABELS


def _fitted(name: str, estimator: Any, inputs: Any, target: Any) -> Example:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.random.seed(0)
        try:
            if name in ("LabelBinarizer", "LabelEncoder", "MultiLabelBinarizer"):
                estimator.fit(inputs)
            else:
                estimator.fit(inputs, target)
        except Exception as error:
            raise RuntimeError(f"{name} cannot be fitted: {error}") from error
    return Example(name, estimator, inputs)


def variants() -> Iterator[Any]:
    """Yield estimators whose arguments make them hold types that defaults do not."""
    boosting = ensemble.HistGradientBoostingRegressor
    for loss in ("absolute_error", "gamma", "poisson"):
        yield boosting(loss=loss, max_iter=2)
    yield boosting(loss="quantile", quantile=0.5, max_iter=2, early_stopping=True)
    yield ensemble.HistGradientBoostingClassifier(max_iter=2, early_stopping=True)
    for loss in ("absolute_error", "huber", "quantile"):
        yield ensemble.GradientBoostingRegressor(loss=loss, n_estimators=2)
    yield ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=2)
    for criterion in ("poisson", "absolute_error", "friedman_mse"):
        yield tree.DecisionTreeRegressor(criterion=criterion)
    for loss in ("log_loss", "modified_huber", "squared_hinge", "perceptron"):
        yield linear_model.SGDClassifier(loss=loss, early_stopping=True)
    for loss in ("huber", "epsilon_insensitive", "squared_epsilon_insensitive"):
        yield linear_model.SGDRegressor(loss=loss)
    for solver in ("sag", "saga", "liblinear", "newton-cg", "newton-cholesky"):
        yield linear_model.LogisticRegression(solver=solver)
    for solver in ("lbfgs", "sgd", "adam"):
        yield neural_network.MLPClassifier(
            hidden_layer_sizes=(3,), solver=solver, max_iter=3
        )
        yield neural_network.MLPRegressor(
            hidden_layer_sizes=(3,), solver=solver, max_iter=3
        )
    for algorithm in ("ball_tree", "kd_tree", "brute"):
        for metric in ("euclidean", "manhattan", "chebyshev", "minkowski"):
            yield neighbors.KNeighborsClassifier(algorithm=algorithm, metric=metric)
    for kernel in ("linear", "poly", "rbf", "sigmoid"):
        yield svm.SVC(kernel=kernel)
    kernels = gaussian_process.kernels
    parts = (
        kernels.RBF(),
        kernels.Matern(),
        kernels.RationalQuadratic(),
        kernels.DotProduct(),
        kernels.WhiteKernel(),
        kernels.ConstantKernel() * kernels.RBF() + kernels.WhiteKernel(),
        kernels.PairwiseKernel(),
        kernels.RBF() ** 2,
    )
    for kernel in parts:
        yield gaussian_process.GaussianProcessRegressor(
            kernel, alpha=2.0, optimizer=None
        )
    yield gaussian_process.GaussianProcessClassifier(kernels.RBF())
    periodic = kernels.ExpSineSquared()
    yield _Unfitted(gaussian_process.GaussianProcessRegressor(periodic))
    for score in (
        feature_selection.chi2,
        feature_selection.f_classif,
        feature_selection.mutual_info_classif,
    ):
        yield feature_selection.SelectKBest(score, k=2)
        yield feature_selection.SelectPercentile(score)
    for score in (
        feature_selection.f_regression,
        feature_selection.mutual_info_regression,
        feature_selection.r_regression,
    ):
        yield pipeline.make_pipeline(feature_selection.SelectKBest(score, k=2), _RIDGE)
    for function in FUNCTIONS:
        yield _Unfitted(preprocessing.FunctionTransformer(function))
    yield from _searches()
    yield from _compositions()


def _searches() -> Iterator[Any]:
    """Yield searches with every scorer and every way of splitting."""
    search = model_selection.GridSearchCV
    for name in metrics.get_scorer_names():
        scorer = metrics.get_scorer(name)
        yield _Unfitted(search(_LOGISTIC, _GRID, scoring=scorer, cv=2))
    for splitter in (
        model_selection.KFold(2),
        model_selection.StratifiedKFold(2, shuffle=True, random_state=0),
        model_selection.RepeatedStratifiedKFold(n_splits=2, n_repeats=1),
        model_selection.RepeatedKFold(n_splits=2, n_repeats=1),
        model_selection.ShuffleSplit(2),
        model_selection.StratifiedShuffleSplit(2),
        model_selection.TimeSeriesSplit(2),
        model_selection.GroupKFold(2),
        model_selection.StratifiedGroupKFold(2),
        model_selection.LeaveOneOut(),
        model_selection.LeavePOut(1),
        model_selection.GroupShuffleSplit(2),
        model_selection.LeaveOneGroupOut(),
        model_selection.LeavePGroupsOut(1),
        model_selection.PredefinedSplit(np.arange(60) % 2),
    ):
        yield _Unfitted(search(_LOGISTIC, _GRID, cv=splitter))
    for scoring in ("balanced_accuracy", "f1_macro"):
        tuned = model_selection.TunedThresholdClassifierCV(_LOGISTIC, scoring=scoring)
        yield _Unfitted(tuned)
    for method in ("isotonic", "temperature"):
        yield calibration.CalibratedClassifierCV(method=method, cv=2)
    yield calibration.CalibratedClassifierCV(naive_bayes.GaussianNB(), ensemble=False)


def _compositions() -> Iterator[Any]:
    """Yield estimators inside of others."""
    forest = ensemble.RandomForestClassifier(n_estimators=2)
    yield ensemble.StackingClassifier([("a", forest), ("b", _LOGISTIC)], forest, cv=2)
    yield ensemble.VotingClassifier([("a", forest), ("b", _LOGISTIC)], voting="soft")
    yield multiclass.OneVsRestClassifier(svm.LinearSVC())
    yield compose.TransformedTargetRegressor(
        _RIDGE, func=np.log1p, inverse_func=np.expm1
    )
    yield pipeline.make_pipeline(
        impute.KNNImputer(), decomposition.PCA(2), cluster.KMeans(2), _LOGISTIC
    )
    yield pipeline.make_pipeline(
        kernel_approximation.Nystroem(n_components=4), _LOGISTIC
    )
    yield covariance.EllipticEnvelope()
    yield ensemble.BaggingClassifier(_LOGISTIC, n_estimators=2)
    yield ensemble.AdaBoostClassifier(tree.DecisionTreeClassifier(), n_estimators=2)
    columns = compose.make_column_transformer(
        (preprocessing.StandardScaler(), slice(0, 2)),
        (preprocessing.SplineTransformer(), [2]),
        remainder="passthrough",
    )
    yield pipeline.make_pipeline(columns, _LOGISTIC)


class _Unfitted:
    """An estimator whose parameters are what matters: fitting adds no type."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator


def answer(estimator: Any, inputs: Any) -> np.ndarray:
    """Return what a fitted estimator says of its inputs, an array without objects.

    Of one that can only be fitted (DBSCAN), what it found.
    """
    for method in ("predict_proba", "decision_function", "predict", "transform"):
        if hasattr(estimator, method):
            return _plain(getattr(estimator, method)(inputs))
    for method in ("score_samples", "kneighbors"):
        if hasattr(estimator, method):
            return _plain(getattr(estimator, method)(inputs))
    parts = []
    for name, value in sorted(vars(estimator).items()):
        numeric = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
        if name.endswith("_") and numeric:
            parts.append(value.astype(float).ravel())
    return np.concatenate(parts)


def _plain(found: Any) -> np.ndarray:
    """Return an answer as numbers or texts."""
    if hasattr(found, "toarray"):
        found = found.toarray()
    values = np.asarray(found)
    return values.astype(str) if values.dtype.kind in "OM" else values


def main() -> None:
    """Write the list."""
    sys.path.insert(0, str(SOURCES))
    from mlops.training import model_file

    found = set(KEPT)
    for example in examples():
        found |= unknown_types(example.estimator, model_file.dump)
    head = HEAD.format(version=sklearn.__version__)
    TARGET.write_text(head + "\n".join(sorted(found)) + "\n", encoding="utf-8")


def unknown_types(estimator: Any, dump: Callable[[Any], bytes]) -> set[str]:
    """Return the types in an estimator's file that skops does not know to be safe."""
    import skops.io

    return set(skops.io.get_untrusted_types(data=dump(estimator)))


if __name__ == "__main__":
    main()
