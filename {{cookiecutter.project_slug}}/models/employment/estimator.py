"""How the model learns: `build` gets `train.params` of model.yaml."""

from typing import Any

from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

# Name -> class and the hyperparameters that it has unless model.yaml says otherwise.
LEARNERS: dict[str, tuple[type, dict[str, Any]]] = {
    "logistic": (LogisticRegression, {"C": 1.0, "max_iter": 1000}),
    "boosting": (
        HistGradientBoostingClassifier,
        {
            "max_iter": 60,
            "learning_rate": 0.1,
            "max_leaf_nodes": 15,
            "min_samples_leaf": 30,
            "l2_regularization": 1.0,
            "early_stopping": False,  # it would hold rows back at random
            "random_state": 0,
        },
    ),
}


def build(params: dict[str, Any]) -> Pipeline:
    """Return an estimator that is not fitted yet.

    Parameters
    ----------
    params : dict
        `learner` (a key of LEARNERS, default logistic), and any hyperparameter of that
        learner under the name that scikit-learn gives it.

    Raises
    ------
    ValueError
        For a learner that is not there.
    """
    chosen = dict(params)
    learner = chosen.pop("learner", "logistic")
    if learner not in LEARNERS:
        raise ValueError(f"no learner {learner!r}; there are: {', '.join(LEARNERS)}")
    kind, defaults = LEARNERS[learner]
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    # Rare, missing and never seen values share one column, so none of them is an error.
    categories = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=20, sparse_output=False
    )
    columns = ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("categories", categories, make_column_selector(dtype_exclude="number")),
        ]
    )
    return Pipeline([("columns", columns), ("learner", kind(**{**defaults, **chosen}))])
