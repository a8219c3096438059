"""What a model is compared with: dummies and a plain pipeline."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops.evaluation.compare import paired_difference
from mlops.evaluation.metrics import undefined
from mlops.evaluation.outcome import EvaluationContext, sample
from mlops.results.verdict import Comparison
from mlops.training.model import Model

MOST_ROWS = 20_000  # that train a baseline, and that judge it

# The constant that is best by a metric of numbers; the mean by all others.
_MEDIAN = {"strategy": "median"}
_CONSTANTS: dict[str, dict[str, Any]] = {
    "mae": _MEDIAN,
    "median_ae": _MEDIAN,
    "mape": _MEDIAN,
    "smape": _MEDIAN,
    "pinball_10": {"strategy": "quantile", "quantile": 0.1},
    "pinball_90": {"strategy": "quantile", "quantile": 0.9},
}


@dataclass(frozen=True)
class BaselineComparison:
    """The model against its baselines by the primary metric.

    Parameters
    ----------
    by_name : dict of str to Comparison
        By `dummy` and `simple`; the baseline is the champion. Empty where the metric is
        not defined on the rows that were drawn.
    trained_on, of, compared_on : int
        Rows that trained a baseline, all training rows, and test rows that judged it.
    """

    by_name: dict[str, Comparison]
    trained_on: int
    of: int
    compared_on: int


def baselines(context: EvaluationContext, model: Model) -> BaselineComparison:
    """Compare the model with `dummy` and `simple` by the primary metric.

    At most 20,000 rows, drawn with the seed of the specification, train them, and as
    many test rows judge them: enough for an answer, and quick whatever the size of the
    data.
    """
    spec = context.spec
    metric = spec.metrics.primary
    drawn = sample(len(context.train), MOST_ROWS, spec.train.seed)
    train = context.train.iloc[drawn]
    target = train[spec.data.target].to_numpy()
    rows = sample(len(context.test), MOST_ROWS, spec.train.seed)
    ours = context.outcome(model).take(rows)
    compared: dict[str, Comparison] = {}
    if not undefined(metric, ours) and len(np.unique(target)) > 1:
        inputs = model.features(train)
        for name, pipeline in _pipelines(spec.task, metric).items():
            baseline = _fitted(model, pipeline, inputs, target)
            test = context.test.iloc[rows]
            theirs = context.outcome_of(baseline, test, baseline.predict(test))
            compared[name] = paired_difference(metric, theirs, ours)
    return BaselineComparison(compared, len(drawn), len(context.train), len(rows))


def _fitted(model: Model, pipeline: Any, inputs: pd.DataFrame, target: Any) -> Model:
    """Return a baseline that is fitted to what the model's own features.py makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that stops early is still a baseline
        pipeline.fit(inputs, target)
    classes = tuple(str(c) for c in getattr(pipeline, "classes_", ()))
    signature = model.signature.model_copy(update={"classes": classes})
    return Model(model.name, signature, pipeline, model.code)


def _pipelines(task: str, metric: str) -> dict[str, Any]:
    """Return both baselines, not fitted; they see the model's own features."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    known = SimpleImputer(strategy="median", keep_empty_features=True)
    numbers = make_pipeline(known, StandardScaler())
    words = OneHotEncoder(max_categories=30, handle_unknown="infrequent_if_exist")
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (words, make_column_selector(dtype_exclude="number")),
    )
    dummy = DummyClassifier(strategy="prior")
    learner = LogisticRegression(max_iter=200)
    if task == "regression":
        dummy = DummyRegressor(**_CONSTANTS.get(metric, {"strategy": "mean"}))
        learner = Ridge()
    return {
        "dummy": dummy,
        "simple": make_pipeline(FunctionTransformer(_plain), columns, learner),
    }


def _plain(features: pd.DataFrame) -> pd.DataFrame:
    """Return features as numbers and text: dates in years, infinities as missing."""
    plain = features.copy()
    for name, dates in features.select_dtypes(["datetime", "datetimetz"]).items():
        plain[name] = dates.dt.year + dates.dt.dayofyear / 366
    words = plain.select_dtypes(exclude="number").columns
    plain[words] = plain[words].astype("str")
    return plain.replace([np.inf, -np.inf], np.nan)
