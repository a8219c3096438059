"""How the model learns: `build` gets `train.params` of model.yaml."""

from __future__ import annotations

from typing import Any

from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

BOOSTING = {
    "max_iter": 100,
    "learning_rate": 0.05,
    "max_leaf_nodes": 12,
    "min_samples_leaf": 50,
    "l2_regularization": 10.0,
    "early_stopping": False,  # it would hold rows back at random
    "random_state": 0,
}

# Name -> class and the hyperparameters that it has unless model.yaml says otherwise.
LEARNERS: dict[str, tuple[type, dict[str, Any]]] = {
    "logistic": (LogisticRegression, {"C": 0.3, "max_iter": 1000}),
    "ridge": (Ridge, {"alpha": 3.0}),
    "boosting": (HistGradientBoostingClassifier, BOOSTING),
    "boosting_regression": (HistGradientBoostingRegressor, BOOSTING),
}


def build(params: dict[str, Any]) -> Pipeline:
    """Return an estimator that is not fitted yet.

    Parameters
    ----------
    params : dict
        `learner` (a key of LEARNERS), and any hyperparameter of that learner under the name that
        scikit-learn gives it.
    """
    chosen = dict(params)
    learner = chosen.pop("learner", None)
    if learner not in LEARNERS:
        raise ValueError(f"no learner {learner!r}; there are: {', '.join(LEARNERS)}")
    kind, defaults = LEARNERS[learner]
    if kind in {LogisticRegression, Ridge}:
        fill = SimpleImputer(strategy="median", keep_empty_features=True)
        numbers = make_pipeline(fill, StandardScaler())
        # Rare, missing and never seen values share one column, so none of them is an error.
        words = OneHotEncoder(
            max_categories=25, handle_unknown="infrequent_if_exist", sparse_output=False
        )
    else:  # trees take missing numbers as they are
        numbers = "passthrough"
        words = OrdinalEncoder(
            max_categories=100,  # the rarest share one code
            handle_unknown="use_encoded_value",
            unknown_value=-1,
            encoded_missing_value=-2,
        )
    columns = ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("words", words, make_column_selector(dtype_exclude="number")),
        ]
    )
    return Pipeline([("columns", columns), ("learner", kind(**{**defaults, **chosen}))])
